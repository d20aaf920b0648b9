"""Plots as plain descriptions, made with the names that plotly gives its own.

plotly's Figure checks every call against its whole schema: four plots took longer than everything else on their page, several
times over. Streamlit has a description checked once, when it is drawn, so a wrong property still is an error.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

Trace = dict[str, Any]


def _trace(type_: str, **properties: Any) -> Trace:
    return {"type": type_, **properties}


Scatter, Scattergl, Box, Heatmap, Bar = (
    partial(_trace, kind) for kind in ("scatter", "scattergl", "box", "heatmap", "bar")
)


class Figure(dict[str, Any]):
    """`data`, a list of traces, and `layout`, as `st.plotly_chart` takes them. Properties of nested objects are given as dicts;
    those given later are merged into those before."""

    def __init__(self, *traces: Trace):
        super().__init__(data=list(traces), layout={})

    def add_trace(self, trace: Trace) -> None:
        self["data"].append(trace)

    def update_traces(self, **properties: Any) -> None:
        """Of all traces so far."""
        for trace in self["data"]:
            _merge(trace, properties)

    def update_layout(self, **properties: Any) -> "Figure":
        _merge(self["layout"], properties)
        return self

    def update_xaxes(self, **properties: Any) -> None:
        self.update_layout(xaxis=properties)

    def update_yaxes(self, **properties: Any) -> None:
        self.update_layout(yaxis=properties)

    def add_vline(self, x: float, line: Mapping[str, Any], text: str = "", *, left: bool = False) -> None:
        """A line over the whole height, `text` to the right of its foot, or to the left."""
        self._add_line({"x0": x, "x1": x, "y0": 0, "y1": 1, "xref": "x", "yref": "y domain"}, line)
        self._add_text(
            text, x=x, xanchor="right" if left else "left", xref="x", y=0, yanchor="bottom", yref="y domain"
        )

    def add_hline(self, y: float, line: Mapping[str, Any], text: str = "") -> None:
        """A line over the whole width, `text` below its right end."""
        self._add_line({"x0": 0, "x1": 1, "y0": y, "y1": y, "xref": "x domain", "yref": "y"}, line)
        self._add_text(text, x=1, xanchor="right", xref="x domain", y=y, yanchor="top", yref="y")

    def _add_line(self, ends: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        self["layout"].setdefault("shapes", []).append({"type": "line", **ends, "line": dict(line)})

    def _add_text(self, text: str, **place: Any) -> None:
        if text:
            said = {"text": text, "font": {"size": 11}, "showarrow": False, **place}
            self["layout"].setdefault("annotations", []).append(said)


def _merge(into: dict[str, Any], properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        present = into.get(name)
        if isinstance(value, Mapping):
            into[name] = (
                dict(present) if isinstance(present, Mapping) else {}
            )  # never change what a caller shares
            _merge(into[name], value)
        else:
            into[name] = value
