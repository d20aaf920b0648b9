"""The plots of an audit's report."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.audit.calibration import Bin
from autointerp.audit.findings import ends, percent
from autointerp.audit.report import Part
from autointerp.ratings import VERDICTS
from autointerp.ui.shared import charts
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.plot import Figure, Heatmap, Scatter

_LINE = {"dash": "dot", "width": 1.5, "color": "#8b95a5"}
HEIGHT = 300
SHARE_AXIS = {"range": [-3, 103], "showgrid": True, "zeroline": False}


def shares(
    parts: Sequence[Part], names: Sequence[str], colours: Mapping[str, str], controls: float | None
) -> Figure:
    """The share of right explanations of each part, a row each, with its interval; a line where controls are called right."""
    figure = Figure()
    for part, name in zip(parts, names, strict=True):
        estimate = part.share.estimate
        if estimate is None:
            continue
        colour = colours.get(part.coder or "", charts.ink(st.context.theme.type))
        figure.add_trace(
            Scatter(
                x=[100 * estimate.value], y=[name], mode="markers", showlegend=False,
                marker={"size": 10, "color": colour, "symbol": "circle" if part.explainer is None else "diamond"},
                error_x={**charts.error_bars([estimate], 100), "color": colour},
                hovertemplate=f"{percent(estimate.value)} ({ends(estimate)}), n {fmt.count(part.share.n)}<extra>%{{y}}</extra>",
            )
        )  # fmt: skip
    if controls is not None:
        figure.add_vline(x=100 * controls, line=_LINE, text="controls", left=controls > 0.5)
    figure.update_xaxes(title={"text": "right (%)"}, **SHARE_AXIS)
    figure.update_yaxes(autorange="reversed", title=None, showgrid=False, automargin=True)
    return charts.framed(figure, "Share of right explanations", max(170, 90 + 30 * len(names)))


def confusion(raters: tuple[str, str], counts: NDArray[np.int64]) -> Figure:
    """How often the first rater (rows) and the second gave which verdicts; only those that either gave."""
    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    labels = [kind.label for kind in VERDICTS.values()]
    names = [labels[place] for place in used]
    inside = counts[np.ix_(used, used)]
    texts = [[fmt.count(n) if n else "" for n in row] for row in inside.tolist()]
    figure = Figure(
        Heatmap(
            z=inside, x=names, y=names, zmin=0, colorscale=charts.SCALE, text=texts, texttemplate="%{text}",
            xgap=1, ygap=1, showscale=False, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.update_traces(textfont={"color": charts.ink(st.context.theme.type)})
    said = f"{shown(raters[0])}: %{{y}}<br>{shown(raters[1])}: %{{x}}<br>%{{text}} items<extra></extra>"
    figure.add_trace(charts.cells(names, said, texts))
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5], title={"text": shown(raters[0])}, showgrid=False, automargin=True
    )
    figure.update_xaxes(
        range=[-0.5, len(names) - 0.5],
        title={"text": shown(raters[1])},
        showgrid=False,
        automargin=True,
        tickangle=-35,
    )
    return charts.framed(figure, "Verdicts of two raters", 150 + 34 * len(names), showlegend=False)


def calibration(bins: Sequence[Bin], name: str, whole: float | None) -> Figure:
    """The share of right explanations in each bin of scores, with its interval; dotted, that of all items."""
    middles = [(each.low + each.high) / 2 for each in bins]
    figure = Figure(
        Scatter(
            x=middles, y=[100 * each.right.value for each in bins], mode="markers", showlegend=False,
            marker={"size": 9, "color": charts.colour(0)},
            error_x={
                "type": "data", "array": [(each.high - each.low) / 2 for each in bins], "thickness": 1, "width": 0,
                "color": "#8b95a5",
            },
            error_y={**charts.error_bars([each.right for each in bins], 100), "color": charts.colour(0)},
            customdata=[
                [fmt.decimal(each.low, 2), fmt.decimal(each.high, 2), percent(each.right.value), ends(each.right), each.n]
                for each in bins
            ],
            hovertemplate="score %{customdata[0]} to %{customdata[1]}: %{customdata[2]} right (%{customdata[3]}), "
            "n %{customdata[4]}<extra></extra>",
        )
    )  # fmt: skip
    if whole is not None:
        figure.add_hline(y=100 * whole, line=_LINE, text="all items")
    figure.update_xaxes(title={"text": shown(name)}, showgrid=True, zeroline=False)
    figure.update_yaxes(title={"text": "right (%)"}, **SHARE_AXIS)
    return charts.framed(figure, "Share right by score", HEIGHT)


def shown(name: str) -> str:
    """A name from a store, as plotly shows it: it takes some markup for its own."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
