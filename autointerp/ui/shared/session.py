"""Which store this session looks at, opened once per process, and what happens when it cannot be."""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from autointerp import settings
from autointerp.errors import StoreError, StoreIncomplete, StoreMissing, UserError
from autointerp.reading import expanded
from autointerp.store import Store, one_look
from autointerp.types import CoderInfo
from autointerp.ui.shared import components, roles
from autointerp.ui.shared.text import plain, sentence, visible

STORE_KEY = "store_path"
STORE_PARAM = "store"
"""The chosen store in the address, so that it outlives a reload."""
LAST_FEATURE = "feature_last"
"""The feature seen last: coder and latent."""
PAGE_NOW = "page_now"
"""The page that is drawn."""
PAGE_BEFORE = "page_before"
"""The name of the page of the run before."""
LIST_PARAMS = "features_params"
"""The address of the list as it was seen last."""
TRAIL = "feature_trail"
"""The features seen before, as coder and latent: what Back walks down."""


@st.cache_resource(show_spinner=False)
def freeze_imports() -> None:
    """Once per process, after the imports: the modules leave the garbage collector's sight, which otherwise walks them all
    while somebody waits for a page."""
    gc.collect()
    gc.freeze()
    # At exit the frozen must be seen again, or DuckDB's bindings report every one of their objects as a leak.
    atexit.register(_end_quietly)
    atexit.register(gc.unfreeze)


def freeze_later_imports() -> None:
    """The same for a library of models that a job or a probe has imported since, once."""
    if "torch" in sys.modules and not _frozen_later.is_set():
        _frozen_later.set()
        gc.collect()
        gc.freeze()


_frozen_later = threading.Event()


def _end_quietly() -> None:
    """With torch loaded, DuckDB 2.0's bindings report leaks all the same, a page of text on the C level's standard error
    after the last of ours: nothing else is said there that late."""
    if "torch" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def store_path() -> Path:
    """The store chosen in this session, else the one the server was started with."""
    chosen = st.session_state.get(STORE_KEY)
    return Path(chosen) if chosen else settings.configured_store()


def choose_store(path: Path | str) -> None:
    """Look at another store from now on, in this session only; what was seen of the one before is forgotten. Raises UserError
    for what is no path, and for a visitor's that is not served."""
    chosen = _resolved(path) if roles.is_owner() else _served(str(path))
    if chosen is None:
        raise UserError("No such store is served here." if not roles.is_owner() else "This is not a path.")
    if roles.is_owner():
        _chosen_here().add(chosen)
    st.session_state[STORE_KEY] = str(chosen)
    for key in (LAST_FEATURE, LIST_PARAMS, TRAIL):
        st.session_state.pop(key, None)


def chosen_store() -> str | None:
    """The store chosen in this session, where it is another than the server's own."""
    chosen = st.session_state.get(STORE_KEY)
    return chosen if chosen and Path(chosen) != settings.configured_store().resolve() else None


def served_stores() -> list[Path]:
    """What visitors may open: the stores named when the app was served, and those of the stores folder if its owner said so."""
    folder = found_stores() if settings.is_set(settings.ENV_ALL_STORES) else []
    return [settings.configured_store(), *settings.other_stores(), *folder]


def _served(named: str) -> Path | None:
    """The served store of that path. The file system is not asked: it would tell which paths exist."""
    return next(
        (path.resolve() for path in served_stores() if named in (str(path), str(path.resolve()))), None
    )


def _resolved(path: Path | str) -> Path | None:
    try:
        return expanded(path).resolve()
    except (OSError, RuntimeError, ValueError):  # nobody's home, too long, a null
        return None


@st.cache_resource(show_spinner=False)
def _chosen_here() -> set[Path]:
    """Stores that somebody chose since the server was started."""
    return set()


def follow_address() -> bool:
    """Look at the store that the address names, if any; whether it is another than before. Only at one that was chosen here, or
    is in the usual folder: else whoever sends a link could have any folder opened."""
    named = st.query_params.get(STORE_PARAM, "").strip()
    if not named:
        return False
    path = _resolved(named) if roles.is_owner() else _served(named)
    if path is not None and path == store_path().resolve():
        return False
    known = {*served_stores(), *found_stores(), *_chosen_here()}
    if path is None or (roles.is_owner() and path not in {each.resolve() for each in known}):
        why = "which has not been chosen here. Choose it in Settings to open it."
        st.toast(
            f"The address names the store {plain(named, 200)}, {why if roles.is_owner() else 'which is not served here.'}",
            duration="long",
        )
        return False
    choose_store(path)
    return True


def keep_store_in_address() -> None:
    """Links of Streamlit's own lead to addresses without it."""
    place = {"page": st.session_state.get(PAGE_NOW), "address": st.query_params.to_dict()}
    components.store({"store": chosen_store() or "", **place}, key="store")


def found_stores() -> list[Path]:
    """Stores in the usual folder."""
    folder = settings.stores_folder()
    return sorted(path.parent for path in folder.glob("*/store.json")) if folder.is_dir() else []


@st.cache_resource(show_spinner=False, max_entries=4)
def _open(path: str, _stamp: int) -> Store:
    return Store.open(path)


def open_store() -> Store:
    """The session's store, for who looks; raises `StoreError`."""
    settings.visiting.set(roles.serves_others())
    path = store_path()
    try:
        stamp = (path / "store.json").stat().st_mtime_ns
    except OSError:
        return Store.open(path)  # raises, and says what is wrong
    return _open(str(path), stamp)


def path_to_type(store: Store) -> str:
    """What stands for the store in a command: visitors are not told where it lies."""
    return str(store.path) if roles.is_owner() else "STORE"


def tab_title(*parts: str) -> None:
    """The browser tab's title, the most specific first: `transcoder #12 · demo · autointerp`."""
    st.set_page_config(
        page_title=" · ".join([*(visible(part) for part in parts), store_path().name, "autointerp"])
    )


def heading(text: str, **look: Any) -> None:
    """The page's one heading of the first level, and the tab's title after it; `look` as for `st.title`."""
    tab_title(text)
    st.title(plain(text, 120), anchor=False, **look)


def explain_store_error(error: StoreError) -> None:
    """What is wrong with the store, and what to do."""
    heading("No store" if isinstance(error, StoreMissing) else "This store cannot be read")
    st.error(sentence(error, 2000), icon=":material/database_off:")
    if not roles.is_owner():
        st.markdown("Whoever serves this app can tell you more.")
        return
    if isinstance(error, StoreIncomplete):
        st.markdown("Rerun the command that was building it: it resumes where it stopped.")
    st.markdown("Build the demo store, cache a model of your own, or open another store:")
    cache = "autointerp cache STORE --model MODEL --coder NAME=PATH --text FILES"
    components.commands("make demo", cache, "autointerp serve STORE")
    st.page_link("pages/settings.py", label="Choose another store", icon=":material/settings:")


def file_identity(info: CoderInfo) -> str:
    """Changes whenever a coder's file does."""
    return f"{info.coder}/{info.created}/{info.bytes_on_disk}"


@contextmanager
def messages() -> Iterator[None]:
    """Around what is drawn together, which ends with an error: one that a user can meet becomes a message, anything else is a
    bug and goes its way. Without `st.stop`, after which nothing at all can be drawn: the page's elements come at its end."""
    try:
        with one_look():
            yield
    except StoreError as error:
        explain_store_error(error)
    except UserError as error:
        st.error(sentence(error, 2000))
