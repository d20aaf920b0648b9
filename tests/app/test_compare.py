"""The Compare page: shared features of two coders and of several, on real weights."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autointerp.cli.main import main
from autointerp.compare import coactivation, ranks
from autointerp.compare.overlap import alignment, overlap
from autointerp.compare.scored import Scored
from autointerp.compare.sharing import between, match, shared_scores, sharing
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.compare.shared import csv_of
from autointerp.ui.compare.shared_scores import verdict
from tests.app.reading import links, messages, record, records
from tests.compare.conftest import built

__all__ = ["built"]


@pytest.fixture(scope="module")
def scored(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store with explanations and detection scores of two coders."""
    path = tmp_path_factory.mktemp("scored") / "store"
    shutil.copytree(built, path)
    for coder in ("sae", "transcoder"):
        assert main(["explain", str(path), coder, "--explainer", "pattern"]) == 0
        assert main(["score", str(path), coder, "--scorer", "detection"]) == 0
    return Store.open(path)


def shown_facts(app) -> dict[str, str]:
    drawn = record(app, "facts")
    assert drawn is not None
    return {name: value for name, value, *_ in drawn}


def test_the_page_shows_the_figures_of_the_library(
    open_page, scored: Store, capsys: pytest.CaptureFixture[str]
):
    app = open_page(scored, "compare", view="shared", a="sae", b="transcoder", t="0.4")
    assert not app.exception, app.exception
    with Annotations(scored.path) as annotations:
        pairs = match(Resources(scored, annotations), ["sae", "transcoder"])
    found = pairs["sae", "transcoder"]
    live = scored.coder("sae").table().live
    share = overlap(found, live, threshold=0.4)
    assert 0 < share.n_shared < share.n_live
    assert shown_facts(app)["Shared"].startswith(f"{share.n_shared} of {share.n_live} (")
    assert "No encoder cosines" in messages(app)
    shared = alignment(found) > 0.4
    argv = [
        "match",
        str(scored.path),
        "sae",
        "transcoder",
        "--threshold",
        "0.4",
        "--score",
        "detection",
        "--json",
    ]
    capsys.readouterr()
    assert main(argv) == 0
    there = next(row for row in json.loads(capsys.readouterr().out)["pairs"] if row["coders"][0] == "sae")[
        "scores"
    ]
    (score,) = (word for word in messages(app).splitlines() if "features scored" in word)
    assert f"{there['n_shared']} shared and {there['n_others']} other features scored" in score
    query = "SELECT latent FROM scores WHERE coder = 'sae' AND value IS NOT NULL"
    have = scored.sql(query)["latent"].to_numpy()
    assert (there["n_shared"], there["n_others"]) == (shared[have].sum(), (~shared[have]).sum())
    (table,) = records(app, "list")
    listed = [int(row["cells"][0].rpartition("#")[2]) for row in table["rows"]]
    assert listed
    assert not shared[listed].any()
    app = open_page(scored, "compare", **{name: str(value) for name, value in table["rows"][0]["go"].items()})
    assert f"sae #{listed[0]}" in str(record(app, "pair"))


def test_the_file_holds_every_live_feature(scored: Store):
    with Annotations(scored.path) as annotations:
        found = between(match(Resources(scored, annotations), ["sae", "other"]), "sae", "other")
    live = scored.coder("sae").table().live
    rows = list(csv.DictReader(io.StringIO(csv_of(found, live, "assigned"))))
    assert [int(row["latent"]) for row in rows] == live.tolist()
    for row in rows:
        side = found.parts["decoder"].sides[0]
        partner = side.partner[int(row["latent"])]
        assert row["decoder_partner"] == ("" if partner < 0 else str(partner))
        assert float(row["decoder_nearest_cosine"]) == pytest.approx(side.nearest_cosine[int(row["latent"])])


def test_several_coders_are_counted_as_the_library_counts(open_page, scored: Store):
    names = ["sae", "permuted", "transcoder", "random"]
    with Annotations(scored.path) as annotations:
        pairs = match(Resources(scored, annotations), names)
    app = open_page(scored, "compare", view="several", coders=",".join(names), t="0.5")
    assert not app.exception, app.exception
    table = record(app, "list")
    assert table is not None
    for row in table["rows"]:
        truth = sharing(scored, pairs, row["go"]["coder"], names, threshold=0.5)
        assert [cell.partition(" ")[0] for cell in row["cells"][1:]] == [
            str(truth.n_live), *map(str, truth.n_in),
        ]  # fmt: skip
    by_coder = {row["go"]["coder"]: row["cells"] for row in table["rows"]}
    assert by_coder["permuted"][2].startswith("0 (")


def test_split_features_are_those_of_the_library(
    open_page, scored: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(coactivation, "TOGETHER", 0.4)
    app = open_page(scored, "compare", view="shared", a="sae", b="transcoder")
    assert "Parts in transcoder" not in str(records(app, "list"))  # only when asked
    app = open_page(scored, "compare", view="shared", a="sae", b="transcoder", split="1")
    assert not app.exception, app.exception
    table = records(app, "list")[-1]
    capsys.readouterr()
    assert main(["match", str(scored.path), "sae", "transcoder", "--split", "--json"]) == 0
    there, _ = json.loads(capsys.readouterr().out)["split"]
    assert there["coders"] == ["sae", "transcoder"]
    assert there["latents"]
    for row, split in zip(table["rows"], there["latents"], strict=True):
        assert row["cells"][0] == f"sae #{split['latent']}"
        assert row["go"]["latent_b"] == split["parts"][0]["latent"]
        assert len(split["parts"]) >= 2


def test_missing_pairs_are_offered_as_a_job(open_page, built: Path, tmp_path: Path):
    shutil.copytree(built, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "derived", ignore_errors=True)
    app = open_page(tmp_path / "store", "compare", view="several", coders="sae,other,skip")
    assert "match the latents of 3 pairs of coders by direction" in messages(app)
    app.button(key="compute_directions").click().run()
    assert not app.exception
    with Annotations(tmp_path / "store") as annotations:
        (job,) = annotations.jobs.recent()
    assert (job.kind, job.total) == ("compare", 3)


@pytest.mark.parametrize("view", ["shared", "several"])
def test_one_coder_alone_or_twice_is_told_what_is_missing(open_page, scored: Store, store_factory, view: str):
    app = open_page(scored, "compare", view=view, a="sae", b="sae", coders="sae")
    assert not app.exception
    assert "two different coders" in messages(app) or "at least 2 coders" in messages(app)


def test_missing_weights_are_said(open_page, tiny_store: Store):
    app = open_page(tiny_store, "compare", view="shared")
    assert not app.exception
    assert "weights" in messages(app)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"a": "sea"}, "does not exist"),
        ({"b": "<script>"}, "does not exist"),
        ({"t": "2"}, "a cosine lies between"),
        ({"t": "nan"}, "a cosine lies between"),
        ({"t": "<b>"}, "a cosine lies between"),
        ({"definition": "odd", "score": "odd", "rows": "-3", "by": "odd"}, ""),
        ({"view": "odd"}, ""),
        ({"view": "several", "coders": "sea,sae"}, "does not exist"),
        ({"view": "several", "coders": ""}, "at least 2"),
    ],
)
def test_hostile_addresses_give_a_page(open_page, scored: Store, params: dict[str, str], said: str):
    app = open_page(scored, "compare", **{"view": "shared", "a": "sae", "b": "transcoder", **params})
    assert not app.exception, app.exception
    assert said in messages(app)
    if said == "does not exist":
        assert links(app)


def test_the_verdict_says_what_the_test_says():
    rng = np.random.default_rng(0)

    def said(shared: np.ndarray, others: np.ndarray) -> str:
        values = np.concatenate([shared, others])
        latent = np.arange(len(values))
        scores = Scored(latent, values, np.full(len(values), np.nan))
        return verdict(shared_scores(scores, latent < len(shared), latent))

    high, low = rng.normal(0.7, 0.1, 60), rng.normal(0.5, 0.1, 90)
    assert "score higher than the others" in said(high, low)
    assert "score lower than the others" in said(low, high)
    assert "cannot be told apart" in said(low[:45], low[45:])
    assert "3 shared and 90 other features scored: a test needs" in said(high[:3], low)
    share = round(100 * ranks.superiority(high, low).estimate.value)
    assert f"in {share} % of pairs" in said(high, low)
