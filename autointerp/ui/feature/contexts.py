"""The contexts of a feature, by group, as one element: random positives before top ones, against the top-k illusion."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.types import Group
from autointerp.ui.feature import examples
from autointerp.ui.feature.state import CONTEXT, CONTINUED, INTERVAL, MAX_PAGES, WINDOWS, FeatureState
from autointerp.ui.shared import components, context_rows, feature_data, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.context_rows import Section, Sight, sight
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.session import file_identity
from autointerp.ui.shared.state import change, suggest, whole
from autointerp.ui.shared.text import plain

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
        "max": feature.top,
        "top": fmt.activation(feature.top),
        "hist": payload.histogram(feature.histogram) | {"chosen": state.bin} if feature.histogram else None,
        "view": {
            "align": state.align,
            "whitespace": state.whitespace,
            "full": window is None,
            "breaks": window is None and not state.align,
        },
        "groups": [
            group.head | {"rows": [_row(feature, group.key, shown, state, table) for shown in group.rows]}
            for group in sections(feature, state, linked)
        ],
        "table": table.entries,
        "linked": f"{linked.example.context}.{linked.example.start}" if linked else "",
        "wide": context_rows.widened(feature, state.wide) if state.wide else None,
    }


def _row(
    feature: Feature, group: str, shown: Sight, state: FeatureState, table: payload.TokenTable
) -> dict[str, Any]:
    drawn = context_rows.row(feature, group, shown, table, window=WINDOWS[state.window], align=state.align)
    return drawn | ({"linked": True} if group == LINKED else {})


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
    if feature.coder.info.selected:
        notes = _of_selected(feature)
    drawn = []
    for key, (title, note, empty) in notes.items():
        if state.group in {"all", key}:
            rows, more = examples.of_group(feature, key, state.pages[key])
            n_hard = sum(shown.source == "neighbours" for shown in rows)
            hard = f"; {n_hard} hard negatives: a similar feature fires there" if n_hard else ""
            drawn.append(Section(key, title, note + hard, [sight(shown) for shown in rows], empty, more))
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
        near = feature_data.strongest_contexts(feature)
        suggest((f"context {context}", {"context": context, "start": None}) for context in near)
        return None
    return context_rows.linked(feature, context, whole(state.start))


def _of_selected(feature: Feature) -> dict[Group, tuple[str, str, str]]:
    """The notes where the contexts are no corpus."""
    fires_in = fmt.plural(feature.stats.n_contexts, "selected context")
    silent = "passages of its selected contexts in which it is inactive; elsewhere it is unknown"
    return {
        "random": ("Random positives", f"sampled from the {fires_in} in which it fires", "None."),
        "top": ("Top", f"the strongest of {fires_in}", "None."),
        "quantiles": (
            "Deciles",
            "of its selected contexts, 1 = strongest; not of a corpus",
            "Too few activating windows for deciles.",
        ),
        "non_activating": (
            "Non-activating",
            silent,
            "None: the files show no passage in which it is inactive, and in other contexts it is unknown.",
        ),
    }


def _dead(feature: Feature) -> None:
    info = feature.coder.info
    if info.selected:
        st.info(
            "**No contexts.** The imported files have none for this feature: it may be dead, or may not have been imported."
        )
        return
    st.info(
        f"**Dead feature.** It does not fire on any of the {fmt.count(info.n_tokens)} cached tokens, so there are no contexts "
        f"to show. {fmt.count(info.n_dead)} of {fmt.count(info.n_latents)} features of {plain(info.coder)} are dead. "
        "It may fire on more text: cache the coder again with a larger `--n-tokens`. Previous and Next skip dead features."
    )
    if info.n_dead < info.n_latents:
        near = {feature.coder.next_live(feature.latent, step): None for step in (-1, 1)}
        elsewhere = dict.fromkeys(CONTEXT)
        suggest((f"Nearest live feature: #{latent}", {"latent": latent, **elsewhere}) for latent in near)
