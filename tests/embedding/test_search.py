"""Searching windows and explanations, and hard negatives, against plain loops."""

from typing import Any

import numpy as np
import pytest

from autointerp.embedding import (
    StoreEmbedder,
    TextEmbedder,
    embed_store,
    search_explanations,
    search_windows,
)
from autointerp.embedding.search import KEYWORD_WEIGHT
from autointerp.errors import UserError
from autointerp.pipeline.negatives import MAX_ANCHORS, hard_contexts
from autointerp.records import Explanation
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.embeddings.reader import WindowEmbeddings, nearest_first
from tests.conftest import StoreFactory
from tests.embedding import plain
from tests.embedding.conftest import HashEmbedder


@pytest.fixture
def found(tiny_store: Store, hashed: HashEmbedder) -> WindowEmbeddings:
    return embed_store(tiny_store, hashed, window=16)


@pytest.mark.parametrize("limit", [0, 1, 7, 96, 500])
def test_search_is_a_sort_by_cosine(limit: int, found: WindowEmbeddings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autointerp.store.embeddings.reader.BLOCK", 10)
    rng = np.random.default_rng(limit)
    query = rng.standard_normal(16).astype(np.float32)
    rows, values = found.search(query, limit)
    expected = plain.search(found.vectors, query, limit)
    assert rows.tolist() == expected
    assert np.allclose(values, found.take(rows) @ query, atol=1e-5)


def test_equals_come_in_order_of_place():
    values = np.array([1, 3, 3, 2, 3, 1], dtype=np.float32)
    assert nearest_first(values, 2).tolist() == [1, 2]
    assert nearest_first(values, 4).tolist() == [1, 2, 4, 3]
    assert nearest_first(values, 0).tolist() == nearest_first(values[:0], 3).tolist() == []


def test_large_embeddings_stay_on_disk(found: WindowEmbeddings, monkeypatch: pytest.MonkeyPatch):
    query = np.ones(16, dtype=np.float32)
    before = found.search(query, 5)[0]
    monkeypatch.setattr("autointerp.store.embeddings.reader.IN_MEMORY_BYTES", 0)
    other = WindowEmbeddings(found.name, found.places, found.vectors, found.fingerprint, found.precision)
    assert other.search(query, 5)[0].tolist() == before.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_hard_negatives_are_what_a_plain_loop_draws(seed: int, found: WindowEmbeddings):
    rng = np.random.default_rng(seed)
    rows = rng.choice(96, size=5, replace=False)
    forbidden = rng.random(24) < 0.4
    forbidden[rows // 4] = True
    anchors = np.random.default_rng(seed).permutation(np.unique(rows))
    expected = plain.hard(found.vectors, anchors, forbidden, 6, 4)
    assert hard_contexts(found, rows, forbidden, 6, np.random.default_rng(seed)).tolist() == expected


def test_hard_negatives_run_out_and_are_never_forbidden(found: WindowEmbeddings):
    rng = np.random.default_rng(0)
    forbidden = np.ones(24, dtype=bool)
    assert hard_contexts(found, np.array([3]), forbidden, 5, rng).tolist() == []
    forbidden[[2, 9, 11]] = False
    elsewhere = np.flatnonzero(np.repeat(forbidden, 4))
    chosen = hard_contexts(found, elsewhere, forbidden, 50, rng)
    assert sorted(set(chosen // 4)) == [2, 9, 11]
    assert len(chosen) == 3
    active = np.array([8, 9, 10, 36])  # all but one of context 2's windows, and one of context 9's
    chosen = hard_contexts(found, active, forbidden, 50, rng)
    assert sorted(chosen // 4) == [2, 9, 11]
    assert 11 in chosen
    assert 36 not in chosen
    assert hard_contexts(found, np.zeros(0, dtype=np.int64), forbidden, 5, rng).tolist() == []
    assert hard_contexts(found, np.array([3]), forbidden, 0, rng).tolist() == []
    assert len(elsewhere) > MAX_ANCHORS


def test_meaning_finds_what_words_do_not(store_factory: StoreFactory, minilm: TextEmbedder):
    pieces = [
        b"<|endoftext|>",
        b" The cat purrs on the sofa.",
        b" Interest rates rose again.",
        b" Kittens drink milk.",
    ]
    store = store_factory([[1, 1], [2, 2], [3, 3]], pieces=pieces)
    known = StoreEmbedder(store, minilm)
    with pytest.raises(UserError, match="not been embedded"):
        search_windows(known, "felines")
    embed_store(store, minilm, window=1)
    hits = search_windows(known, "felines", window=1)
    assert [(hit.context, hit.start, hit.end) for hit in hits][-1][0] == 1
    assert {hit.context for hit in hits} == {0, 1, 2}
    assert hits[0].similarity >= hits[1].similarity >= hits[2].similarity
    with pytest.raises(UserError, match="empty"):
        search_windows(known, " \n", window=1)
    for hostile in ("\x00", "\ud800", "x" * 100_000, "'; DROP TABLE vectors"):
        assert len(search_windows(known, hostile, window=1)) == 3


TEXTS = [
    "Fires on closing brackets after a number.",
    "The word 'feline' and other cats.",
    'The text ">>>" at the start of a prompt.',
    "Names of months and days.",
]


@pytest.fixture
def explained(tiny_store: Store) -> Annotations:
    annotations = Annotations(tiny_store.path)
    for latent, text in enumerate(TEXTS):
        annotations.add(Explanation(coder="sae", latent=latent, text=text, explainer="pattern"))
    annotations.add(Explanation(coder="transcoder", latent=2, text="Kittens.", explainer="pattern"))
    return annotations


def test_explanations_by_meaning_and_with_their_words(
    explained: Annotations, tiny_store: Store, minilm: TextEmbedder
):
    known = StoreEmbedder(tiny_store, minilm)

    def best(query: str, **options: Any) -> list[tuple[str, int]]:
        hits = search_explanations(explained, known, ["sae", "transcoder"], query, **options)
        return [(hit.coder, hit.latent) for hit in hits]

    assert best("calendar dates", mode="semantic")[0] == ("sae", 3)
    assert best("cat", mode="semantic")[:2] in (
        [("sae", 1), ("transcoder", 2)],
        [("transcoder", 2), ("sae", 1)],
    )
    assert best(">>>", mode="hybrid")[0] == ("sae", 2)
    assert len(best("anything", limit=2)) == 2
    assert {coder for coder, _ in best("x", mode="semantic")} == {"sae", "transcoder"}
    cosine = search_explanations(explained, known, ["sae"], "brackets", limit=1, mode="semantic")[0].score
    both = search_explanations(explained, known, ["sae"], "brackets", limit=1)[0]
    assert both.latent == 0
    assert 0 < cosine <= 1
    assert both.score == pytest.approx(cosine + KEYWORD_WEIGHT)
    with pytest.raises(UserError, match="empty"):
        search_explanations(explained, known, ["sae"], "  ")


def test_new_explanations_are_found_and_old_ones_not_embedded_again(
    explained: Annotations, tiny_store: Store, hashed: HashEmbedder
):
    known = StoreEmbedder(tiny_store, hashed)
    search_explanations(explained, known, ["sae"], "q")
    assert hashed.asked == ["q", *TEXTS]
    old = search_explanations(explained, known, ["sae"], TEXTS[1], mode="semantic")[0]
    assert (old.latent, old.score) == (1, pytest.approx(1, abs=1e-3))
    hashed.asked.clear()
    explained.add(Explanation(coder="sae", latent=1, text="A newer text.", explainer="person"))
    search_explanations(explained, known, ["sae"], "q")
    assert hashed.asked == ["A newer text."]
    newer = search_explanations(explained, known, ["sae"], "A newer text.", mode="semantic")[0]
    assert (newer.latent, newer.score) == (1, pytest.approx(1, abs=1e-3))
    assert search_explanations(explained, known, ["sae"], TEXTS[1], mode="semantic")[0].score < 0.99
    assert search_explanations(explained, known, ["never-explained"], "q") == []
