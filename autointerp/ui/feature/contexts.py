"""The contexts of a feature, by group, as one element: random positives before top ones, against the top-k illusion."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.types import Example, Group
from autointerp.ui.feature import data
from autointerp.ui.feature.data import Feature
from autointerp.ui.feature.state import CONTEXT, WINDOWS, FeatureState
from autointerp.ui.shared import components, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import file_identity
from autointerp.ui.shared.state import suggest, whole
from autointerp.ui.shared.text import plain

KEY = "contexts"


def draw(feature: Feature, state: FeatureState, *, on_open: Callable[[], None]) -> None:
    """Histogram and groups; a message instead for a dead feature."""
    if feature.stats.is_dead:
        _dead(feature)
    else:
        components.contexts(record(feature, state, _linked(feature, state)), key=KEY, on_open=on_open)


def record(feature: Feature, state: FeatureState, linked: Example | None) -> dict[str, Any]:
    """Everything that the element draws."""
    window = WINDOWS[state.window]
    table = payload.token_table(feature.store)

    def focus(shown: Example) -> Example:
        """With aligned peaks a window is moved so that its peak is in the middle."""
        return data.centred(feature, shown, window) if state.align and window else shown

    return {
        "rev": repr((file_identity(feature.coder.info), feature.latent, replace(state, peek=None))),
        **feature.address,
        "params": feature.address | ({} if state.window == "medium" else {"window": state.window}),
        "max": feature.stats.max_activation,
        "top": fmt.activation(feature.stats.max_activation),
        "hist": payload.histogram(feature.histogram) if feature.histogram else None,
        "view": {
            "align": state.align,
            "whitespace": state.whitespace,
            "breaks": window is None and not state.align,
        },
        "groups": [payload.section(group, table, focus) for group in sections(feature, state, linked)],
        "table": table.entries,
    }


def sections(feature: Feature, state: FeatureState, linked: Example | None) -> list[payload.Section]:
    """The groups that the page shows, in its order, the linked example first."""
    window = WINDOWS[state.window]
    examples = data.examples_by_group(feature, data.counts(state.group, full=window is None), window)
    fires_in = fmt.plural(feature.stats.n_contexts, "context")
    n_hard = sum(shown.source == "neighbours" for shown in examples.get("non_activating", []))
    hard = f"; {n_hard} hard negatives: a similar feature fires there" if n_hard else ""
    notes: dict[Group, tuple[str, str, str]] = {
        "random": ("Random positives", f"sampled from the {fires_in} in which it fires", "None."),
        "top": ("Top", f"the strongest of {fires_in}", "None."),
        "quantiles": (
            "Deciles",
            "sampled from each activation decile, 1 = strongest",
            "Too few activating windows for deciles.",
        ),
        "non_activating": (
            "Non-activating",
            f"the feature is inactive{hard}",
            "None: it fires in every context.",
        ),
    }
    drawn = [
        payload.Section(key, title, note, examples.get(key, []), empty)
        for key, (title, note, empty) in notes.items()
        if state.group in {"all", key}
    ]
    if linked is not None:
        note = f"context {linked.context}, from token {linked.start}"
        drawn.insert(0, payload.Section("linked", "Linked example", note, [linked], linked=True))
    return drawn


def _linked(feature: Feature, state: FeatureState) -> Example | None:
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
    return data.linked_example(feature, context, whole(state.start), WINDOWS[state.window])


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
