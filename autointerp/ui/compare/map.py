"""A map of all explained features of the store: alike explanations lie together. A region marked on it lists its features."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.compare.map import LEAST, Map, inside, read
from autointerp.store import ScoreKind, Store
from autointerp.types import CoderInfo
from autointerp.ui.compare import map_charts
from autointerp.ui.compare.coders import several
from autointerp.ui.compare.meaning import in_layers, nothing
from autointerp.ui.shared import blind, charts, computed, score_text, services, verdict_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.feature_rows import features
from autointerp.ui.shared.state import change, choice, choose, current, pager, whole
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.written import Written

CLEARED = "map_cleared"
"""How often the region was taken away, in the session."""
ROWS = 15
MAX_CORNERS = 40
"""Of a region drawn by hand; more are thinned out, for the address."""
MAX_HOVER = 20_000
"""Of more features the map shows names on hover, not explanations: they would be most of what is sent."""
VERDICT_COLOURS = ("#0d9488", "#c99a1c", "#e11d48", "#9467dd")
"""Of `verdict_text.GROUPS`."""
COLOURS = {"coder": "Coder", "score": "Score", "density": "Density", "verdict": "Verdict"}

Corners = list[tuple[float, float]]


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    annotations = services.annotations(store)
    ordered = in_layers(infos)
    n_explained = {info.coder: annotations.summary(info.coder).num_rows for info in ordered}
    explained = [info for info in ordered if n_explained[info.coder]]
    if sum(n_explained.values()) < LEAST:
        nothing(store, infos, n_explained, at_least=1)
        return
    names = sorted(info.coder for info in explained)
    table = computed.obtain(store, "map", names)
    if table is None:
        return
    points = read(table, names)
    shown = several(explained, least=1, usual=[info.coder for info in explained])
    if shown is None:
        return
    params = current()
    written = Written(store, annotations, explained, params.get("by"))
    colour = choice(params.get("colour"), COLOURS, "coder")
    kind = _kind(written, params)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        choose(st.segmented_control, "Colour", COLOURS, "colour", colour, "coder")
        if written.kinds and kind is not None:
            labels = {each.key: score_text.name(each, written.kinds) for each in written.kinds}
            usual = max(written.kinds, key=lambda each: written.kinds[each])
            choose(st.selectbox, "Score", labels, "score", kind.key, usual.key, width=280)
    places = {info.coder: index for index, info in enumerate(infos)}
    visible = np.isin(points.owner, [points.coders.index(name) for name in shown])
    if colour == "score" and kind is None:
        st.info("None of these explanations is scored yet. Use the Jobs page or `autointerp score`.")
    values, label = _values(store, written, points, colour, kind)
    region = corners_of(params.get("region"))
    n = int(visible.sum())
    st.caption(
        f"{fmt.plural(n, 'explained feature')}, similar in meaning where they lie close together; long distances mean "
        "little. Select a region to list its features."
    )
    colours = {name: charts.colour(places[name]) for name in points.coders if name in shown}
    texts = _texts(written, points) if n <= MAX_HOVER else None
    if colour == "verdict":
        unseen = blind.unseen(annotations)
        said = _verdicts(written, points, unseen)
        if unseen:
            st.caption("Features you have yet to rate in a blind audit are drawn as having no verdict.")
        elif not any(said):
            st.info("No verdicts here yet: make an audit on the Audit page.")
        groups = [verdict_text.group(verdict) if verdict else "" for verdict in said]
        layers = map_charts.grouped(
            points, shown, groups, dict(zip(verdict_text.GROUPS, VERDICT_COLOURS, strict=True))
        )
        if texts is not None:
            named = zip(said, texts, strict=True)
            texts = [f"{verdict_text.label(verdict)}: {text}" if verdict else text for verdict, text in named]
    else:
        layers = map_charts.layers(points, colours, values)
    figure = map_charts.scatter(points, layers, values, label, texts, region)
    key = f"map_{st.session_state.get(CLEARED, 0)}"
    st.plotly_chart(
        figure, key=key, on_select=partial(_picked, key), selection_mode=("box", "lasso"),
        config={"displaylogo": False, "scrollZoom": True},
    )  # fmt: skip
    if region:
        within = np.flatnonzero(visible & inside(points.x, points.y, region))
        _list(written, points, within, kind, region, params)


def _kind(written: Written, params: Mapping[str, str]) -> ScoreKind | None:
    """The kind of scores of the address, else the most common one."""
    asked = next((kind for kind in written.kinds if kind.has_key(params.get("score"))), None)
    return asked or max(written.kinds, key=lambda kind: written.kinds[kind], default=None)


def _values(
    store: Store, written: Written, points: Map, colour: str, kind: ScoreKind | None
) -> tuple[NDArray[np.float64] | None, str]:
    """What colours each feature, NaN where there is none, and its name; `None` where the coders do."""
    if colour == "density":
        density = np.concatenate(
            [
                store.coder(name).table().columns["density"][points.latent[points.owner == index]]
                for index, name in enumerate(points.coders)
            ]
        )
        return np.log10(np.where(density > 0, density, np.nan)), "density"
    if colour == "score" and kind is not None:
        return _scores(written, points, kind), score_text.name(kind, written.kinds)
    return None, ""


def _scores(written: Written, points: Map, kind: ScoreKind) -> NDArray[np.float64]:
    """One number for each place of the map, NaN where there is none."""
    parts = [
        written.scores(name, kind).value[points.latent[points.owner == index]]
        for index, name in enumerate(points.coders)
    ]
    return np.concatenate(parts)


def _verdicts(written: Written, points: Map, unseen: Mapping[str, Collection[int]]) -> list[str]:
    """What people said of each feature of the map; empty where they did not, and where it is hidden."""
    verdicts: list[str] = []
    for index, name in enumerate(points.coders):
        said = written.coders[name].said(unseen.get(name, ())).to_pydict()
        by_latent = dict(zip(said["latent"], said["verdict"], strict=True))
        verdicts += [by_latent.get(latent, "") for latent in points.latent[points.owner == index].tolist()]
    return verdicts


def _texts(written: Written, points: Map) -> list[str]:
    """The beginnings of the explanations, in the order of the map."""
    texts: list[str] = []
    for index, name in enumerate(points.coders):
        table = written.coders[name].explanations
        said = dict(zip(table["latent"].to_pylist(), table["text"].to_pylist(), strict=True))
        texts += [said.get(latent, "") for latent in points.latent[points.owner == index].tolist()]
    return texts


def _picked(key: str) -> None:
    """A region just marked goes into the address, until it is cleared: a plot drawn anew reports that nothing is marked."""
    region = drawn(st.session_state[key].selection)
    if region is not None:
        change(region=as_address(region), page=None)


def _clear() -> None:
    """The plot is drawn anew: the browser would keep the region that was marked on it."""
    st.session_state[CLEARED] = st.session_state.get(CLEARED, 0) + 1
    change(region=None, page=None)


def drawn(selection: Mapping[str, Any]) -> Corners | None:
    """The corners of the box or the lasso just drawn."""
    for shape in ("box", "lasso"):
        for each in selection.get(shape) or []:
            corners = list(zip(map(float, each["x"]), map(float, each["y"]), strict=False))
            if len(corners) > 1:
                step = -(-len(corners) // MAX_CORNERS)
                return corners[::step]
    return None


def as_address(corners: Corners) -> str:
    """`1.5,2;3,-4`."""
    return ";".join(f"{x:.4g},{y:.4g}" for x, y in corners)


def corners_of(text: str | None) -> Corners:
    """The region of the address; empty for none, or for what is no region."""
    try:
        corners = [
            (float(x), float(y)) for x, y in (each.split(",") for each in (text or "").split(";") if each)
        ]
    except ValueError:
        return []
    is_region = 2 <= len(corners) <= 2 * MAX_CORNERS and bool(np.isfinite(corners).all())
    return corners if is_region else []


def _list(
    written: Written, points: Map, within: NDArray[np.intp], kind: ScoreKind | None, region: Corners,
    params: Mapping[str, str],
) -> None:  # fmt: skip
    """The features of the region: by score, the best first, or those in its middle first."""
    names = [points.coders[owner] for owner in points.owner[within].tolist()]
    counts = ", ".join(f"{plain(name)} {names.count(name)}" for name in dict.fromkeys(names))
    if kind is not None:
        scores = _scores(written, points, kind)[within]
        order = np.argsort(-np.nan_to_num(scores, nan=-9.0), kind="stable")
        how = "best scored first"
    else:
        centre = np.mean(region, axis=0)
        order = np.argsort(
            np.hypot(points.x[within] - centre[0], points.y[within] - centre[1]), kind="stable"
        )
        how = "most central first"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{fmt.plural(len(within), 'feature')} in the region**", width="content")
        st.button("Clear", key="map_clear", on_click=_clear)
    if not len(within):
        return
    st.caption(f"{counts}; {how}.")
    n_pages = -(-len(within) // ROWS)
    page = min(max(whole(params.get("page")) or 1, 1), n_pages)
    at = within[order[(page - 1) * ROWS : page * ROWS]]
    listed = [
        (points.coders[o], int(n)) for o, n in zip(points.owner[at].tolist(), points.latent[at], strict=True)
    ]
    features(written, listed, [kind] if kind is not None else [], "region")
    pager("page", page, more=page < n_pages, names=("Previous", "Next"))
