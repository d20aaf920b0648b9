"""A store with latents of known behaviour, and the resources of it."""

from collections.abc import Iterator

import numpy as np
import pytest

from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import job_kinds
from autointerp.pipeline.explain import explain, written_explanation
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, Score
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.conftest import CoderSpec, StoreFactory

CTX_LEN = 32
N_CONTEXTS = 120
CAT, DOG, RARE, DEAD, EVERYWHERE = range(5)
"""Latents: fires on token 7, on token 9, in one context only, never, on every token."""


def make_store(factory: StoreFactory) -> Store:
    """Random text of 40 words; words 7 and 9 stand in about a third of the contexts each."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 40, size=(N_CONTEXTS, CTX_LEN))
    for word in (7, 9):
        rows = rng.permutation(N_CONTEXTS)[: N_CONTEXTS // 3]
        tokens[rows, rng.integers(0, CTX_LEN, size=len(rows))] = word
    flat = tokens.reshape(-1)
    fires = {
        CAT: [(int(i), float(1 + rng.random())) for i in np.flatnonzero(flat == 7)],
        DOG: [(int(i), float(1 + rng.random())) for i in np.flatnonzero(flat == 9)],
        RARE: [(5, 1.0)],
        EVERYWHERE: [(int(i), float(0.1 + rng.random())) for i in range(flat.size)],
    }
    neighbours = {
        "decoder": (
            np.array([[DOG], [CAT], [-1], [-1], [-1]], dtype=np.int32),
            np.full((5, 1), 0.5, dtype=np.float32),
        )
    }
    pieces = [b"<|end|>", *(f" word{chr(97 + i % 26)}{i}".encode() for i in range(1, 40))]
    pieces[7], pieces[9] = b" cat", b" dog"
    return factory(
        tokens,
        {"sae": CoderSpec(fires, 5, neighbours=neighbours)},
        pieces=pieces,
    )


@pytest.fixture
def resources(store_factory: StoreFactory) -> Iterator[Resources]:
    store = make_store(store_factory)
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def explain_once(resources: Resources, coder: str, latent: int, options: ExplainOptions) -> Explanation:
    """In a session of its own; not stored."""
    with Session(resources) as session:
        return explain(session, coder, latent, options.check())


def score_once(resources: Resources, explanation: Explanation, options: ScoreOptions) -> Score:
    """In a session of its own; not stored."""
    with Session(resources) as session:
        return score(session, explanation, options.check())


def write_once(
    resources: Resources, coder: str, latent: int, text: str, *, author: str, parent: str | None = None
) -> Explanation:
    """What a person wrote, stored."""
    written = written_explanation(resources.store, coder, latent, text, author=author, parent=parent)
    resources.annotations.add(written)
    return written


@pytest.fixture
def runner(resources: Resources) -> JobRunner:
    return JobRunner(resources.annotations, job_kinds(resources), poll_seconds=0.05)
