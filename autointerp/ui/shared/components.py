"""The page's elements: one components-v2 element each, fed with plain records, building its own DOM.

Their script is ours and fixed; everything from a store arrives as data and becomes text nodes. Links inside them are real
addresses, while a plain click comes back as a trigger, so that the session and its caches stay.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import uuid4

import streamlit as st
from streamlit.components import v2

_ASSETS = files("autointerp.ui") / "assets"
Callback = Callable[[], None]
LINE = 25.85
"""Height in pixels of a row of one line, see list.css."""
HEAD = 24.0
"""Of the head of a table, at least."""


def _text(file: str) -> str:
    return (_ASSETS / file).read_text(encoding="utf-8")


@cache
def _mount(name: str) -> Callable[..., Any]:
    css, js = _text("base.css") + _text(f"{name}.css"), _text("dom.js") + _text(f"{name}.js")
    # A click into an element leaves the focus there: on the page's frame, the next key would draw a ring around it all.
    return v2.component(f"autointerp_{name}", html='<div class="root" tabindex="-1"></div>', css=css, js=js)


@cache
def _page_style() -> Callable[..., Any]:
    return v2.component("autointerp_page", css=_text("page.css"), isolate_styles=False)


def icon() -> str:
    """The browser tab's icon, as SVG; a named icon would be fetched from the network."""
    return _text("icon.svg")


def focus_ring() -> None:
    """A ring around the link that has the keyboard's focus, also where it is Streamlit's own."""
    _page_style()(key="focus_ring")


def no_coders() -> None:
    """What to do with a store that holds a corpus only."""
    st.info("This store has no coders yet. Cache one, then reload this page:")
    commands("autointerp cache STORE --model MODEL --coder NAME=PATH --hookpoint layers.2.mlp")


def commands(*lines: str) -> None:
    """Lines to copy into a terminal."""
    st.code("\n".join(lines), language=None, wrap_lines=True)


@contextmanager
def room(height: float = 0) -> Iterator[None]:
    """At least so many pixels for the element drawn inside. An element has no height until the browser has drawn it: without
    room, what stands below would move then, under the pointer. All rooms of a column end at the same right edge, a rem
    before the column's."""
    with st.container(horizontal=True, wrap=False, gap=None):
        with st.container():
            yield
        with st.container(width=1):
            st.space(max(1, math.ceil(height)))


@dataclass(frozen=True)
class Column:
    """A column of a table: what stands in the cell of a row's record, how the element draws it, and what a click on its head
    sorts by (a name as in the address)."""

    title: str
    cell: Callable[[Any], Any]
    kind: str = ""
    cls: str = ""
    num: bool = False
    sort: str = ""
    help: str = ""

    @property
    def head(self) -> dict[str, Any]:
        """What the page gets of it."""
        return {name: value for name, value in asdict(self).items() if name != "cell" and value}


def pressed(label: str, key: str, **look: Any) -> bool:
    """A button whose click is answered in the run, where what was typed just before it counts too. The click is kept in the
    session: a run that starts over before it comes here (a server's first one) does not lose it."""
    flag = f"{key}_pressed"
    st.button(label, key=key, on_click=st.session_state.__setitem__, args=(flag, True), **look)
    return bool(st.session_state.pop(flag, False))


def triggered(key: str, event: str) -> Any:
    """What an element sent, inside the callback of that event; `None` when it was another element or event."""
    return dict(st.session_state.get(key) or {}).get(event)


def contexts(data: dict[str, Any], *, key: str, on_open: Callback, on_act: Callback) -> None:
    """Groups of windows with a histogram; `open` carries `{coder, latent}`, `act` one of `{bin}`, `{more}` (a group) and
    `{wide}` (as in the address)."""
    _mount("contexts")(data=data, key=key, on_open_change=on_open, on_act_change=on_act)


def panel(
    data: dict[str, Any], *, key: str, on_open: Callback, on_peek: Callback, on_near: Callback
) -> dict[str, Any] | None:
    """Statistics, promoted and suppressed tokens, neighbours, counterparts; `open` as above, with `{context, start}` of the
    same latent, or with `{compare}`, the address of a pair; `peek` carries a latent, or -1 to close, `near` which list of
    neighbours, or of counterparts (`other_...`), is looked at. Returns `open`."""
    return _mount("panel")(
        data=data, key=key, on_open_change=on_open, on_peek_change=on_peek, on_near_change=on_near
    ).open


def pair(data: dict[str, Any], *, key: str) -> dict[str, Any] | None:
    """Two features and windows with the activations of both. Returns the feature just clicked."""
    return _mount("pair")(data=data, key=key, on_open_change=lambda: None).open


def strips(data: dict[str, Any], *, key: str, on_token: Callback) -> dict[str, Any] | None:
    """A text with the strongest features of several coders under each token; `token` carries a position, or -1. Returns the
    feature just clicked."""
    return _mount("strips")(data=data, key=key, on_token_change=on_token, on_open_change=lambda: None).open


def facts(data: list[list[str]], *, key: str) -> None:
    """A line of named values: `[name, value, tooltip]` each."""
    _mount("facts")(data=data, key=key)


def table(
    data: dict[str, Any],
    *,
    key: str,
    on_sort: Callback | None = None,
    on_star: Callback | None = None,
    lines: int | None = None,
) -> dict[str, Any] | None:
    """Rows that open something; returns the `go` record of the row just clicked. A row with `star` has one to click, see
    `ui.shared.stars`. `lines`: of a table whose rows are single
    lines, with its head; what stands below then does not move when the element arrives."""
    result = _mount("list")(
        data=data, key=key, on_open_change=lambda: None, on_sort_change=on_sort or (lambda: None),
        on_star_change=on_star or (lambda: None),
        height="content" if lines is None else math.ceil(LINE * lines) + 2,
    )  # fmt: skip
    return result.open


def go(page: str, params: Mapping[str, object], *, instead: bool = False) -> None:
    """To another page, with `instead` in the place of the address shown now. `st.switch_page` leaves an entry of the page left
    with the parameters of the new one in the browser's history (Streamlit 1.67): Back came to a page that nobody had seen."""
    data = {"page": page, "params": {name: str(value) for name, value in params.items()}, "instead": instead}
    _mount("go")(data=data | {"once": uuid4().hex}, key="go")


def links(
    columns: Sequence[Any],
    rows: Sequence[Any],
    *,
    page: str,
    key: str,
    single: bool = False,
    tall: float = LINE,
    on_star: Callback | None = None,
    **params: str,
) -> None:
    """A table whose rows lead to `page`, with their `go` records and `params` as its address. `single`: each row is a line;
    else a row is about `tall` pixels high."""
    data = {"columns": columns, "rows": rows, "page": page, "cls": "lines" if single else ""}
    with nullcontext() if single else room(HEAD + tall * len(rows)):
        clicked = table(data, key=key, on_star=on_star, lines=len(rows) + 1 if single else None)
    if clicked:
        go(page, {**clicked, **params})


def jobs(data: dict[str, Any], *, key: str, on_act: Callback) -> dict[str, Any] | None:
    """Jobs in rows; `act` carries `{act, id}` with "open", "cancel", "retry" or "dismiss" and is returned too."""
    return _mount("jobs")(data=data, key=key, on_act_change=on_act).act


def explanation(data: dict[str, Any], *, key: str, on_open: Callback) -> None:
    """An explanation with its scores and versions; `open` carries `{score}`, `{version}` or `{against}`, an id."""
    _mount("explanation")(data=data, key=key, on_open_change=on_open)


def judged(data: dict[str, Any], *, key: str, on_act: Callback) -> None:
    """Judged examples; `act` carries `{quantile}`, `{example}` or `{context, start}`."""
    _mount("judged")(data=data, key=key, on_act_change=on_act)


def comparison(data: dict[str, Any], *, key: str, on_open: Callback) -> None:
    """Two explanations side by side; `open` carries `{score}`, an id, or `{context, start}`."""
    _mount("comparison")(data=data, key=key, on_open_change=on_open)


def rate(data: dict[str, Any], *, key: str, on_answer: Callback, on_edit: Callback, on_act: Callback) -> Any:
    """The bar at the foot of the Audit page. `answer` is what a person said last about an item and `edit` their last
    correction, kept in the browser until `data` says that they have arrived; `act` carries `{act, place, about}`, a way on."""
    return _mount("rate")(
        data=data, key=key, on_answer_change=on_answer, on_edit_change=on_edit, on_act_change=on_act
    )


def keyboard(data: dict[str, Any], *, key: str, on_pressed: Callback) -> None:
    """Hears the page's shortcuts and shows their sheet; `pressed` says which were pressed since the browser loaded the page."""
    _mount("keyboard")(data=data, key=key, on_pressed_change=on_pressed)


def store(data: dict[str, Any], *, key: str) -> None:
    """Puts the chosen store into the address, or takes it out."""
    _mount("store")(data=data, key=key)


def connection(data: dict[str, Any], *, key: str, on_greeting: Callback) -> None:
    """Says that the server does not answer, and the command that starts it again; `greeting` counts how often it came back."""
    _mount("connection")(data=data, key=key, on_greeting_change=on_greeting)


def notice(text: str, once: str) -> None:
    """Says `text` for some seconds where no button is, wherever the page has been scrolled to. `once`: which saying of it; none
    is said twice."""
    _mount("notice")(data={"text": text, "once": once}, key="notice")


def drafts(data: dict[str, Any], *, key: str, on_found: Callback) -> None:
    """Keeps what is typed in the browser; `found` says what it has and the session has not."""
    _mount("drafts")(data=data, key=key, on_found_change=on_found)


def editor(data: dict[str, Any], *, key: str, on_save: Callback) -> None:
    """A text box that can be given the focus; its text is a draft. `save` when Ctrl+Enter is pressed in it."""
    _mount("editor")(data=data, key=key, on_save_change=on_save)


def tried(data: dict[str, Any], *, key: str) -> None:
    """A typed text with what one latent does on it, and the verdict."""
    _mount("tried")(data=data, key=key)


def steering(data: dict[str, Any], *, key: str) -> None:
    """A prompt's continuations by the model as it is and steered, side by side."""
    _mount("steering")(data=data, key=key)


def probe(data: dict[str, Any], *, key: str, on_token: Callback) -> dict[str, Any] | None:
    """A typed text and the latents that fire on it; `token` carries a position. Returns the `go` record of a clicked row."""
    return _mount("probe")(data=data, key=key, on_token_change=on_token, on_open_change=lambda: None).open
