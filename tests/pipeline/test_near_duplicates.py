"""What the explainer was shown is not asked about, not even where the same text stands in another context."""

from collections.abc import Iterator

import numpy as np
import pytest

from autointerp.embedding import embed_store
from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.examples import select_evidence, select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.sampling import Window
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.conftest import CoderSpec, StoreFactory
from tests.embedding.conftest import HashEmbedder
from tests.pipeline.conftest import explain_once, write_once

N_CONTEXTS, CTX_LEN, FIRES = 200, 32, 7
BOILERPLATE = list(
    range(40, 53)
)  # stands around the firing token, eight before and four after, in many contexts


@pytest.fixture
def resources(store_factory: StoreFactory) -> Iterator[Resources]:
    """Three of four firings stand in one and the same text, in contexts that differ otherwise; the silent contexts are of five
    kinds only."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 40, size=(N_CONTEXTS, CTX_LEN))
    tokens[120:] = tokens[rng.integers(100, 105, size=N_CONTEXTS - 120)]
    tokens[:100, 16] = FIRES
    tokens[:75, 8:16], tokens[:75, 17:21] = BOILERPLATE[:8], BOILERPLATE[9:]
    flat = tokens.reshape(-1)
    fires = [(int(i), float(1 + rng.random())) for i in np.flatnonzero(flat == FIRES)]
    pieces = [b"<|end|>", *(f" word{i}".encode() for i in range(1, 60))]
    store = store_factory(tokens, {"sae": CoderSpec({0: fires}, 1)}, pieces=pieces)
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def around_peak(store: Store, window: Window) -> tuple[int, ...]:
    example = window.example
    peak = example.start + int(example.activations.argmax())
    return tuple(store.tokens[example.context, max(0, peak - 8) : peak + 5].tolist())


@pytest.mark.parametrize("seed", range(6))
def test_no_question_repeats_what_was_shown(seed: int, resources: Resources) -> None:
    options = ExplainOptions(n_examples=20, n_contrast=20, seed=seed, split_seed=seed)
    evidence = select_evidence(resources, "sae", 0, options)
    shown = {around_peak(resources.store, one) for one in evidence.activating}
    shown_silent = {one.example.token_ids.tobytes() for one in evidence.non_activating}
    assert any(text[:8] == tuple(BOILERPLATE[:8]) for text in shown)
    explanation = explain_once(resources, "sae", 0, options)
    heldout = select_heldout(resources, explanation, ScoreOptions(n_examples=10, n_negatives=30, seed=seed))
    assert heldout.activating
    assert heldout.non_activating
    assert not shown & {around_peak(resources.store, one) for one in heldout.activating}
    assert not shown_silent & {one.example.token_ids.tobytes() for one in heldout.non_activating}


def test_negatives_near_in_meaning_are_no_copies_of_what_was_shown(resources: Resources) -> None:
    hashed = HashEmbedder()
    embed_store(resources.store, hashed, window=32)
    explanation = explain_once(resources, "sae", 0, ExplainOptions(n_examples=20, n_contrast=10))
    shown = set()
    for one in explanation.example_ids:
        context, start, window = map(int, one.split(":"))
        shown.add(resources.store.tokens[context, start : start + window].astype(np.int64).tobytes())
    asked = ScoreOptions(negatives=("embedding",), embedder=hashed.name, n_examples=10, n_negatives=60)
    found = [
        one.example.token_ids.tobytes()
        for one in select_heldout(resources, explanation, asked).non_activating
    ]
    assert found
    assert len(set(found)) == len(found)
    assert not shown & set(found)


def test_an_edit_inherits_what_its_parent_was_shown(resources: Resources) -> None:
    parent = explain_once(resources, "sae", 0, ExplainOptions(n_examples=20, n_contrast=20))
    resources.annotations.add(parent)
    edited = write_once(resources, "sae", 0, "word7 in boilerplate", author="me", parent=parent.id)
    shown = {
        around_peak(resources.store, one)
        for one in select_evidence(resources, "sae", 0, ExplainOptions(n_examples=20)).activating
    }
    heldout = select_heldout(resources, edited, ScoreOptions(n_examples=10))
    assert not shown & {around_peak(resources.store, one) for one in heldout.activating}
