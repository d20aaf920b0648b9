"""Plots of whole coders. One visual language: a colour per coder (orange, teal and rose have meanings of their own).

plotly is imported when a plot is drawn: it takes longer than everything else on a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autointerp.ui import format as fmt

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HEIGHT = 230
PALETTE = ("#4a6ee0", "#8b95a5", "#9467dd", "#3a9fd0", "#86a63a", "#ab8163", "#bb5cbd", "#5f6878")
"""Legible on white and on near-black; repeated from the start when there are more coders."""


def colour(index: int) -> str:
    """The colour of the coder at this place in the store."""
    return PALETTE[index % len(PALETTE)]


@dataclass(frozen=True)
class DensityCurve:
    """Live latents of one coder by density: `edges` log10 of the density, `counts` latents in each bin."""

    coder: str
    edges: NDArray[np.floating]
    counts: NDArray[np.integer]


def _layout(figure: "Figure", title: str, **more: Any) -> "Figure":
    figure.update_layout(
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.98, "yanchor": "top"},
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 34, "b": 8},
        font={"size": 12},
        bargap=0.35,
        hoverlabel={"namelength": -1},
        **more,
    )
    return figure


def densities(curves: Sequence[DensityCurve]) -> "Figure":
    """How often latents fire, per coder, on a logarithmic axis of density in percent."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for index, curve in enumerate(curves):
        centres = 10 ** ((curve.edges[:-1] + curve.edges[1:]) / 2)
        figure.add_trace(
            Scatter(
                x=100 * centres,
                y=curve.counts,
                name=curve.coder,
                mode="lines",
                line={"width": 1.8, "shape": "hvh", "color": colour(index)},
                customdata=[fmt.density(float(value)) for value in centres],
                hovertemplate="%{customdata}: %{y} features<extra>%{fullData.name}</extra>",
            )
        )
    decades = [10.0**power for power in range(-8, 3)]
    figure.update_xaxes(
        type="log",
        title={"text": "density: share of tokens on which a feature fires"},
        tickvals=decades,
        ticktext=[f"{d:g} %" if d >= 0.01 else fmt.density(d / 100) for d in decades],
        showgrid=True,
    )
    figure.update_yaxes(title={"text": "live features"}, rangemode="tozero")
    legend = {"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom", "title": None}
    return _layout(figure, "How often features fire", legend=legend, showlegend=True).update_layout(
        height=290
    )


def bars(
    title: str, coders: Sequence[str], values: Sequence[float | None], texts: Sequence[str], *, percent: bool = False,
) -> "Figure":  # fmt: skip
    """One horizontal bar for each coder."""
    from plotly.graph_objects import Bar, Figure

    figure = Figure()
    for index, (coder, value, text) in enumerate(zip(coders, values, texts, strict=True)):
        figure.add_trace(
            Bar(
                x=[value], y=[coder], name=coder, orientation="h", text=[text if value is not None else "not measured"],
                textposition="outside", cliponaxis=False, textfont={"size": 11}, marker={"color": colour(index)},
                hovertemplate=f"%{{y}}: {text}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", title=None, showgrid=False)
    top = max((value for value in values if value is not None), default=0.0)
    bottom = min((value for value in values if value is not None), default=0.0)
    room = [1.2 * min(bottom, 0.0), 1.4 * top if top > 0 else 1.0]  # for the figures beyond the bars' ends
    figure.update_xaxes(title=None, range=room, tickformat=".0%" if percent else None, nticks=5)
    return _layout(figure, title, showlegend=False, barmode="overlay").update_layout(
        height=max(120, 70 + 26 * len(coders))
    )
