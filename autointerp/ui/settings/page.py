"""The Settings page: which store, whether it is whole, what wrote it, and how to look at another."""

import json
import platform
from pathlib import Path

import streamlit as st

import autointerp
from autointerp import settings
from autointerp.errors import StoreError, UserError
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.store.annotations import NEWEST
from autointerp.ui.settings import embedder
from autointerp.ui.shared import (
    components,
    drafts,
    job_strip,
    keyboard,
    llm_settings,
    long_text,
    roles,
    services,
)
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import (
    choose_store,
    found_stores,
    heading,
    open_store,
    served_stores,
    store_path,
)
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import plain, sentence


def draw() -> None:
    """The page."""
    with keyboard.listening():
        _draw()


def _draw() -> None:
    heading("Settings")
    st.subheader("Store", anchor=False)
    _switch()
    store = None
    try:
        store = open_store()
    except StoreError as error:
        st.error(sentence(error, 2000), icon=":material/database_off:")
        if roles.is_owner():
            st.markdown("Build the demo store with `make demo`, or choose another store above.")
    else:
        _integrity(store)
        _files(store)
        _written_by(store)
        _shown(store)
    llm_settings.section()
    embedder.section(store)
    st.subheader("Program", anchor=False)
    components.facts(program_facts(), key="program")


def _switch() -> None:
    current = store_path()
    if not roles.is_owner():
        _among_served(str(current))
        return
    known = list(
        dict.fromkeys([str(current), *(str(path) for path in [*settings.other_stores(), *found_stores()])])
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Store folder", known, index=0, key="store_choice", accept_new_options=True, on_change=_chosen,
            help="Choose a store in data/stores, or type the path of another. The choice applies to this browser "
            "tab and is kept in its address.",
        )  # fmt: skip
    st.caption(
        f"`autointerp serve STORE` sets the store for everyone. Stores listed here are in `{settings.stores_folder()}`."
    )


def _among_served(current: str) -> None:
    """What a visitor may choose, where there is a choice."""
    rates = " They can rate audits." if roles.may_rate() else ""
    st.caption(f"{roles.CANNOT}{rates} Whoever serves it chooses what is shown.")
    known = list(dict.fromkeys([current, *(str(path.resolve()) for path in served_stores())]))
    if len(known) > 1:
        st.selectbox(
            "Store", known, index=0, key="store_choice", on_change=_chosen, format_func=lambda path: Path(path).name
        )  # fmt: skip


def _chosen() -> None:
    chosen = str(st.session_state["store_choice"] or "").strip()
    if not chosen:
        return
    try:
        choose_store(chosen)
    except UserError as error:
        st.toast(str(error))
        return
    drafts.forget()
    change()


def _integrity(store: Store) -> None:
    problems = store.problems()
    if problems:
        st.error(
            "Some files of this store are unusable. Rebuild them; the rest works.",
            icon=":material/error:",
        )
        for problem in problems:
            st.text(problem)
    else:
        st.success(
            f"Complete and readable: {fmt.plural(len(store.coders()), 'coder')}.",
            icon=":material/check_circle:",
        )


def _files(store: Store) -> None:
    corpus = store.path / "corpus"
    total = sum(file.stat().st_size for file in corpus.glob("*") if file.is_file())
    grid = f"{fmt.count(store.n_contexts)} × {store.ctx_len} tokens"
    rows = [
        {"cells": ["corpus", "", grid, fmt.size(total), fmt.minute(store.meta.get("created", "")), "corpus/"]}
    ]
    for info in store.coders():
        entries = f"{fmt.short_count(info.n_activations)} activations"
        size, created = fmt.size(info.bytes_on_disk), fmt.minute(info.created)
        file = f"coders/{info.coder}.duckdb"
        rows.append({"cells": [info.coder, info.hookpoint, entries, size, created, file]})
    columns = [
        {"title": "Part", "cls": "name"},
        {"title": "Hookpoint"},
        {"title": "Contents", "num": True},
        {"title": "Size", "num": True},
        {"title": "Created", "cls": "name", "help": "UTC"},
        {"title": "File", "cls": "path"},
    ]
    components.table({"columns": columns, "rows": rows, "page": "settings", "cls": "files"}, key="files")
    if roles.is_owner():
        st.caption(f"In {plain(str(store.path))}")


def _written_by(store: Store) -> None:
    with st.expander("Provenance: model, corpus and software versions"):
        long_text.code(json.dumps(store.meta, indent=2, ensure_ascii=True, default=str), "store.json")


def _shown(store: Store) -> None:
    """Which version of an explanation stands for a feature on every page, in lists and in exports."""
    if not (roles.is_owner() and job_strip.writable(store)):
        return
    annotations = services.annotations(store)
    rule, names = (
        annotations.shown_by,
        [*(name for name in SCORERS if not SCORERS[name].explanation_free), NEWEST],
    )
    st.selectbox(
        "Version shown for each feature", names, index=names.index(rule) if rule in names else names.index(NEWEST),
        key="shown_by", width=420, on_change=lambda: annotations.show_by(str(st.session_state["shown_by"])),
        format_func=lambda name: "the newest" if name == NEWEST else f"best lower bound: {SCORERS.label(name)}",
        help="The best of the versions scored on held-out examples; where none has such a score, the newest. A pinned version "
        "stays. Kept in the store, for everyone.",
    )  # fmt: skip


def program_facts() -> list[list[str]]:
    """Versions of the program and what it stands on."""
    from importlib.metadata import version

    return [
        ["autointerp", autointerp.__version__, ""],
        ["Python", platform.python_version(), ""],
        *([name, version(name), ""] for name in ("streamlit", "duckdb", "numpy", "torch")),
    ]
