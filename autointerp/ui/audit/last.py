"""What the last answer was about: shown only once the answer is stored, and noted with every later answer about the item."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from autointerp.audit.human import human_score
from autointerp.errors import UnknownName, UserError
from autointerp.ratings import TASKS, AuditItem, Rating, says
from autointerp.score.registry import SCORERS
from autointerp.score.summary import Summary
from autointerp.ui.audit import answers, questions
from autointerp.ui.audit.answers import Desk
from autointerp.ui.shared import components, differences, job_strip, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.score_text import interval
from autointerp.ui.shared.text import plain, sentence
from autointerp.ui.shared.versions import Versions

OPEN, REVEALED = "audit_last_open", "audit_revealed"
SHUFFLED = "A control: this text was written for another feature, so it should not fit."


def answered(desk: Desk, ratings: Sequence[Rating]) -> Rating | None:
    """The last answer that ended what is asked about an item: what the audit hides must not be seen between its tasks, nor of
    an item that was skipped."""
    given = [rating for rating in ratings if not rating.skipped]
    n_given = Counter((rating.item, rating.round) for rating in given)
    n_asked = len(desk.audit.tasks)
    return next((each for each in reversed(given) if n_given[each.item, each.round] == n_asked), None)


def open_dialog(desk: Desk, rating_id: str) -> None:
    """Show what this answer was about, in the run that follows, if it is the last one."""
    rating = answered(desk, desk.ratings())
    if rating is not None and rating.id == rating_id:
        st.session_state[OPEN] = rating_id
        seen: dict[Any, set[int]] = st.session_state.setdefault(REVEALED, {})
        seen.setdefault((desk.audit.id, desk.rater), set()).add(rating.item)


def revealed(desk: Desk) -> list[int]:
    """Items of the audit that this session has looked behind."""
    return sorted(st.session_state.get(REVEALED, {}).get((desk.audit.id, desk.rater), ()))


def draw(desk: Desk, ratings: Sequence[Rating]) -> None:
    """The dialog, where it is open: about the last answer alone."""
    wanted = st.session_state.pop(OPEN, None)
    rating = answered(desk, ratings)
    if rating is not None and rating.id == wanted:
        tasks = [
            each for each in ratings if (each.item, each.round) == (rating.item, rating.round) and each.judged
        ]
        st.dialog("Your last answer", width="medium")(_body)(desk, rating, tasks)


def told(desk: Desk, item: AuditItem) -> None:
    """Where the explanation of an item comes from, in a line, for an audit that hides nothing; not that it is a control."""
    scores = ", ".join(
        f"{SCORERS.label(key.split('~')[0])} {fmt.decimal(value, 2)}" for key, value in item.scores.items()
    )
    parts = [f"{item.coder} #{item.latent}", "" if item.is_control else scores]
    st.caption(plain(" · ".join(filter(None, parts)), 400))


def _body(desk: Desk, rating: Rating, tasks: Sequence[Rating]) -> None:
    item = desk.audit.items[rating.item]
    st.markdown(f"“{plain(item.text, 600)}”")
    about = (
        f"{TASKS[rating.task]}: {says(rating)}" if rating.task != "verdict" else f"You said: {says(rating)}"
    )
    st.caption(plain(about) + (f" · {plain(rating.note, 300)}" if rating.note else ""))
    if item.is_control:
        st.info(SHUFFLED)
    address = {"coder": item.coder, "latent": str(item.latent), "version": item.explanation_id}
    st.page_link(
        "pages/feature.py", label=f"{plain(item.coder)} \\#{item.latent}", icon=":material/center_focus_strong:",
        query_params=address,
    )  # fmt: skip
    try:
        _made(desk, rating, item)
        for task in tasks:
            _human(desk, item, task)
    except UserError as error:
        st.warning(sentence(error, 600))


def _made(desk: Desk, rating: Rating, item: AuditItem) -> None:
    """Who wrote the explanation that is this feature's, its scores, and what a correction by the rater came to."""
    annotations = services.annotations(desk.store)
    versions = feature_versions.load(annotations, item.coder, item.latent, item.explanation_id)
    version = versions.find(item.explanation_id)
    if version is None:
        raise UnknownName("explanation", item.explanation_id, [])
    st.caption(plain(" · ".join(feature_versions.author_line(version))))
    if not item.is_control:
        rows = []
        for newest in versions.newest_scores(version):
            if newest.score.status == "ok":
                shown = feature_versions.figures(newest.score)
                name = f"{SCORERS.label(newest.score.scorer)}, {feature_versions.judged_by(newest.score)}"
                rows.append(
                    [name, f"{shown['value']} ({shown['ci']})", f"{shown['reference']}, n {shown['n']}"]
                )
        if rows:
            components.facts(rows, key="audit_scores")
        else:
            st.caption("Not scored.")
    _corrected(desk, rating, item, versions)


def _corrected(desk: Desk, rating: Rating, item: AuditItem, versions: Versions) -> None:
    """The rater's correction against what it was made from."""
    new, old = answers.correction(desk, item), versions.find(item.explanation_id)
    if new is None or old is None:
        return
    st.markdown(f"**Your correction** “{plain(new.text, 600)}”")
    jobs = st.session_state.get(answers.JOBS, {}).get(new.id, [])
    again = partial(
        st.session_state.__setitem__, OPEN, rating.id
    )  # the run that shows the scores shows them here
    job_strip.draw(jobs, on_done=lambda _: again(), key="audit_strip")
    lines, remark = differences.lines(services.resources(desk.store), versions, old, new)
    for line in lines:
        figures = " ".join(filter(None, (line["difference"], f"({line['ci']})" if line["ci"] else "")))
        said = ", ".join(filter(None, (line["n"], line["said"])))
        st.caption(
            f"{plain(line['name'])} ({plain(line['judge'])}): **{plain(figures) or fmt.NONE}** {plain(said)}"
        )
    if remark:
        st.caption(plain(remark))


def _human(desk: Desk, item: AuditItem, rating: Rating) -> None:
    """A judge's task: the score by the answers, and the judge's own on the same examples."""
    made = human_score(services.resources(desk.store), item, rating)
    rows = [
        [
            f"Your score, {TASKS[rating.task].lower()}",
            _figures(made.human),
            "Balanced accuracy of your answers, with its 95 % interval",
        ]
    ]
    if made.judge is not None and made.judged_by is not None:
        by = feature_versions.judged_by(made.judged_by)
        rows.append(["The judge's", _figures(made.judge), f"{by}, on the same examples"])
    if made.both:
        same = made.both[True, True] + made.both[False, False]
        rows.append(
            [
                "Same answer",
                f"{same} of {sum(made.both.values())}",
                "How often you and the judge gave the same answer",
            ]
        )
    components.facts(rows, key=f"audit_human_{rating.task}")
    questions.draw(desk.store, item, rating.task, made.questions)


def _figures(summary: Summary) -> str:
    return f"{fmt.decimal(summary.value, 2)} ({interval(summary.ci_low, summary.ci_high)})"
