"""Windows of a feature as rows of an element: an example in any size, widened to its context or its document."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp import sampling
from autointerp.sampling.windows import cut
from autointerp.store import Document
from autointerp.types import Example
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import payload
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import whole
from autointerp.ui.shared.text import quoted

DRAWN = 32
"""Tokens of the windows in which examples are drawn, as explainers and scorers draw theirs."""
MAX_DOCUMENT = 4096
"""Tokens of a document that a row is widened to at most."""


@dataclass(frozen=True)
class Sight:
    """An example as a row. `focus`: the position in its context of the token that it is shown for, its peak or a token of the
    chosen interval; `None` where the feature is silent."""

    example: Example
    focus: int | None

    @property
    def value(self) -> float:
        """The activation of the token that it is shown for."""
        shown = self.example
        return 0.0 if self.focus is None else float(shown.activations[self.focus - shown.start])


@dataclass(frozen=True)
class Stretch:
    """Some tokens of the corpus from token index `first`, over the bounds of contexts, with their activations."""

    first: int
    token_ids: NDArray[np.int64]
    activations: NDArray[np.float32]


def sight(shown: Example) -> Sight:
    """An example shown for its peak."""
    return Sight(shown, shown.start + int(shown.activations.argmax()) if shown.max_activation else None)


@dataclass(frozen=True)
class Section:
    """A titled group of rows. `empty` says why there is none; `more`: whether others follow."""

    key: str
    title: str
    note: str
    rows: list[Sight]
    empty: str = ""
    more: bool = False

    @property
    def head(self) -> dict[str, Any]:
        """What the element draws beside its rows."""
        return {
            "key": self.key,
            "title": self.title,
            "note": self.note,
            "empty": self.empty,
            "more": self.more,
        }


@dataclass(frozen=True)
class Wide:
    """A row that is widened: the example from token `start` of a context, to its `context` or `document`."""

    to: str
    context: int
    start: int

    @staticmethod
    def parse(value: str | None) -> "Wide | None":
        to, context, start, *_ = [*(value or "").split("."), "", ""]
        at = whole(context), whole(start)
        return None if to not in ("context", "document") or None in at else Wide(to, at[0] or 0, at[1] or 0)


def linked(feature: Feature, context: int, start: int | None) -> Sight:
    """The window of a context at `start` (moved inside the context where it would stick out), or around its peak."""
    acts, ctx_len = feature.activations, feature.store.ctx_len
    if start is None:
        base = context * ctx_len
        low, high = np.searchsorted(acts.token, (base, base + ctx_len))
        peak = int(acts.token[low + int(acts.activation[low:high].argmax())]) - base if high > low else 0
        start = max(0, peak - DRAWN // 2)
    return sight(sampling.example(acts, feature.store.tokens, context, min(start, ctx_len - 1), DRAWN))


def resized(feature: Feature, row: Sight, window: int | None, *, align: bool) -> Example:
    """The same example in another size: the part of it around its focus, or the whole context with `window` `None`. With
    `align` its focus is in the middle as far as the context reaches."""
    shown, ctx_len = row.example, feature.store.ctx_len
    n = len(shown.token_ids)
    if window is None or window >= ctx_len:
        start, stop = 0, ctx_len
    elif align and row.focus is not None:
        start = max(0, row.focus - window // 2)
        stop = min(start + window, ctx_len)
    elif window < n:
        middle = shown.start if row.focus is None else row.focus - window // 2
        start = min(max(middle, shown.start), shown.start + n - window)
        stop = start + window
    else:
        return shown
    moved = cut(feature.activations, feature.store.tokens, shown.context, start, stop)
    return replace(shown, start=start, token_ids=moved.token_ids, activations=moved.activations)


def document_around(feature: Feature, row: Sight) -> tuple[Stretch, Document] | None:
    """The whole document that an example stands in, or `MAX_DOCUMENT` tokens of it around the example; `None` where the store
    knows no documents."""
    shown, store = row.example, feature.store
    middle = shown.start + len(shown.token_ids) // 2 if row.focus is None else row.focus
    token = shown.context * store.ctx_len + middle
    document = store.document_of(token)
    if document is None:
        return None
    end = min(document.first_token + document.n_tokens, store.tokens.size)
    first = max(document.first_token, min(token - MAX_DOCUMENT // 2, end - MAX_DOCUMENT))
    last = min(end, first + MAX_DOCUMENT)
    acts = feature.activations
    low, high = np.searchsorted(acts.token, (first, last))
    activations = np.zeros(last - first, dtype=np.float32)
    activations[acts.token[low:high] - first] = acts.activation[low:high]
    ids = np.array(store.tokens.reshape(-1)[first:last], dtype=np.int64)
    return Stretch(first, ids, activations), document


def row(
    feature: Feature,
    group: str,
    shown: Sight,
    table: payload.TokenTable,
    *,
    window: int | None = DRAWN,
    align: bool = False,
) -> dict[str, Any]:
    """One example of a group, `window` tokens of it or the whole context: `a` where its own window begins, `w` that window in
    the row where the row shows more, `k` the token that it is shown for and `m` its activation."""
    example = shown.example
    view = resized(feature, shown, window, align=align)
    drawn = payload.row(view, table) | {
        "a": int(example.start),
        "m": fmt.activation(shown.value) if shown.value else "0",
    }
    drawn |= _placed(shown, int(view.start), len(view.token_ids))
    if example.quantile is not None and group == "quantiles":
        drawn["label"] = payload.decile(example.quantile)
    if example.n_duplicates:
        drawn["tag"] = f"×{example.n_duplicates + 1}"
    if example.source == "neighbours":
        drawn["h"] = example.neighbour
    return drawn


def _placed(shown: Sight, start: int, n: int) -> dict[str, Any]:
    """Where focus and window of an example stand in a row of `n` tokens from position `start` of its context."""
    window = shown.example.start - start, shown.example.start - start + len(shown.example.token_ids)
    placed: dict[str, Any] = {"k": -1 if shown.focus is None else shown.focus - start}
    return placed | ({"w": window} if window[0] > 0 or window[1] < n else {})


def widened(feature: Feature, wide: Wide) -> dict[str, Any] | None:
    """The tokens of a widened row, with a table of their own; `None` where the address is wrong."""
    store = feature.store
    if wide.context >= store.n_contexts or wide.start >= store.ctx_len:
        return None
    shown = linked(feature, wide.context, wide.start)
    table = payload.token_table(store)
    around = document_around(feature, shown)
    note = ""
    if wide.to == "document" and around is not None:
        stretch, document = around
        start = stretch.first - wide.context * store.ctx_len  # may lie before the context
        drawn = payload.text_row(stretch.token_ids, stretch.activations, table, start)
        n, at = len(stretch.token_ids), stretch.first - document.first_token
        whole_ = n == document.n_tokens
        note = f"{quoted(document.name)}: " + (
            fmt.plural(n, "token") if whole_ else f"tokens {at + 1:,} to {at + n:,} of {document.n_tokens:,}"
        )
    else:
        view = resized(feature, shown, None, align=False)
        drawn = payload.text_row(view.token_ids, view.activations, table)
        start = 0
    return {
        "to": wide.to,
        "c": wide.context,
        "a": wide.start,
        "note": note,
        "document": around is not None,
        "table": table.entries,
        "row": {"c": wide.context, "len": store.ctx_len, **drawn, **_placed(shown, start, len(drawn["t"]))},
    }
