"""What the last answer was about: shown only once the answer is stored, and noted with every later answer about the item."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from autointerp.audit.human import human_score
from autointerp.errors import UnknownName, UserError
from autointerp.ratings import TASKS, AuditItem, Rating, says
from autointerp.score.registry import SCORERS
from autointerp.score.summary import Summary
from autointerp.ui.audit import answers
from autointerp.ui.audit.answers import Desk
from autointerp.ui.shared import components, differences, job_strip, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.score_text import interval
from autointerp.ui.shared.text import plain, sentence
from autointerp.ui.shared.versions import Versions

OPEN, REVEALED = "audit_last_open", "audit_revealed"
SHUFFLED = "A control: this text was written for another feature, so it should not fit."


def open_dialog(desk: Desk, rating_id: str) -> None:
    """Show what this answer was about, in the run that follows, if it is the last one."""
    ratings = desk.ratings()
    if ratings and ratings[-1].id == rating_id:
        st.session_state[OPEN] = rating_id
        seen: dict[Any, set[int]] = st.session_state.setdefault(REVEALED, {})
        seen.setdefault((desk.audit.id, desk.rater), set()).add(ratings[-1].item)


def revealed(desk: Desk) -> list[int]:
    """Items of the audit that this session has looked behind."""
    return sorted(st.session_state.get(REVEALED, {}).get((desk.audit.id, desk.rater), ()))


def draw(desk: Desk, ratings: Sequence[Rating]) -> None:
    """The dialog, where it is open: about the last answer alone."""
    wanted = st.session_state.pop(OPEN, None)
    if not ratings or ratings[-1].id != wanted:
        return
    st.dialog("Your last answer", width="medium")(_body)(desk, ratings[-1])


def _body(desk: Desk, rating: Rating) -> None:
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
        _made(desk, item)
        if rating.judged:
            _human(desk, item, rating)
    except UserError as error:
        st.warning(sentence(error, 600))


def _made(desk: Desk, item: AuditItem) -> None:
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
                    [name, f"{shown['value']} ({shown['ci']})", f"floor {shown['floor']}, n {shown['n']}"]
                )
        if rows:
            components.facts(rows, key="audit_scores")
        else:
            st.caption("Not scored.")
    _corrected(desk, item, versions)


def _corrected(desk: Desk, item: AuditItem, versions: Versions) -> None:
    """The rater's correction against what it was made from."""
    new, old = answers.correction(desk, item), versions.find(item.explanation_id)
    if new is None or old is None:
        return
    st.markdown(f"**Your correction** “{plain(new.text, 600)}”")
    job_strip.draw(st.session_state.get(answers.JOBS, {}).get(new.id, []), key="audit_strip")
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
    rows = [["Your score", _figures(made.human), "Balanced accuracy of your answers, with its 95 % interval"]]
    if made.judge is not None and made.judged_by is not None:
        by = feature_versions.judged_by(made.judged_by)
        rows.append(["The judge's", _figures(made.judge), f"{by}, on the same examples"])
    if made.both:
        same = made.both[True, True] + made.both[False, False]
        rows.append(
            [
                "Same answer",
                f"{same} of {sum(made.both.values())}",
                "As often as you and the judge said the same",
            ]
        )
    components.facts(rows, key="audit_human")


def _figures(summary: Summary) -> str:
    return f"{fmt.decimal(summary.value, 2)} ({interval(summary.ci_low, summary.ci_high)})"
