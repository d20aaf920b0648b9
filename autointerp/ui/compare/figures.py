"""The plots of interpretability and price."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.compare.price import Price, Side
from autointerp.models.coders import registry
from autointerp.score.intervals import Estimate, median
from autointerp.ui.shared import charts
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.plot import Figure, Scatter

HEIGHT = 400
MAX_STEPS = 2001
"""Of a distribution of more scores, so many of its quantiles are drawn."""
_GREY = "#8b95a5"
_SYMBOLS = {
    "sae": "square", "transcoder": "circle", "skip_transcoder": "diamond", "neurons": "circle-open", "random": "x-thin-open"
}  # fmt: skip
"""By kind; others have a triangle."""
BELOW = {"orientation": "h", "y": -0.24, "x": 0, "xanchor": "left", "yanchor": "top", "title": None}
SMALL, BELOW_SMALL = 330, {**BELOW, "y": -0.34}
"""Height of the lower plots, and their legend."""
Colours = Mapping[str, str]


def picture(price: Price, colours: Colours, scorer: str) -> Figure:
    """Interpretability against the increase in cross-entropy, a mark a coder; controls hollow."""

    placed = sorted(
        (side for side in price.sides if side.score and side.ce_increase), key=lambda side: _x(side).value
    )
    figure = Figure()
    for coders in price.frontier.values():
        ahead = [price.side(coder) for coder in coders]
        if len(ahead) > 1:
            figure.add_trace(
                Scatter(
                    x=[_x(side).value for side in ahead], y=[_y(side).value for side in ahead], mode="lines",
                    line={"dash": "dash", "width": 1.4, "color": _GREY}, hoverinfo="skip", name="frontier", showlegend=False,
                )
            )  # fmt: skip
    for side in price.sides:
        if side not in placed:
            continue
        symbol = _SYMBOLS.get(side.kind, "triangle-up")
        figure.add_trace(
            Scatter(
                x=[_x(side).value], y=[_y(side).value], mode="markers", name=side.coder,
                error_x=_bars(_x(side), colours[side.coder]), error_y=_bars(_y(side), colours[side.coder]),
                marker={"size": 11, "color": colours[side.coder], "symbol": symbol,
                        "line": {"width": 2, "color": colours[side.coder]}},
                hovertemplate=f"{_said(side, price)}<extra>{side.coder}</extra>",
            )
        )  # fmt: skip
    _floor(figure, price, horizontal=True)
    figure.update_xaxes(
        title={"text": "increase in cross-entropy (nats per token)"}, showgrid=True, zeroline=False
    )
    if _spans_decades(placed):
        ticks = [m * 10.0**e for e in range(-4, 2) for m in (1, 2, 5)]
        figure.update_xaxes(
            type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks],
            title={"text": "increase in cross-entropy (nats per token, log scale)"},
        )  # fmt: skip
    figure.update_yaxes(title={"text": f"{price.question.centre} {scorer}"}, showgrid=True, zeroline=False)
    return charts.framed(figure, "Interpretability and cost", HEIGHT, showlegend=True, legend=BELOW)


def _spans_decades(placed: Sequence[Side]) -> bool:
    lows = [min(_x(side).value, _x(side).low or _x(side).value) for side in placed]
    return bool(lows) and min(lows) > 0 and max(_x(side).value for side in placed) > 3 * min(lows)


def _said(side: Side, price: Price) -> str:
    kind = registry.kind(side.kind).label
    recovered = "" if side.recovered is None else f", {fmt.share(side.recovered)} recovered"
    floor = "" if side.floor is None else f"<br>floor {fmt.decimal(side.floor)}"
    return (
        f"{kind} of {side.hookpoint}<br>{price.question.centre} {interval(side.score)}, n {fmt.count(price.n)}{floor}"
        f"<br>cross-entropy +{interval(side.ce_increase, 4)}{recovered}"
    )


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """`0.598 (0.592 to 0.604)`."""
    if estimate is None:
        return fmt.NONE
    value = fmt.decimal(estimate.value, digits)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({fmt.decimal(estimate.low, digits)} to {fmt.decimal(estimate.high, digits)})"


def _x(side: Side) -> Estimate:
    assert side.ce_increase is not None
    return side.ce_increase


def _y(side: Side) -> Estimate:
    assert side.score is not None
    return side.score


def _bars(estimate: Estimate, colour: str) -> dict[str, Any] | None:
    if estimate.low is None or estimate.high is None:
        return None
    return {
        "type": "data", "symmetric": False, "array": [estimate.high - estimate.value],
        "arrayminus": [estimate.value - estimate.low], "color": colour, "thickness": 1.4, "width": 4,
    }  # fmt: skip


def _floor(figure: Figure, price: Price, *, horizontal: bool) -> None:
    """A dotted line at the mean of the coders' floors."""
    floors = [side.floor for side in price.sides if side.floor is not None]
    if not floors:
        return
    line = {"dash": "dot", "width": 1.5, "color": _GREY}
    at = float(np.mean(floors))
    if horizontal:
        figure.add_hline(y=at, line=line, text="floor")
    else:
        figure.add_vline(x=at, line=line, text="floor")


def distributions(price: Price, colours: Colours, scorer: str) -> Figure:
    """The share of each coder's scores that are no higher: steps, with the median and its interval on each."""

    figure = Figure()
    for side in price.sides:
        if not side.scores:
            continue
        scores = np.array(side.scores)
        if len(scores) > MAX_STEPS:
            scores = np.quantile(scores, np.linspace(0, 1, MAX_STEPS), method="inverted_cdf")
        values, counts = np.unique(scores, return_counts=True)
        middle = median(np.array(side.scores))
        colour = colours[side.coder]
        figure.add_trace(
            Scatter(
                x=np.append(values[0], values), y=np.append(0.0, 100 * np.cumsum(counts) / counts.sum()), mode="lines",
                line={"shape": "hv", "width": 1.8, "color": colour, "dash": "dot" if side.is_control else "solid"},
                name=side.coder, legendgroup=side.coder,
                hovertemplate=f"%{{y:.0f}} % score %{{x:.3f}} or less<extra>{side.coder}</extra>",
            )
        )  # fmt: skip
        figure.add_trace(
            Scatter(
                x=[middle.value], y=[50], mode="markers", error_x=_bars(middle, colour), showlegend=False,
                legendgroup=side.coder, marker={"size": 10, "symbol": "line-ns", "line": {"width": 2, "color": colour}},
                hovertemplate=f"median {interval(middle)}<extra>{side.coder}</extra>",
            )
        )  # fmt: skip
    _floor(figure, price, horizontal=False)
    figure.update_xaxes(title={"text": scorer}, showgrid=True, zeroline=False)
    figure.update_yaxes(title={"text": "share of scores no higher (%)"}, range=[0, 101], showgrid=True)
    return charts.framed(figure, "Distribution of the scores", HEIGHT, showlegend=True, legend=BELOW)


def skip_shares(sides: Sequence[Side], colours: Colours) -> Figure:
    """How much of the output comes from the skip path, by token, and over all of them with its interval."""

    figure = Figure()
    for side in sides:
        if side.skip_percentiles is None or side.skip is None:
            continue
        colour = colours[side.coder]
        figure.add_trace(
            Scatter(
                x=100 * np.array(side.skip_percentiles), y=np.arange(101), mode="lines", name=side.coder,
                line={"width": 1.8, "color": colour},
                hovertemplate=f"%{{y}} % of tokens: %{{x:.0f}} % or less<extra>{side.coder}</extra>",
            )
        )  # fmt: skip
        overall = side.skip.times(100)
        figure.add_trace(
            Scatter(
                x=[overall.value], y=[2], mode="markers", error_x=_bars(overall, colour), showlegend=False,
                marker={"size": 9, "color": colour, "symbol": "diamond"},
                hovertemplate=f"over all tokens {interval(overall, 1)} %<extra>{side.coder}</extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title={"text": "share of the output from the skip path (%)"}, showgrid=True)
    figure.update_yaxes(title={"text": "tokens with this share or less (%)"}, range=[0, 101], showgrid=True)
    return charts.framed(figure, "What bypasses the latents", SMALL, showlegend=True, legend=BELOW_SMALL)
