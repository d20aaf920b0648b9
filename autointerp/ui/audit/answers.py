"""What people answer, from the browser into the store. Every answer names itself: one that comes twice, because a key was
pressed twice or the server was killed before it said that it had it, is stored once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import streamlit as st

from autointerp.audit.human import answered as answers_to
from autointerp.audit.order import Entry
from autointerp.audit.progress import next_after
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.explain import written_explanation
from autointerp.ratings import Audit, AuditItem, Rating, says
from autointerp.records import Explanation, new_id
from autointerp.store import Store
from autointerp.store.annotations import NewJob, RatingConflict
from autointerp.ui.audit.shelf import shelf
from autointerp.ui.shared import rescoring, services
from autointerp.ui.shared.state import change

GROUPS = ("random", "top", "quantiles", "non_activating")
LOOKS = ("wide", *(f"more_{group}" for group in GROUPS))
"""What the address says about the contexts of one item."""
HEARD, HEARD_EDIT = "audit_heard", "audit_heard_edit"
MESSAGE = "audit_message"
UNDONE = "audit_undone"
"""The answer that was taken back last: what was written in it stands there again."""
CHANGED = "The questions have changed since they were shown: the judge has been asked again. Please answer them again."
_ID_LENGTH = 26
_MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Heard:
    """The last thing that the browser sent: its id, and whether it was refused."""

    id: str
    refused: bool


@dataclass(frozen=True)
class Desk:
    """One person at one audit. `entries`: in their order."""

    store: Store
    audit: Audit
    rater: str
    entries: Sequence[Entry]

    def ratings(self) -> list[Rating]:
        """Theirs that hold, in order of arrival."""
        return services.annotations(self.store).audits.ratings(self.audit.id, rater=self.rater)

    def place(self, rating: Rating) -> int | None:
        """Where a rating's question stands in their order."""
        asked = (rating.item, rating.round, rating.task)
        return next(
            (at for at, entry in enumerate(self.entries) if (entry.item, entry.round, entry.task) == asked),
            None,
        )

    def go(self, place: int | None) -> None:
        """Show the question at this place of their order; `None`: the first without an answer."""
        change(**dict.fromkeys(LOOKS), entry=None if place is None else place + 1)


def answered(desk: Desk, sent: Any) -> bool:
    """Store an answer and go on. False where it was heard before, or is none."""
    if not isinstance(sent, dict) or _id(sent) is None or _was_heard(HEARD, sent):
        return False
    try:
        rating = _rating(desk, sent)
        services.ratings(desk.store).rate(rating)
    except RatingConflict as conflict:
        _note(HEARD, sent, UserError(_standing(conflict.standing)))
        desk.go(desk.place(conflict.standing))  # where the other answer is in sight, and what was typed here
        return True
    except UserError as error:
        _note(HEARD, sent, error)
        return True
    _note(HEARD, sent, None)
    st.session_state.pop(UNDONE, None)
    at = desk.place(rating)
    if at is not None:
        desk.go(next_after(desk.entries, desk.ratings(), at))
    return True


def _standing(rating: Rating) -> str:
    return (
        f"You have answered this already, in another window: {says(rating)}, at {rating.created[11:19]} UTC. That answer "
        "stands; what you typed here is kept. Answer again to replace it."
    )


def _rating(desk: Desk, sent: Mapping[str, Any]) -> Rating:
    """What the browser sent as a rating. Nothing in it is trusted. Raises UserError."""
    entry = next(
        (
            entry
            for entry in desk.entries
            if (entry.item, entry.round, entry.task)
            == (sent.get("item"), sent.get("round"), sent.get("task"))
        ),
        None,
    )
    if entry is None:
        raise UserError("This audit does not ask that. Reload the page.")
    skipped = sent.get("skipped") is True
    judged = () if skipped or entry.task == "verdict" else _judged(desk, entry, sent)
    seconds, confidence, revises = sent.get("seconds"), sent.get("confidence"), sent.get("revises")
    tags = dict.fromkeys(tag.strip() for tag in str(sent.get("tags") or "").split(","))
    return Rating(
        id=str(sent["id"]),
        audit_id=desk.audit.id,
        item=entry.item,
        rater=desk.rater,
        task=entry.task,
        round=entry.round,
        verdict=sent.get("verdict") if not skipped and entry.task == "verdict" else None,
        confidence=confidence if isinstance(confidence, int) and not skipped else None,
        note=str(sent.get("note") or "").strip(),
        tags=tuple(tag for tag in tags if tag),
        skipped=skipped,
        revises=str(revises) if revises else None,
        revealed=sent.get("revealed") is True,
        judged=judged,
        seconds=min(float(seconds), _MAX_SECONDS) if isinstance(seconds, int | float) and isfinite(seconds) else None,
    )  # fmt: skip


def _judged(desk: Desk, entry: Entry, sent: Mapping[str, Any]) -> tuple[Any, ...]:
    shown = shelf().get(services.resources(desk.store), desk.audit, entry)
    said = sent.get("answers")
    if shown.plan is None or sent.get("plan") != shown.plan_id:
        raise UserError(CHANGED)
    if (
        not isinstance(said, list)
        or len(said) != len(shown.plan.items)
        or not all(isinstance(yes, bool) for yes in said)
    ):
        raise UserError("Answer every question first.")
    return answers_to(shown.plan, said)


def undo(desk: Desk, rating_id: str) -> None:
    """Take the last answer back, and show its question. Only where it still is the last one: a key pressed twice takes back
    one answer."""
    ratings = desk.ratings()
    if not ratings or ratings[-1].id != rating_id:
        return
    last = ratings[-1]
    back = Rating(
        audit_id=last.audit_id, item=last.item, rater=last.rater, task=last.task, round=last.round, withdrawn=True,
        revises=last.id,
    )  # fmt: skip
    try:
        services.ratings(desk.store).rate(back)
    except UserError as error:
        st.session_state[MESSAGE] = str(error)
        return
    st.session_state[UNDONE] = last
    desk.go(desk.place(last))


# Corrections -----------------------------------------------------------------------------------


def corrected(desk: Desk, sent: Any) -> bool:
    """Store a person's own text as a new version, and score it as the one before was scored. False where it was heard before,
    or is none."""
    if not isinstance(sent, dict) or _id(sent) is None or _was_heard(HEARD_EDIT, sent):
        return False
    error = None
    try:
        _correct(desk, sent)
    except UserError as problem:
        error = problem
    _note(HEARD_EDIT, sent, error)
    return True


def _correct(desk: Desk, sent: Mapping[str, Any]) -> None:
    store, annotations, runner = desk.store, services.annotations(desk.store), services.runner(desk.store)
    number = sent.get("item")
    if runner is None or not isinstance(number, int) or not 0 <= number < len(desk.audit.items):
        raise UserError("This cannot be corrected here.")
    item, text = desk.audit.items[number], str(sent.get("text") or "")
    if text.strip() == item.text.strip():
        raise UserError("The text is unchanged.")
    try:
        annotations.explanation(str(sent["id"]))
    except UnknownName:
        pass
    else:
        return  # this very correction came before
    parent = parent_of(item)
    written = written_explanation(store, item.coder, item.latent, text, author=desk.rater, parent=parent)
    written = replace(written, id=str(sent["id"]))
    before = [
        score
        for score in annotations.scores_of_latent(item.coder, item.latent)
        if score.explanation_id == parent
    ]
    scores = rescoring.as_scored(before) or rescoring.default_scores(store)
    jobs, _ = rescoring.score_jobs(store, item.coder, [written.id], scores)
    for job in runner.submit_all([NewJob(**job, priority=1) for job in jobs], [written]):
        st.session_state.setdefault(JOBS, {}).setdefault(written.id, []).append(job.id)


JOBS = "audit_jobs"
"""Jobs that score corrections of this session, by the correction's id."""


def parent_of(item: AuditItem) -> str | None:
    """The version that a correction is made from: none where the text is another feature's."""
    return None if item.is_control else item.explanation_id


def correction(desk: Desk, item: AuditItem) -> Explanation | None:
    """The newest version that this rater made from the item; `None` without one."""
    versions = services.annotations(desk.store).explanations(item.coder, item.latent, failed=False)
    return next(
        (
            version
            for version in versions
            if (version.parent, version.author) == (parent_of(item), desk.rater)
            and version.explainer == "person"
            and version.created >= desk.audit.created
        ),
        None,
    )


# What was heard --------------------------------------------------------------------------------


def heard(name: str) -> Heard:
    return st.session_state.get(name, Heard("", False))


def next_id(desk: Desk, entry: Entry, standing: str | None, kind: str) -> str:
    """The id of the answer that is given to what is shown now: the same until it is given."""
    ids: dict[Any, str] = st.session_state.setdefault("audit_ids", {})
    key = (desk.audit.id, desk.rater, entry, standing, kind)
    if key not in ids or ids[key] == heard(HEARD if kind == "answer" else HEARD_EDIT).id:
        ids[key] = new_id()
    return ids[key]


def _was_heard(name: str, sent: Mapping[str, Any]) -> bool:
    return heard(name).id == sent["id"]


def _note(name: str, sent: Mapping[str, Any], error: UserError | None) -> None:
    st.session_state[name] = Heard(str(sent["id"]), error is not None)
    if error is not None:
        st.session_state[MESSAGE] = str(error)
    else:
        st.session_state.pop(MESSAGE, None)


def _id(sent: Mapping[str, Any]) -> str | None:
    name = sent.get("id")
    return name if isinstance(name, str) and len(name) == _ID_LENGTH and name.isalnum() else None
