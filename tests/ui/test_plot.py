"""Plots as descriptions: plotly's own Figure is the second implementation."""

import numpy as np
import plotly.graph_objects as go
import pytest

from autointerp.ui.shared.plot import Figure, Scatter

LINE = {"dash": "dot", "width": 1.5, "color": "#8b95a5"}
DATA = {"x": [1, 2], "y": [3, 4], "marker": {"size": 3}, "name": "a"}


def same(ours: Figure, theirs: go.Figure) -> None:
    drawn = go.Figure(**ours).to_dict()
    expected = theirs.to_dict()
    for figure in (drawn, expected):
        figure["layout"].pop("template", None)
    assert drawn == expected


def test_what_is_given_later_is_merged_as_plotly_merges_it():
    ours, theirs = Figure(Scatter(**DATA)), go.Figure(go.Scatter(**DATA))
    for figure in (ours, theirs):
        figure.update_xaxes(title={"text": "x"}, showgrid=True)
        figure.update_xaxes(title={"font": {"size": 9}}, showgrid=False)
        figure.update_yaxes(range=[0, 1])
        figure.update_layout(margin={"l": 1, "r": 2}, height=10).update_layout(margin={"l": 3})
        figure.update_traces(marker={"color": "#000000"})
    theirs.add_trace(go.Scatter(y=np.arange(3.0)))
    ours.add_trace(Scatter(y=np.arange(3.0)))
    same(ours, theirs)


def test_lines_with_and_without_text_lie_where_plotly_puts_them():
    ours, theirs = Figure(Scatter(**DATA)), go.Figure(go.Scatter(**DATA))
    ours.add_vline(x=1.5, line=LINE)
    theirs.add_vline(x=1.5, line=LINE)
    ours.add_hline(y=3.5, line=LINE, text="floor")
    ours.add_vline(x=1.2, line=LINE, text="floor")
    named = {"annotation_text": "floor", "annotation_font_size": 11, "annotation_position": "bottom right"}
    theirs.add_hline(y=3.5, line=LINE, **named)
    theirs.add_vline(x=1.2, line=LINE, **named)
    same(ours, theirs)


def test_what_several_plots_share_is_not_changed():
    legend = {"x": 0, "font": {"size": 1}}
    figure = Figure()
    figure.update_layout(legend=legend)
    figure.update_layout(legend={"x": 1, "font": {"size": 2}})
    assert legend == {"x": 0, "font": {"size": 1}}


def test_a_wrong_property_is_an_error_where_it_is_drawn():
    with pytest.raises(ValueError, match="no_such"):
        go.Figure(**Figure(Scatter(x=[1], no_such=1)))
