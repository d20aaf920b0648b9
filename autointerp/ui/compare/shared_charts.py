"""The plots of shared features."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.compare.directions import Directions
from autointerp.compare.overlap import DensityBin, agree
from autointerp.score.intervals import Estimate
from autointerp.ui.shared import charts
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.plot import Figure, Heatmap, Scatter, Scattergl

HEIGHT = 300
BIN = 0.02
MAX_POINTS = 4000
_LINE = {"dash": "dot", "width": 1.5, "color": "#8b95a5"}
_COLOURS = {"encoder": charts.colour(0), "decoder": charts.colour(2)}


def cosines(matches: Directions, live: NDArray[np.integer], definition: str, threshold: float) -> Figure:
    """Cosines of live features with their counterparts, the threshold, and what random directions reach."""

    figure = Figure()
    edges = np.arange(-1, 1 + BIN, BIN)
    lowest = 1.0
    for name, part in matches.parts.items():
        side = part.sides[0]
        values = (side.nearest_cosine if definition == "nearest" else side.cosine)[live]
        values = values[np.isfinite(values)]
        counts, _ = np.histogram(np.clip(values, -1, 1 - 1e-6), edges)
        lowest = min(lowest, float(values.min(initial=1.0)))
        figure.add_trace(
            Scatter(
                x=edges[:-1] + BIN / 2, y=counts, name=name, mode="lines",
                line={"width": 1.8, "shape": "hvh", "color": _COLOURS[name]},
                hovertemplate="cosine about %{x:.2f}: %{y:,} features<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
        figure.add_vline(x=side.floor, line={**_LINE, "color": _COLOURS[name]})
    figure.add_vline(x=threshold, line={"width": 1.5, "color": "#8b95a5"})
    figure.update_xaxes(title={"text": "cosine"}, range=[min(lowest, 0.0) - 0.03, 1.02], showgrid=True)
    figure.update_yaxes(title={"text": "features"}, rangemode="tozero")
    return charts.framed(figure, "Cosine with the counterpart", HEIGHT, legend=charts.LEGEND, showlegend=True)


def against(matches: Directions, live: NDArray[np.integer]) -> Figure:
    """Cosine by encoder against cosine by decoder, coloured by whether both give the same partner. Points carry the feature.

    No line at the threshold: the browser would draw thousands of points anew at each move of its slider."""

    if len(live) > MAX_POINTS:
        live = np.sort(np.random.default_rng(0).choice(live, MAX_POINTS, replace=False))
    encoder, decoder = (matches.parts[name].sides[0] for name in ("encoder", "decoder"))
    same = agree(matches)
    figure = Figure()
    for is_same, name, colour in (
        (True, "same partner", charts.colour(0)),
        (False, "different partners", charts.colour(6)),
    ):
        here = live[same[live] == is_same]
        figure.add_trace(
            Scattergl(
                x=encoder.cosine[here], y=decoder.cosine[here], name=f"{name} ({fmt.count(len(here))})", mode="markers",
                marker={"size": 5, "opacity": 0.55, "color": colour},
                customdata=np.stack([here, encoder.partner[here], decoder.partner[here]], axis=1),
                hovertemplate="#%{customdata[0]}: by encoder #%{customdata[1]} at %{x:.2f}, by decoder #%{customdata[2]} at "
                "%{y:.2f}<extra></extra>",
            )
        )  # fmt: skip
    lowest = min(0.0, float(np.nanmin([encoder.cosine[live], decoder.cosine[live]])))
    span = [lowest - 0.03, 1.03]
    figure.update_xaxes(title={"text": "cosine by encoder"}, range=span, showgrid=True)
    figure.update_yaxes(title={"text": "cosine by decoder"}, range=span, showgrid=True)
    title = "Encoder against decoder"
    return charts.framed(figure, title, HEIGHT, legend=charts.LEGEND, showlegend=True, dragmode="pan")


def by_density(bins: Sequence[DensityBin]) -> Figure:
    """The shared fraction at each density, with its interval."""

    middles = [10 ** ((each.low + each.high) / 2) * 100 for each in bins]
    shares = [100 * each.n_shared / each.n for each in bins]
    sizes = [4 + min(8, each.n / 10) for each in bins]
    figure = Figure(
        Scatter(
            x=middles, y=shares, mode="markers", marker={"size": sizes, "color": charts.colour(0)},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.2,
                "array": [100 * each.ci_high - share for each, share in zip(bins, shares, strict=True)],
                "arrayminus": [share - 100 * each.ci_low for each, share in zip(bins, shares, strict=True)],
            },
            customdata=[
                [fmt.count(each.n_shared), fmt.count(each.n), fmt.density(x / 100)]
                for each, x in zip(bins, middles, strict=True)
            ],
            hovertemplate="density about %{customdata[2]}: %{y:.0f} %, %{customdata[0]} of %{customdata[1]}<extra></extra>",
        )
    )  # fmt: skip
    charts.density_axis(figure)
    figure.update_yaxes(title={"text": "shared (%)"}, range=[-3, 103], showgrid=True)
    return charts.framed(figure, "Shared, by how often features fire", HEIGHT, showlegend=False)


def matrix(coders: Sequence[str], fractions: NDArray[np.floating], texts: Sequence[Sequence[str]]) -> Figure:
    """The fraction of each coder (a row) that is in each other (a column); NaN where they cannot be matched."""

    figure = Figure(
        Heatmap(
            z=100 * fractions, x=list(coders), y=list(coders), zmin=0, zmax=100, colorscale=charts.SCALE,
            text=[list(row) for row in texts], texttemplate="%{text}", xgap=1, ygap=1, showscale=False,
            hoverinfo="skip",
        )
    )  # fmt: skip
    figure.update_traces(textfont={"color": charts.ink(st.context.theme.type)})
    figure.add_trace(charts.cells(coders, "%{y} in %{x}: %{text}<extra></extra>", texts))
    figure.update_yaxes(range=[len(coders) - 0.5, -0.5], title=None, showgrid=False)
    figure.update_xaxes(range=[-0.5, len(coders) - 0.5], side="top", title=None, showgrid=False)
    height = 110 + 34 * len(coders)
    return charts.framed(figure, "", height, showlegend=False).update_layout(margin={"t": 40})


def only(curves: Sequence[tuple[str, str, Sequence[float]]]) -> Figure:
    """The share of each coder's features that no other has, against how many others are looked at: (coder, colour, shares)."""

    figure = Figure()
    for coder, colour, shares in curves:
        figure.add_trace(
            Scatter(
                x=list(range(len(shares))), y=[100 * share for share in shares], name=coder, mode="lines+markers",
                line={"width": 1.6, "color": colour}, marker={"size": 5},
                hovertemplate="%{x} others: %{y:.0f} %<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title={"text": "other coders considered"}, dtick=1)
    figure.update_yaxes(title={"text": "found in none of them (%)"}, range=[-3, 103])
    return charts.framed(figure, "Found in one coder only", HEIGHT, legend=charts.LEGEND, showlegend=True)


def scores(curves: Sequence[tuple[str, str, Sequence[tuple[int, Estimate, int]]]], title: str) -> Figure:
    """The mean score of each coder's features by how many others have them: (coder, colour, (others, mean, n))."""

    figure = Figure()
    for coder, colour, points in curves:
        means = [mean for _, mean, _ in points]
        figure.add_trace(
            Scatter(
                x=[others for others, _, _ in points], y=[mean.value for mean in means], name=coder, mode="lines+markers",
                line={"width": 1.6, "color": colour}, marker={"size": 5},
                error_y={
                    "type": "data", "symmetric": False, "thickness": 1,
                    "array": [(mean.value if mean.high is None else mean.high) - mean.value for mean in means],
                    "arrayminus": [mean.value - (mean.value if mean.low is None else mean.low) for mean in means],
                },
                customdata=[[fmt.count(n)] for _, _, n in points],
                hovertemplate="in %{x} others: mean %{y:.3f}, n %{customdata[0]}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title={"text": "other coders that have the feature"}, dtick=1)
    figure.update_yaxes(title={"text": "mean score"}, showgrid=True)
    return charts.framed(figure, title, HEIGHT, legend=charts.LEGEND, showlegend=True)
