"""The list of features behind an address: which coders, which rows, in which order. For the Features page, and for stepping
through its rows on the Feature page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from autointerp.errors import StoreError
from autointerp.store import LatentQuery, ScoreBound, ScoreKind, Spots, Store, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import blind, score_text, services
from autointerp.ui.shared.expected import expected_above_floor
from autointerp.ui.shared.list_state import HUMAN, SCORE_SORTS, STATES, UNSCORED, FeaturesState, sorts
from autointerp.ui.shared.text import plain

if TYPE_CHECKING:
    import pyarrow

PAGE_SIZE = 25


@dataclass(frozen=True)
class ListAnnotations:
    """Explanations and scores of the coders of a list. `kinds` of scores and `explainers` with how many features have one;
    `kind` is the one shown and sorted by. `judged`: whether people gave verdicts on any. `annotations` is `None` where they
    cannot be read."""

    annotations: Annotations | None
    kinds: dict[ScoreKind, int]
    explainers: dict[str, int]
    kind: ScoreKind | None
    judged: bool = False

    @property
    def n_explained(self) -> int:
        return sum(self.explainers.values())


def read_annotations(store: Store, coders: list[str], state: FeaturesState) -> ListAnnotations:
    """Without annotations that can be read, the list works as it does before anything is explained."""
    try:
        annotations = services.annotations(store)
        cached = annotated_store(annotations)
        kinds, explainers = cached.kinds(coders, score_text.order), cached.explainers(coders)
        judged = any(cached.coder(name).verdicts.num_rows for name in coders)
    except StoreError as error:
        st.warning(f"Cannot read explanations and scores: {plain(str(error))}")
        return ListAnnotations(None, {}, {}, None)
    chosen = next((kind for kind in kinds if kind.has_key(state.score)), None)
    if chosen is None:
        chosen = max(kinds, key=lambda kind: kinds[kind], default=None)  # the first of equals
    return ListAnnotations(annotations, kinds, explainers, chosen, judged)


def shown_sort(state: FeaturesState, kind: ScoreKind | None) -> str:
    """What the list is sorted by, as in the address: without scores not by one."""
    return UNSCORED if kind is None and state.sort in SCORE_SORTS else state.sort


def latent_query(
    coders: Sequence[str],
    state: FeaturesState,
    listed: ListAnnotations,
    spots: Spots | None = None,
    matches: "dict[str, pyarrow.Table] | None" = None,
) -> LatentQuery:
    """The query of a page of the list. `spots`, `matches`: what a search narrows it to."""
    kind = listed.kind
    sort = sorts()[shown_sort(state, kind)]
    ranks = None
    if sort == "rank" and kind is not None and listed.annotations is not None:
        kept = annotated_store(listed.annotations)
        ranks = {coder: expected_above_floor(kept.coder(coder), kind, state.made_by) for coder in coders}
    return LatentQuery(
        sort=sort,
        descending=state.descending,
        bounds=state.bounds(scores=kind is not None),
        also=_bounds(state, listed.kinds),
        dead=state.dead,
        spots=spots,
        matches=matches,
        kind=kind,
        ranks=ranks,
        state=STATES[state.explained][1],
        explainer=state.explainer or None,
        made_by=state.made_by or None,
        human=HUMAN[state.human][1],
        verdict=None if state.verdict == "any" else state.verdict,
        unseen=blind.unseen(listed.annotations) if listed.annotations is not None and listed.judged else {},
        members=_members(state, listed),
        limit=PAGE_SIZE,
        offset=PAGE_SIZE * (state.page - 1),
    )


def _members(state: FeaturesState, listed: ListAnnotations) -> dict[str, list[int]] | None:
    """The features of the collection in the address, `None` without one."""
    if state.collection is None:
        return None
    return {} if listed.annotations is None else listed.annotations.collections.latents(state.collection)


def _bounds(state: FeaturesState, kinds: Iterable[ScoreKind]) -> tuple[ScoreBound, ...]:
    """Bounds on other scores, where there are such scores."""
    known = list(kinds)
    of_keys = ((each, next((kind for kind in known if kind.has_key(each.key)), None)) for each in state.also)
    return tuple(
        ScoreBound(kind, each.least, each.most)
        for each, kind in of_keys
        if kind is not None and (each.least, each.most) != (None, None)
    )


def query_of_address(store: Store, params: Mapping[str, str]) -> tuple[list[str], LatentQuery] | None:
    """Coders and query of the list at this address; `None` for a search, and for a coder that does not exist."""
    state = FeaturesState.parse(params)
    coders = state.coders(store.coders())
    if state.searching or not coders:
        return None
    return coders, latent_query(coders, state, read_annotations(store, coders, state))
