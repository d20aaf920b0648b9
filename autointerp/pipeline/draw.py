"""Which examples an explainer is shown and a scorer asks about: the split first, then the draws from each side.

The side of a context depends on the latent and the split's seed alone, so every explanation of a latent shares one split and
can be compared with the others on the same held-out examples.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.explain import Evidence
from autointerp.pipeline.options import ExplainOptions, ScoreOptions
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
    no_spans,
    positive_windows,
    split_contexts,
)
from autointerp.sampling.windows import check_window, cut
from autointerp.score import Heldout, delphi
from autointerp.store import CoderStore, Store
from autointerp.types import Example, LatentActivations, Relation

N_QUANTILES = 10
N_NEIGHBOURS = 5
"""Nearest latents whose contexts serve as hard negatives."""
_RELATIONS: tuple[Relation, ...] = ("decoder", "encoder", "cofiring")
_SPLIT, _EXPLAIN, _SCORE = 0, 1, 2  # generators that must not repeat each other

HardNegatives = Callable[[str, int, NDArray[np.bool_], int, np.random.Generator], Sequence[tuple[int, int]]]
"""Coder, latent, contexts allowed, how many, generator; windows (context, start) whose meaning is near the activating ones."""


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


def evidence(
    store: Store, coder: CoderStore, latent: int, acts: LatentActivations, options: ExplainOptions
) -> Evidence:
    """What the explainer may see of the latent, which fires as `acts` says: examples from its side of the split, and the
    promoted tokens where they are asked for. Raises UserError for a latent that never fires.
    """
    _check_live(coder, latent, acts)
    split = split_of(store, acts, latent, seed=options.split_seed, heldout_fraction=options.heldout_fraction)
    rng = np.random.default_rng([_EXPLAIN, options.seed, latent])
    n = options.n_examples
    n_top = n if options.sampling == "top" else -(-n // 4) if options.sampling == "mix" else 0
    spread = options.sampling in ("mix", "quantiles")
    n_hard = options.n_contrast // 2 if options.explainer == "contrastive" else 0
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
    promoted, suppressed = coder.logits(latent) if options.explainer == "top_logits" else ([], [])
    words = store.vocabulary()
    return Evidence(
        activating=make_windows(chosen, store.decode),
        latent_max=float(acts.activation.max()),
        non_activating=make_windows(groups["non_activating"], store.decode),
        promoted=[words.text(one.token) for one in promoted],
        suppressed=[words.text(one.token) for one in suppressed],
    )


def heldout(
    store: Store,
    coder: CoderStore,
    latent: int,
    acts: LatentActivations,
    options: ScoreOptions,
    *,
    split_seed: int = 0,
    heldout_fraction: float = 0.5,
    shown: Spans | None = None,
    hard: HardNegatives | None = None,
) -> Heldout:
    """What a scorer may ask about: the held-out side of the split, less every context in `shown` and every near-duplicate of
    these windows: the same boilerplate may stand in many contexts.

    `hard`: finds the negatives of source "embedding". Raises UserError for a latent that never fires.
    """
    _check_live(coder, latent, acts)
    if options.protocol == "delphi":
        return _as_delphi(store, acts, options)
    shown = no_spans() if shown is None else shown
    contexts = _heldout_contexts(
        store, acts, latent, split_seed=split_seed, heldout_fraction=heldout_fraction, shown=shown
    )
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
        if hard is None:
            raise UserError(
                "Negatives near in meaning need the windows' embeddings, and this store has none yet: embed it first "
                "(Settings page, or `autointerp score` with the embedding scorer), or choose other negatives."
            )
        n_hard = parts["embedding"]
        # Some more: those that are there already, from another source, are left out.
        places = hard(coder.info.coder, latent, contexts, n_hard + len(negatives), rng)
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


class Lineage(TypedDict):
    """What the held-out examples of an explanation depend on, beside its latent: arguments of `heldout`."""

    split_seed: int
    heldout_fraction: float
    shown: Spans


@dataclass(frozen=True)
class Place:
    """One latent that `heldout_places` is asked for; fields as the arguments of `heldout`."""

    latent: int
    acts: LatentActivations
    split_seed: int = 0
    heldout_fraction: float = 0.5
    shown: Spans = field(default_factory=no_spans)


def heldout_places(store: Store, asked: Sequence[Place], options: ScoreOptions) -> list[Drawn]:
    """Where the windows of `heldout` lie, in its order, for options whose negatives are random ones alone: of many latents that
    fire, at once."""
    asks = [
        Ask(
            one.acts,
            one.shown,
            split_rng=_split_rng(one.split_seed, one.latent),
            rng=np.random.default_rng([_SCORE, options.seed, one.latent]),
            heldout_fraction=one.heldout_fraction,
        )
        for one in asked
    ]
    found = draw_heldout(
        asks,
        store.tokens,
        window=options.window,
        n_per_quantile=-(-options.n_examples // N_QUANTILES),
        n_non_activating=options.n_negatives,
    )
    orders = [_evenly(drawn.quantile.tolist())[: options.n_examples] for drawn in found]
    return [
        Drawn(drawn.activating[order], drawn.quantile[order], drawn.non_activating)
        for drawn, order in zip(found, orders, strict=True)
    ]


def _centre(store: Store, options: ExplainOptions | ScoreOptions) -> int | None:
    """Where the strongest token of a window is to stand: at three quarters, for a latent looks back."""
    width = check_window(options.window, store.ctx_len)
    return min(width - width // 4, width - 1) if options.centre else None


def _heldout_contexts(
    store: Store,
    acts: LatentActivations,
    latent: int,
    *,
    split_seed: int,
    heldout_fraction: float,
    shown: Spans,
) -> NDArray[np.bool_]:
    split = split_of(store, acts, latent, seed=split_seed, heldout_fraction=heldout_fraction)
    contexts = split.heldout.copy()
    contexts[shown[:, 0]] = False
    return contexts


def background(store: Store, *, window: int, n: int = 300, seed: int = 0) -> list[tuple[str, ...]]:
    """Token texts of random windows of the corpus: what an offline judge knows about ordinary text."""
    rng = np.random.default_rng(seed)
    width = check_window(window, store.ctx_len)
    starts = max(1, store.ctx_len // width)
    total = store.n_contexts * starts
    numbers = rng.choice(total, size=min(n, total), replace=False)
    return [
        tuple(store.decode(store.tokens[i // starts, (i % starts) * width : (i % starts + 1) * width]))
        for i in numbers.tolist()
    ]


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
        raise UserError(
            f"latent {latent} of {coder.info.coder} never fires in this corpus: there is nothing to go by."
        )


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
