"""A store of two coders whose latents are explained and scored, and an audit of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.audit.draw import create
from autointerp.audit.options import AuditOptions
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.audited import kind_named, write_audited


@pytest.fixture(scope="session")
def audited_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


@pytest.fixture
def resources(audited_template: Path, tmp_path: Path) -> Iterator[Resources]:
    store = Store.open(shutil.copytree(audited_template, tmp_path / "store"))
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


@pytest.fixture
def audit(resources: Resources) -> Audit:
    """Ten items and two controls, stored; verdicts and fuzzing."""
    options = AuditOptions(
        coders=("sae", "tc"), kind=kind_named(resources.annotations, "fuzzing"), n=10, score_bins=2, density_bins=2,
        tasks=("verdict", "fuzzing"), control_share=0.2, repeat_share=0.2, n_questions=10,
    )  # fmt: skip
    made = create(resources, options, name="First look", author="Ann", purpose="A test")
    resources.annotations.audits.create(made)
    return made
