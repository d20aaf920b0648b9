"""The contexts of a feature, by group, as one element: random positives before top ones, against the top-k illusion."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from autointerp.types import Group
from autointerp.ui.feature import data, examples
from autointerp.ui.feature.data import Feature
from autointerp.ui.feature.examples import Sight, resized
from autointerp.ui.feature.state import CONTEXT, CONTINUED, INTERVAL, MAX_PAGES, WINDOWS, FeatureState, Wide
from autointerp.ui.shared import components, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import file_identity
from autointerp.ui.shared.state import change, suggest, whole
from autointerp.ui.shared.text import plain, quoted

KEY = "contexts"
LINKED = "linked"


def draw(feature: Feature, state: FeatureState, *, on_open: Callable[[], None]) -> None:
    """Histogram and groups; a message instead for a dead feature."""
    if feature.stats.is_dead:
        _dead(feature)
    else:
        drawn = record(feature, state, _linked(feature, state))
        components.contexts(drawn, key=KEY, on_open=on_open, on_act=_acted)


def _acted() -> None:
    sent = components.triggered(KEY, "act")
    if not isinstance(sent, dict):
        return
    params = st.query_params
    if "bin" in sent:
        chosen = int(sent["bin"])
        again = params.get("bin") == str(chosen)
        change(bin=None if again else chosen, wide=None, **{CONTINUED[INTERVAL]: None})
    elif "more" in sent and sent["more"] in CONTINUED:
        group = str(sent["more"])
        change(**{CONTINUED[group]: FeatureState.parse(params.to_dict()).pages[group] + 1})
    elif "wide" in sent:
        change(wide=str(sent["wide"]) or None)


def record(feature: Feature, state: FeatureState, linked: Sight | None) -> dict[str, Any]:
    """Everything that the element draws. `rev` names what makes it draw all anew: another feature or another way of looking;
    a continued group and a widened row are added to what is there."""
    window = WINDOWS[state.window]
    table = payload.token_table(feature.store)
    view = replace(state, peek=None, near=None, wide=None, pages={})
    return {
        "rev": repr((file_identity(feature.coder.info), feature.latent, view)),
        **feature.address,
        "params": feature.address | ({} if state.window == "medium" else {"window": state.window}),
        "max": feature.stats.max_activation,
        "top": fmt.activation(feature.stats.max_activation),
        "hist": payload.histogram(feature.histogram) | {"chosen": state.bin} if feature.histogram else None,
        "view": {
            "align": state.align,
            "whitespace": state.whitespace,
            "full": window is None,
            "breaks": window is None and not state.align,
        },
        "groups": [
            group.head | {"rows": [row(feature, group, shown, state, table) for shown in group.rows]}
            for group in sections(feature, state, linked)
        ],
        "table": table.entries,
        "linked": f"{linked.example.context}.{linked.example.start}" if linked else "",
        "wide": _widened(feature, state.wide) if state.wide else None,
    }


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


def row(
    feature: Feature, group: Section, shown: Sight, state: FeatureState, table: payload.TokenTable
) -> dict[str, Any]:
    """One example in the size of the address: `a` where its own window begins, `w` that window in the row where the row shows
    more, `k` the token that it is shown for and `m` its activation."""
    example = shown.example
    view = resized(feature, shown, WINDOWS[state.window], align=state.align)
    drawn = payload.row(view, table) | {
        "a": int(example.start),
        "m": fmt.activation(shown.value) if shown.value else "0",
    }
    drawn |= _placed(shown, int(view.start), len(view.token_ids))
    if example.quantile is not None and group.key == "quantiles":
        drawn["label"] = payload.decile(example.quantile)
    if example.n_duplicates:
        drawn["tag"] = f"×{example.n_duplicates + 1}"
    if example.source == "neighbours":
        drawn["h"] = example.neighbour
    if group.key == LINKED:
        drawn["linked"] = True
    return drawn


def _placed(shown: Sight, start: int, n: int) -> dict[str, Any]:
    """Where focus and window of an example stand in a row of `n` tokens from position `start` of its context."""
    window = shown.example.start - start, shown.example.start - start + len(shown.example.token_ids)
    placed: dict[str, Any] = {"k": -1 if shown.focus is None else shown.focus - start}
    return placed | ({"w": window} if window[0] > 0 or window[1] < n else {})


def _widened(feature: Feature, wide: Wide) -> dict[str, Any] | None:
    """The tokens of a widened row, with a table of their own; `None` where the address is wrong."""
    store = feature.store
    if wide.context >= store.n_contexts or wide.start >= store.ctx_len:
        return None
    shown = examples.linked(feature, wide.context, wide.start)
    table = payload.token_table(store)
    around = examples.document_around(feature, shown)
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


def sections(feature: Feature, state: FeatureState, linked: Sight | None) -> list[Section]:
    """The groups that the page shows, in its order, the linked example first."""
    fires_in = fmt.plural(feature.stats.n_contexts, "context")
    notes: dict[Group, tuple[str, str, str]] = {
        "random": ("Random positives", f"sampled from the {fires_in} in which it fires", "None."),
        "top": ("Top", f"the strongest of {fires_in}", "None."),
        "quantiles": (
            "Deciles",
            "sampled from each activation decile, 1 = strongest",
            "Too few activating windows for deciles.",
        ),
        "non_activating": ("Non-activating", "the feature is inactive", "None: it fires in every context."),
    }
    drawn = []
    for key, (title, note, empty) in notes.items():
        if state.group in {"all", key}:
            rows, more = examples.of_group(feature, key, state.pages[key])
            n_hard = sum(shown.source == "neighbours" for shown in rows)
            hard = f"; {n_hard} hard negatives: a similar feature fires there" if n_hard else ""
            drawn.append(
                Section(key, title, note + hard, [examples.sight(shown) for shown in rows], empty, more)
            )
    if state.bin is not None:
        drawn.append(_interval(feature, state.bin, state.pages[INTERVAL]))
    if linked is not None:
        note = f"context {linked.example.context}, from token {linked.example.start}"
        drawn.insert(0, Section(LINKED, "Linked example", note, [linked]))
    return [replace(each, more=each.more and state.pages[each.key] < MAX_PAGES) for each in drawn]


def interval_name(feature: Feature, index: int) -> str:
    """A bin of the histogram by its bounds: `3.04 to 3.47`."""
    names = payload.intervals(feature.histogram) if feature.histogram else []
    return names[index] if index < len(names) else fmt.NONE


def _interval(feature: Feature, index: int, pages: int) -> Section:
    title = f"Activation {interval_name(feature, index)}"
    if feature.histogram is None or index >= len(feature.histogram.counts):
        return Section(INTERVAL, title, "", [], "There is no such interval: choose one in the histogram.")
    n = int(feature.histogram.counts[index])
    rows, more = examples.in_interval(feature, index, pages)
    note = f"{fmt.plural(n, 'token')}, {'sampled' if more else 'all'}; near-duplicates left out"
    return Section(INTERVAL, title, note, rows, "The feature never fires this strongly.", more)


def _linked(feature: Feature, state: FeatureState) -> Sight | None:
    """The example that the address points to; a message with links where there is no such context."""
    if state.context is None:
        return None
    context = whole(state.context)
    if context is None or context >= feature.store.n_contexts:
        st.warning(
            f"Context {plain(state.context, 60)} does not exist: contexts are numbered 0 to "
            f"{feature.store.n_contexts - 1:,}. This feature is strongest in:"
        )
        near = data.strongest_contexts(feature)
        suggest((f"context {context}", {"context": context, "start": None}) for context in near)
        return None
    return examples.linked(feature, context, whole(state.start))


def _dead(feature: Feature) -> None:
    info = feature.coder.info
    st.info(
        f"**Dead feature.** It does not fire on any of the {fmt.count(info.n_tokens)} cached tokens, so there are no contexts "
        f"to show. {fmt.count(info.n_dead)} of {fmt.count(info.n_latents)} features of {plain(info.coder)} are dead. "
        "It may fire on more text: cache the coder again with a larger `--n-tokens`. Previous and Next skip dead features."
    )
    if info.n_dead < info.n_latents:
        near = {feature.coder.next_live(feature.latent, step): None for step in (-1, 1)}
        elsewhere = dict.fromkeys(CONTEXT)
        suggest((f"Nearest live feature: #{latent}", {"latent": latent, **elsewhere}) for latent in near)
