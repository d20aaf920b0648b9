"""The list of features behind an address: which coders, which rows, in which order. For the Features page, and for stepping
through its rows on the Feature page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from autointerp.errors import StoreError
from autointerp.store import LatentQuery, ScoreKind, Spots, Store, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import score_text, services
from autointerp.ui.shared.state import HUMAN, SCORE_SORTS, STATES, FeaturesState, sorts
from autointerp.ui.shared.text import plain

if TYPE_CHECKING:
    import pyarrow

PAGE_SIZE = 25


@dataclass(frozen=True)
class ListAnnotations:
    """Explanations and scores of the coders of a list. `kinds` of scores and `explainers` with how many features have one;
    `kind` is the one shown and sorted by. `annotations` is `None` where they cannot be read."""

    annotations: Annotations | None
    kinds: dict[ScoreKind, int]
    explainers: dict[str, int]
    kind: ScoreKind | None

    @property
    def n_explained(self) -> int:
        return sum(self.explainers.values())


def read_annotations(store: Store, coders: list[str], state: FeaturesState) -> ListAnnotations:
    """Without annotations that can be read, the list works as it does before anything is explained."""
    try:
        annotations = services.annotations(store)
        cached = annotated_store(annotations)
        kinds, explainers = cached.kinds(coders, score_text.order), cached.explainers(coders)
    except StoreError as error:
        st.warning(f"Cannot read explanations and scores: {plain(str(error))}")
        return ListAnnotations(None, {}, {}, None)
    chosen = next((kind for kind in kinds if kind.has_key(state.score)), None)
    if chosen is None:
        chosen = max(kinds, key=lambda kind: kinds[kind], default=None)  # the first of equals
    return ListAnnotations(annotations, kinds, explainers, chosen)


def latent_query(
    state: FeaturesState,
    kind: ScoreKind | None,
    spots: Spots | None = None,
    matches: "dict[str, pyarrow.Table] | None" = None,
) -> LatentQuery:
    """The query of a page of the list. `spots`, `matches`: what a search narrows it to."""

    by_score = state.sort in SCORE_SORTS
    return LatentQuery(
        sort=sorts()[state.sort] if kind is not None or not by_score else "density",
        descending=state.descending,
        bounds=state.bounds(scores=kind is not None),
        dead=state.dead,
        spots=spots,
        matches=matches,
        kind=kind,
        state=STATES[state.explained][1],
        explainer=state.explainer or None,
        human=HUMAN[state.human][1],
        limit=PAGE_SIZE,
        offset=PAGE_SIZE * (state.page - 1),
    )


def query_of_address(store: Store, params: Mapping[str, str]) -> tuple[list[str], LatentQuery] | None:
    """Coders and query of the list at this address; `None` for a search, and for a coder that does not exist."""
    state = FeaturesState.parse(params)
    names = [info.coder for info in store.coders()]
    if state.searching or (state.coder is not None and state.coder not in names):
        return None
    coders = [state.coder] if state.coder else names
    return coders, latent_query(state, read_annotations(store, coders, state).kind)
