"""Disagreements, settled together: each with what the raters said, the contexts, and a verdict that stands beside theirs."""

from collections.abc import Sequence

import streamlit as st

from autointerp.audit.agreement import GAP
from autointerp.audit.order import Entry
from autointerp.audit.report import Disagreement, disagreements
from autointerp.audit.verdicts import verdicts
from autointerp.errors import UserError
from autointerp.ratings import CONFIDENCES, MAX_NOTE, VERDICTS, Audit, Rating, Verdict
from autointerp.records import new_id
from autointerp.store import Store
from autointerp.ui.audit import contexts
from autointerp.ui.audit.answers import Desk
from autointerp.ui.audit.shelf import shelf
from autointerp.ui.shared import (
    blind,
    components,
    drafts,
    job_strip,
    keyboard,
    lengths,
    long_text,
    person,
    services,
)
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change, current, whole
from autointerp.ui.shared.text import beginning, plain, sentence, visible

MESSAGE = "settle_message"
NOTE = "settle_note"
ALONE = "With a second rater, items on which verdicts differ are listed here, to be settled together."
HOW = (
    "Look at the contexts again, agree on a verdict, and press its key. It counts in place of the raters' own, which are "
    "kept and still determine the agreement."
)


def draw(store: Store, audit: Audit) -> None:
    """The disagreement in the address (`item`, from 1), else the first one that is open."""
    ratings = services.annotations(store).audits.ratings(audit.id)
    raters = list(dict.fromkeys(rating.rater for rating in ratings if rating.role == "rater"))
    if len(raters) < 2:
        st.info(ALONE)
        return
    table = verdicts(audit, ratings, raters)
    rows, hidden = _visible(disagreements(table), audit, ratings)
    if not rows:
        on = " that you have rated too" if hidden else ""
        n = int(((table.codes[~table.control] != GAP).sum(axis=1) > 1).sum())
        st.info(f"No verdicts differ on items{on}; {fmt.plural(n, 'item')} judged by two raters.")
        _hidden(hidden)
        return
    n_settled = sum(row.settled is not None for row in rows)
    st.caption(
        f"{fmt.plural(len(rows), 'item')} with different verdicts, {fmt.count(n_settled)} settled. {HOW}"
    )
    _hidden(hidden)
    _one(store, audit, rows, _place(rows), ratings)


def _visible(
    rows: Sequence[Disagreement], audit: Audit, ratings: Sequence[Rating]
) -> tuple[list[Disagreement], int]:
    """In the order of items, and how many are left out: those that this person is still to rate, blind."""
    rater = person.name()
    rows = sorted(rows, key=lambda row: row.item)
    if not blind.left(audit, rater, ratings):
        return rows, 0
    done = [row for row in rows if rater in row.verdicts]
    return done, len(rows) - len(done)


def _hidden(n: int) -> None:
    if n:
        st.info(f"{fmt.plural(n, 'more item')} that you have not rated yet will be listed once you have.")


def _place(rows: Sequence[Disagreement]) -> int:
    """Where the item in the address is, else the first open one that decides what is right, else the first open one."""
    number = whole(current().get("item"))
    for at, row in enumerate(rows):
        if number is not None and row.item + 1 == number:
            return at
    places = range(len(rows))
    return min(places, key=lambda at: (rows[at].settled is not None, not rows[at].matters, at))


def _list(rows: Sequence[Disagreement], audit: Audit) -> None:
    columns = [
        {"title": "Item", "kind": "link", "num": True},
        {"title": "Explanation", "kind": "explanation"},
        {"title": "Verdicts"},
        {"title": "Settled", "cls": "name"},
    ]
    data = [
        {
            "go": {"audit": audit.id, "view": "settle", "item": row.item + 1},
            "cells": [
                fmt.count(row.item + 1), {"text": beginning(audit.items[row.item].text, 300), "marks": [], "help": ""},
                visible(", ".join(f"{rater}: {_label(verdict)}" for rater, verdict in row.verdicts.items())),
                _label(row.settled) if row.settled else fmt.NONE,
            ],
        }
        for row in rows
    ]  # fmt: skip
    clicked = components.table({"columns": columns, "rows": data, "page": "audit"}, key="settle_list")
    if clicked:
        _go(int(clicked["item"]) - 1)
        st.rerun()  # closes the dialog


def _label(verdict: Verdict | None) -> str:
    return VERDICTS[verdict].label if verdict else fmt.NONE


def _one(
    store: Store, audit: Audit, rows: Sequence[Disagreement], at: int, ratings: Sequence[Rating]
) -> None:
    row, item = rows[at], audit.items[rows[at].item]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for name, key, to in (("Back", "ArrowLeft", at - 1), ("Next", "ArrowRight", at + 1)):
            inside = 0 <= to < len(rows)
            keyboard.button(
                name, f"settle_{name.lower()}", key, f"The disagreement {'before' if to < at else 'after'} this one", _go,
                (rows[to].item if inside else row.item,), disabled=not inside,
            )  # fmt: skip
        if keyboard.button("List", "settle_all", "l", "All disagreements"):
            st.dialog(f"All {fmt.plural(len(rows), 'disagreement')}", width="large")(_list)(rows, audit)
        st.caption(f"{at + 1:,} of {len(rows):,}")
    st.markdown(f"#### {plain(item.text, 2000)}")
    long_text.offer(item.text, f"item_{row.item + 1}")
    _originals(row, ratings)
    said = st.session_state.get(MESSAGE)
    with st.container():
        if said:
            st.warning(sentence(said, 600))
    standing = next(
        (rating for rating in ratings if rating.role == "adjudicator" and rating.item == row.item), None
    )
    if standing is not None:
        note = f" “{plain(standing.note, 400)}”" if standing.note else ""
        st.caption(
            f"Settled by {plain(standing.rater, 60)} as “{_label(standing.verdict)}”, {fmt.minute(standing.created)} UTC.{note}"
        )
    if job_strip.writable(store):
        _verdicts(store, audit, rows, at, standing)
    desk = Desk(store, audit, person.name(), (Entry(item.i, 0, "verdict"),))
    try:
        shown = shelf().get(services.resources(store), audit, desk.entries[0])
    except UserError as error:
        st.warning(sentence(error, 600))
        return
    contexts.draw(desk, desk.entries[0], shown)


def _originals(row: Disagreement, ratings: Sequence[Rating]) -> None:
    columns = [
        {"title": "Rater", "cls": "name"},
        {"title": "Verdict", "cls": "name"},
        {"title": "Confidence"},
        {"title": "Note"},
    ]
    own = {rating.rater: rating for rating in ratings if _is_of(rating, row)}
    cells = []
    for rater, verdict in row.verdicts.items():
        given = own[rater]
        note = ", ".join(filter(None, (given.note, *given.tags)))
        sure = CONFIDENCES[given.confidence] if given.confidence else fmt.NONE
        cells.append(
            {"cells": [visible(rater), _label(verdict), sure, beginning(note, MAX_NOTE) or fmt.NONE]}
        )
    components.table({"columns": columns, "rows": cells, "page": ""}, key="settle_originals")


def _is_of(rating: Rating, row: Disagreement) -> bool:
    return (rating.item, rating.task, rating.round, rating.role) == (row.item, "verdict", 0, "rater")


def _verdicts(
    store: Store, audit: Audit, rows: Sequence[Disagreement], at: int, standing: Rating | None
) -> None:
    row = rows[at]
    if not person.name():
        with st.container(width=320):
            person.field("Settled by")
        st.caption("Your name is kept with what you settle; press Enter to begin.")
        return
    note_key = f"{NOTE}_{audit.id}_{row.item}"
    note = st.text_input(
        "Note", placeholder="Why, if it needs saying; write it before the verdict", label_visibility="collapsed",
        **drafts.kept(note_key, standing.note if standing else "", typed=str),
    )  # fmt: skip
    lengths.say("The note", (note or "").strip(), MAX_NOTE)
    with st.container(horizontal=True, gap="small"):
        for verdict, kind in VERDICTS.items():
            chosen = row.settled == verdict
            keyboard.button(
                kind.label, f"settle_{row.item}_{verdict}", kind.key, f"{kind.label}: {kind.help}", _settle,
                (store, audit, rows, at, verdict, standing, note_key, new_id()), icon=":material/check:" if chosen else None,
                help=kind.help,
            )  # fmt: skip
        if standing is not None:
            keyboard.button(
                "Take back", "settle_undo", "u", "Open this disagreement again", _take_back, (store, standing),
                type="tertiary",
            )  # fmt: skip


def _go(item: int) -> None:
    st.session_state.pop(MESSAGE, None)
    change(item=item + 1, wide=None, **{f"more_{group}": None for group in contexts.TITLES})


def _settle(
    store: Store, audit: Audit, rows: Sequence[Disagreement], at: int, verdict: Verdict, standing: Rating | None, note_key: str,
    id: str,
) -> None:  # fmt: skip
    """Store it at once and go on to the next open one. Of a button of one item: pressed twice, before the page has moved on, it
    says the same of the same item again, under the same `id`."""
    row, note = rows[at], str(drafts.value(note_key) or "").strip()
    if standing is not None and (standing.verdict, standing.note) == (verdict, note or standing.note):
        return  # pressed twice
    rating = Rating(
        id=id, audit_id=audit.id, item=row.item, rater=person.name(), task="verdict", verdict=verdict, note=note,
        role="adjudicator", revises=standing.id if standing else None,
    )  # fmt: skip
    if not _write(store, rating):
        return
    drafts.used(note_key)
    later = [*rows[at + 1 :], *rows[:at]]
    following = next((each for each in later if each.settled is None), None)
    _go(row.item if following is None else following.item)


def _take_back(store: Store, standing: Rating) -> None:
    back = Rating(
        audit_id=standing.audit_id, item=standing.item, rater=person.name(), task="verdict", role="adjudicator",
        withdrawn=True, revises=standing.id,
    )  # fmt: skip
    _write(store, back)


def _write(store: Store, rating: Rating) -> bool:
    st.session_state.pop(MESSAGE, None)
    try:
        services.annotations(store).audits.rate(rating)
    except UserError as error:
        st.session_state[MESSAGE] = str(error)
        return False
    return True
