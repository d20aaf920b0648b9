"""Plots of whole coders."""

import json

import numpy as np
import pytest

from autointerp.ui.shared import charts


def test_density_curves_share_the_axis_of_shares():
    curve = charts.DensityCurve("sae", np.array([-4.0, -3.0, -2.0]), np.array([3, 1]))
    figure = json.loads(charts.densities([curve]).to_json() or "")
    assert "0.01 %" in figure["layout"]["xaxis"]["ticktext"]
    assert figure["data"][0]["line"]["color"] in charts.PALETTE


def test_bars_say_what_was_not_measured():
    figure = charts.bars("FVU", ["sae", "other"], [0.25, None], ["0.250", "–"]).to_dict()
    assert [bar["text"][0] for bar in figure["data"]] == ["0.250", "not measured"]
    assert figure["data"][1]["x"][0] == 0, "Plotly draws no text where there is no bar"
    assert charts.colour(0) == charts.colour(len(charts.PALETTE))


def test_one_dead_feature_in_a_thousand_is_no_full_bar():
    figure = charts.bars("Dead", ["sae"], [0.001], ["<1 %"], percent=True).to_dict()
    assert figure["data"][0]["x"] == [pytest.approx(0.1)]
    assert figure["layout"]["xaxis"]["range"][1] >= 1
    assert figure["layout"]["xaxis"]["ticksuffix"] == " %"
