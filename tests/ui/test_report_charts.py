"""The plots of an audit's report."""

import pytest

from autointerp.ui.audit.report_charts import shares


@pytest.mark.parametrize(("controls", "anchor"), [(0.0, "left"), (1.0, "right")])
def test_the_name_of_the_line_of_controls_is_inside_the_plot(controls: float, anchor: str):
    (note,) = shares([], [], {}, controls)["layout"]["annotations"]
    assert (note["x"], note["xanchor"]) == (100 * controls, anchor)
