"""Which coder is more interpretable, and at what cost: scores against the cross-entropy that splicing costs, with tests."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.compare import report, results, scored
from autointerp.compare.claims import Claim, claims, headline, left_out
from autointerp.compare.price import Price, Question, price, usual_coders
from autointerp.compare.ranks import MIN_LATENTS
from autointerp.errors import UserError
from autointerp.explain.registry import EXPLAINERS
from autointerp.pipeline.resources import Resources
from autointerp.store import CoderAnnotations, ScoreKind, Store, annotated_store
from autointerp.types import CoderInfo
from autointerp.ui.compare import figures, lacking, tables
from autointerp.ui.compare.coders import choose_several
from autointerp.ui.shared import charts, computed, roles, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import file_identity, path_to_type
from autointerp.ui.shared.state import bound, choice, choose, current, flag, whole
from autointerp.ui.shared.text import plain, visible

CENTRES = {"mean": "Mean", "median": "Median"}
MAX_SEED = 2**32 - 1
_MARKS = {
    "holds": "as in the papers",
    "reversed": "the other way round",
    "not told apart": "no difference shown",
    "mixed": "mixed",
    "holds for some": "as in the papers for some",
    "reversed for some": "the other way round for some",
    "differ": "not as in the papers",
}


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    coders = tuple(choose_several(infos, usual_coders(infos)))
    if len(coders) < 2:
        st.info(
            "A comparison needs two coders. "
            + (
                "Choose another one."
                if len(infos) > 1
                else "Cache another one into the same store, then reload."
            )
        )
        return
    resources = services.resources(store)
    kept = annotated_store(resources.annotations)
    written = {coder: kept.coder(coder) for coder in coders}
    question, kinds = _question(coders, written)
    answer = _answer(store, resources, infos, written, question)
    _say(answer)
    lacking.draw(store, resources, answer)
    places = {info.coder: charts.colour(place) for place, info in enumerate(infos)}
    image = choice(current().get("image"), charts.FORMATS, "svg")
    scorer = "" if answer.kind is None else score_text.name(answer.kind, kinds)
    if answer.n:
        left, right = st.columns(2, gap="medium")
        with left:
            charts.draw(figures.picture(answer, places, scorer), "price_picture", image)
            st.caption(_picture_help(answer))
        with right:
            charts.draw(figures.distributions(answer, places, scorer), "price_distributions", image)
            st.caption("Mark at 50 %: the median with its 95 % interval. Controls are dotted.")
    tables.coders(answer)
    _measured(store, infos, coders)
    tables.pairs(answer)
    left, right = st.columns(2, gap="medium")
    with left:
        chosen = [info for info in infos if info.coder in coders]
        densities = charts.densities(charts.density_curves(store, chosen))
        densities.update_layout(
            height=figures.SMALL, legend=figures.BELOW_SMALL, yaxis_title_text="live features (%)"
        )
        charts.draw(densities, "price_densities", image)
    with right:
        if any(side.skip is not None for side in answer.sides):
            charts.draw(figures.skip_shares(answer.sides, places), "price_skip", image)
            st.caption(f"{tables.SKIP_HELP}. Diamond: over all tokens, with its 95 % interval.")
    _save(store, answer, image)


def _question(
    coders: tuple[str, ...], written: Mapping[str, CoderAnnotations]
) -> tuple[Question, dict[ScoreKind, int]]:
    """What the address asks, with the controls that change it."""
    params = current()
    ways = scored.ways(written.values())
    made_by = params.get("by") if params.get("by") in ways else next(iter(ways), None)
    kinds = scored.kinds(written.values(), made_by)
    try:
        kind = scored.choose(kinds, params.get("score"))
    except UserError:
        kind = scored.choose(kinds, None)
    centre = choice(params.get("centre"), CENTRES, "mean")
    n, seed = whole(params.get("n")), min(whole(params.get("seed")) or 0, MAX_SEED)
    n = None if n is None else max(n, MIN_LATENTS)
    matched = flag(params.get("match"))
    if kind is not None:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            look: dict[str, Any] = {"label_visibility": "visible"}
            labels = {each.key: score_text.name(each, kinds) for each in kinds}
            choose(st.selectbox, "Score", labels, "score", kind.key, width=280, **look)
            if len(ways) > 1:
                named = {way: f"{_way(way)} ({fmt.count(count)})" for way, count in ways.items()}
                choose(
                    st.selectbox, "Explained by", named, "by", made_by, next(iter(ways)), width=260, **look
                )
            choose(st.segmented_control, "Centre", CENTRES, "centre", centre, "mean", **look)
            st.number_input(
                "Features per coder", min_value=float(MIN_LATENTS), step=None, format="%.0f", placeholder="all",
                width=150,
                help="The same number from every coder, drawn at random with the seed; by default as many as the coder with "
                "the fewest scores has",
                **bound("n", None if n is None else float(n), encode=_round),
            )  # fmt: skip
            st.number_input(
                "Seed", min_value=0.0, max_value=float(MAX_SEED), step=None, format="%.0f", width=90,
                **bound("seed", float(seed), 0.0, encode=_round),
            )  # fmt: skip
            st.toggle(
                "Match density",
                help="Draw the same number of features of each density from every coder: denser features are easier to explain",
                **bound("match", matched),
            )
    question = Question(
        coders, None if kind is None else kind.key, made_by, "median" if centre == "median" else "mean", n, seed, matched
    )  # fmt: skip
    return question, kinds


def _round(value: float | None) -> float | None:
    return None if value is None else float(round(value))


def _way(made_by: str) -> str:
    explainer, *rest = made_by.split(" · ")
    return visible(" · ".join([EXPLAINERS.label(explainer), *rest]))


def _answer(
    store: Store,
    resources: Resources,
    infos: Sequence[CoderInfo],
    written: Mapping[str, CoderAnnotations],
    question: Question,
) -> Price:
    files = tuple(file_identity(info) for info in infos if info.coder in written)
    versions = tuple(annotations.version for annotations in written.values())
    measured = tuple(results.known(resources, "fidelity", [coder]) is not None for coder in written)
    with roles.turn():
        return _kept(str(store.path), files, versions, measured, question, resources)


@st.cache_resource(show_spinner=False, max_entries=64)
def _kept(
    path: str, files: tuple, versions: tuple, measured: tuple, question: Question, _resources: Resources
) -> Price:
    return price(_resources, question)


def _say(answer: Price) -> None:
    """What the data show, in words."""
    st.markdown(f"**{plain(headline(answer), 2000)}**")
    made = claims(answer)
    if made:
        st.markdown("\n".join(_bullet(claim) for claim in made))
    missing = left_out(answer)
    if missing is not None:
        st.caption(plain(missing, 600))
    elif answer.kind is not None and not answer.n:
        st.caption(
            "No range of density has enough features of every coder: turn off “Match density”, or leave out a coder."
        )
    if len(answer.frontier) > 1:
        st.caption("Cross-entropy is comparable only within a hookpoint; each has its own frontier.")
    bins = (
        ""
        if answer.n_bins is None
        else f", the same number in each of {fmt.plural(answer.n_bins, 'density bin')}"
    )
    if answer.n:
        st.caption(
            f"{fmt.count(answer.n)} features per coder{bins}, drawn with seed {answer.question.seed}. 95 % intervals: for "
            "scores over features, for errors over contexts; neither covers variation between training runs. p is corrected "
            "for the number of pairs, intervals are not: an interval may exclude “no difference” where p does not tell two "
            "coders apart."
        )


def _bullet(claim: Claim) -> str:
    return f"- {plain(claim.text, 4000)} *{_MARKS[claim.verdict]}*"


def _picture_help(answer: Price) -> str:
    missing = [side.coder for side in answer.sides if side.score and not side.ce_increase]
    left_out = (
        f" Without a cross-entropy, so not in the plot: {plain(', '.join(missing))}." if missing else ""
    )
    return (
        "Up and to the left is better. Dashed: the frontier, coders that no other beats on both, by the values alone. Hollow "
        f"or a cross: controls. Bars: 95 % intervals.{left_out}"
    )


def _measured(store: Store, infos: Sequence[CoderInfo], coders: Sequence[str]) -> None:
    """Offers to measure errors where that was not done for comparing."""
    able = [info.coder for info in infos if info.coder in coders and "fidelity" not in info.absent]
    if computed.obtain_all(store, "fidelity", [[coder] for coder in able]) is None:
        st.caption(
            "Until then, errors are those measured at caching, if any: without the skip path's share, and without a test of "
            "two coders on the same contexts."
        )


def _save(store: Store, answer: Price, image: str) -> None:
    """The figures as data, and the kind of image that the plots' buttons save."""

    def sheet() -> str:
        text = io.StringIO()
        head, rows = report.table(answer)
        csv.writer(text).writerows([head, *rows])
        return text.getvalue()

    def document() -> str:
        return json.dumps(
            {"store": path_to_type(store), **report.document(answer)}, ensure_ascii=False, indent=2
        )

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = f"{store.path.name}-price"
        for label, data, end, mime, about in (
            ("Coders as CSV", sheet, "csv", "text/csv", "The table of coders, with intervals"),
            (
                "Everything as JSON",
                document,
                "json",
                "application/json",
                "All figures, tests, drawn features and their scores",
            ),
        ):
            st.download_button(
                label, data, f"{name}.{end}", mime, key=f"save_{end}", on_click="ignore", icon=":material/download:", help=about
            )  # fmt: skip
        choose(
            st.segmented_control, "Plots as", charts.FORMATS, "image", image, "svg", label_visibility="visible",
            help="What the camera above each plot saves",
        )  # fmt: skip
