"""An audit as a file: to keep, to cite, to hand to another person, and to take in what they answered on another copy of the
store. What `autointerp audit export|import|cite` do."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import streamlit as st

from autointerp.audit.cite import cite_audit
from autointerp.audit.exchange import Imported, export_audit, import_audit
from autointerp.audit.files import write_audit
from autointerp.audit.merging import Conflict, Side
from autointerp.errors import UserError
from autointerp.ratings import TASKS, Audit, says
from autointerp.store import Store
from autointerp.store.table_files import FileFormat
from autointerp.ui.shared import blind, components, person, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import plain, sentence, visible

MIMES = {"jsonl": "application/jsonl", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
_FILE, _TAKEN, _ERROR = "audit_file", "audit_taken", "audit_file_error"
MAX_NAME = 100


# Out of the store ------------------------------------------------------------------------------


def draw(store: Store, audit: Audit, *, hidden: bool) -> None:
    """The audit's line to cite, and its files; `hidden`: they hold what this person must not see yet."""
    try:
        line = cite_audit(audit)
    except UserError as error:
        st.caption(sentence(error, 300))
    else:
        st.caption("To cite this audit")
        st.code(line, language=None, wrap_lines=True)
    if hidden:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("The audit with every answer, for another copy of this store", width="content")
        for file_format in get_args(FileFormat):
            st.download_button(
                {"jsonl": "JSONL", "csv": "CSV", "parquet": "Parquet"}[file_format],
                partial(content, store, audit.id, file_format), f"{store.path.name}-{name_of(audit)}.{file_format}",
                MIMES[file_format], key=f"audit_export_{file_format}", on_click="ignore", icon=":material/download:",
                help="The same file that `autointerp audit export` writes; “Import” on the page of all audits reads it",
            )  # fmt: skip


def content(store: Store, audit_id: str, file_format: FileFormat) -> bytes:
    """The file."""
    return write_audit(export_audit(services.annotations(store), audit_id), file_format)


def name_of(audit: Audit) -> str:
    """In names of files."""
    return f"audit-{audit.id[-6:].lower()}"


# Into the store --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A file that was taken in, and what it came to."""

    name: str
    data: bytes
    holds: Side
    done: Imported


def take_in(store: Store) -> None:
    """The button that asks for a file."""
    with st.popover("Import", icon=":material/upload:"):
        file = st.file_uploader("A file written by Export", type=list(get_args(FileFormat)), key=_FILE)
        st.caption(
            "Nothing here is overwritten: where a rater’s answers differ, both are listed, and you decide."
        )
        st.caption("A larger file: `autointerp audit import STORE FILE`.")
        if file is not None:
            name, data = Path(file.name).name[-MAX_NAME:], file.getvalue()
            st.button(
                "Import this file", key="audit_import", on_click=_take, args=(store, name, data, "here")
            )


def said(store: Store) -> None:
    """What the last file came to, with the answers that differ."""
    error, taken = st.session_state.get(_ERROR), st.session_state.get(_TAKEN)
    if error:
        st.error(plain(error, 600))
    if taken is None:
        return
    done: Imported = taken.done
    parts = [f"{fmt.plural(done.new_ratings, 'answer')} added"]
    if done.known_ratings:
        parts.append(f"{fmt.count(done.known_ratings)} already known")
    if done.missing_explanations:
        lacking = fmt.plural(done.missing_explanations, "item")
        parts.append(f"{lacking} about explanations that this store lacks, whose contexts cannot be shown")
    new = "new here, " if done.is_new else ""
    st.success(
        f"“{plain(done.audit.name, 100)}” from {plain(taken.name, MAX_NAME)}: {new}{', '.join(parts)}."
    )
    _conflicts(store, taken)
    with st.container(horizontal=True, gap="small"):
        st.button("Open this audit", key="audit_taken_open", on_click=_open, args=(done.audit.id,))
        st.button(
            "Close",
            key="audit_taken_close",
            type="tertiary",
            on_click=st.session_state.pop,
            args=(_TAKEN, None),
        )


def _conflicts(store: Store, taken: Taken) -> None:
    conflicts, audit = taken.done.conflicts, taken.done.audit
    if not conflicts:
        return
    if taken.holds == "there":
        n = fmt.plural(len(conflicts), "answer")
        st.info(
            f"For the {n} that differed, the file’s now count; the ones that were here are in the history."
        )
        return
    differ = f"{fmt.plural(len(conflicts), 'answer')} {'differs' if len(conflicts) == 1 else 'differ'} in the file."
    if blind.left(audit, person.name(), services.annotations(store).audits.ratings(audit.id)):
        st.warning(f"{differ} The ones here count; they are listed once you have rated all items.")
        return
    st.warning(f"{differ} The ones here count; the file’s are not imported unless you choose to.")
    columns = [
        {"title": "Item", "num": True}, {"title": "Rater", "cls": "name"}, {"title": "Asked for"}, {"title": "Here"},
        {"title": "In the file"},
    ]  # fmt: skip
    components.table(
        {"columns": columns, "rows": [{"cells": _cells(each)} for each in conflicts], "page": ""},
        key="audit_conflicts",
    )
    st.button(
        "Use the file’s answers", key="audit_overwrite", on_click=_take, args=(store, taken.name, taken.data, "there"),
        help="The ones here stay in the history",
    )  # fmt: skip


def _cells(conflict: Conflict) -> list[str]:
    here, there = conflict.here, conflict.there
    asked = (
        TASKS[here.task]
        + (", again" if here.round else "")
        + (", settled" if here.role == "adjudicator" else "")
    )
    answers = [
        " · ".join(
            filter(None, (says(each), visible(each.note[:200]), f"{each.created[:16].replace('T', ' ')} UTC"))
        )
        for each in (here, there)
    ]
    return [fmt.count(here.item + 1), visible(here.rater), asked, *answers]


def _take(store: Store, name: str, data: bytes, take: Side) -> None:
    st.session_state.pop(_ERROR, None)
    st.session_state.pop(_TAKEN, None)
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        try:
            file.write_bytes(data)
            done = import_audit(services.annotations(store), file, store, take=take)
        except UserError as error:
            st.session_state[_ERROR] = str(error).replace(str(file), name)
        except (OSError, ValueError):  # a name that this machine cannot write
            st.session_state[_ERROR] = f"{name!r} cannot be read here. Give the file a simple name."
        else:
            st.session_state[_TAKEN] = Taken(name, data, take, done)


def _open(audit_id: str) -> None:
    st.session_state.pop(_TAKEN, None)
    change(audit=audit_id)
