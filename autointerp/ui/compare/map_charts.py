"""The plot of the map of explanations: arrays as they are, so that 10^5 points take a few megabytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from textwrap import shorten, wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.compare.map import Map
from autointerp.ui.shared import charts
from autointerp.ui.shared.plot import Figure, Scattergl
from autointerp.ui.shared.text import beginning

HEIGHT = 620
GREY = "rgba(139,149,165,0.35)"
HOVER = 160
"""Characters of an explanation shown on hover."""


SLICES = 6
"""Traces of each coder, drawn in turn: one alone would lie on top of all others."""


@dataclass(frozen=True)
class Layer:
    """Some features of one coder: `rows` Int64[ndarray, " n"], places in the map. `legend`: what the legend calls them, if it
    names them here (`is_first`)."""

    coder: str
    colour: str
    rows: NDArray[np.intp]
    is_first: bool
    legend: str
    opacity: float = 0.65


def layers(
    points: Map, colours: Mapping[str, str], values: NDArray[np.floating] | None, seed: int = 0
) -> list[Layer]:
    """The features of the coders that `colours` names, in the order in which they are drawn: those without a value first, then
    the coders in turn."""
    order = np.random.default_rng(seed).permutation(len(points.x))
    missing = np.zeros(len(order), bool) if values is None else np.isnan(values)
    made = []
    for index, name in enumerate(points.coders):
        own = order[(points.owner == index)[order]]
        if name in colours and missing[own].any():
            made.append(Layer(name, GREY, own[missing[own]], is_first=False, legend=name))
    for start in range(SLICES):
        for index, name in enumerate(points.coders):
            own = order[(points.owner == index)[order] & ~missing[order]][start::SLICES]
            if name in colours and len(own):
                made.append(Layer(name, colours[name], own, is_first=start == 0, legend=name))
    return made


def grouped(
    points: Map, coders: Sequence[str], groups: Sequence[str], colours: Mapping[str, str], seed: int = 0
) -> list[Layer]:
    """The features of these coders by group, `groups` naming that of each place of the map: those of no group ("") first, and
    the groups in the order of `colours`."""
    order = np.random.default_rng(seed).permutation(len(points.x))
    of = np.array(groups, dtype=object)[order]
    made: list[Layer] = []
    for group, colour in {"": GREY, **colours}.items():
        is_first = bool(group)
        for index, name in enumerate(points.coders):
            own = order[(points.owner == index)[order] & (of == group)]
            if name in coders and len(own):
                made.append(
                    Layer(name, colour, own, is_first=is_first, legend=group, opacity=0.95 if group else 0.5)
                )
                is_first = False
    return made


def scatter(
    points: Map,
    drawn: Sequence[Layer],
    values: NDArray[np.floating] | None,
    label: str,
    texts: Sequence[str] | None,
    region: Sequence[tuple[float, float]],
) -> Figure:
    """One trace for each layer, coloured by coder or by `values`; `region` is outlined."""

    size = float(np.clip(700 / np.sqrt(max(len(points.x), 1)), 2.5, 7))
    figure = Figure()
    for layer in drawn:
        rows = layer.rows
        said: Any = None if texts is None else [_said(texts[int(row)]) for row in rows]
        marker: dict[str, Any] = {"size": size, "opacity": layer.opacity, "color": layer.colour}
        if values is not None and layer.colour != GREY:
            marker |= {"color": values[rows].astype(np.float32), "coloraxis": "coloraxis"}
        figure.add_trace(
            Scattergl(
                x=points.x[rows], y=points.y[rows], mode="markers", marker=marker, name=layer.legend,
                legendgroup=layer.legend, showlegend=layer.is_first,
                customdata=points.latent[rows].astype(np.int32),
                text=said,
                hovertemplate=f"<b>{escape(layer.coder, quote=False)} #%{{customdata}}</b>"
                f"{'' if texts is None else '<br>%{text}'}<extra></extra>",
            )
        )  # fmt: skip
    hidden = {"visible": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**hidden)
    figure.update_yaxes(**hidden, scaleanchor="x")
    legend = {**charts.LEGEND, "x": 0, "xanchor": "left", "itemsizing": "constant"}
    charts.framed(
        figure,
        "",
        HEIGHT,
        legend=legend,
        showlegend=values is None,
        dragmode="select",
        clickmode="event+select",
    )
    figure.update_layout(margin={"t": 30 if values is None else 60}, uirevision="map")
    if values is not None:
        figure.update_layout(coloraxis=_scale(values, label))
    if region:
        figure.update_layout(shapes=[_outline(region)])
    return figure


@lru_cache(maxsize=50_000)
def _said(text: str) -> str:
    """An explanation for a tooltip, which reads some HTML: it is text."""
    return "<br>".join(
        escape(line, quote=False)
        for line in wrap(shorten(beginning(text, 8 * HOVER), HOVER, placeholder="…"), 60)
    )


def _scale(values: NDArray[np.floating], label: str) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, [2, 98]) if len(known) else (0.0, 1.0)
    bar: dict[str, Any] = {
        "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "len": 0.6, "thickness": 10,
        "outlinewidth": 0, "title": {"text": label, "side": "top"},
    }  # fmt: skip
    if label == "density":
        exponents = np.arange(np.floor(low), np.ceil(high) + 1)
        steps = [factor * 10.0**exponent for exponent in exponents for factor in (1, 3)]
        bar |= {"tickvals": np.log10(steps).tolist(), "ticktext": [f"{100 * step:.3g} %" for step in steps]}
    return {
        "colorscale": "Viridis",
        "cmin": float(low),
        "cmax": float(max(high, low + 1e-6)),
        "colorbar": bar,
    }


def _outline(corners: Sequence[tuple[float, float]]) -> dict[str, Any]:
    line = {"color": "#8b95a5", "width": 1.5, "dash": "dot"}
    if len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        return {"type": "rect", "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": line}
    path = "L".join(f"{x:.4g},{y:.4g}" for x, y in corners)
    return {"type": "path", "path": f"M{path}Z", "line": line}
