"""The address is the state: what each page reads from it (pure), and how widgets write to it.

A widget is given its value from the address before it is drawn and writes back in its callback, so links, reloads and the
browser's own back button all work the same way. Whatever an address holds, the result is a valid state: unknown words fall
back to defaults; names and numbers that must exist (coder, latent, context) are checked by the pages, which answer with
the nearest valid ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.errors import nearest
from autointerp.ui.shared import drafts
from autointerp.ui.shared.session import PAGE_NOW, STORE_PARAM, chosen_store
from autointerp.ui.shared.text import plain

MAX_NUMBER = 2**53  # beyond it a browser's numbers are no longer exact


def choice(value: str | None, allowed: Mapping[str, Any], default: str) -> str:
    """`value` where it is allowed, else the default."""
    return value if value is not None and value in allowed else default


def whole(value: str | None) -> int | None:
    """A non-negative whole number, else `None`."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 16:
        return None
    number = int(value)
    return number if number <= MAX_NUMBER else None


def number(value: str | None) -> float | None:
    """A finite, non-negative number, else `None`."""
    parsed = signed(value)
    return parsed if parsed is not None and parsed >= 0 else None


def signed(value: str | None) -> float | None:
    """A finite number of either sign, else `None`."""
    try:
        parsed = float(value) if value is not None else None
    except ValueError:
        return None
    return parsed if parsed is not None and abs(parsed) < float("inf") else None


def flag(value: str | None) -> bool:
    return value == "1"


def current() -> dict[str, str]:
    """The address's parameters, without that of the store."""
    params = st.query_params.to_dict()
    params.pop(STORE_PARAM, None)
    return params


def change(**changes: str | int | float | None) -> None:
    """Set parameters of the address, `None` and False remove one, True is 1; one message to the browser."""
    params: dict[str, str] = current()
    for name, value in changes.items():
        if value is None or value is False:
            params.pop(name, None)
        elif value is True:
            params[name] = "1"
        else:
            params[name] = f"{value:.15g}" if isinstance(value, float) else str(value)
    store = chosen_store()
    st.query_params.from_dict(params | ({STORE_PARAM: store} if store else {}))


def suggest(ways: Iterable[tuple[str, Mapping[str, Any]]], about: str = "") -> None:
    """Ways to other states of the same page, with labels, after a wrong address; `about` tells two such sets apart. They are no
    page links: one to the page it stands on changes what is shown and leaves the address as it was (Streamlit 1.67)."""
    with st.container(horizontal=True, gap="small"):
        for place, (label, changes) in enumerate(ways):
            st.button(label, key=f"suggestion_{about}_{place}_{label}", on_click=change, kwargs=dict(changes))


def unknown_coder(name: str, names: Sequence[str], *reset: str, parameter: str = "coder") -> None:
    """Says that a coder in the address does not exist, and leads to those with the closest names."""
    st.warning(f"Coder “{plain(name, 60)}” does not exist. The closest names:")
    others = nearest(name, names)
    suggest([(plain(other), {parameter: other, **dict.fromkeys(reset)}) for other in others], name)


def pager(parameter: str, page: int, *, more: bool, names: tuple[str, str]) -> None:
    """Buttons to the page before and the next one of a list, where it has more than one; `more`: whether one follows."""
    if page == 1 and not more:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, to, there in zip(names, (page - 1, page + 1), (page > 1, more), strict=True):
            st.button(
                name, key=f"{parameter}_{name.lower()}", disabled=not there, on_click=change,
                kwargs={parameter: to if to > 1 else None},
            )  # fmt: skip
        st.caption(f"Page {page:,}")


def bound(
    name: str,
    value: Any,
    default: Any = None,
    *,
    reset: Sequence[str] = (),
    encode: Callable[[Any], Any] = lambda value: value,
    firm: bool = False,
    late: bool = False,
) -> dict[str, Any]:
    """`key` and `on_change` for a widget that shows parameter `name`: it starts at `value` (as parsed from the address) and
    writes `encode(new value)` back, nothing where that is `default`; `reset` names parameters that a change invalidates.

    `firm` tells the browser the value in every run, not only when it changed: pills that the browser draws late (their
    script is loaded after the page) otherwise take their own default, nothing, and send that back (Streamlit 1.67). Not for
    fields that are typed into: it would overwrite what is typed. `late` does the same for such a field, through its default.
    """
    key, shown = drafts.field(f"url_{name}"), f"shown_{name}"
    # Two pages may have a field of one name: on another page the browser draws it anew and knows nothing of its value.
    drawn = (st.session_state.get(PAGE_NOW), value)
    before, untold = st.session_state.get(key, _UNSET), st.session_state.setdefault(UNTOLD, {})
    changed = before != value or st.session_state.get(shown, drawn)[0] != drawn[0] or key in untold
    if firm or changed:
        untold.setdefault(key, before)
        st.session_state[key] = value
    st.session_state[shown] = drawn

    def write() -> None:
        # A widget that the browser still has although the address has moved on (Back, twice in quick succession) is reported
        # as changed too: only what differs from what was shown is somebody's choice. So is one that has not heard of its new
        # value, because the run that was to tell it ended early.
        # Of a field that another page drew, the session may have forgotten the value.
        if key not in st.session_state or shown not in st.session_state:
            return
        value, heard = st.session_state[key], st.session_state[shown][1]
        if value in (heard, st.session_state.get(UNTOLD, {}).get(key, _UNSET)) or drafts.is_left(key):
            return
        st.session_state[shown] = (drawn[0], st.session_state[key])
        written = encode(st.session_state[key])
        change(**{name: None if written == default else written, **dict.fromkeys(reset)})

    if isinstance(value, str):
        drafts.writes(key, write, str)
    elif value is None or isinstance(value, float):
        drafts.writes(key, write, float)
    return {"key": key, "on_change": write} | ({"value": value} if late and not changed else {})


UNTOLD = "fields_untold"
"""By key of a field, its value before this run gave it another: until the run is over, the browser may report the old one."""
_UNSET = object()


def told() -> None:
    """A run of a page has come to its end: its fields are on their way to the browser."""
    st.session_state.pop(UNTOLD, None)


def choose(
    widget: Callable[..., Any],
    label: str,
    options: Mapping[str, str],
    name: str,
    value: str | None,
    default: str | None = None,
    *,
    reset: Sequence[str] = (),
    firm: bool = False,
    **look: Any,
) -> None:
    """A widget (`st.selectbox`, `st.segmented_control`) to choose one of `options`, keys with their labels, bound to parameter
    `name`. Its label is for screen readers, unless `look` says otherwise."""
    if widget is st.segmented_control:
        look["required"] = True
    look = {"label_visibility": "collapsed", **look}
    # A choice of the run before may be gone.
    shown = bound(name, value, default, reset=reset, firm=firm)
    widget(label, list(options), format_func=lambda key: options.get(str(key), ""), **look, **shown)
