"""Which examples an explainer is shown and a scorer asks about: draws from the two sides of the split (with the
protocol `delphi`, from the whole corpus)."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import NoExamples
from autointerp.explain.explainer import Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.llm.cancel import CancelToken
from autointerp.pipeline.negatives import near_in_meaning, similar_latents
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.split import FOR_EXPLAINER, FOR_SCORER, split_of, unseen
from autointerp.records import Explanation
from autointerp.registry import KL
from autointerp.sampling import (
    NeighbourActivations,
    Places,
    Request,
    Sizes,
    build_groups,
    cut_many,
    distinct_prompts,
    make_windows,
    positive_windows,
    sample,
)
from autointerp.sampling.windows import check_window, falling
from autointerp.score import delphi
from autointerp.score.options import ScoreOptions
from autointerp.score.scorer import Heldout
from autointerp.store import CoderStore, Store
from autointerp.types import N_QUANTILES, Example, LatentActivations


def select_evidence(
    resources: Resources,
    coder_name: str,
    latent: int,
    options: ExplainOptions,
    *,
    cancel: CancelToken | None = None,
) -> Evidence:
    """What the explainer may see of the latent: examples from its side of the split (by the delphi protocol the reference's
    draw from the whole corpus), and the promoted tokens or what raising the latent does where they are asked for; in the
    latter case examples end at their first activating token. Raises UserError for a latent that never fires, and as
    `autointerp.steering.effects.Effects.effect`; `cancel` ends that.
    """
    store, coder = resources.store, resources.store.coder(coder_name)
    acts = resources.activations.get(coder, latent)
    if not len(acts.token):
        raise _never_fires(coder, latent)
    if options.protocol == "delphi":
        n_contrast = options.n_contrast if "negatives" in options.entry.needs else 0
        known = coder.known_contexts(latent)
        places = _as_delphi(
            store, acts, known, options, lambda n_silent: delphi.draw_contrast(n_silent, n_contrast)
        )
        activating, non_activating = (
            cut_many(acts, store.tokens, part) for part in (places.activating, places.non_activating)
        )
    else:
        activating, non_activating = _held_in(store, coder, acts, latent, options)
    promoted, suppressed = coder.promoted(latent) if "logits" in options.entry.needs else ([], [])
    words = store.vocabulary()
    windows = make_windows(activating, store.decode)
    effect = None
    if "effect" in options.entry.needs and windows:
        windows = distinct_prompts(windows)
        prompts = [window.example.token_ids.tolist() for window in windows]
        effect, _ = resources.effects().effect(
            *(coder.info.coder, latent, prompts),
            kl=options.value(KL.name),
            n_new=1,
            seed=options.seed,
            cancel=cancel,
        )
    return Evidence(
        coder=coder.info.coder,
        latent=latent,
        activating=windows,
        latent_max=float(acts.activation.max()),
        non_activating=make_windows(non_activating, store.decode),
        promoted=[words.text(logit.token) for logit in promoted],
        suppressed=[words.text(logit.token) for logit in suppressed],
        effect=effect,
    )


def _held_in(
    store: Store, coder: CoderStore, acts: LatentActivations, latent: int, options: ExplainOptions
) -> tuple[list[Example], list[Example]]:
    """Activating and non-activating examples from the explainer's side of the split."""
    split = split_of(
        store, coder, acts, latent, seed=options.split_seed, heldout_fraction=options.heldout_fraction
    )
    rng = np.random.default_rng([FOR_EXPLAINER, options.seed, latent])
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
        lengths=store.text_lengths(),
        count_duplicates=False,
    )
    chosen = _distinct([*groups["top"], *groups["random"]])
    # Of the quantiles' examples as many as are still wanted, every quantile giving some.
    quantiles = _spread([e for e in groups["quantiles"] if _place(e) not in {_place(c) for c in chosen}])
    return _distinct([*chosen, *quantiles])[:n], groups["non_activating"]


@dataclass(frozen=True)
class HeldoutPlaces:
    """Where the windows lie that a scorer may ask about, and all activations of their latent."""

    activating: Places
    non_activating: Places
    acts: LatentActivations

    @property
    def latent_max(self) -> float:
        return float(self.acts.activation.max())


class _Last(threading.local):
    """What a thread selected last, with what it depends on: several scorers in turn ask about the same."""

    key: object = None
    heldout: Heldout | None = None


_last = _Last()


def select_heldout(resources: Resources, explanation: Explanation, options: ScoreOptions) -> Heldout:
    """`heldout_places` of one explanation, cut out. Raises UserError, also for a latent that never fires."""
    store, coder = resources.store, resources.store.coder(explanation.coder)
    of = (explanation.coder, explanation.latent) if options.entry.explanation_free else explanation.id
    key = (str(store.path), of, coder.info.created, options.drawing)
    if _last.heldout is None or _last.key != key:
        (places,) = heldout_places(resources, [explanation], options)
        if places is None:
            raise _never_fires(coder, explanation.latent)
        parts = [
            cut_many(places.acts, store.tokens, part) for part in (places.activating, places.non_activating)
        ]
        _last.heldout = Heldout(
            activating=make_windows(parts[0], store.decode),
            non_activating=make_windows(parts[1], store.decode),
            latent_max=places.latent_max,
            negatives="+".join(options.negatives),
            centred=options.centre,
            of=(explanation.coder, explanation.latent),
        )
        _last.key = key
    return _last.heldout


def heldout_places(
    resources: Resources, explanations: Sequence[Explanation], options: ScoreOptions
) -> list[HeldoutPlaces | None]:
    """What a scorer may ask about, for each of some explanations of one coder, all at once: the held-out side of the split,
    less every context that the explanation, or a version it was edited from, was made from, and every near-duplicate of these
    windows: the same boilerplate may stand in many contexts.

    `None` for a latent that never fires. Raises UserError for negatives near in meaning where windows are not embedded.
    """
    if not explanations:
        return []
    store, coder = resources.store, resources.store.coder(explanations[0].coder)
    every = resources.activations.get_all(coder, [explanation.latent for explanation in explanations])
    if options.protocol == "delphi":

        def draw_silent(n_silent: int) -> NDArray[np.int64]:
            return delphi.draw_negatives(n_silent, options.n_negatives)

        return [
            _as_delphi(store, acts, coder.known_contexts(explanation.latent), options, draw_silent)
            if len(acts.token)
            else None
            for explanation, acts in zip(explanations, every, strict=True)
        ]
    parts = _parts(options)
    requests: list[Request] = []
    for explanation, acts in zip(explanations, every, strict=True):
        if len(acts.token):
            latent = explanation.latent
            fresh = unseen(resources, explanation, acts, of_latent=options.entry.explanation_free)
            rng = np.random.default_rng([FOR_SCORER, options.seed, latent])
            neighbours = _neighbours(coder, latent) if "neighbours" in parts else ()
            requests.append(Request(acts, rng, fresh.contexts, fresh.shown, neighbours, store.text_lengths()))
    sizes = Sizes(
        per_quantile=-(-options.n_drawn[0] // N_QUANTILES),
        non_activating=parts.get("random", 0),
        hard=parts.get("neighbours", 0),
    )
    groups = sample(requests, store.tokens, sizes, window=options.window, centre=_centre(store, options))
    selected = iter(zip(requests, groups, strict=True))
    heldout: list[HeldoutPlaces | None] = []
    for acts in every:
        if not len(acts.token):
            heldout.append(None)
            continue
        request, group = next(selected)
        order = evenly(group["quantiles"].quantile)[: options.n_drawn[0]]
        negatives = group["non_activating"]
        if "embedding" in parts:
            negatives += near_in_meaning(
                store,
                request,
                negatives,
                parts["embedding"],
                embedder=options.embedder,
                window=options.window,
            )
        heldout.append(HeldoutPlaces(group["quantiles"].take(order), negatives, acts))
    return heldout


def _centre(store: Store, options: ExplainOptions | ScoreOptions) -> int | None:
    """Where the strongest token of a window is to stand: at three quarters, for a latent looks back."""
    width = check_window(options.window, store.ctx_len)
    return min(width - width // 4, width - 1) if options.centre else None


def _as_delphi(
    store: Store,
    acts: LatentActivations,
    known: NDArray[np.bool_] | None,
    options: ExplainOptions | ScoreOptions,
    draw_silent: Callable[[int], NDArray[np.int64]],
) -> HeldoutPlaces:
    """As delphi chooses, for the explainer as for the scorers: one population without a split, equal draws from ten slices,
    fixed seeds. `known`: the contexts in which the latent is known, `None` for all. `draw_silent`: which of so many windows
    without any activation."""
    width = check_window(options.window, store.ctx_len)
    windows = positive_windows(acts, ctx_len=store.ctx_len, window=width)
    spans = np.stack([windows.context, windows.start, windows.stop], axis=1)[falling(windows.maximum)]
    ranks, quantiles = delphi.draw(len(spans), options.n_examples)
    n = len(ranks)
    per_context = -(-store.ctx_len // width)
    firing = np.zeros(store.n_contexts * per_context, dtype=bool)
    firing[windows.context * per_context + windows.start // width] = True
    lengths = store.text_lengths()
    if known is not None:
        firing |= np.repeat(~known, per_context)
    if lengths is not None:
        firing |= (np.arange(per_context) * width >= lengths[:, None]).ravel()
    silent = np.flatnonzero(~firing)
    number = silent[draw_silent(len(silent))]
    start = number % per_context * width
    context = number // per_context
    ends = np.full(len(context), store.ctx_len) if lengths is None else lengths[context]
    negatives = np.stack([context, start, np.minimum(start + width, ends)], axis=1)
    if lengths is not None:
        spans[:, 2] = np.minimum(spans[:, 2], lengths[spans[:, 0]])
    return HeldoutPlaces(
        Places(spans[ranks], quantiles, ["activating"] * n, [None] * n, [0] * n),
        Places.negatives(negatives, "random"),
        acts,
    )


def _neighbours(coder: CoderStore, latent: int) -> NeighbourActivations:
    return [(near, coder.activations(near)) for near in similar_latents(coder, latent)]


def _never_fires(coder: CoderStore, latent: int) -> NoExamples:
    return NoExamples(
        f"latent {latent} of {coder.info.coder} never fires in this corpus, so there is nothing to explain or to score."
    )


def _parts(options: ScoreOptions) -> dict[str, int]:
    """How many negatives from each source: equal parts, the first ones one more where it does not divide."""
    sources = list(dict.fromkeys(options.negatives))
    n, rest = divmod(options.n_drawn[1], len(sources))
    return {source: n + (place < rest) for place, source in enumerate(sources)}


def _spread(examples: Sequence[Example]) -> list[Example]:
    """The same examples in an order of which any beginning holds the quantiles evenly."""
    return [examples[i] for i in evenly([example.quantile for example in examples])]


def evenly(quantiles: Sequence[int | None]) -> list[int]:
    """Indices in such an order: the first of every quantile, then the second of each, ..."""
    turn: dict[int | None, int] = {}
    keyed = []
    for i, quantile in enumerate(quantiles):
        turn[quantile] = turn.get(quantile, -1) + 1
        keyed.append((turn[quantile], quantile or 0, i))
    return [i for *_, i in sorted(keyed)]


def _distinct(examples: Iterable[Example]) -> list[Example]:
    return list({_place(example): example for example in reversed(list(examples))}.values())[::-1]


def _place(example: Example) -> tuple[int, int]:
    return example.context, example.start
