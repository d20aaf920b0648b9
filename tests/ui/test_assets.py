"""The elements' own script and style: no way from data to markup, nothing from the network, one meaning of orange."""

import json
from pathlib import Path

import numpy as np
import pytest

from autointerp.ui.shared import charts

ASSETS = Path(charts.__file__).parents[1] / "assets"


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.js")), ids=lambda path: path.name)
def test_scripts_build_text_nodes_only(path: Path):
    code = path.read_text(encoding="utf-8")
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "import(",
    ):
        assert forbidden not in code


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.*s*")), ids=lambda path: path.name)
def test_nothing_is_fetched(path: Path):
    code = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "http" not in code
    assert "url(" not in code


def test_density_curves_share_the_axis_of_shares():
    curve = charts.DensityCurve("sae", np.array([-4.0, -3.0, -2.0]), np.array([3, 1]))
    figure = json.loads(charts.densities([curve]).to_json() or "")
    assert "0.01 %" in figure["layout"]["xaxis"]["ticktext"]
    assert figure["data"][0]["line"]["color"] in charts.PALETTE


def test_bars_say_what_was_not_measured():
    figure = charts.bars("FVU", ["sae", "other"], [0.25, None], ["0.250", "–"]).to_dict()
    assert [bar["text"][0] for bar in figure["data"]] == ["0.250", "not measured"]
    assert charts.colour(0) == charts.colour(len(charts.PALETTE))


def test_one_dead_feature_in_a_thousand_is_no_full_bar():
    figure = charts.bars("Dead", ["sae"], [0.001], ["<1 %"], percent=True).to_dict()
    assert figure["data"][0]["x"] == [pytest.approx(0.1)]
    assert figure["layout"]["xaxis"]["range"][1] >= 1
    assert figure["layout"]["xaxis"]["ticksuffix"] == " %"
