"""Windows: slices of context rows around the firings of one latent. Pure functions on arrays.

Each context row is cut into *aligned* windows of `window` tokens from its start; the last is shorter when the length does
not divide. A window is *positive* when the latent fires in it. With `window=None` a window is the whole context.

Near-duplicates: two windows are near-duplicates when the same token ids stand around their peaks, from `BEFORE` tokens
before to `AFTER` tokens after, within the context row. Repeated boilerplate is recognised wherever in the row it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.types import N_QUANTILES, Example, LatentActivations

BEFORE = 8
AFTER = 4

Tokens = NDArray[np.integer]
"""Int[ndarray, "n_contexts ctx_len"]: the corpus, usually mapped from disk."""

Spans = NDArray[np.int64]
"""Int64[ndarray, "n 3"]: places in the corpus, each a context, a start and a stop in it."""


def no_spans() -> Spans:
    """None at all."""
    return np.zeros((0, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Places:
    """Windows that were chosen, but not cut out: what an `Example` says without tokens and activations. All fields have one
    length; see `Example` for those after `spans`."""

    spans: Spans
    quantile: Sequence[int | None]
    source: Sequence[str]
    neighbour: Sequence[int | None]
    n_duplicates: Sequence[int]

    @classmethod
    def negatives(cls, spans: Spans, source: str, neighbour: Sequence[int | None] | None = None) -> "Places":
        """Windows in which the latent does not fire, all from one source."""
        n = len(spans)
        return cls(spans, [None] * n, [source] * n, [None] * n if neighbour is None else neighbour, [0] * n)

    def __len__(self) -> int:
        return len(self.spans)

    def __add__(self, other: "Places") -> "Places":
        if not len(other):
            return self
        return Places(
            np.concatenate([self.spans, other.spans]),
            [*self.quantile, *other.quantile],
            [*self.source, *other.source],
            [*self.neighbour, *other.neighbour],
            [*self.n_duplicates, *other.n_duplicates],
        )

    def take(self, indices: Sequence[int]) -> "Places":
        """These of them, in this order."""
        return Places(
            self.spans[indices],
            [self.quantile[i] for i in indices],
            [self.source[i] for i in indices],
            [self.neighbour[i] for i in indices],
            [self.n_duplicates[i] for i in indices],
        )


@dataclass(frozen=True)
class Windows:
    """Positive windows in corpus order; all arrays Int64[ndarray, " n"] but `maximum` Float32[ndarray, " n"].

    `peak`: token index of the strongest activation, the first of equals.
    """

    context: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    peak: NDArray[np.int64]
    maximum: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.context)


def quantile_of_rank(rank: NDArray[np.int64], n: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """The tenth that `rank` of `n` falls into."""
    return rank * N_QUANTILES // np.maximum(n, 1)


def quantile_bounds(n: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64[ndarray, "*n 11"]: the ranks at which each tenth of `n` begins, and the end."""
    return -(-np.multiply.outer(n, np.arange(N_QUANTILES + 1)) // N_QUANTILES)


def random_ranks(chance: NDArray[np.float64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Random ranks of each tenth, with replacement: Int64[ndarray, "*n 10 m"] from as many chances between 0 and 1. Below the
    tenth's beginning where it is empty."""
    size = np.diff(bounds, axis=-1)[..., None]
    return bounds[..., :-1, None] + np.minimum((chance * size).astype(np.int64), size - 1)


def check_window(window: int | None, ctx_len: int) -> int:
    """`window` in tokens: `None` is the whole context, larger than it is the whole context too."""
    if window is None:
        return ctx_len
    if window < 1:
        raise UserError(
            f"a window of {window} tokens is impossible; accepted: 1 to {ctx_len}, or the full context."
        )
    return min(window, ctx_len)


def positive_windows(
    acts: LatentActivations, *, ctx_len: int, window: int | None = None, centre: int | None = None
) -> Windows:
    """The windows in which the latent fires.

    `centre`: put each window's peak at this index (0 to window-1), moved only as far as needed to stay inside the row. A
    window in which another, stronger activation would come into sight is left out: that one has a window of its own.
    """
    width = check_window(window, ctx_len)
    if centre is not None and not 0 <= centre < width:
        raise UserError(
            f"centre index {centre} lies outside a window of {width} tokens; accepted: 0 to {width - 1}."
        )
    token, value = acts.token, acts.activation
    if not len(token):
        none = np.zeros(0, dtype=np.int64)
        return Windows(none, none, none, none, np.zeros(0, dtype=np.float32))
    # A window's number; where the length does not divide, the last window of a row is a short one.
    per_context = -(-ctx_len // width)
    if ctx_len % width == 0:
        number = token // width
    else:
        row = token // ctx_len
        number = row * per_context + (token - row * ctx_len) // width
    begin = changes(number)
    at_peak = strongest(value, begin, number)
    maximum, peak = value[at_peak], token[at_peak]
    number = number[begin]
    context = number // per_context
    start = (number - context * per_context) * width
    if centre is not None:
        start = np.clip(peak - context * ctx_len - centre, 0, ctx_len - width)
        keep = np.flatnonzero(_own_maximum(acts, context * ctx_len + start, width, maximum, peak))
        context, start, peak, maximum = context[keep], start[keep], peak[keep], maximum[keep]
    return Windows(context, start, np.minimum(start + width, ctx_len), peak, maximum)


def changes(values: NDArray[np.integer]) -> NDArray[np.intp]:
    """Where a new value begins, the first place included."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def strongest(
    value: NDArray[np.float32], begin: NDArray[np.integer], owner: NDArray[np.integer]
) -> NDArray[np.intp]:
    """Of each stretch of equal `owner`s, which begin at `begin`, the index of the greatest `value`, the first of equals."""
    greatest = np.maximum.reduceat(value, begin)
    at = np.flatnonzero(value == np.repeat(greatest, np.diff(begin, append=len(value))))
    return at[changes(owner[at])] if len(at) > len(begin) else at


def falling(positive: NDArray[np.float32]) -> NDArray[np.intp]:
    """Stable order of positive numbers, greatest first: their bits sort like them, and 16 bits at a time by radix."""
    bits = np.ascontiguousarray(positive, dtype=np.float32).view(np.uint32)
    if not (
        bits & 0x1FFF
    ).any():  # stored values are half floats times a power of two: 16 bits nearly always say all
        below = (bits.max(initial=0) - bits) >> 13
        if below.max(initial=0) < 1 << 16:
            return np.argsort(below.astype(np.uint16), kind="stable")
    bits = ~bits
    low = np.argsort(bits.astype(np.uint16), kind="stable")
    return low[np.argsort((bits >> 16).astype(np.uint16)[low], kind="stable")]


def _own_maximum(
    acts: LatentActivations,
    first: NDArray[np.int64],
    width: int,
    maximum: NDArray[np.float32],
    peak: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether the strongest activation in `width` tokens from `first` is the window's own peak."""
    low, high = np.searchsorted(acts.token, first), np.searchsorted(acts.token, first + width)
    # reduceat over [low, high) pairs: every second result; a sentinel at the end keeps `high` in range.
    padded = np.append(acts.activation, np.float32(0))
    strongest = np.maximum.reduceat(padded, np.stack([low, high], axis=1).ravel())[::2]
    # Of equal maxima in sight only the first one's window stays, so that no two windows show the same peak.
    before = np.searchsorted(acts.token, peak)
    up_to_peak = np.maximum.reduceat(padded, np.stack([low, before], axis=1).ravel())[::2]
    return (strongest <= maximum) & ((low == before) | (up_to_peak < maximum))


def signatures(peak: NDArray[np.int64], tokens: Tokens) -> NDArray[np.uint64]:
    """UInt64[ndarray, "*n"]: a hash of the tokens around each `peak` Int64[ndarray, "*n"]; equal for near-duplicates."""
    ctx_len = tokens.shape[1]
    flat = tokens.reshape(-1)
    position = peak % ctx_len
    hashed = np.zeros(peak.shape, dtype=np.uint64)
    # Two tokens at a time: ids have 32 bits at most, and the mixing costs more than the reading.
    for offset in range(-BEFORE, AFTER + 1, 2):
        pair = _ids_at(flat, peak, position, offset, ctx_len)
        if offset < AFTER:
            pair |= _ids_at(flat, peak, position, offset + 1, ctx_len) << np.uint64(32)
        hashed = (hashed ^ pair) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _ids_at(
    flat: Tokens, peak: NDArray[np.int64], position: NDArray[np.int64], offset: int, ctx_len: int
) -> NDArray[np.uint64]:
    """Token ids plus 1 at `offset` from each peak; 0 outside its row."""
    at = position + offset
    inside = (at >= 0) if offset < 0 else (at < ctx_len)
    ids = flat.take(peak + offset, mode="clip").astype(np.uint64)
    ids += np.uint64(1)
    ids *= inside
    return ids


def example(
    acts: LatentActivations,
    tokens: Tokens,
    context: int,
    start: int,
    window: int | None = None,
    *,
    windows: Windows | None = None,
) -> Example:
    """The window of `window` tokens that begins at `start` of row `context`, moved to stay inside it: what a link opens.

    `quantile`: where its maximum stands among all positive windows of this size (`windows`, computed when not given).
    """
    n_contexts, ctx_len = tokens.shape
    width = check_window(window, ctx_len)
    if not 0 <= context < n_contexts:
        raise UserError(f"context {context} does not exist; accepted: 0 to {n_contexts - 1}.")
    start = min(max(start, 0), ctx_len - width)
    made = cut(acts, tokens, context, start, start + width)
    if made.max_activation <= 0:
        return made
    if windows is None:
        windows = positive_windows(acts, ctx_len=ctx_len, window=width)
    rank = int((windows.maximum > np.float32(made.max_activation)).sum())
    return replace(made, quantile=min(rank * N_QUANTILES // len(windows), N_QUANTILES - 1))


def cut(
    acts: LatentActivations,
    tokens: Tokens,
    context: int,
    start: int,
    stop: int,
    *,
    quantile: int | None = None,
    source: str = "activating",
    n_duplicates: int = 0,
    neighbour: int | None = None,
) -> Example:
    """Tokens and activations of `start:stop` in row `context`, as an Example. Silent windows are "random" negatives."""
    base = context * tokens.shape[1]
    low, high = np.searchsorted(acts.token, (base + start, base + stop))
    activations = np.zeros(stop - start, dtype=np.float32)
    activations[acts.token[low:high] - base - start] = acts.activation[low:high]
    top = float(activations.max(initial=0.0))
    return Example(
        context=int(context),
        start=int(start),
        token_ids=np.array(tokens[context, start:stop], dtype=np.int64),
        activations=activations,
        max_activation=top,
        quantile=quantile,
        source=source if top > 0 or source != "activating" else "random",
        n_duplicates=n_duplicates,
        neighbour=neighbour,
    )


def cut_many(acts: LatentActivations, tokens: Tokens, places: Places) -> list[Example]:
    """Tokens and activations of the windows at `places`, as Examples."""
    if not len(places):
        return []
    tokens = np.asarray(tokens)  # a memory map's own type costs a little at every slice
    context, start, stop = places.spans.T
    first = context * tokens.shape[1] + start
    sizes = stop - start
    width = int(sizes.max())
    flat = tokens.reshape(-1)
    # Windows at the end of a row may be shorter; what is read beyond them is not used.
    ids = flat[np.minimum(first[:, None] + np.arange(width), flat.size - 1)].astype(np.int64)
    low, high = np.searchsorted(acts.token, first), np.searchsorted(acts.token, first + sizes)
    counts = high - low
    owner = np.repeat(np.arange(len(places)), counts)
    at = np.arange(len(owner)) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    activations = np.zeros((len(places), width), dtype=np.float32)
    activations[owner, acts.token[at] - first[owner]] = acts.activation[at]
    tops = activations.max(axis=1).tolist()
    return [
        Example(
            context=row,
            start=begin,
            token_ids=ids[i, : end - begin],
            activations=activations[i, : end - begin],
            max_activation=tops[i],
            quantile=places.quantile[i],
            source=places.source[i],
            n_duplicates=places.n_duplicates[i],
            neighbour=places.neighbour[i],
        )
        for i, (row, begin, end) in enumerate(places.spans.tolist())
    ]
