"""A statistic that one definition adds is in the list, its order and filters, and the panel, without another line."""

import numpy as np
import pytest

from autointerp.store import STATISTICS, LatentQuery, Statistic, Store, list_latents
from autointerp.store.coders.spool import LatentBlock
from autointerp.store.coders.statistics import Grid
from tests.app.reading import record
from tests.app.test_features_list import cells, latents, listed


def p95(block: LatentBlock, grid: Grid) -> np.ndarray:
    rows = np.split(block.activation, block.offsets[1:-1])
    return np.array([np.percentile(row, 95) for row in rows])


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Statistic(
        "p95", "95th percentile", "Of its activations", "activation", compute=p95, unit="units", short="p95",
        in_list=True, filters=("min", "max"),
    )  # fmt: skip
    monkeypatch.setitem(STATISTICS, toy.name, toy)


def test_in_the_list(open_page, tiny_store: Store):
    rows = list_latents(tiny_store, query=LatentQuery(sort="p95", limit=99)).rows
    values = [row.stats["p95"] for row in rows]
    app = open_page(tiny_store, "features", sort="p95")
    assert latents(app) == [(row.coder, row.stats.latent) for row in rows]
    assert list(cells(app, "p95").values()) == [f"{value:.2f}" for value in values]
    column = next(column for column in listed(app)["columns"] if column["title"] == "p95")
    assert (column["sort"], column["num"], column["help"]) == ("p95", True, "Of its activations")
    assert "95th percentile" in app.selectbox(key="url_sort").options
    assert app.selectbox(key="url_sort").value == "p95"
    bound = float(f"{np.median(values):.2f}")
    app.number_input(key="url_min_p95").set_value(bound).run()
    assert app.query_params["min_p95"] == f"{bound:g}"
    assert len(latents(app)) == sum(value >= bound for value in values)
    assert app.number_input(key="url_max_p95").label == "95th percentile at most (units)"


def test_in_the_panel(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="4")
    assert not app.exception
    panel = record(app, "panel")
    assert panel is not None
    value = tiny_store.coder("sae").all_stats(4)["p95"]
    assert ["p95", f"{value:.2f} units", "Of its activations", False] in panel["facts"]


def test_a_dead_feature_has_none(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", coder="sae", dead="only")
    assert cells(app, "p95") == {("sae", 5): "–"}
    assert cells(app, "Density") == {("sae", 5): "0 %"}
    facts = (record(open_page(tiny_store, "feature", coder="sae", latent="5"), "panel") or {}).get(
        "facts", []
    )
    assert {row[0]: row[1] for row in facts}["p95"] == "–"
