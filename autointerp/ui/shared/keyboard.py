"""Keyboard shortcuts: buttons that a key presses too, and the element that hears the keys and shows the sheet on `?`.

Streamlit's own `shortcut=` stays silent after a click on a toggle or a segmented control, and lets Escape through to it while a
dropdown is open (1.67). So the page hears the keys itself: one element knows whether text is being typed, and each shortcut
runs what a click on its button runs.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from autointerp.ui.shared import components, drafts, person, state

KEY = "keyboard"
_OFFERED = "keyboard_offered"
_ACTS = "keyboard_acts"
_HANDLED = "keyboard_handled"
_GLYPHS = {"ArrowLeft": "←", "ArrowRight": "→", "Escape": "Esc"}
EVERYWHERE = (
    (["?"], "This list"),
    (["Esc"], "Close what is open; leave a text box"),
    (["Tab"], "To the next control or link"),
    (["Ctrl", "Enter"], "Run the text in a box, or save your explanation (on a Mac, ⌘ Enter)"),
)
RULES = (
    "Shortcuts are off while you type; a number field counts as typing from the first digit until Enter. In a control reached "
    "with Tab, the arrow keys act on that control."
)


@dataclass(frozen=True)
class Shortcut:
    """`name`: of the button; `key`: as the browser calls it; `types`: whether it opens a text box, which then has the focus;
    `here`: an element of the page answers it, in the browser."""

    name: str
    key: str
    says: str
    types: bool = False
    here: bool = False

    @property
    def shown(self) -> str:
        return _GLYPHS.get(self.key, self.key.upper())


def button(
    label: str,
    key: str,
    shortcut: str,
    says: str,
    on_click: Callable[..., None] | None = None,
    args: tuple[Any, ...] = (),
    *,
    types: bool = False,
    **look: Any,
) -> bool:
    """A button of key `key` that the key `shortcut` (as in `KeyboardEvent.key`) presses too; `says` is its line in the sheet.
    True in the run that answers a click or a press, as `st.button` is."""
    flag = f"{key}_pressed"

    def act() -> None:
        st.session_state[flag] = True
        if on_click is not None:
            on_click(*args)

    pressed = Shortcut(key, shortcut, says, types=types)
    st.session_state.setdefault(_OFFERED, {})[key] = pressed
    # Of all runs: one that the next press interrupts has not come to every button.
    st.session_state.setdefault(_ACTS, {})[key] = act
    st.button(f"{label} :gray[{pressed.shown}]", key=key, on_click=act, **look)
    return bool(st.session_state.pop(flag, False))


def offer(shortcuts: Iterable[tuple[str, str, str]]) -> None:
    """Shortcuts that an element of the page answers by itself, in the browser: name, key and line in the sheet of each. The
    element hears `autointerp-key`, see keyboard.js."""
    offered = st.session_state.setdefault(_OFFERED, {})
    offered |= {name: Shortcut(name, key, says, here=True) for name, key, says in shortcuts}


@contextmanager
def listening(title: str = "", typing: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Around a page: its buttons have shortcuts, listed under `title`; what is typed there is kept. `typing`: whether a text
    box is open that a shortcut opens."""
    st.session_state[_OFFERED] = {}
    try:
        yield
        state.told()
    finally:  # also where the page ended early
        load, handled = st.session_state.get(_HANDLED, ("", 0))
        shortcuts = [
            asdict(shortcut) | {"shown": shortcut.shown} for shortcut in st.session_state[_OFFERED].values()
        ]
        data = {
            "title": title,
            "shortcuts": shortcuts,
            "everywhere": EVERYWHERE,
            "rules": RULES,
            "typing": typing(),
            "load": load,
            "handled": handled,
            "asks": person.is_awaited(),
        }
        components.keyboard(data, key=KEY, on_pressed=_pressed)
        person.draw()
        drafts.draw()


def _pressed() -> None:
    """Run what was pressed since the run before, in its order; presses that came together arrive together."""
    sent = components.triggered(KEY, "pressed")
    if not isinstance(sent, dict):
        return
    load, count, names = str(sent["load"]), int(sent["n"]), list(sent["names"])
    before, handled = st.session_state.get(_HANDLED, ("", 0))
    missing = count - (handled if before == load else 0)
    st.session_state[_HANDLED] = (load, count)
    acts: dict[str, Callable[[], None]] = st.session_state.get(_ACTS, {})
    for name in names[-missing:] if missing > 0 else ():
        if name in acts:
            acts[name]()
