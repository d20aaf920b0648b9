"""Plots of whole coders."""

import numpy as np

from autointerp.ui.shared import charts


def test_density_curves_share_the_axis_of_shares():
    curve = charts.DensityCurve("sae", charts.colour(2), np.array([-4.0, -3.0, -2.0]), np.array([3, 1]))
    figure = charts.densities([curve])
    assert "0.01 %" in figure["layout"]["xaxis"]["ticktext"]
    assert figure["data"][0]["line"]["color"] == charts.colour(2)


def test_colours_start_again():
    assert charts.colour(0) == charts.colour(len(charts.PALETTE))
