"""Embedding scores from places in the corpus and vectors: nothing is cut out or decoded but windows that are not embedded yet.
A batch of explanations is scored at once: this is what a job over a whole coder spends its seconds on.
"""

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.pipeline.examples import HeldoutPlaces, heldout_places
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, Score
from autointerp.score.embedding import Embedding
from autointerp.score.options import ScoreOptions, plan_seed, recorded_negatives
from autointerp.score.plan import Plan

if TYPE_CHECKING:
    from autointerp.embedding import StoreEmbedder

MAX_BLOCK = 64
MAX_NUMBERS = 1 << 18
"""Explanations, and firings and contexts of their latents, in a block: what fits into a processor's cache."""


class EmbeddingBatches:
    """Scores one explanation after the other. Of those that are expected, in that order, a batch is scored by embedding at
    once, at the first one's turn. Thread-safe. `pages`: those expected, read a page at a time."""

    def __init__(self, session: Session, pages: Iterable[list[Explanation]] = ()):
        self._session = session
        self._pages = iter(pages)
        self._order: list[Explanation] = []
        self._n_before = 0
        self._at: dict[str, int] = {}
        self._scored: dict[tuple[str, ScoreOptions], Score | None] = {}
        self._lock = threading.Lock()

    def explanation(self, id_: str) -> Explanation:
        """An expected one, or any other that is stored. Raises UnknownName."""
        with self._lock:
            if id_ in self._at:
                return self._order[self._at[id_]]
            explanation = self._session.resources.annotations.explanation(id_)
            # The page before stays: another thread may be about to ask for its last ones.
            self._order = [*self._order[self._n_before :], *(page := next(self._pages, []))]
            self._n_before = len(self._order) - len(page)
            self._at = {expected.id: i for i, expected in enumerate(self._order)}
            self._scored = {key: score for key, score in self._scored.items() if key[0] in self._at}
            return explanation

    def score(self, explanation: Explanation, options: ScoreOptions) -> Score:
        """As `autointerp.pipeline.score.score`. Each score is given out once."""
        if options.scorer == "embedding":
            with suppress(UserError), self._lock:  # which the other way records
                scorer = self._session.scorer(options)
                assert isinstance(scorer, Embedding)
                key = (explanation.id, options)
                if key not in self._scored:
                    block = self._block(explanation)
                    scores = score_stored(self._session.resources, scorer, block, options)
                    self._scored |= {(e.id, options): s for e, s in zip(block, scores, strict=True)}
                scored = self._scored.pop(key)
                if scored is not None:
                    return scored
        return score(self._session, explanation, options)

    def _block(self, explanation: Explanation) -> list[Explanation]:
        """With those after it, as many as bring firings and contexts that are worth it."""
        at = self._at.get(explanation.id)
        if at is None:
            return [explanation]
        store = self._session.resources.store
        coder = store.coder(explanation.coder)
        following = [other for other in self._order[at : at + MAX_BLOCK] if other.coder == explanation.coder]
        n = coder.table().columns["n_activations"][[other.latent for other in following]] + store.n_contexts
        return following[: max(1, int(np.searchsorted(np.cumsum(n), MAX_NUMBERS, side="right")))]


def score_stored(
    resources: Resources, scorer: Embedding, explanations: Sequence[Explanation], options: ScoreOptions
) -> list[Score | None]:
    """The embedding scores of explanations of one coder on their held-out windows, `None` where there is nothing to score, for
    which `score` has the words. Windows that are not embedded are embedded now. Raises UserError."""
    embedder = resources.embedder(options.embedder)
    good = [e for e in explanations if e.status == "ok" and e.text.strip()]
    floors = [resources.floors.choose(explanation, options) for explanation in good]
    texts = [
        [explanation.text, *([floor.text] if floor and floor.text.strip() else [])]
        for explanation, floor in zip(good, floors, strict=True)
    ]
    queries = iter(embedder.embed_queries([text for some in texts for text in some]))
    drawn = heldout_places(resources, good, options)
    scores = {}
    for explanation, places, floor, some in zip(good, drawn, floors, texts, strict=True):
        vectors = np.stack(list(islice(queries, len(some))))
        if places is not None:
            scores[explanation.id] = _score(scorer, explanation, options, embedder, places, vectors, floor)
    return [scores.get(explanation.id) for explanation in explanations]


def _score(
    scorer: Embedding,
    explanation: Explanation,
    options: ScoreOptions,
    embedder: "StoreEmbedder",
    places: HeldoutPlaces,
    queries: NDArray[np.float32],
    floor: Explanation | None,
) -> Score | None:
    both = places.activating + places.non_activating
    n_pos, n = len(places.activating), len(both)
    if not 0 < n_pos < n:
        return None
    seed = plan_seed(explanation.latent, options)
    order = np.random.default_rng(seed).permutation(n)
    asked = both.take(order.tolist())
    vectors = embedder.embed_places(asked.spans)
    if not (np.isfinite(vectors).all() and np.isfinite(queries).all()):
        return None
    negatives = recorded_negatives(options.negatives_name, embedder.store.coder(explanation.coder).info)
    plan = Plan((), places.latent_max, negatives, seed)
    score = scorer.score_vectors(explanation, floor, queries, vectors, asked, order < n_pos, plan)
    return None if score.value is None else replace(score, config=options.identity())
