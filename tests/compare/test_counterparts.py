"""Counterparts of a latent in another coder, by every measure."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from autointerp.compare import results
from autointerp.compare.counterparts import MEASURES, counterparts, known
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.compare.conftest import ORDER


def test_a_permuted_copy_has_each_latent_by_every_measure(resources: Resources):
    live = resources.store.coder("sae").table().live
    for by in MEASURES:
        for latent in live[:12].tolist():
            found = counterparts(resources, "sae", latent, "permuted", by=by)
            top = found[0]
            assert top.value(by) == pytest.approx(1, abs=1e-5)
            assert ORDER[top.latent] == latent
            back = counterparts(resources, "permuted", top.latent, "sae", by=by)[0]
            assert back.latent == latent
            values = [each.value(by) or 0.0 for each in found]
            assert values == sorted(values, reverse=True)


def test_where_they_fire_is_that_of_their_activations(resources: Resources):
    sae, other = (resources.store.coder(name) for name in ("sae", "transcoder"))
    latent = int(sae.table().live[0])
    dense = np.zeros((2, resources.store.n_contexts * resources.store.ctx_len))
    for by in ("correlation", "jaccard"):
        for each in counterparts(resources, "sae", latent, "transcoder", by=by):
            dense[:] = 0
            for row, acts in zip(
                dense, (sae.activations(latent), other.activations(each.latent)), strict=True
            ):
                row[acts.token] = acts.activation
            fires = dense > 0
            both, n = fires.all(0).sum(), sae.info.n_tokens
            assert each.n_both == both
            assert each.jaccard == pytest.approx(both / fires.any(0).sum())
            assert each.covers == pytest.approx(both / fires[0].sum())
            assert each.inside == pytest.approx(both / fires[1].sum())
            means = dense.sum(1) / n  # masked positions are zero, and do not count
            covariance = (dense[0] * dense[1]).sum() / n - means.prod()
            spread = np.sqrt((dense**2).sum(1) / n - means**2).prod()
            assert each.correlation == pytest.approx(covariance / spread, abs=1e-5)


def test_they_come_with_their_explanation_and_scores(built: Path, tmp_path: Path):
    path = shutil.copytree(built, tmp_path / "store")  # other tests share that one
    with Annotations(path) as annotations:
        resources = Resources(Store.open(path), annotations)
        latent = int(resources.store.coder("sae").table().live[0])
        results.obtain(resources, "coactivation", ("permuted", "sae"))
        there = known(resources, "sae", "permuted").counterparts(latent, "correlation")[0].latent
        explanation = Explanation(coder="permuted", latent=there, text="Cats.", explainer="person")
        annotations.add(explanation)
        annotations.add(Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=0.75))
        top = counterparts(resources, "sae", latent, "permuted")[0]
    assert top.explanation is not None
    assert top.explanation.text == "Cats."
    assert [score.value for score in top.scores.values()] == [0.75]


def test_what_is_not_computed_is_not_known(built: Path, tmp_path: Path):
    path = shutil.copytree(built, tmp_path / "store", ignore=shutil.ignore_patterns("derived"))
    with Annotations(path) as annotations:
        pair = known(Resources(Store.open(path), annotations), "skip", "residual")
        assert not pair.has("correlation")
        assert pair.counterparts(0, "correlation") == pair.counterparts(0, "decoder") == []


def test_what_cannot_be_compared_says_why(resources: Resources):
    with pytest.raises(UserError, match=r"Look for counterparts by correlation\."):
        counterparts(resources, "sae", 0, "transcoder", by="encoder")
    assert known(resources, "sae", "transcoder").absent("encoder")
    assert known(resources, "transcoder", "sae").absent("decoder") is None


def test_bad_input(resources: Resources):
    with pytest.raises(UserError, match="itself"):
        counterparts(resources, "sae", 0, "sae")
    with pytest.raises(UnknownName):
        counterparts(resources, "sae", 0, "nothing")
    with pytest.raises(UnknownName):
        counterparts(resources, "sae", 64, "other")
    with pytest.raises(UserError, match="no measure"):
        counterparts(resources, "sae", 0, "other", by="taste")
