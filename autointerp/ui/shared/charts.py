"""Plots of whole coders. One visual language: a colour per coder (orange, teal and rose have meanings of their own)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.score.intervals import Estimate
from autointerp.store import Store
from autointerp.types import CoderInfo
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.plot import Box, Figure, Scatter, Scattergl, Trace
from autointerp.ui.shared.session import file_identity

PALETTE = ("#4a6ee0", "#8b95a5", "#9467dd", "#3a9fd0", "#86a63a", "#ab8163", "#bb5cbd", "#5f6878")
"""Legible on white and on near-black; repeated from the start when there are more coders."""


def colour(index: int) -> str:
    """The colour of the coder at this place in the store."""
    return PALETTE[index % len(PALETTE)]


@dataclass(frozen=True)
class DensityCurve:
    """Live latents of one coder by density, any: `edges` log10 of the density, `counts` latents in each bin."""

    coder: str
    colour: str
    edges: NDArray[np.floating]
    counts: NDArray[np.integer]


INK = {"light": "#4d5566", "dark": "#a7b0bf"}
"""Titles, axes and figures: legible on each ground, as Streamlit's own grey is on neither."""


def ink(theme: str | None) -> str:
    return INK["dark" if theme == "dark" else "light"]


LEGEND = {"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom", "title": None}
SCALE = [[0.0, "rgba(74,110,224,0)"], [1.0, "rgba(74,110,224,0.4)"]]
"""From nothing to the first coder's colour, on either ground; figures in it stay legible."""


def framed(figure: Figure, title: str, height: int, **more: Any) -> Figure:
    """The frame that all plots have: title, height in pixels, margins, colours of text."""
    colour_of_text = ink(st.context.theme.type)
    axis = {"tickfont": {"color": colour_of_text}, "title": {"font": {"color": colour_of_text}}}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.98, "yanchor": "top"},
        height=height,
        margin={"l": 8, "r": 8, "t": 34, "b": 8},
        font={"size": 12, "color": colour_of_text},
        bargap=0.35,
        hoverlabel={"namelength": -1},
        **more,
    )
    return figure


FORMATS = {"svg": "SVG", "png": "PNG"}


def draw(figure: Figure, name: str, image: str) -> None:
    """The plot with a button that saves it as `image`, one of `FORMATS`."""
    file = f"autointerp-{name.replace('_', '-')}"
    saved = {"format": image, "filename": file, "scale": 2 if image == "png" else 1}
    config = {
        "displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": saved
    }  # fmt: skip
    st.plotly_chart(figure, key=name, config=config)


def error_bars(values: Sequence[Estimate], factor: float = 1.0) -> dict[str, Any]:
    """The intervals of these values, as bars."""
    ends = [
        (
            each.value,
            each.value if each.low is None else each.low,
            each.value if each.high is None else each.high,
        )
        for each in values
    ]
    return {
        "type": "data", "symmetric": False, "thickness": 1.4, "width": 4,
        "array": [factor * (high - value) for value, _, high in ends],
        "arrayminus": [factor * (value - low) for value, low, _ in ends],
    }  # fmt: skip


def density_axis(figure: Figure) -> None:
    """The x axis of densities in percent."""
    decades = [10.0**power for power in range(-8, 3)]
    figure.update_xaxes(
        type="log",
        title={"text": "density (share of tokens on which a feature fires)"},
        tickvals=decades,
        ticktext=[f"{d:g} %" if d >= 0.01 else fmt.density(d / 100) for d in decades],
        showgrid=True,
    )


def densities(curves: Sequence[DensityCurve]) -> Figure:
    """How often latents fire: the share of each coder's live latents in bins that all coders share, on a logarithmic axis."""

    figure = Figure()
    for curve in curves:
        centres = 10 ** ((curve.edges[:-1] + curve.edges[1:]) / 2)
        figure.add_trace(
            Scatter(
                x=100 * centres,
                y=100 * curve.counts / curve.counts.sum(),
                name=curve.coder,
                mode="lines",
                line={"width": 1.8, "shape": "hvh", "color": curve.colour},
                customdata=[
                    (fmt.density(float(value)), fmt.plural(int(count), "feature"))
                    for value, count in zip(centres, curve.counts, strict=True)
                ],
                hovertemplate="about %{customdata[0]}: %{y:.1f} %, %{customdata[1]}<extra>%{fullData.name}</extra>",
            )
        )
    density_axis(figure)
    figure.update_yaxes(title={"text": "live features in each tenth of a decade (%)"}, rangemode="tozero")
    return framed(figure, "How often features fire", 290, legend=LEGEND, showlegend=True)


BINS_PER_DECADE = 10


def density_curves(store: Store, infos: Sequence[CoderInfo]) -> list[DensityCurve]:
    """Of these coders, each in its colour of the store; none of a coder whose latents are all dead."""
    places = {info.coder: place for place, info in enumerate(store.coders())}
    curves = []
    for info in infos:
        edges, counts = _histogram(str(store.path), file_identity(info), store, info.coder)
        if counts.sum():
            curves.append(DensityCurve(info.coder, colour(places[info.coder]), edges, counts))
    return curves


@st.cache_data(show_spinner=False, max_entries=64)
def _histogram(
    path: str, file: str, _store: Store, coder: str
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    edges, counts = _store.coder(coder).density_histogram(BINS_PER_DECADE)
    return np.asarray(edges), np.asarray(counts)


@dataclass(frozen=True)
class ScoreBox:
    """The spread of one coder's scores. `percentiles`: 5, 25, 50, 75, 95; `floor` the median floor, or
    chance (`is_chance`) where no explanation is read."""

    coder: str
    colour: str
    n: int
    percentiles: tuple[float, float, float, float, float]
    mean: float
    floor: float | None
    is_chance: bool = False


def score_boxes(title: str, boxes: Sequence[ScoreBox], *, bounded: bool = True) -> Figure:
    """One box for each coder: middle half and median, whiskers over nine tenths, the floor as a dotted mark. `bounded`: whether
    scores end at 1, and the axis with them."""

    figure = Figure()
    for box in boxes:
        label = f"{box.coder}  <span style='font-size:10px'>n {fmt.count(box.n)}</span>"
        low, first, median, third, high = box.percentiles
        figure.add_trace(
            Box(
                y=[label], orientation="h", q1=[first], median=[median], q3=[third], lowerfence=[low], upperfence=[high],
                mean=[box.mean], boxmean=False, name=box.coder, line={"color": box.colour, "width": 1.4}, width=0.5,
                hoverinfo="skip",
            )
        )  # fmt: skip
        floor = "not measured" if box.floor is None else fmt.decimal(box.floor, 2)
        name = "chance" if box.is_chance else "floor"
        said = (
            f"median {fmt.decimal(median, 2)}, mean {fmt.decimal(box.mean, 2)}<br>quartiles {fmt.decimal(first, 2)} to "
            f"{fmt.decimal(third, 2)}<br>5th to 95th percentile {fmt.decimal(low, 2)} to {fmt.decimal(high, 2)}<br>"
            f"{name} {floor}<br>n {fmt.count(box.n)}"
        )
        figure.add_trace(
            Scatter(
                x=[median], y=[label], mode="markers", marker={"size": 14, "opacity": 0}, text=[said],
                hovertemplate=f"%{{text}}<extra>{box.coder}</extra>",
            )
        )  # fmt: skip
        if box.floor is not None:
            mark = {"symbol": "line-ns", "size": 15, "line": {"width": 2, "color": "#8b95a5"}}
            figure.add_trace(
                Scatter(
                    x=[box.floor], y=[label], mode="markers", marker=mark,
                    hovertemplate=f"{'' if box.is_chance else 'median '}{name} {floor}<extra>{box.coder}</extra>",
                )
            )  # fmt: skip
    figure.update_xaxes(nticks=6, title=None)
    if bounded:
        lowest = min((box.percentiles[0] for box in boxes), default=0.0)
        figure.update_xaxes(range=[min(lowest - 0.05, 0.0) if lowest < 0 else -0.02, 1.04])
    figure.update_yaxes(autorange="reversed", title=None, showgrid=False)
    return framed(figure, title, max(130, 74 + 30 * len(boxes)), showlegend=False)


def score_scatter(
    names: tuple[str, str],
    points: Sequence[tuple[str, int, float, float]],
    floors: tuple[float | None, float | None],
) -> Figure:
    """One point for each feature, `(coder, latent, x, y)`; the two median floors as dotted lines."""

    figure = Figure(
        Scattergl(
            x=[point[2] for point in points],
            y=[point[3] for point in points],
            mode="markers",
            marker={"size": 6, "opacity": 0.55, "color": colour(0)},
            customdata=[[point[0], point[1]] for point in points],
            text=[
                f"{coder} #{latent}: {fmt.decimal(x, 2)}, {fmt.decimal(y, 2)}"
                for coder, latent, x, y in points
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    dotted = {"dash": "dot", "width": 1.5, "color": "#8b95a5"}
    if floors[0] is not None:
        figure.add_vline(x=floors[0], line=dotted)
    if floors[1] is not None:
        figure.add_hline(y=floors[1], line=dotted)
    figure.update_xaxes(title={"text": names[0]}, showgrid=True)
    figure.update_yaxes(title={"text": names[1]}, showgrid=True)
    return framed(figure, "", 420, showlegend=False, dragmode="pan").update_layout(margin={"t": 10})


def cells(names: Sequence[str], hover: str, texts: Sequence[Sequence[str]]) -> Trace:
    """What a click on a cell of a matrix of `names` hits, and what hovering over it says: plotly selects no cell of a heat map.
    `hover`: a template in which `%{text}` is the cell's text; cells without one are left out."""

    n = len(names)
    places = [(i, j) for i in range(n) for j in range(n) if texts[i][j]]
    unseen = {"marker": {"opacity": 0}}
    return Scatter(
        x=[names[j] for _, j in places], y=[names[i] for i, _ in places], text=[texts[i][j] for i, j in places],
        mode="markers", marker={"size": 36, "symbol": "square", "opacity": 0}, selected=unseen, unselected=unseen,
        hovertemplate=hover, showlegend=False,
    )  # fmt: skip
