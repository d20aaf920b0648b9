"""Explanations and scores on the Overview: coverage, how scores spread, the best and worst explained, where scorers agree and
where they do not, and what was done last. A fragment below the figures of the coders, so that those never wait for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from autointerp.errors import StoreError
from autointerp.explain.registry import EXPLAINERS
from autointerp.score.population import expected, spread
from autointerp.score.registry import METRICS, SCORERS
from autointerp.store import ScoreKind, Store, current_key
from autointerp.types import CoderInfo
from autointerp.ui.overview import again, pairs
from autointerp.ui.overview.data import Coverage, Written
from autointerp.ui.overview.rows import features
from autointerp.ui.shared import charts, components, job_strip, job_text, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import written_by
from autointerp.ui.shared.session import messages, open_store
from autointerp.ui.shared.state import bound, choose, current
from autointerp.ui.shared.text import plain, visible

ALL = "All coders"
N_BEST = 6
N_RECENT = 6
MAX_KINDS = 6


@st.fragment
def section() -> None:
    """Everything about explanations, below the coders."""
    with messages():
        store = open_store()
        infos = store.coders()
        st.subheader("Explanations", anchor=False)
        try:
            written = Written(store, services.annotations(store), infos, current().get("by"))
        except StoreError as error:
            st.warning(f"Cannot read explanations and scores: {plain(str(error))}")
            return
        if not written.n_explained:
            _nothing(store, infos)
        else:
            _explained(written)
        _recent(store)


def _nothing(store: Store, infos: Sequence[CoderInfo]) -> None:
    coder = infos[0].coder
    st.info(
        "Nothing is explained yet. Open a feature and press Explain, or explain and score all live features from the Jobs page "
        "or the command line. No language model is needed:"
    )
    components.commands(
        f"autointerp explain {store.path} {coder} --explainer pattern",
        f"autointerp score {store.path} {coder} --scorer detection fuzzing",
    )
    st.page_link("pages/jobs.py", label="Jobs", icon=":material/pending_actions:")


def _explained(written: Written) -> None:
    names = list(written.coders)
    params = current()
    if len(written.ways) > 1:
        ways = {way: f"Explained by {_way(way)} ({fmt.count(n)})" for way, n in written.ways.items()}
        choose(st.selectbox, "Explanations by", ways, "by", written.made_by, next(iter(ways)), width=380)
    kinds = _shown_kinds(written, params)
    _coverage(written, kinds)
    if not kinds:
        st.info(
            "Nothing is scored yet. Press Score on a Feature page, or use the Jobs page or `autointerp score`."
        )
        return
    _spreads(written, kinds)
    coder = params.get("of") if params.get("of") in names else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        options = {name: name for name in (ALL, *names)}
        choose(st.selectbox, "Features of", options, "of", coder or ALL, ALL, width=190)
        chosen = next((kind for kind in kinds if kind.has_key(current_key(params.get("score")))), None)
        chosen = chosen or max(kinds, key=lambda kind: written.kinds[kind])
        labels = {kind.key: score_text.name(kind, written.kinds) for kind in kinds}
        choose(st.selectbox, "Score", labels, "score", chosen.key, width=280)
    among = [coder] if coder else names
    _extremes(written, among, chosen)
    if len(kinds) > 1:
        pairs.draw(written, among, kinds, params)


def _way(made_by: str) -> str:
    """With the explainer's label in the place of its name."""
    explainer, *rest = made_by.split(" · ")
    return visible(" · ".join([EXPLAINERS.label(explainer), *rest]))


def _shown_kinds(written: Written, params: Mapping[str, str]) -> list[ScoreKind]:
    """The kinds of scores that most features have, each in its most common configuration, with a switch where there are more;
    all of them once it is on."""
    most = max(written.kinds.values(), default=0)
    everything = sorted(written.kinds, key=lambda kind: written.kinds[kind] < pairs.RARE * most)
    usual: list[ScoreKind] = []
    for kind in sorted(everything, key=lambda kind: -written.kinds[kind]):
        if len(usual) < MAX_KINDS and all(other.base != kind.base for other in usual):
            usual.append(kind)
    if len(everything) == len(usual):
        return everything
    asked = [current_key(params.get(name)) for name in ("score", "x", "y")]
    usual += [kind for kind in everything if kind not in usual and kind.key in asked]
    wanted = params.get("kinds") == "all"
    more = len(everything) - len(usual)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.toggle(
            f"All {len(everything)} kinds and settings of scores",
            **bound("kinds", wanted, encode=lambda on: "all" if on else None),
        ):
            return everything
        left_out = [
            plain(score_text.name(kind, written.kinds), 120) for kind in everything if kind not in usual
        ]
        names = ", ".join(left_out[:8]) + (" …" if len(left_out) > 8 else "")
        st.caption(f"Showing the {len(usual)} most common; {more} hidden: {names}.")
    return [kind for kind in everything if kind in usual]


def _coverage(written: Written, kinds: Sequence[ScoreKind]) -> None:
    columns: list[dict[str, Any]] = [
        {"title": "Coder", "kind": "link", "cls": "name"},
        {"title": "Explained", "num": True, "help": "Live features with an explanation"},
        {"title": "Failed", "num": True, "help": "Features whose only attempts at an explanation failed"},
        *(
            {
                "title": score_text.name(kind, written.kinds),
                "num": True,
                "help": f"{score_text.help_text(kind)}: {_SCORED}",
            }
            for kind in kinds
        ),
    ]
    rows = []
    for coder in written.coders:
        cover = written.coverage(coder)
        if cover.explained or cover.failed:
            cells = [coder, _part(cover.explained, cover.live), fmt.count(cover.failed)]
            rows.append(
                {"go": {"coder": coder}, "cells": [*cells, *(_median(written, cover, k) for k in kinds)]}
            )
    components.links(columns, rows, page="features", key="coverage", sort="low")


_SCORED = "median, and how many of the explained features are scored"


def _part(n: int, of: int) -> str:
    return f"all {fmt.count(of)}" if n == of else f"{fmt.count(n)} of {fmt.count(of)}"


def _median(written: Written, cover: Coverage, kind: ScoreKind) -> str:
    n = cover.scored.get(kind, 0)
    if not n:
        return fmt.NONE
    median = float(np.nanmedian(written.scores(cover.coder, kind).value))
    return f"median {fmt.decimal(median, 2)}, {_part(n, cover.explained)} scored"


def _spreads(written: Written, kinds: Sequence[ScoreKind]) -> None:
    for start in range(0, len(kinds), 3):
        row = kinds[start : start + 3]
        for place, kind in zip(st.columns(max(2, min(3, len(kinds)))), row, strict=False):
            boxes = []
            for index, coder in enumerate(written.coders):
                scores = written.scores(coder, kind)
                box = spread(scores.value, scores.floor)
                if box is not None:
                    colour = charts.colour(index)
                    boxes.append(charts.ScoreBox(coder, colour, box.n, box.percentiles, box.mean, box.floor))
            with place:
                figure = charts.score_boxes(score_text.name(kind, written.kinds), boxes)
                st.plotly_chart(figure, key=f"spread_{kind.key}", config={"displayModeBar": False})
    st.caption(
        "Box: quartiles and median; whiskers: 5th to 95th percentile. Grey mark: median floor, the score of a random other "
        "explanation."
    )


def _extremes(written: Written, coders: Sequence[str], kind: ScoreKind) -> None:
    """Ranked by what fresh examples would give: by the scores themselves, luck would come first."""
    scores = written.pooled(coders, kind)
    n, name = fmt.count(scores.n), plain(score_text.name(kind, written.kinds))
    lowest = METRICS[SCORERS[kind.scorer].metric].low if kind.scorer in SCORERS else 0.0
    fresh = expected(
        scores.value,
        scores.ci_low,
        scores.ci_high,
        scores.n_pos + scores.n_neg,
        written.owners(coders),
        lowest,
    )
    ranked = [int(i) for i in np.lexsort((scores.value, fresh)) if not np.isnan(scores.ci_low[i])]
    if not ranked:
        st.caption(f"No intervals for {name}: n {n}.")
        return
    ends = (("Best", ranked[: -N_BEST - 1 : -1]), ("Worst", ranked[:N_BEST]))
    for column, (word, chosen) in zip(st.columns(2, gap="medium"), ends, strict=True):
        with column:
            st.caption(f"**{word} explained**, by the score to expect on fresh examples · {name} · n {n}")
            features(written, coders, chosen, [kind], word.lower(), fresh)
            again.button(written, [written.place(coders, at) for at in chosen], kind, f"again_{word.lower()}")
    job_strip.draw()


def _recent(store: Store) -> None:
    """The last jobs and the last explanations."""
    annotations = services.annotations(store)
    jobs, latest = annotations.jobs.recent(limit=N_RECENT), annotations.latest(N_RECENT)
    if not jobs and not latest:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("**Recent jobs**")
        if jobs:
            # Without the strip's buttons: here a job is looked at, on its own page it is acted on.
            rows = [job_strip.row(job, writable=False) for job in jobs]
            data = {
                "columns": job_strip.COLUMNS[:-1],
                "head": False,
                "rows": [{**row, "cells": row["cells"][:-1]} for row in rows],
            }
            sent = components.jobs(data, key="recent_jobs", on_act=lambda: None)
            if sent and sent["act"] == "open":
                st.switch_page("pages/jobs.py", query_params={"job": str(sent["id"])})
        else:
            st.caption("None yet.")
    with right:
        st.caption("**Latest explanations**")
        columns = [
            {"title": "Feature", "kind": "link", "cls": "name"},
            {"title": "Explanation", "kind": "explanation"},
            {"title": "Created", "num": True, "cls": "name"},
        ]
        rows = []
        for explanation in latest:
            feature = {"coder": explanation.coder, "latent": explanation.latent}
            cell = {
                "text": visible(explanation.text)[:300] or "(empty)",
                "marks": [visible(written_by(explanation.explainer, explanation.author))],
                "help": explanation.created,
            }
            name = f"{explanation.coder} #{explanation.latent}"
            rows.append({"go": feature, "cells": [name, cell, job_text.ago(explanation.created)]})
        components.links(columns, rows, page="feature", key="latest")
