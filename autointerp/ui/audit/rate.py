"""Rating: one explanation after the other, with the contexts to judge it by, and a bar at the foot that says what can be said
about it. What the audit hides (coder, author, scores) is nowhere in what the browser gets before the answer is stored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.audit.order import Entry
from autointerp.audit.progress import Progress, next_after, progress
from autointerp.errors import UserError, too_long
from autointerp.pipeline.explain import MAX_TEXT
from autointerp.ratings import CONFIDENCES, MAX_NAME, MAX_NOTE, VERDICTS, Audit, Rating
from autointerp.sampling import visible_marks
from autointerp.store import Store
from autointerp.ui.audit import answers, contexts, finished, last
from autointerp.ui.audit.answers import Desk
from autointerp.ui.audit.shelf import Shown, shelf
from autointerp.ui.shared import (
    components,
    drafts,
    job_strip,
    keyboard,
    long_text,
    payload,
    person,
    roles,
    services,
)
from autointerp.ui.shared.job_text import duration
from autointerp.ui.shared.state import current, whole
from autointerp.ui.shared.text import beginning, sentence, visible

KEY = "rate"
AHEAD = 2
"""Items that are read while a person looks at this one."""
CONFIDENCE_KEYS = {1: "l", 2: "m", 3: "h"}
READ = {
    "verdict": "Read the contexts: the feature fires on what is orange. Then say below whether the explanation is right.",
    "detection": "Say for each text, going by the explanation alone, whether the feature fires somewhere in it.",
    "fuzzing": "Say for each text whether the marked tokens are those that the explanation describes.",
}
ASK = {
    "verdict": "Is the explanation right?",
    "detection": "Does the feature fire in this text?",
    "fuzzing": "Are the marked tokens what the explanation describes?",
}
HINT = "A verdict is saved at once and brings up the next explanation: set confidence and note first."
LIMITS = {
    name: {"most": most, "says": too_long(what, None, most)}
    for name, what, most in (
        ("note", "The note", MAX_NOTE),
        ("tag", "A tag", MAX_NAME),
        ("text", "The explanation", MAX_TEXT),
    )
}
"""Of what is typed in the bar, with what is said there of a text that is longer, as by the store."""
_ARROWS = {"←": "ArrowLeft", "→": "ArrowRight"}
WHO = (
    "Your ratings are kept under your name. It is asked once and kept in this browser; press Enter to begin."
)


def draw(store: Store, audit: Audit) -> None:
    """The item in the address, else the first one without an answer."""
    rater = person.name()
    if not rater and not roles.may_rate():
        st.info(roles.NO_RATING)
        return
    if not rater:
        st.info(WHO)
        with st.container(width=320):
            said = person.field("Your name")
        if said:  # the browser knew it
            st.rerun()
        return
    ratings = services.annotations(store).audits.ratings(audit.id, rater=rater)
    state = progress(audit, rater, ratings)
    desk = Desk(store, audit, rater, state.entries)
    place = _place(desk, state)
    if place is None:
        finished.draw(desk, ratings)
        last.draw(desk, ratings)
        return
    entry = desk.entries[place]
    resources, problem, shown = services.resources(store), "", None
    try:
        shown = shelf().get(resources, audit, entry)
    except UserError as error:
        problem = str(error)
    _messages(problem)
    if not roles.may_rate():
        st.caption(roles.NO_RATING)
    if not audit.config.get("blind", True):
        last.told(desk, audit.items[entry.item])
    if shown is not None and shown.groups is not None:
        st.caption(READ["verdict"])
        contexts.draw(desk, entry, shown)
    else:
        st.caption(READ[entry.task])
    _bar(desk, ratings, state, place, shown)
    long_text.offer(desk.audit.items[entry.item].text, f"item_{place + 1}")
    last.draw(desk, ratings)
    shelf().ahead(resources, audit, [desk.entries[at] for at in _next(desk, ratings, place)])


def _place(desk: Desk, state: Progress) -> int | None:
    """Where the person is in their order, from 0; `None` at its end."""
    asked = whole(current().get("entry"))
    if asked is not None and 1 <= asked <= len(desk.entries):
        return asked - 1
    return state.position


def _next(desk: Desk, ratings: Sequence[Rating], place: int) -> list[int]:
    """The places that come next without an answer."""
    given = {(rating.item, rating.round, rating.task) for rating in ratings}
    after = [*range(place + 1, len(desk.entries)), *range(place)]
    asked = (at for at in after if tuple(desk.entries[at]) not in given)
    return [at for at, _ in zip(asked, range(AHEAD), strict=False)]


def _messages(problem: str) -> None:
    said = st.session_state.get(answers.MESSAGE)
    with st.container():  # a slot: what stands below must stay as it is
        if said:
            st.warning(sentence(said, 800))
        if problem:
            st.warning(sentence(problem, 800))
            st.caption("Skip it (S): the others can still be judged.")


def _bar(desk: Desk, ratings: Sequence[Rating], state: Progress, place: int, shown: Shown | None) -> None:
    data = record(desk, ratings, state, place, shown)
    keyboard.offer((f"{KEY}_{name}", key, says) for name, key, says in _shortcuts(data))
    sent = components.rate(
        data,
        key=KEY,
        on_answer=lambda: _received(desk, "answer"),
        on_edit=lambda: _received(desk, "edit"),
        on_act=lambda: _acted(desk, ratings),
    )
    # What a browser still held when the server came back is in its first run, where nothing is called back.
    if any([answers.answered(desk, sent.answer), answers.corrected(desk, sent.edit)]):
        st.rerun()


def _received(desk: Desk, what: str) -> None:
    sent = components.triggered(KEY, what)
    answers.answered(desk, sent) if what == "answer" else answers.corrected(desk, sent)


def _acted(desk: Desk, ratings: Sequence[Rating]) -> None:
    """A way on was chosen, by a click or a key."""
    sent = components.triggered(KEY, "act")
    if not isinstance(sent, dict) or not isinstance(sent.get("place"), int):
        return
    place, about = sent["place"], str(sent.get("about") or "")
    st.session_state.pop(answers.MESSAGE, None)
    match sent.get("act"):
        case "back":
            desk.go(max(0, place - 1))
        case "next":
            desk.go(place + 1 if place + 1 < len(desk.entries) else None)
        case "on":
            desk.go(next_after(desk.entries, desk.ratings(), place))
        case "undo":
            answers.undo(desk, about)
        case "last":
            last.open_dialog(desk, about)
        case _:
            pass


# What the bar draws ----------------------------------------------------------------------------


def record(
    desk: Desk, ratings: Sequence[Rating], state: Progress, place: int, shown: Shown | None
) -> dict[str, Any]:
    """Everything that the bar draws: nothing in it tells what the audit hides."""
    entry = desk.entries[place]
    item = desk.audit.items[entry.item]
    here = next((each for each in ratings if (each.item, each.round, each.task) == tuple(entry)), None)
    edit, writable, may_rate = (
        answers.correction(desk, item),
        job_strip.writable(desk.store),
        roles.may_rate(),
    )
    latest, ended = ratings[-1].id if ratings else "", last.answered(desk, ratings)
    ids = [answers.next_id(desk, entry, here.id if here else None, kind) for kind in ("answer", "edit")]
    heard, heard_edit = answers.heard(answers.HEARD), answers.heard(answers.HEARD_EDIT)
    plan = shown.plan if shown else None
    data: dict[str, Any] = {
        "rev": repr((desk.audit.id, desk.rater, place, ids, latest, heard.refused, shown is None, may_rate)),
        "slot": f"rating {drafts.slot(desk.audit.id)} {desk.rater}",
        "place": place,
        "entry": entry._asdict(),
        "id": ids[0],
        "edit_id": ids[1],
        "revises": here.id if here else None,
        "heard": heard.id,
        "refused": heard.refused,
        "heard_edit": heard_edit.id,
        "refused_edit": heard_edit.refused,
        "revealed": last.revealed(desk),
        "last": latest,
        "ended": ended.id if ended else "",
        "writable": may_rate and shown is not None,
        "can_skip": may_rate,
        "can_edit": writable and shown is not None,
        "text": beginning(item.text),
        "corrected": "" if edit is None else f"Corrected by you: {beginning(edit.text)}",
        "progress": _progress(desk, state, place),
        "ways": _ways(place, may_rate, bool(ratings), ended is not None),
        "ask": ASK[entry.task],
        "hint": HINT,
        "verdicts": [
            {"name": name, "key": kind.key, "label": kind.label, "help": kind.help}
            for name, kind in VERDICTS.items()
        ],
        "confidences": [
            [value, CONFIDENCE_KEYS[value].upper(), label] for value, label in CONFIDENCES.items()
        ],
        "tags": sorted({tag for rating in ratings for tag in rating.tags}),
        "limits": LIMITS,
        "standing": _standing(here or _undone(entry)),
        "questions": None,
    }
    if plan is not None and shown is not None:
        table = payload.token_table(desk.store)
        rows = []
        for item_ in plan.items:
            ids_ = item_.window.example.token_ids.tolist()
            marks = (
                {} if item_.marks is None else {"mk": sorted(visible_marks(table.decode(ids_), item_.marks))}
            )
            rows.append({"t": table.row(ids_), **marks})
        data["questions"] = {
            "plan": shown.plan_id,
            "ask": ASK[entry.task],
            "rows": rows,
            "table": table.entries,
        }
    return data


def _undone(entry: Entry) -> Rating | None:
    """What was taken back: all that was said with the verdict stands there again."""
    undone: Rating | None = st.session_state.get(answers.UNDONE)
    if undone is None or (undone.item, undone.round, undone.task) != tuple(entry):
        return None
    return replace(undone, verdict=None)


def _standing(rating: Rating | None) -> dict[str, Any] | None:
    if rating is None:
        return None
    standing: dict[str, Any] = {
        "verdict": rating.verdict,
        "confidence": rating.confidence,
        "note": beginning(rating.note, MAX_NOTE),
        "tags": visible(", ".join(rating.tags)),
    }
    if rating.judged:
        standing["answers"] = [each.answer for each in rating.judged]
    return standing


def _progress(desk: Desk, state: Progress, place: int) -> dict[str, Any]:
    parts = [f"{state.done:,} done"]
    if state.skipped:
        parts.append(f"{state.skipped:,} skipped")
    if state.seconds is not None:
        parts.append(f"{duration(state.seconds)} each")
    if state.seconds_left:
        parts.append(f"about {duration(state.seconds_left)} left")
    return {
        "share": state.done / max(1, len(desk.entries)),
        "place": f"{place + 1:,} of {len(desk.entries):,}",
        "pace": " · ".join(["", *parts]).strip(),
    }


def _ways(place: int, writable: bool, any_given: bool, has_last: bool) -> list[list[Any]]:
    """Name, key, label, meaning, and whether it is open."""
    return [
        ["back", "←", "Back", "The previous item, with your answer", place > 0],
        ["next", "→", "Next", "The next item, leaving this one unanswered", True],
        ["skip", "S", "Skip", "Not now: it comes again at the end", writable],
        ["undo", "U", "Undo", "Take your last answer back", any_given and writable],
        ["last", "A", "Last answer", "What your last answer was about: coder, author, scores", has_last],
    ]


def _shortcuts(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, key and line in the sheet of all that the bar hears."""
    ways = [
        (
            name,
            _ARROWS.get(key) or key.lower(),
            f"{label}: {help_[0].lower()}{help_[1:]}",
        )
        for name, key, label, help_, _ in data["ways"]
    ]
    edit = ("edit", "e", "Correct the explanation: a new version by you")
    if data["entry"]["task"] != "verdict":
        yes_no = [("yes", "y", "Yes, next"), ("no", "n", "No, next"), ("done", "d", "Save the answers")]
        steps = {
            "back": "The question before; from the first one, the item before",
            "next": "The next question",
        }
        return [*yes_no, *((name, key, steps.get(name, says)) for name, key, says in ways), edit]
    verdicts = [(each["name"], each["key"], f"{each['label']}: {each['help']}") for each in data["verdicts"]]
    confident = [
        (f"confidence_{value}", key.lower(), f"Confidence: {label.lower()}")
        for value, key, label in data["confidences"]
    ]
    return [*verdicts, *confident, ("note", "n", "Write a note"), ("tags", "t", "Write tags"), *ways, edit]
