"""The subject model behind the pages: one prober per process and store, and what it does on a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from autointerp.probe import MAX_TOKENS, Prober, ProbeResult
from autointerp.store import Store
from autointerp.types import Progress
from autointerp.ui.shared import roles
from autointerp.ui.shared.session import file_identity, freeze_later_imports
from autointerp.ui.shared.text import plain

MAX_CHARS = 4000
"""Of a typed text; it has to fit into an address."""


@dataclass(frozen=True)
class Probed:
    """`failed`: why coders were left out, by coder; a coder is in either."""

    result: ProbeResult
    failed: dict[str, str]


def prober(store: Store) -> Prober:
    """The prober of this store."""
    return _prober(str(store.path), str(store.meta.get("created")), store)


@st.cache_resource(show_spinner=False, max_entries=2)
def _prober(path: str, created: str, _store: Store) -> Prober:
    return Prober(_store)


def run(store: Store, text: str, coders: Sequence[str]) -> Probed:
    """What `coders` do on `text`. Raises UserError when nothing can be run; a spinner says so while the model is loaded."""
    probe = prober(store)
    failed: dict[str, str] = {}
    with roles.turn():
        if not probe.ready(coders):
            failed = _load(store, probe, coders)
        usable = [name for name in coders if name not in failed]
        files = tuple(file_identity(store.coder(name).info) for name in usable)
        return Probed(_run(str(store.path), files, text[:MAX_CHARS], probe, usable), failed)


def _load(store: Store, probe: Prober, coders: Sequence[str]) -> dict[str, str]:
    name = plain(str(store.meta["model"]["name"]).rsplit("/", 1)[-1], 60)
    slot = st.empty()
    with (
        slot.container(),
        st.spinner(f"Loading {name} and its coders (once per server)"),
    ):
        stage = st.empty()

        def report(progress: Progress) -> None:
            stage.caption(plain(progress.stage.capitalize(), 120))

        failed = probe.load(coders, progress=report)
    slot.empty()
    freeze_later_imports()
    return {coder: str(error) for coder, error in failed.items()}


@st.cache_resource(show_spinner=False, max_entries=64)
def _run(path: str, files: tuple[str, ...], text: str, _probe: Prober, _coders: Sequence[str]) -> ProbeResult:
    return _probe.run(text, _coders, max_tokens=MAX_TOKENS)


def notes(result: ProbeResult) -> list[str]:
    """What happened to the text on its way into the model, as sentences."""
    notes = []
    n = len(result.token_ids) - result.n_added
    if result.cut:
        notes.append(f"Text truncated to its first {n:,} tokens.")
    if len(result.token_ids) > result.ctx_len:
        rows = -(-len(result.token_ids) // result.ctx_len)
        notes.append(
            f"The text is longer than a context ({result.ctx_len} tokens): it was run as {rows} separate contexts, as "
            "documents are when they are cached."
        )
    if result.n_replaced:
        notes.append("Lone surrogates were replaced by U+FFFD.")
    return notes
