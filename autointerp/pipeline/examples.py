"""Which examples an explainer is shown and a scorer asks about: the split first, then the draws from each side.

The side of a context depends on the latent and the split's seed alone, so every explanation of a latent shares one split and
can be compared with the others on the same held-out examples.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import NoExamples, UserError
from autointerp.explain.evidence import Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.sampling import (
    Ask,
    Drawn,
    Spans,
    Split,
    Window,
    avoid_windows,
    build_groups,
    draw_heldout,
    make_windows,
    positive_windows,
    split_contexts,
)
from autointerp.sampling.windows import check_window, cut
from autointerp.score import delphi
from autointerp.score.options import ScoreOptions
from autointerp.score.scorer import Heldout
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations
from autointerp.types import Example, LatentActivations, Relation

N_QUANTILES = 10
N_NEIGHBOURS = 5
"""Nearest latents whose contexts serve as hard negatives."""
_RELATIONS: tuple[Relation, ...] = ("decoder", "encoder", "cofiring")
_SPLIT, _EXPLAIN, _SCORE = 0, 1, 2  # generators that must not repeat each other


def split_of(
    store: Store, acts: LatentActivations, latent: int, *, seed: int, heldout_fraction: float
) -> Split:
    """The explainer's and the scorers' contexts of one latent."""
    return split_contexts(
        acts,
        n_contexts=store.n_contexts,
        ctx_len=store.ctx_len,
        rng=_split_rng(seed, latent),
        heldout_fraction=heldout_fraction,
    )


def _split_rng(seed: int, latent: int) -> np.random.Generator:
    return np.random.default_rng([_SPLIT, seed, latent])


def select_evidence(resources: Resources, coder_name: str, latent: int, options: ExplainOptions) -> Evidence:
    """What the explainer may see of the latent: examples from its side of the split, and the promoted tokens where they are
    asked for. Raises UserError for a latent that never fires.
    """
    store, coder = resources.store, resources.store.coder(coder_name)
    acts = resources.activations.get(coder, latent)
    _check_live(coder, latent, acts)
    split = split_of(store, acts, latent, seed=options.split_seed, heldout_fraction=options.heldout_fraction)
    rng = np.random.default_rng([_EXPLAIN, options.seed, latent])
    n = options.n_examples
    n_top = n if options.sampling == "top" else -(-n // 4) if options.sampling == "mix" else 0
    spread = options.sampling in ("mix", "quantiles")
    n_hard = options.n_contrast // 2 if "hard_negatives" in options.entry.needs else 0
    groups = build_groups(
        acts,
        store.tokens,
        rng=rng,
        window=options.window,
        n_top=n_top,
        n_random=n if options.sampling == "random" else 0,
        n_per_quantile=-(-n // N_QUANTILES) if spread else 0,
        n_non_activating=options.n_contrast - n_hard,
        n_hard=n_hard,
        neighbour_acts=_neighbours(coder, latent) if n_hard else (),
        centre=_centre(store, options),
        contexts=split.explain,
        count_duplicates=False,
    )
    chosen = _distinct([*groups["top"], *groups["random"]])
    # Of the quantiles' examples as many as are still wanted, every quantile giving some.
    quantiles = _spread([e for e in groups["quantiles"] if _place(e) not in {_place(c) for c in chosen}])
    chosen = _distinct([*chosen, *quantiles])[:n]
    promoted, suppressed = coder.logits(latent) if "logits" in options.entry.needs else ([], [])
    words = store.vocabulary()
    return Evidence(
        coder=coder.info.coder,
        latent=latent,
        activating=make_windows(chosen, store.decode),
        latent_max=float(acts.activation.max()),
        non_activating=make_windows(groups["non_activating"], store.decode),
        promoted=[words.text(one.token) for one in promoted],
        suppressed=[words.text(one.token) for one in suppressed],
    )


class _Last(threading.local):
    """What a thread selected last, with what it depends on: several scorers in turn ask about the same."""

    key: object = None
    heldout: Heldout | None = None


_last = _Last()


def select_heldout(resources: Resources, explanation: Explanation, options: ScoreOptions) -> Heldout:
    """What a scorer may ask about: the held-out side of the split, less every context that the explanation, or a version it was
    edited from, was made from, and every near-duplicate of these windows: the same boilerplate may stand in many contexts.

    Raises UserError for a latent that never fires, and for negatives near in meaning where windows are not embedded.
    """
    coder = resources.store.coder(explanation.coder)
    key = (str(resources.store.path), explanation.id, coder.info.created, options.drawing)
    if _last.heldout is None or _last.key != key:
        _last.key, _last.heldout = key, _select_heldout(resources, coder, explanation, options)
    return _last.heldout


def _select_heldout(
    resources: Resources, coder: CoderStore, explanation: Explanation, options: ScoreOptions
) -> Heldout:
    store, latent = resources.store, explanation.latent
    acts = resources.activations.get(coder, latent)
    _check_live(coder, latent, acts)
    if options.protocol == "delphi":
        return _as_delphi(store, acts, options)
    lineage = lineage_of(store, resources.annotations, explanation)
    shown = lineage.shown
    split = split_of(store, acts, latent, seed=lineage.split_seed, heldout_fraction=lineage.heldout_fraction)
    contexts = split.heldout.copy()
    contexts[shown[:, 0]] = False
    rng = np.random.default_rng([_SCORE, options.seed, latent])
    parts = _parts(options)
    groups = build_groups(
        acts,
        store.tokens,
        rng=rng,
        window=options.window,
        n_top=0,
        n_random=0,
        n_per_quantile=-(-options.n_examples // N_QUANTILES),
        n_non_activating=parts.get("random", 0),
        n_hard=parts.get("neighbours", 0),
        neighbour_acts=_neighbours(coder, latent) if "neighbours" in parts else (),
        centre=_centre(store, options),
        contexts=contexts,
        count_duplicates=False,
        avoid=avoid_windows(acts, store.tokens, shown),
    )
    negatives = list(groups["non_activating"])
    if "embedding" in parts:
        n_hard = parts["embedding"]
        # Some more: those that are there already, from another source, are left out.
        places = _near_in_meaning(store, acts, options, ~contexts, n_hard + len(negatives), rng)
        made = _cut_silent(
            store, acts, places, options.window, source="embedding", taken=negatives, shown=shown
        )
        negatives += made[:n_hard]
    activating = _spread(groups["quantiles"])[: options.n_examples]
    return Heldout(
        activating=make_windows(activating, store.decode),
        non_activating=make_windows(negatives, store.decode),
        latent_max=float(acts.activation.max()),
        negatives="+".join(options.negatives),
        centred=options.centre,
    )


@dataclass(frozen=True)
class Lineage:
    """What the held-out examples of an explanation depend on, beside its latent: the split of the nearest version that was made
    from examples, and the windows that any version was made from, those of another corpus left out."""

    split_seed: int
    heldout_fraction: float
    shown: Spans


def lineage_of(store: Store, annotations: Annotations, explanation: Explanation) -> Lineage:
    """Of an explanation, which need not be stored yet; its ancestors are looked up."""
    config: Mapping[str, Any] = {}
    ids: dict[str, None] = {}
    version: Explanation | None = explanation
    while version is not None:
        ids |= dict.fromkeys(version.example_ids)
        if not config and "split_seed" in version.config:
            config = version.config
        version = annotations.explanation(version.parent) if version.parent else None
    numbers = np.array(":".join(ids).split(":") if ids else [], dtype=np.int64).reshape(-1, 3)
    shown = numbers[(numbers[:, 0] < store.n_contexts) & (numbers[:, 1] < store.ctx_len)]
    shown[:, 2] = np.minimum(shown[:, 1] + shown[:, 2], store.ctx_len)
    return Lineage(int(config.get("split_seed", 0)), float(config.get("heldout_fraction", 0.5)), shown)


def heldout_places(
    resources: Resources, explanations: Sequence[Explanation], options: ScoreOptions
) -> list[tuple[Drawn, float] | None]:
    """Where the windows of `select_heldout` lie, for options whose negatives are random ones alone, and the latent's maximum,
    of many explanations of one coder at once. `None` for a latent that never fires."""
    if not explanations:
        return []
    store, coder = resources.store, resources.store.coder(explanations[0].coder)
    every = resources.activations.get_all(coder, [explanation.latent for explanation in explanations])
    asks: list[Ask] = []
    for explanation, acts in zip(explanations, every, strict=True):
        if len(acts.token):
            lineage = lineage_of(store, resources.annotations, explanation)
            asks.append(
                Ask(
                    acts,
                    lineage.shown,
                    split_rng=_split_rng(lineage.split_seed, explanation.latent),
                    rng=np.random.default_rng([_SCORE, options.seed, explanation.latent]),
                    heldout_fraction=lineage.heldout_fraction,
                )
            )
    found = draw_heldout(
        asks,
        store.tokens,
        window=options.window,
        n_per_quantile=-(-options.n_examples // N_QUANTILES),
        n_non_activating=options.n_negatives,
    )
    orders = [_evenly(drawn.quantile.tolist())[: options.n_examples] for drawn in found]
    places = iter(
        Drawn(drawn.activating[order], drawn.quantile[order], drawn.non_activating)
        for drawn, order in zip(found, orders, strict=True)
    )
    return [(next(places), float(acts.activation.max())) if len(acts.token) else None for acts in every]


def _centre(store: Store, options: ExplainOptions | ScoreOptions) -> int | None:
    """Where the strongest token of a window is to stand: at three quarters, for a latent looks back."""
    width = check_window(options.window, store.ctx_len)
    return min(width - width // 4, width - 1) if options.centre else None


def _as_delphi(store: Store, acts: LatentActivations, options: ScoreOptions) -> Heldout:
    """The reference's choices: one population without a split, equal draws from ten slices, fixed seeds."""
    width = check_window(options.window, store.ctx_len)
    found = positive_windows(acts, ctx_len=store.ctx_len, window=width)
    falling = [
        cut(acts, store.tokens, int(found.context[i]), int(found.start[i]), int(found.stop[i]), quantile=0)
        for i in found.by_strength
    ]
    activating = delphi.draw(falling, options.n_examples)
    per_context = -(-store.ctx_len // width)
    firing = np.zeros(store.n_contexts * per_context, dtype=bool)
    firing[found.context * per_context + found.start // width] = True
    silent = np.flatnonzero(~firing)
    negatives = [
        cut(
            acts,
            store.tokens,
            number // per_context,
            start,
            min(start + width, store.ctx_len),
            source="random",
        )
        for number in silent[delphi.draw_negatives(len(silent), options.n_negatives)].tolist()
        for start in [number % per_context * width]
    ]
    return Heldout(
        activating=make_windows(activating, store.decode),
        non_activating=make_windows(negatives, store.decode),
        latent_max=float(acts.activation.max()),
        negatives="random",
    )


def _check_live(coder: CoderStore, latent: int, acts: LatentActivations) -> None:
    if not len(acts.token):
        raise NoExamples(
            f"latent {latent} of {coder.info.coder} never fires in this corpus: there is nothing to go by."
        )


def _near_in_meaning(
    store: Store,
    acts: LatentActivations,
    options: ScoreOptions,
    excluded: NDArray[np.bool_],
    n: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Context and start of up to `n` windows whose meaning is near that of the activating ones, none in a context `excluded`
    Bool[ndarray, " n_contexts"]."""
    from autointerp.embedding import hard_contexts

    embeddings = store.embeddings(options.embedder, window=options.window)
    if embeddings is None:
        raise UserError(
            f"Negatives similar in meaning need embeddings of windows of {options.window} tokens, and this store has none: "
            "embed it first (Settings page), or choose other negatives."
        )
    windows = positive_windows(acts, ctx_len=store.ctx_len, window=options.window)
    per_context = -(-store.ctx_len // options.window)
    rows = windows.context * per_context + windows.start // options.window
    chosen = hard_contexts(embeddings, rows, excluded, n, rng)
    return [(int(row) // per_context, int(row) % per_context * options.window) for row in chosen]


def _neighbours(coder: CoderStore, latent: int) -> list[tuple[int, LatentActivations]]:
    for relation in _RELATIONS:
        near = coder.neighbours(latent, relation, N_NEIGHBOURS)
        if near:
            return [(one.latent, coder.activations(one.latent)) for one in near]
    return []


def _parts(options: ScoreOptions) -> dict[str, int]:
    """How many negatives from each source: equal parts, the first ones one more where it does not divide."""
    sources = list(dict.fromkeys(options.negatives))
    n, rest = divmod(options.n_negatives, len(sources))
    return {source: n + (place < rest) for place, source in enumerate(sources)}


def _spread(examples: Sequence[Example]) -> list[Example]:
    """The same examples in an order of which any beginning holds the quantiles evenly."""
    return [examples[i] for i in _evenly([one.quantile for one in examples])]


def _evenly(quantiles: Sequence[int | None]) -> list[int]:
    """Indices in such an order: the first of every quantile, then the second of each, ..."""
    turn: dict[int | None, int] = {}
    keyed = []
    for i, quantile in enumerate(quantiles):
        turn[quantile] = turn.get(quantile, -1) + 1
        keyed.append((turn[quantile], quantile or 0, i))
    return [i for *_, i in sorted(keyed)]


def _distinct(examples: Iterable[Example]) -> list[Example]:
    return list({_place(one): one for one in reversed(list(examples))}.values())[::-1]


def _cut_silent(
    store: Store,
    acts: LatentActivations,
    places: Iterable[tuple[int, int]],
    window: int,
    *,
    source: str,
    taken: Sequence[Example],
    shown: Spans,
) -> list[Example]:
    """Silent windows at `places`, each text once, and none that was taken or shown already."""
    seen = {one.token_ids.tobytes() for one in taken}
    seen |= {
        store.tokens[context, start:stop].astype(np.int64).tobytes()
        for context, start, stop in shown.tolist()
    }
    width = check_window(window, store.ctx_len)
    made = []
    for context, start in places:
        one = cut(acts, store.tokens, context, start, min(start + width, store.ctx_len), source=source)
        text = one.token_ids.tobytes()
        if one.max_activation <= 0 and text not in seen:
            seen.add(text)
            made.append(replace(one, source=source))
    return made


def _place(one: Example | Window) -> tuple[int, int]:
    example = one.example if isinstance(one, Window) else one
    return example.context, example.start
