"""What came out of an audit: in sentences, then in plots and tables, each with its numbers."""

import csv
import io
import json
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from autointerp.audit.agreement import GAP
from autointerp.audit.document import document, item_table
from autointerp.audit.findings import MIN_JUDGED, NOTES, findings, score_name
from autointerp.audit.report import RIGHT, Report, report
from autointerp.pipeline.resources import Resources
from autointerp.ratings import VERDICTS, Audit, Verdict
from autointerp.store import Store, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.ui.audit import files, report_charts, report_tables
from autointerp.ui.shared import blind, charts, person, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import bound, change, choice, choose, current, whole
from autointerp.ui.shared.text import plain

N_ROWS, MOST = 5, 200
"""Items in a list: at first, and at most."""


def draw(store: Store, audit: Audit) -> None:
    """The view."""
    annotations = services.annotations(store)
    ratings = annotations.audits.ratings(audit.id)
    raters = list(dict.fromkeys(rating.rater for rating in ratings if rating.role == "rater"))
    if not raters:
        st.info("No ratings yet. Results appear here from the first verdict on.")
        files.draw(store, audit, hidden=False)
        return
    chosen, right = _choices(raters)
    coders = dict.fromkeys(stratum.coder for stratum in audit.strata)
    versions = tuple(annotations.version(coder) for coder in coders)  # an answer is a new one too
    made = _kept(str(store.path), audit.id, versions, tuple(chosen), tuple(right), services.resources(store))
    names = _names(annotations, made)
    _say(made, names)
    waiting = blind.left(audit, person.name(), ratings)
    if made.n_rated:
        _figures(store, made, names, waiting)
    st.caption(NOTES)
    if waiting:
        st.info(
            f"You have {fmt.plural(waiting, 'answer')} left to give. Until then single items, and the files that hold them, "
            "are not shown here: they reveal what others think."
        )
    _save(store, made, whole=not waiting)
    files.draw(store, audit, hidden=bool(waiting))


def _figures(store: Store, made: Report, names: dict[str, str], waiting: int) -> None:
    image = _image()
    pair = _pair(made)
    of_pair, counts = made.pair(*pair) if pair else (None, None)
    left, right_column = st.columns(2, gap="medium")
    with left:
        _shares(store, made, image)
    with right_column:
        if pair is not None and counts is not None:
            charts.draw(report_charts.confusion(pair, counts), "audit_confusion", image)
            _choose_pair(made, pair)
        else:
            st.caption("Once there is a second rater, their verdicts are compared here.")
    report_tables.parts(made)
    report_tables.raters(made)
    report_tables.agreements(made, pair, of_pair)
    if made.calibrations or made.human_calibrations:
        _calibration(made, names, image, hidden=waiting > 0)


def _choices(raters: Sequence[str]) -> tuple[list[str], list[Verdict]]:
    """Whose verdicts, and which count as right, as the address says; the controls stand here."""
    params = current()
    asked = params.get("raters")
    wanted = raters if asked is None else [rater for rater in raters if rater in asked.split("|")] or raters
    known: list[Verdict] = [verdict for verdict, kind in VERDICTS.items() if kind.grade is not None]
    said = (params.get("right") or "").split(",")
    right: list[Verdict] = [verdict for verdict in known if verdict in said] or list(RIGHT)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if len(raters) > 1:
            st.pills(
                "Raters", raters, selection_mode="multi", format_func=lambda name: plain(name, 40), wrap=True,
                **bound("raters", list(wanted), list(raters), encode=_encoder(raters, "|"), firm=True),
            )  # fmt: skip
        st.pills(
            "Counts as right", known, selection_mode="multi", format_func=lambda verdict: VERDICTS[verdict].label, wrap=True,
            help="Verdicts that make an explanation count as right in every figure below",
            **bound("right", right, list(RIGHT), encode=_encoder(list(RIGHT), ","), firm=True),
        )  # fmt: skip
    return list(wanted), right


def _encoder(usual: Sequence[str], joined: str) -> Callable[[Sequence[str]], str | None]:
    return lambda picked: None if not picked or list(picked) == list(usual) else joined.join(picked)


@st.cache_resource(show_spinner=False, max_entries=64)
def _kept(
    path: str, audit_id: str, versions: tuple, raters: tuple[str, ...], right: tuple[Verdict, ...], _resources: Resources
) -> Report:  # fmt: skip
    return report(_resources, audit_id, raters=raters, right=right)


def _names(annotations: Annotations, made: Report) -> dict[str, str]:
    """What the kinds of scores are called here; kinds that this store lacks by what their key says."""
    coders = dict.fromkeys(item.coder for item in made.audit.items)
    kinds = annotated_store(annotations).kinds(coders, score_text.order)
    known = {kind.key: score_text.name(kind, kinds) for kind in kinds}
    return {key: known.get(key) or score_name(key) for key in made.calibrations}


def _say(made: Report, names: dict[str, str]) -> None:
    first, *rest = findings(made, names.__getitem__)
    st.markdown(f"**{plain(first, 2000)}**")
    if rest:
        st.markdown("\n".join(f"- {plain(text, 2000)}" for text in rest))


def _shares(store: Store, made: Report, image: str) -> None:
    drawn = [part for part in made.parts if part.share.n >= MIN_JUDGED]
    if not drawn:
        st.caption(f"Shares are plotted once {MIN_JUDGED} items are judged.")
        return
    colours = {info.coder: charts.colour(place) for place, info in enumerate(store.coders())}
    controls = sum(each.controls for each in made.raters)
    fooled = sum(each.controls_right for each in made.raters) / controls if controls else None
    figure = report_charts.shares(drawn, [report_tables.part_name(part) for part in drawn], colours, fooled)
    charts.draw(figure, "audit_shares", image)
    line = f" Dotted: how often controls were called right ({controls} verdicts)." if controls else ""
    st.caption(f"Bars: 95 % intervals.{line}")


def _pair(made: Report) -> tuple[str, str] | None:
    """The two raters in the address, else the two who share most items."""
    raters = made.table.raters
    if len(raters) < 2:
        return None
    a, b = current().get("first"), current().get("second")
    if a in raters and b in raters and a != b:
        return str(a), str(b)
    given = (made.table.codes[~made.table.control] != GAP).astype(int)
    shared = np.triu(given.T @ given, 1)  # items by two raters
    at, other = np.unravel_index(int(shared.argmax()), shared.shape) if shared.any() else (0, 1)
    return raters[at], raters[other]


def _choose_pair(made: Report, pair: tuple[str, str]) -> None:
    raters = made.table.raters
    if len(raters) < 3:
        return
    with st.container(horizontal=True, gap="small"):
        for name, label, value, other in (
            ("first", "Rows", pair[0], pair[1]),
            ("second", "Columns", pair[1], pair[0]),
        ):
            options = {rater: plain(rater, 40) for rater in raters if rater != other}
            choose(st.selectbox, label, options, name, value, width=180, label_visibility="visible")


def _calibration(made: Report, names: dict[str, str], image: str, *, hidden: bool) -> None:
    st.markdown("**Scores against verdicts**")
    report_tables.calibrations(made, names)
    if not made.calibrations:
        return
    usual = max(made.calibrations, key=lambda key: made.calibrations[key].n)
    key = choice(current().get("score"), made.calibrations, usual)
    choose(st.selectbox, "Score", names, "score", key, usual, width=320)
    calibration = made.calibrations[key]
    left, right = st.columns(2, gap="medium")
    with left:
        if calibration.n < MIN_JUDGED:
            st.caption(
                f"Share right by score: {fmt.plural(calibration.n, 'item')} judged; plotted once there are {MIN_JUDGED}."
            )
            return
        share = made.whole.estimate.value if made.whole.estimate else None
        charts.draw(
            report_charts.calibration(calibration.bins, names[key], share), "audit_calibration", image
        )
        st.caption("About equally many items in each bin. Bars: 95 % intervals; grey, the scores of the bin.")
    with right:
        if not hidden:
            _surprises(made, key)


def _surprises(made: Report, key: str) -> None:
    """Where score and verdict part; each leads to the feature."""
    calibration = made.calibrations[key]
    n = min(max(whole(current().get("rows")) or N_ROWS, 1), MOST)
    lists = {
        "high": (
            "High score, judged wrong",
            calibration.high_but_wrong,
            "in the highest third of scores and not right",
        ),
        "low": (
            "Low score, judged right",
            calibration.low_but_right,
            "in the lowest third of scores and right",
        ),
    }
    for which, (name, places, what) in lists.items():
        st.caption(f"**{name}**: {fmt.plural(len(places), 'item')} {what}, of {fmt.count(calibration.n)}")
        if places:
            report_tables.surprises(made, places[:n], key, which)
    longest = min(max(len(places) for _, places, _ in lists.values()), MOST)
    if longest > n:
        st.button(
            f"Show up to {longest} of each", key="audit_rows", on_click=change, kwargs={"rows": longest}
        )


def _image() -> str:
    return choice(current().get("image"), charts.FORMATS, "svg")


def _save(store: Store, made: Report, *, whole: bool) -> None:
    """The figures and the items as files, and the kind of image that the plots' buttons save."""

    def sheet() -> str:
        text = io.StringIO()
        head, rows = item_table(made)
        csv.writer(text).writerows([head, *rows])
        return text.getvalue()

    def all_of_it() -> str:
        return json.dumps({"store": str(store.path), **document(made)}, ensure_ascii=False, indent=2)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = f"{store.path.name}-{files.name_of(made.audit)}"
        kinds = (
            ("Items as CSV", sheet, "csv", "text/csv", "One row per item: each rater's verdict, and scores"),
            (
                "Report as JSON",
                all_of_it,
                "json",
                "application/json",
                "All figures with intervals and counts",
            ),
        )
        for label, data, end, mime, about in kinds if whole else ():
            st.download_button(
                label, data, f"{name}.{end}", mime, key=f"audit_save_{end}", on_click="ignore", icon=":material/download:",
                help=about,
            )  # fmt: skip
        choose(
            st.segmented_control, "Plots as", charts.FORMATS, "image", _image(), "svg", label_visibility="visible",
            help="What the camera above each plot saves",
        )  # fmt: skip
        differ = len([row for row in made.disagreements if row.settled is None])
        if differ:
            st.button(
                f"Settle {fmt.plural(differ, 'disagreement')}", key="audit_settle", icon=":material/handshake:",
                on_click=change, kwargs={"view": "settle"},
            )  # fmt: skip
