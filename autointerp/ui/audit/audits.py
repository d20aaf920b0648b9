"""The list of audits: who made which, who has rated, and how far I am."""

from functools import partial
from typing import Any

import streamlit as st

from autointerp.audit.progress import progress
from autointerp.ratings import TASKS
from autointerp.store import Store
from autointerp.store.annotations.audits import AuditHead
from autointerp.ui.audit import files
from autointerp.ui.shared import components, job_strip, keyboard, person, roles, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import heading
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import visible

WHAT = (
    "An audit asks people whether explanations are right: on a sample drawn for the purpose, blind, one explanation at a "
    "time, by keyboard if you like. It shows what share of them is right and which automatic score can be trusted."
)
COLUMNS: list[dict[str, Any]] = [
    {"title": "Audit", "kind": "link", "cls": "what"},
    {"title": "Asks for", "kind": "text"},
    {"title": "Items", "kind": "text", "num": True},
    {"title": "Raters", "kind": "text"},
    {"title": "You", "kind": "text", "num": True, "help": "Answered by you"},
    {"title": "Made", "kind": "text"},
]


def draw(store: Store) -> None:
    """The list, and the way to a new one."""
    heading("Audit")
    st.caption(WHAT)
    heads = services.annotations(store).audits.all()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if job_strip.writable(store):
            keyboard.button(
                "New audit",
                "new_audit",
                "n",
                "Make an audit",
                partial(change, new=True),
                icon=":material/add:",
            )
            files.take_in(store)
        with st.container(width=240 if roles.may_rate() else "stretch"):
            if roles.may_rate():
                person.field("You rate as")
            else:
                st.caption(roles.NO_RATING)
    files.said(store)
    if not heads:
        st.info("No audits yet." + (" Make the first one." if job_strip.writable(store) else ""))
        return
    rater = person.name()
    rows = [{"go": {"audit": head.id}, "cells": _cells(store, head, rater)} for head in heads]
    clicked = components.table({"columns": COLUMNS, "rows": rows, "page": "audit"}, key="audits")
    if clicked:
        change(audit=str(clicked["audit"]))
        st.rerun()


def _cells(store: Store, head: AuditHead, rater: str) -> list[str]:
    asked = ", ".join(TASKS[task].lower() for task in head.tasks)
    made = f"{head.author}, {fmt.minute(head.created)}"
    raters = ", ".join(head.raters) or fmt.NONE
    shown = (head.name, asked, fmt.count(head.n_items), raters, _mine(store, head, rater), made)
    return [visible(cell) for cell in shown]


def _mine(store: Store, head: AuditHead, rater: str) -> str:
    if rater not in head.raters:
        return fmt.NONE
    table = services.annotations(store).audits
    mine = progress(table.get(head.id), rater, table.ratings(head.id, rater=rater))
    return f"{mine.done:,} of {len(mine.entries):,}"
