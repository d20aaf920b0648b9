"""What people type and choose in forms, kept until it is used: nothing typed is lost.

The session holds it, and one element per page keeps a copy in the browser, written at every keystroke, so that it survives a
reload, another page, a lost connection and a restarted server. An explanation of one's own is kept for all tabs, until it is
saved or discarded (`localStorage`), and so is a person's name; what else belongs to a form, and what was typed into a field of
the address but not confirmed yet, is kept for its tab (`sessionStorage`). An API key is never kept.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any
from uuid import uuid4

import streamlit as st

from autointerp.ui.shared import components
from autointerp.ui.shared.session import store_path

KEY = "drafts"
_FORMS = "drafts_forms"
TEXTS = "drafts_texts"
"""Drafts of explanations by their names, in the session."""
_FOUND = "drafts_found"
_TYPED = "drafts_typed"
_LASTING = "drafts_lasting"
_DROPPED = "drafts_dropped"
_WRITERS = "drafts_writers"
_DISCARDS = "drafts_discards"
_DRAWN = "drafts_drawn"
_SESSION = "drafts_session"
_MOST_DROPPED = 50
MAX_CHARS = 20_000

# Choices in forms ------------------------------------------------------------------------------


def kept(
    key: str,
    default: Any,
    allowed: Sequence[Any] | None = None,
    *,
    typed: Callable[[Any], Any] | None = None,
    lasting: bool = False,
) -> dict[str, Any]:
    """Arguments of a widget whose value lasts, also while it is not drawn. `allowed`: what can be chosen now, which may be less
    than when the choice was made. `typed`: for a field that is typed into; makes a value of what the browser kept, which may be
    any text, and raises ValueError or TypeError for none. `lasting`: kept for all tabs and stores of the browser, also after
    it was closed.

    The browser draws what is in a popover only once it is opened, perhaps several runs later, and learns a value from the run
    before (Streamlit 1.67). So every run tells it: a field through its default, which leaves alone what is being typed.
    """
    forms = _forms()
    if typed is not None:
        _typed().add(key)
    if lasting:
        _lasting().add(key)
    draft = _found().pop(_class(key), _NOTHING)
    if draft is not _NOTHING and _fits(draft, default, typed):
        st.session_state[key] = forms[key] = draft if typed is None else typed(draft)
        typed = None
    present = st.session_state.get(key, forms.get(key, default))
    value = present
    if allowed is not None and isinstance(present, list | tuple):
        value = [choice for choice in present if choice in allowed]
    elif allowed is not None and present not in allowed:
        value = default

    def keep() -> None:
        forms[key] = st.session_state[key]

    if typed is not None:
        return {"key": key, "on_change": keep, "value": value}
    st.session_state[key] = value
    return {"key": key, "on_change": keep}


def value(key: str) -> Any:
    """What a field of this key holds, drawn or not, or what the browser kept of it; `None` where it was never changed. An empty
    field may only be one that has not heard of the browser yet."""
    return _forms().get(key) or _found().get(_class(key))


def lasts(key: str) -> None:
    """A field of this key, which another page draws, is kept for the browser: this page hears what was typed there."""
    _lasting().add(key)


def put(key: str, value: Any) -> None:
    """What a field of this key holds from now on, drawn or not; for callbacks."""
    _forms()[key] = value
    _found().pop(_class(key), None)
    st.session_state[key] = value


_NOTHING = object()


def _fits(draft: Any, default: Any, typed: Callable[[Any], Any] | None) -> bool:
    """Whether what a browser kept can be a value of this field: another release may have written it."""
    if typed is None:
        return isinstance(draft, str if default is None else type(default))
    try:
        typed(draft)
    except (TypeError, ValueError):
        return False
    return True


def used(prefix: str) -> None:
    """What was typed into the fields whose keys begin so has been used: they begin anew."""
    for key in [key for key in _forms() if key.startswith(prefix)]:
        del _forms()[key]
    _drop(prefix + "*", "")


# Explanations of one's own ---------------------------------------------------------------------


def name(coder: str, latent: int, parent: str | None) -> str:
    """Of the draft of an explanation; `parent`: the version that is edited, `None` for a text from nothing."""
    return "\t".join(("explanation", coder, str(latent), parent or ""))


def parents(coder: str, latent: int) -> list[str | None]:
    """What this feature has drafts of: ids of the versions that are edited, `None` for a text from nothing."""
    start = name(coder, latent, None)
    return [draft[len(start) :] or None for draft in _texts() if draft.startswith(start)]


def text(draft: str) -> str | None:
    """The draft of this name."""
    return _texts().get(draft)


def discard(draft: str) -> None:
    """Drop it, in the browser too: it was saved, or nobody wants it."""
    dropped = _texts().pop(draft, None)
    if dropped is not None:
        _drop(draft, dropped)


def discard_button(draft: str, key: str) -> None:
    """A button whose click drops this draft: in the browser at once, before the server hears of it."""
    st.session_state.setdefault(_DISCARDS, {})[_class(key)] = draft
    st.button(
        "Discard draft",
        key=key,
        type="tertiary",
        on_click=discard,
        args=(draft,),
        disabled=text(draft) is None,
    )


def forget() -> None:
    """The session's copies, when another store is chosen: the browser keeps each store's own."""
    st.session_state.pop(TEXTS, None)


def slot(key: str) -> str:
    """Where the browser keeps it; one store's drafts are not offered in another."""
    return f"autointerp {sha256(str(store_path()).encode()).hexdigest()[:12]} {key}"


# The element -----------------------------------------------------------------------------------


def field(key: str) -> str:
    """The key of a field of the address now: another one each time that it must forget what is typed in it, see drafts.js."""
    drawn = st.session_state.get(_DRAWN, {}).get(_class(key), 0)
    return f"{key}__{drawn}" if drawn else key


def is_left(key: str) -> bool:
    """Whether the field of this key is one that must forget what is typed in it: the browser says so with its value, which is
    still that of the address before, where it has not drawn the new one yet."""
    said = components.triggered(KEY, "found")
    anew = said.get("anew", {}) if isinstance(said, dict) else {}
    number = re.search(r"__(\d+)$", key)
    return int(anew.get(_class(key), 0)) > (int(number[1]) if number else 0)


def writes(key: str, write: Callable[[], None], typed: Callable[[str], Any]) -> None:
    """`write` confirms what stands in a field of the address; `typed` makes its value of a text."""
    st.session_state.setdefault(_WRITERS, {})[_class(key)] = (key, write, typed)


def draw() -> None:
    """Once on a page, after its fields."""
    data = {
        "session": st.session_state.setdefault(_SESSION, uuid4().hex),
        "slot": slot(""),
        "texts": _texts(),
        "lasting": [*map(_class, _lasting())],
        "keys": [*map(_class, _typed()), *st.session_state.get(_WRITERS, {})],
        "heard": list(_found()),
        "forms": {_class(key): value for key, value in _forms().items()},
        "dropped": st.session_state.get(_DROPPED, []),
        "discards": st.session_state.pop(_DISCARDS, {}),
        "drawn": st.session_state.get(_DRAWN, {}),
        "address": st.query_params.to_dict(),  # the element looks again at each
    }
    components.drafts(data, key=KEY, on_found=_receive)


def _receive() -> None:
    """The browser has what this session has not."""
    sent = components.triggered(KEY, "found")
    if not isinstance(sent, dict):
        return
    st.session_state[TEXTS] = {str(k): str(v)[:MAX_CHARS] for k, v in dict(sent["texts"]).items()}
    have = {_class(key) for key, value in _forms().items() if value or key not in _lasting()}
    _found().update({key: value for key, value in dict(sent["forms"]).items() if key not in have})
    st.session_state.setdefault(_DRAWN, {}).update({str(k): int(n) for k, n in sent.get("anew", {}).items()})
    for name, (key, write, typed) in st.session_state.get(_WRITERS, {}).items():
        if name in sent["typed"]:
            with suppress(ValueError):
                st.session_state[key] = typed(str(sent["typed"][name]))
                write()


def _forms() -> dict[str, Any]:
    return st.session_state.setdefault(_FORMS, {})


def _texts() -> dict[str, str]:
    return st.session_state.setdefault(TEXTS, {})


def _typed() -> set[str]:
    """Keys of the fields of forms that are typed into. The browser keeps nothing else, and so no API key."""
    return st.session_state.setdefault(_TYPED, set())


def _lasting() -> set[str]:
    """Keys of the fields that are kept for the browser."""
    return st.session_state.setdefault(_LASTING, set())


def _found() -> dict[str, Any]:
    """What a browser kept of fields that this session has not drawn yet, by the class of the field."""
    return st.session_state.setdefault(_FOUND, {})


def _drop(key: str, value: str) -> None:
    dropped: list[list[Any]] = st.session_state.setdefault(_DROPPED, [])
    number = dropped[-1][0] + 1 if dropped else 1
    dropped.append([number, key, value])
    del dropped[:-_MOST_DROPPED]


def _class(key: str) -> str:
    """How the browser knows a field: by the class that Streamlit makes of its key."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", re.sub(r"__\d+$", "", key.strip()))
