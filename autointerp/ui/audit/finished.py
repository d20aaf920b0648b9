"""The end of an audit for one rater: what was done, and what they could not be told before."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from autointerp.audit.progress import by_entry
from autointerp.ratings import Rating
from autointerp.ui.audit import answers, last
from autointerp.ui.audit.answers import Desk
from autointerp.ui.shared import components, keyboard, roles
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import plain


def draw(desk: Desk, ratings: Sequence[Rating]) -> None:
    """Figures, and the ways on."""
    st.success(f"All done, {plain(desk.rater)}: {fmt.plural(len(ratings), 'answer')}. Thank you.")
    components.facts(facts(desk, ratings), key="audit_end")
    with st.container(horizontal=True, gap="small"):
        keyboard.button(
            "Back", "audit_back", "ArrowLeft", "Back to the last item, with your answer", desk.go, (len(desk.entries) - 1,),
            icon=":material/chevron_left:",
        )  # fmt: skip
        if ratings and roles.may_rate():
            keyboard.button(
                "Undo", "audit_undo", "u", "Take your last answer back", answers.undo, (desk, ratings[-1].id)
            )  # fmt: skip
        ended = last.answered(desk, ratings)
        if ended is not None:
            keyboard.button(
                "Last answer", "audit_last", "a", "What your last answer was about", last.open_dialog, (desk, ended.id)
            )  # fmt: skip
        keyboard.button("Report", "audit_report", "r", "Results of the audit", partial(change, view="report"))


def facts(desk: Desk, ratings: Sequence[Rating]) -> list[list[str]]:
    """What the rater is told at the end."""
    given = by_entry(ratings)
    verdicts = {entry: rating.verdict for entry, rating in given.items() if rating.verdict is not None}
    rows = [["Answered", f"{len(given)} of {len(desk.entries)}", ""]]
    controls = [entry for entry in verdicts if desk.audit.items[entry.item].is_control]
    if controls:
        fooled = sum(verdicts[entry] == "correct" for entry in controls)
        explained = "Explanations of other features, mixed in: none of them should be called correct"
        rows.append(["Shuffled explanations called correct", f"{fooled} of {len(controls)}", explained])
    again = [entry for entry in verdicts if entry.round == 1 and entry._replace(round=0) in verdicts]
    if again:
        same = sum(verdicts[entry] == verdicts[entry._replace(round=0)] for entry in again)
        rows.append(
            ["Same verdict when it came back", f"{same} of {len(again)}", "Items that you were shown twice"]
        )
    return rows
