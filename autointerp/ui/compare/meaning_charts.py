"""Plots of what coders' explanations mean."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.ui.shared import charts
from autointerp.ui.shared.plot import Figure, Heatmap

DIVERGING = [
    [0.0, "rgba(171,129,99,0.5)"],
    [0.5, "rgba(139,149,165,0.04)"],
    [1.0, "rgba(74,110,224,0.5)"],
]


def matrix(
    coders: Sequence[str],
    values: NDArray[np.floating],
    texts: Sequence[Sequence[str]],
    hovers: Sequence[Sequence[str]],
    *,
    signed: bool,
) -> Figure:
    """A figure for every two coders; NaN on the diagonal. `signed`: around 0, else between the smallest and the largest."""

    finite = values[~np.isnan(values)]
    low, high = float(finite.min()), float(finite.max())
    if signed:
        high = max(abs(low), abs(high), 0.01)
        low = -high
    figure = Figure(
        Heatmap(
            z=values, x=list(coders), y=list(coders), zmin=low, zmax=max(high, low + 0.01),
            colorscale=DIVERGING if signed else charts.SCALE, text=[list(row) for row in texts], texttemplate="%{text}",
            xgap=1, ygap=1, showscale=False, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.update_traces(textfont={"color": charts.ink(st.context.theme.type), "size": 11})
    figure.add_trace(charts.cells(coders, "%{y} and %{x}<br>%{text}<extra></extra>", hovers))
    figure.update_yaxes(range=[len(coders) - 0.5, -0.5], title=None, showgrid=False)
    figure.update_xaxes(range=[-0.5, len(coders) - 0.5], side="top", title=None, showgrid=False)
    return charts.framed(figure, "", 100 + 38 * len(coders), showlegend=False).update_layout(margin={"t": 40})
