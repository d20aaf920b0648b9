"""Two latents side by side: how alike they fire, and the windows of the corpus in which both do, or only one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.compare.coactivation import Counted, Partner
from autointerp.pipeline.resources import Resources
from autointerp.sampling import positive_windows
from autointerp.sampling.windows import Spans, Tokens, check_window, signatures
from autointerp.store import Store
from autointerp.types import LatentActivations

GROUPS = ("both", "first", "second")
"""Windows in which both latents fire, only the first, only the second."""

Latent = tuple[str, int]
"""A coder and one of its latents."""


@dataclass(frozen=True)
class Together:
    """Two latents over all tokens that both coders count, exactly: `of` the second as a partner of the first; firing tokens of
    each, `n_tokens` counted."""

    of: Partner
    n: tuple[int, int]
    n_tokens: int


def together(resources: Resources, first: Latent, second: Latent) -> Together:
    """Of any two latents of a store. Correlation 0 where one of them is dead or always the same. Raises UserError."""
    store = resources.store
    coders = [store.coder(name) for name, _ in (first, second)]
    counted = Counted.by(store, coders[0].info, coders[1].info)
    acts = [
        counted.only_of(resources.activations.get(coder, coder.check_latent(latent)))
        for coder, (_, latent) in zip(coders, (first, second), strict=True)
    ]
    (a, b), n = (each.activation.astype(np.float64) for each in acts), max(counted.n, 1)
    _, at_a, at_b = np.intersect1d(acts[0].token, acts[1].token, assume_unique=True, return_indices=True)
    both = len(at_a)
    spread = [x @ x - x.sum() ** 2 / n for x in (a, b)]
    covariance = a[at_a] @ b[at_b] - a.sum() * b.sum() / n
    alike = all(s > 1e-9 * x.sum() ** 2 / n for s, x in zip(spread, (a, b), strict=True))
    correlation = float(np.clip(covariance / np.sqrt(spread[0] * spread[1]), -1, 1)) if alike else 0.0
    either = len(a) + len(b) - both
    partner = Partner(
        second[1], correlation, both / max(either, 1), both / max(len(b), 1), both / max(len(a), 1), both
    )
    return Together(partner, (len(a), len(b)), counted.n)


CONSIDERED = 40
"""Times as many windows as are wanted are looked through for near-duplicates."""


@dataclass(frozen=True)
class Windows:
    """By group, where the windows lie; `peak`: the token index at which the latent (in both, the first) is strongest,
    Int64[ndarray, " n"]; `strength`: how strongly it fires there as a share of its maximum, of both the smaller,
    Float64[ndarray, " n"]."""

    spans: Mapping[str, Spans]
    peak: Mapping[str, NDArray[np.int64]]
    strength: Mapping[str, NDArray[np.float64]]

    def choose(self, group: str, n: int, tokens: Tokens, *, seed: int | None) -> Spans:
        """`n` of a group at most, of different contexts where there are enough, without near-duplicates: a sample, in the order
        drawn, or without a seed the strongest. `tokens`: of the corpus."""
        strength, spans = self.strength[group], self.spans[group]
        if seed is None:
            order = np.argsort(-strength, kind="stable")
        else:
            order = np.random.default_rng([seed, GROUPS.index(group), len(spans)]).permutation(len(spans))
        order = order[: CONSIDERED * n]
        order = order[_first(signatures(self.peak[group][order], tokens))]
        new = _first(spans[order, 0])
        return spans[np.concatenate([order[new], order[~new]])[:n]]


def _first(values: NDArray) -> NDArray[np.bool_]:
    """Where a value stands for the first time."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def windows(store: Store, first: LatentActivations, second: LatentActivations, window: int) -> Windows:
    """All windows of `window` tokens in which one of two latents fires, side by side from the start of each context."""
    width = check_window(window, store.ctx_len)
    per_context = -(-store.ctx_len // width)
    positive = [positive_windows(acts, ctx_len=store.ctx_len, window=width) for acts in (first, second)]
    places = [each.context * per_context + each.start // width for each in positive]
    inside = [np.isin(places[side], places[1 - side], assume_unique=True) for side in (0, 1)]
    spans = [np.stack([each.context, each.start, each.stop], axis=1) for each in positive]
    strength = [
        each.maximum.astype(np.float64) / max(each.maximum.max(initial=0), 1e-30) for each in positive
    ]
    parts = {"both": (0, inside[0]), "first": (0, ~inside[0]), "second": (1, ~inside[1])}
    return Windows(
        {group: spans[side][chosen] for group, (side, chosen) in parts.items()},
        {group: positive[side].peak[chosen] for group, (side, chosen) in parts.items()},
        {group: strength[side][chosen] for group, (side, chosen) in parts.items()}
        | {"both": np.minimum(strength[0][inside[0]], strength[1][inside[1]])},
    )
