"""The examples that the page shows of a feature: drawn once in windows of `DRAWN` tokens, and shown in any size, continued
or widened without another draw. The same feature has the same examples whenever and however it is looked at.
"""

from itertools import islice

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.pipeline.negatives import similar_latents
from autointerp.sampling import NeighbourActivations, Request, Sizes, build_groups, cut_many, sample
from autointerp.sampling.windows import cut, signatures
from autointerp.types import Example, Group
from autointerp.ui.shared import services
from autointerp.ui.shared.context_rows import DRAWN, Sight
from autointerp.ui.shared.feature_data import BY_FILE, Feature

PAGE = 40
"""Examples of one group before "more"."""
FIRST = Sizes(
    random=PAGE + 1, top=PAGE + 1, per_quantile=PAGE // 10, non_activating=PAGE // 2, hard=PAGE // 2
)
HEAD = {"random": 5, "top": 8}
HEAD_NEGATIVES = 3  # of each source
# Drawing ---------------------------------------------------------------------------------------


def of_group(feature: Feature, group: Group, pages: int) -> tuple[list[Example], bool]:
    """The first `pages` pages of a group's examples, without any its head; and whether others follow."""
    first = _first(feature)[group]
    if not pages:
        head = _head(feature, group, first)
        return head, len(head) < len(first)
    parts = [_page(feature, group, number) for number in range(pages + 1)]
    return [shown for part in parts[:-1] for shown in part], bool(parts[-1])


def _page(feature: Feature, group: Group, number: int) -> list[Example]:
    if group in HEAD and number == 1 and len(_first(feature)[group]) <= PAGE:
        return []  # without drawing again
    return _further(feature, group, number) if number else _first(feature)[group][:PAGE]


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=BY_FILE)
def _first(feature: Feature) -> dict[Group, list[Example]]:
    return build_groups(
        feature.activations,
        feature.store.tokens,
        window=DRAWN,
        n_top=FIRST.top,
        n_random=FIRST.random,
        n_per_quantile=FIRST.per_quantile,
        n_non_activating=FIRST.non_activating,
        n_hard=FIRST.hard,
        rng=np.random.default_rng([feature.latent, 0]),
        neighbour_acts=_neighbours(feature),
        contexts=feature.coder.known_contexts(feature.latent),
        lengths=feature.store.text_lengths(),
    )


def _neighbours(feature: Feature) -> NeighbourActivations:
    coder, activations = feature.coder, services.resources(feature.store).activations
    return [(near, activations.get(coder, near)) for near in similar_latents(coder, feature.latent)]


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=BY_FILE)
def _further(feature: Feature, group: Group, number: int) -> list[Example]:
    """Page `number`, from 1. Random and top windows are those that a longer draw goes on with; of deciles and non-activating
    windows another draw is made, without what the pages before show."""
    tokens, acts = feature.store.tokens, feature.activations
    if group in HEAD:
        # The first use of the generator is the order of the random windows, however many are wanted.
        sizes = Sizes(**{group: PAGE * (number + 1)})
        request = Request(
            acts, np.random.default_rng([feature.latent, 0]), lengths=feature.store.text_lengths()
        )
        (drawn,) = sample([request], tokens, sizes, window=DRAWN, count_duplicates=True)
        return cut_many(acts, tokens, drawn[group])[PAGE * number :]
    before = [shown for earlier in range(number) for shown in _page(feature, group, earlier)]
    spans = [(shown.context, shown.start, shown.start + len(shown.token_ids)) for shown in before]
    request = Request(
        acts,
        np.random.default_rng([feature.latent, number]),
        feature.coder.known_contexts(feature.latent),
        lengths=feature.store.text_lengths(),
        avoid=np.array(spans, dtype=np.int64).reshape(-1, 3),
        neighbours=_neighbours(feature) if group == "non_activating" else (),
    )
    sizes = (
        Sizes(per_quantile=FIRST.per_quantile)
        if group == "quantiles"
        else Sizes(non_activating=FIRST.non_activating, hard=FIRST.hard)
    )
    (drawn,) = sample([request], tokens, sizes, window=DRAWN, count_duplicates=True)
    return cut_many(acts, tokens, drawn[group])


def _head(feature: Feature, group: Group, drawn: list[Example]) -> list[Example]:
    """A little of a group, for a view of all: of the deciles one each, any, of the non-activating some of each source."""
    if group in HEAD:
        return drawn[: HEAD[group]]
    if group == "non_activating":
        by_source = [
            [shown for shown in drawn if (shown.source == "neighbours") is hard] for hard in (False, True)
        ]
        return [shown for source in by_source for shown in source[:HEAD_NEGATIVES]]
    rng = np.random.default_rng([feature.latent, 1])
    deciles = [[shown for shown in drawn if shown.quantile == quantile] for quantile in range(10)]
    return [decile[rng.integers(len(decile))] for decile in deciles if decile]


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=BY_FILE)
def strongest(feature: Feature, n: int, window: int) -> list[Example]:
    """The strongest windows of a feature that is only glanced at."""
    acts, tokens = feature.activations, feature.store.tokens
    # The strongest are not drawn at random.
    request = Request(acts, np.random.default_rng(0), lengths=feature.store.text_lengths())
    (examples,) = sample([request], tokens, Sizes(top=n), window=window, count_duplicates=True)
    return cut_many(acts, tokens, examples["top"])


def in_interval(feature: Feature, index: int, pages: int) -> tuple[list[Sight], bool]:
    """Random windows around tokens whose activation lies in a bin of the histogram, each shown for that token; and whether
    others follow. No two are alike."""
    acts, tokens = feature.activations, feature.store.tokens
    chosen = acts.token[bin_of(feature) == index]
    wanted = PAGE * max(pages, 1)
    drawn: list[Sight] = []
    seen: set[int] = set()
    ctx_len = feature.store.ctx_len
    order = np.random.default_rng([feature.latent, index]).permutation(chosen)
    marks = signatures(order, tokens).tolist()
    fresh = (
        token
        for token, mark in zip(order.tolist(), marks, strict=True)
        if mark not in seen and not seen.add(mark)
    )
    for token in islice(fresh, wanted + 1):
        context, position = divmod(token, ctx_len)
        start = position // DRAWN * DRAWN
        shown = cut(acts, tokens, context, start, min(start + DRAWN, ctx_len))
        drawn.append(Sight(shown, position))
    return drawn[:wanted], len(drawn) > wanted


def bin_of(feature: Feature) -> NDArray[np.int64]:
    """For each activation, the bin of the histogram that counts it: Int64[ndarray, " n"]."""
    assert feature.histogram is not None
    n = len(feature.histogram.counts)
    if feature.coder.info.selected:
        edges = feature.histogram.edges
        return np.clip(np.searchsorted(edges, feature.activations.activation, side="right") - 1, 0, n - 1)
    per_unit = np.float32(n) / np.float32(feature.top)
    return np.minimum((feature.activations.activation * per_unit).astype(np.int64), n - 1)
