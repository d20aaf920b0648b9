"""Interpretability and cost on the Compare page, and `autointerp compare`: one computation behind both."""

import json
import shutil
from pathlib import Path

import pytest

from autointerp.cli.main import main
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.reading import keys, links, messages, record, records
from tests.compare.conftest import built
from tests.compare.scores import give_scores

__all__ = ["built"]

CHANCES = {"sae": 0.65, "permuted": 0.65, "transcoder": 0.8, "skip": 0.8, "neurons": 0.65, "random": 0.5}


@pytest.fixture(scope="module")
def compared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("priced") / "store"
    shutil.copytree(built, path)
    store = Store.open(path)
    give_scores(store, CHANCES, scorers=("detection", "fuzzing"))
    give_scores(store, {"other": 0.6}, n=4)
    return store


def document(capsysbinary, store: Store, *arguments: str) -> dict:
    assert main(["compare", str(store.path), *arguments, "--json"]) == 0
    return json.loads(capsysbinary.readouterr().out)


def said(app) -> str:
    assert not app.exception, app.exception
    return "\n".join([*(str(text.value) for text in app.markdown), messages(app)]).replace("\\", "")


def test_the_page_shows_the_figures_of_the_command(open_page, compared: Store, capsysbinary):
    coders = [*CHANCES]
    made = document(
        capsysbinary, compared, "--coders", *coders, "--scorer", "fuzzing", "--n", "20", "--seed", "5"
    )
    app = open_page(
        compared, "compare", coders=",".join(coders), score=made["scoring"]["key"], n="20", seed="5"
    )
    shown = said(app)
    assert made["headline"] in shown
    assert len(made["claims"]) >= 5
    for claim in made["claims"]:
        assert claim["text"] in shown
    assert "20 features per coder, drawn with seed 5" in shown
    table, scores, errors = records(app, "list")
    titles = [column["title"] for column in table["columns"]]
    by_coder = {row["go"]["coder"]: dict(zip(titles, row["cells"], strict=True)) for row in table["rows"]}
    assert list(by_coder) == [side["coder"] for side in made["coders"]]
    for side in made["coders"]:
        cells, score = by_coder[side["coder"]], side["score"]
        assert cells["Mean score"] == f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
        assert cells["CE +"].startswith(f"{side['ce_increase']['value']:.4f} (".replace("-", "−"))
        assert cells["FVU"].startswith(f"{side['fvu']['value']:.3f} (")
        assert f"zeros +{side['ce_increase_zero']:.3f}" in cells["Recovered"][1]
    assert by_coder["skip"]["Skip path"].endswith(" %")
    assert by_coder["sae"]["Skip path"] == "–"
    pairs = [pair for pair in made["comparisons"] if pair["measure"] == "score"]
    assert [tuple(row["cells"][:2]) for row in scores["rows"]] == [(p["first"], p["second"]) for p in pairs]
    for row, pair in zip(scores["rows"], pairs, strict=True):
        assert row["cells"][2].startswith(f"{100 * pair['superiority']['value']:.0f} (")
        assert row["cells"][6] == ("yes" if pair["apart"] else "no")
    assert len(errors["rows"]) == len([p for p in made["comparisons"] if p["measure"] == "ce_increase"])
    # Plots: the picture, the distributions, the densities, the skip path.
    assert len(app.get("plotly_chart")) == 4


def test_every_control_is_in_the_address(open_page, compared: Store):
    app = open_page(compared, "compare")
    assert "coders" not in app.query_params
    app.button_group(key="url_coders").set_value(["sae", "transcoder"]).run()
    assert not app.exception
    assert app.query_params["coders"] in ("sae,transcoder", ["sae,transcoder"])
    app.number_input(key="url_n").set_value(25.0).run()
    app.toggle(key="url_match").set_value(True).run()
    app.segmented_control(key="url_centre").set_value("median").run()
    assert not app.exception
    assert {"n", "match", "centre"} <= set(app.query_params)
    table = record(app, "list")
    assert table is not None
    assert "Median score" in [column["title"] for column in table["columns"]]


def test_too_few_scores_name_the_coder_and_offer_the_job(open_page, compared: Store, tmp_path: Path):
    store = Store.open(shutil.copytree(compared.path, tmp_path / "own"))  # the job adds to it
    app = open_page(store, "compare", coders="sae,transcoder,other,residual")
    text = said(app)
    assert "Left out of the tests, with fewer than 20 such scores: other (4), residual (0)." in text
    assert "other has 4 scores in this configuration" in text
    app.button(key="supply_other").click().run()
    assert not app.exception
    with Annotations(store.path) as annotations:
        (job,) = (job for job in annotations.jobs.recent() if job.kind == "explain")
        annotations.jobs.cancel(job.id)
    assert (job.payload["coder"], job.payload["then"][0]["n_examples"]) == ("other", 10)


def test_errors_that_were_not_measured_are_offered(open_page, built: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(built, tmp_path / "unmeasured"))
    for kept in (store.path / "derived").glob("fidelity*"):
        kept.unlink()
    give_scores(store, {"sae": 0.6, "skip": 0.8}, n=20)
    app = open_page(store, "compare", coders="sae,skip")
    text = said(app)
    assert "Not computed yet: measure the error of sae and skip" in text
    assert "compute_fidelity" in keys(app)
    table = record(app, "list")
    assert table is not None
    assert "–" not in [row["cells"][7] for row in table["rows"]]  # of the caching


def test_nothing_explained_one_coder_and_no_coders(open_page, tiny_store: Store, built: Path, tmp_path: Path):
    app = open_page(tiny_store, "compare")
    assert "These coders are not scored yet" in said(app)
    assert "autointerp score" in "".join(block.value for block in app.code)
    (tiny_store.path / "coders" / "transcoder.duckdb").unlink()
    assert "A comparison needs two coders" in said(open_page(tiny_store, "compare"))
    for file in (tiny_store.path / "coders").glob("*"):
        file.unlink()
    assert not open_page(tiny_store, "compare").exception


@pytest.mark.parametrize(
    "params",
    [
        {"coders": "nothing,sae"},
        {"coders": ",,,"},
        {"coders": "<b>,sae,transcoder", "n": "1e9", "seed": "-3", "score": "x~y", "by": "nobody"},
        {"n": "99999999", "seed": "99999999999999999999", "match": "1", "centre": "mode", "image": "exe"},
        {"n": "0", "coders": "sae,sae"},
    ],
)
def test_whatever_the_address_holds(open_page, compared: Store, params: dict[str, str]):
    app = open_page(compared, "compare", **params)
    assert not app.exception
    if "nothing" in params.get("coders", ""):
        assert "does not exist" in messages(app)
        assert links(app)


def test_the_command_says_what_is_wrong_and_what_is_missing(compared: Store, capsysbinary):
    assert main(["compare", str(compared.path), "--coders", "sae", "sea"]) == 2
    assert "unknown coder 'sea'. Nearest: sae" in capsysbinary.readouterr().err.decode()
    assert main(["compare", str(compared.path), "--coders", "sae"]) == 2
    assert main(["compare", str(compared.path), "--n", "3"]) == 2
    made = document(capsysbinary, compared, "--coders", "sae", "other", "transcoder", "--match-density")
    assert made["too_few"] == ["other"]
    assert any(f"autointerp score {compared.path} other" in line for line in made["missing"])
    assert main(["compare", str(compared.path), "--coders", "sae", "skip", "--median"]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert "told apart" in text
    assert "Transcoders" in text
