"""The contexts of a feature, by group, as one element: random positives before top ones, against the top-k illusion."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.store import CoderStore, Store
from autointerp.types import Example, Group
from autointerp.ui.shared import components, data, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import WINDOWS, FeatureState, suggestion, suggestions, whole
from autointerp.ui.shared.text import plain

KEY = "contexts"


def draw(
    store: Store, coder: CoderStore, latent: int, state: FeatureState, *, on_open: Callable[[], None]
) -> None:
    """Histogram and groups; a message instead for a dead feature."""
    firing = data.firing(store, coder, latent)
    if firing.stats.is_dead:
        _dead(coder, latent)
        return
    linked = _linked(store, coder, latent, state, firing)
    components.contexts(record(store, coder, latent, state, linked), key=KEY, on_open=on_open)


def record(
    store: Store, coder: CoderStore, latent: int, state: FeatureState, linked: Example | None
) -> dict[str, Any]:
    """Everything that the element draws."""
    firing = data.firing(store, coder, latent)
    window = WINDOWS[state.window]
    vocabulary = store.vocabulary()
    table = payload.TokenTable(store.decode, vocabulary.is_special)

    def focus(shown: Example) -> Example:
        """With aligned peaks a window is moved so that its peak is in the middle."""
        return data.centred(store, firing.activations, shown, window) if state.align and window else shown

    groups = [payload.section(group, table, focus) for group in sections(store, coder, latent, state, linked)]
    params = {"coder": coder.info.coder, "latent": latent}
    if state.window != "medium":
        params["window"] = state.window
    return {
        "rev": repr((data.identity(coder.info), latent, replace(state, peek=None))),
        "coder": coder.info.coder,
        "latent": latent,
        "params": params,
        "max": firing.stats.max_activation,
        "top": fmt.activation(firing.stats.max_activation),
        "hist": payload.histogram(firing.histogram) if firing.histogram else None,
        "view": {
            "align": state.align,
            "whitespace": state.whitespace,
            "breaks": window is None and not state.align,
        },
        "table": table.entries,
        "groups": groups,
    }


def sections(
    store: Store, coder: CoderStore, latent: int, state: FeatureState, linked: Example | None
) -> list[payload.Section]:
    """The groups that the page shows, in its order, the linked example first."""
    window = WINDOWS[state.window]
    found = data.groups(store, coder, latent, data.counts(state.group, full=window is None), window)
    stats = data.firing(store, coder, latent).stats
    fires = fmt.plural(stats.n_contexts, "context")
    hard = sum(example.source == "neighbours" for example in found.get("non_activating", []))
    notes: dict[Group, tuple[str, str, str]] = {
        "random": ("Random positives", f"drawn from the {fires} where it fires", "It fires in no context."),
        "top": ("Top", f"strongest of {fires}", "It fires in no context."),
        "quantiles": (
            "Quantiles",
            "from each tenth of its windows by their maximum",
            "It fires too rarely for tenths.",
        ),
        "non_activating": (
            "Non-activating",
            f"it does not fire; {hard} hard: a similar feature fires here"
            if hard
            else "it does not fire here",
            "It fires in every context.",
        ),
    }
    drawn = [
        payload.Section(key, title, note, found.get(key, []), empty)
        for key, (title, note, empty) in notes.items()
        if state.group in {"all", key}
    ]
    if linked is not None:
        note = f"context {linked.context}, from token {linked.start}"
        drawn.insert(0, payload.Section("linked", "Linked example", note, [linked], linked=True))
    return drawn


def _linked(
    store: Store, coder: CoderStore, latent: int, state: FeatureState, firing: data.Firing
) -> Example | None:
    """The example that the address points to; a message with links where there is no such context."""
    if state.context is None:
        return None
    context = whole(state.context)
    if context is None or context >= store.n_contexts:
        shown = plain(state.context, 60)
        st.warning(
            f"Contexts count from 0 to {store.n_contexts - 1:,}; “{shown}” is none. This feature is strongest in:"
        )
        with suggestions():
            for near in data.strongest_contexts(store, firing.activations):
                suggestion(f"context {near}", context=int(near), start=None)
        return None
    return data.linked_example(store, firing.activations, context, whole(state.start), WINDOWS[state.window])


def _dead(coder: CoderStore, latent: int) -> None:
    info = coder.info
    st.info(
        f"**Dead feature.** It fires on none of the {fmt.count(info.n_tokens)} tokens cached, so there are no contexts to "
        f"show. {fmt.count(info.n_dead)} of {fmt.count(info.n_latents)} features of {plain(info.coder)} are dead. "
        "More tokens may wake it: cache the coder again with a larger `--n-tokens`. Previous and Next skip dead features."
    )
    if info.n_dead < info.n_latents:
        with suggestions():
            for near in dict.fromkeys((coder.next_live(latent, -1), coder.next_live(latent, 1))):
                suggestion(f"Nearest live feature: #{near}", latent=near, context=None, start=None, peek=None)
