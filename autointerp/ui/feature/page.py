"""The Feature page: one feature's statistics, neighbours and contexts, its explanations, and the ways to the next one."""

from typing import Any

import numpy as np
import streamlit as st

from autointerp.errors import UnknownName
from autointerp.models.coders import registry
from autointerp.store import CoderStore, Store
from autointerp.types import CoderInfo
from autointerp.ui.feature import (
    actions,
    collected,
    contexts,
    drill,
    explanations,
    panel,
    save,
    steer,
    try_text,
)
from autointerp.ui.feature.state import CONTEXT, GROUPS, INTERVAL, RESET, WINDOWS, FeatureState, close_right
from autointerp.ui.shared import components, feature_data, job_strip, keyboard, list_walk
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.session import (
    LAST_FEATURE,
    LIST_PARAMS,
    TRAIL,
    heading,
    messages,
    open_store,
    tab_title,
)
from autointerp.ui.shared.state import bound, change, choose, current, suggest, unknown_coder
from autointerp.ui.shared.text import plain

TRAIL_LENGTH = 200
BACK_HELP = "Back to the feature you viewed before; from the first one, to the list"
TITLE_WIDTH = 392
"""Pixels, as many as a phone has: a longer title must not move the buttons beside or below it."""
BUTTONS_WIDTH = 374
"""Pixels of the four buttons beside it, known before the browser has drawn them."""
_WENT_BACK = "feature_went_back"


@st.fragment
def draw() -> None:
    """The whole page as a fragment: a step to the next feature leaves navigation and page frame alone."""
    with messages(), keyboard.listening("Feature", typing=explanations.is_typing):
        store = open_store()
        state = FeatureState.parse(current())
        here = _resolve(store, state)
        if here is None:
            return
        coder, latent = here
        st.session_state[LAST_FEATURE] = (coder.info.coder, latent)
        _header(store, coder, latent)
        left, right = st.columns([10, 20.6], gap="xsmall")
        feature = feature_data.load(store, coder, latent)
        versions = explanations.read(feature)
        with left:
            explanations.left(feature, versions)
        with right:
            if explanations.right(feature, versions):
                pass
            elif steer.is_open():
                steer.draw(feature)
            else:
                _controls(feature, state)
                contexts.draw(feature, state, on_open=_open_clicked)
        with left:
            try_text.draw(feature)
            steer.button()
            panel.draw(feature, state, on_open=_open_clicked, on_peek=_peek_clicked)
            save.draw(feature)
            if job_strip.writable(store):
                actions.show_notice()  # at the end: an element takes room until the browser has drawn it


def _resolve(store: Store, state: FeatureState) -> tuple[CoderStore, int] | None:
    """The feature in the address; without one the last seen, else the first live one. A message with links where it does not
    exist."""
    names = [info.coder for info in store.coders()]
    if not names:
        heading("Feature")
        components.no_coders()
        return None
    last_coder, last_latent = st.session_state.get(LAST_FEATURE, (None, None))
    name = state.coder if state.coder is not None else last_coder if last_coder in names else names[0]
    if name not in names:
        heading("Feature")
        unknown_coder(name, names, "latent", *CONTEXT)
        return None
    coder = store.coder(name)
    if state.latent is None:
        if name == last_coder and last_latent is not None and last_latent < coder.info.n_latents:
            return coder, last_latent
        return coder, coder.next_live(coder.info.n_latents - 1)  # round the end: the first live one
    try:
        return coder, coder.check_latent(state.latent)
    except UnknownName as error:
        last = coder.info.n_latents - 1
        heading("Feature")
        st.warning(
            f"Feature {plain(state.latent, 60)} does not exist: {plain(name)} has features 0 to {last:,}. The closest:"
        )
        elsewhere = {"coder": name, **dict.fromkeys(CONTEXT)}
        suggest((f"{plain(name)} \\#{near}", elsewhere | {"latent": near}) for near in error.nearest)
        return None


def _header(store: Store, coder: CoderStore, latent: int) -> None:
    info, here = coder.info, (coder.info.coder, latent)
    name = f"{info.coder} #{latent}"
    tab_title(name)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="xsmall"
    ):
        place = list_walk.place(store, here)
        where = f" :small[· {place[0] + 1:,} of {place[1]:,}]" if place else ""
        with st.container(
            horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall", width=TITLE_WIDTH
        ):
            st.title(f"{plain(name)}{where}", anchor=False, width="content")
            st.caption(plain(_where(info)), width="stretch")
        # Beside the title, or below it and then from the left.
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content"):
            clicked = _ways_on(store, coder, latent)
        if clicked and not st.session_state.pop(_WENT_BACK, False):
            where = st.session_state.get(LIST_PARAMS) or list_walk.params() or {"coder": info.coder}
            components.go("features", where)


def _ways_on(store: Store, coder: CoderStore, latent: int) -> bool:
    """Fields and buttons that lead to another feature, and the star. True where Back was clicked."""
    info = coder.info
    st.selectbox(
        "Coder", [other.coder for other in store.coders()], width=150, label_visibility="collapsed",
        **bound("coder", info.coder, reset=("latent", *RESET, *list_walk.RESET)),
    )  # fmt: skip
    st.number_input(
        "Feature", min_value=0, max_value=info.n_latents - 1, step=1, width=115, label_visibility="collapsed",
        **bound("latent", latent, reset=(*RESET, *list_walk.RESET)),
    )  # fmt: skip
    collected.star(store, coder, latent)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width=BUTTONS_WIDTH):
        keyboard.button(
            "Previous", "previous", "ArrowLeft", "Previous feature", _step, (-1,), icon=":material/chevron_left:",
            help=list_walk.tooltip(store, -1),
        )  # fmt: skip
        keyboard.button(
            "Next", "next", "ArrowRight", "Next feature", _step, (1,), icon=":material/chevron_right:",
            help=list_walk.tooltip(store, 1),
        )  # fmt: skip
        keyboard.button(
            "Random", "random", "x", "A random feature that fires", _random, icon=":material/casino:"
        )
        return keyboard.button("Back", "back", "b", BACK_HELP, _back, icon=":material/undo:", help=BACK_HELP)


def _where(info: CoderInfo) -> str:
    """What the coder is; its kind only where its name does not say it."""
    kind = registry.kind(info.kind).label
    parts = [] if kind.casefold() == info.coder.casefold().replace("-", " ") else [kind]
    return " · ".join([*parts, info.hookpoint, *([f"k {info.k}"] if info.k else [])])


def _controls(feature: Feature, state: FeatureState) -> None:
    # Short: a click into the histogram must not push it down a line.
    groups = GROUPS if state.bin is None else GROUPS | {INTERVAL: "Bin"}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        choose(
            st.segmented_control,
            "Contexts",
            groups,
            "group",
            state.group,
            "all",
            reset=("bin", "wide"),
            wrap=True,
        )
        lengths = {name: name.capitalize() for name in WINDOWS}
        help_ = "Window length: 16 tokens, 32, or the whole context"
        choose(st.segmented_control, "Window", lengths, "window", state.window, "medium", help=help_)
        with st.container(horizontal=True, gap="xsmall", width="content"):
            st.toggle("Align peaks", **bound("align", state.align))
            st.toggle("Whitespace", **bound("whitespace", state.whitespace))


def goto(coder: str, latent: int, **more: Any) -> None:
    """Look at another feature: one step on the way that Back walks down. `more` goes into the address."""
    here = st.session_state.get(LAST_FEATURE)
    if here and here != (coder, latent):
        trail: list[tuple[str, int]] = st.session_state.setdefault(TRAIL, [])
        trail.append(here)
        del trail[:-TRAIL_LENGTH]
    _look_at(coder, latent, **more)


def _look_at(coder: str, latent: int, **more: Any) -> None:
    st.session_state[LAST_FEATURE] = (coder, latent)  # already now: another press may come with this one
    change(**{**RESET, "coder": coder, "latent": latent, **more})


def _here() -> tuple[CoderStore, int]:
    name, latent = st.session_state[LAST_FEATURE]
    return open_store().coder(name), latent


def _step(step: int) -> None:
    coder, latent = _here()
    target = list_walk.step(open_store(), (coder.info.coder, latent), step)
    (name, other), place = target or ((coder.info.coder, coder.next_live(latent, step)), None)
    goto(name, other, **({} if place is None else {"at": place}), **drill.on(open_store(), name, other))


def _random() -> None:
    coder, latent = _here()
    drawn = coder.random_live(np.random.default_rng())
    other = drawn if drawn != latent else coder.next_live(latent)  # a press always moves
    goto(coder.info.coder, other, **list_walk.RESET)


def _back() -> None:
    trail: list[tuple[str, int]] = st.session_state.get(TRAIL, [])
    if trail:
        coder, latent = trail.pop()
        st.session_state[_WENT_BACK] = True
        _look_at(coder, latent)


def _open_clicked() -> None:
    sent: Any = components.triggered("contexts", "open") or components.triggered("panel", "open")
    if isinstance(sent, dict) and "context" in sent:
        place = {name: int(sent[name]) for name in ("context", "start")}
        change(**close_right(), **place)
    elif isinstance(sent, dict) and "latent" in sent:
        goto(str(sent["coder"]), int(sent["latent"]))


def _peek_clicked() -> None:
    latent = components.triggered("panel", "peek")
    change(peek=int(latent) if isinstance(latent, int) and latent >= 0 else None)
