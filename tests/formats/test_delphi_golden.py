"""An imported cache that delphi itself wrote, beside what delphi reads from it (`golden/delphi/make.py`)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from autointerp.explain.options import ExplainOptions
from autointerp.formats.delphi.read import run
from autointerp.formats.registry import IMPORTS
from autointerp.formats.requests import ImportRequest
from autointerp.formats.summary import Summary
from autointerp.pipeline.examples import heldout_places, select_evidence, select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.sampling import cut_many, positive_windows
from autointerp.sampling.marking import levels
from autointerp.sampling.windows import cut, falling
from autointerp.score.delphi import fuzzing_plan, pooled
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Example, no_progress

ZIP = Path(__file__).parent / "golden" / "delphi" / "delphi.zip"
TOKENIZER = str(Path(__file__).parents[2] / "data" / "demo" / "model")
WINDOW, N_TRAIN, N_TEST, N_NEGATIVES = 16, 10, 20, 20
TIED = 3
"""The latent whose windows have equal maxima, which torch sorts in no defined order."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with ZipFile(ZIP) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def imported(golden: Path) -> tuple[Store, Summary]:
    options = {option.name: option.default for option in IMPORTS["delphi"].options} | {"tokenizer": TOKENIZER}
    request = ImportRequest(sources=(golden / "run",), store=golden / "store", options=options)
    summary = run(request, no_progress)
    return Store.open(golden / "store"), summary


@pytest.fixture
def resources(imported: tuple[Store, Summary]) -> Iterator[Resources]:
    store, _ = imported
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, dict[str, Any]]:
    return json.loads((golden / "expected.json").read_text())


def latents(expected: dict[str, dict[str, Any]]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for coder, about in expected.items():
        for latent, record in about.items():
            yield coder, int(latent), record


def test_every_activation_is_there_to_the_bit(golden: Path, imported: tuple[Store, Summary]):
    store, summary = imported
    n = 0
    for coder in ("layers.0.mlp", "layers.1"):
        assert store.coder(coder).info.n_latents == 11
        for path in (golden / "run" / "latents" / coder).glob("*.safetensors"):
            first, last = map(int, path.stem.split("_"))
            shard = load_file(path)
            assert np.array_equal(store.tokens, shard["tokens"])
            row, position, local = shard["locations"].astype(np.int64).T
            for latent in range(first, last + 1):
                own = local == latent - first
                acts = store.coder(coder).activations(latent)
                assert np.array_equal(acts.token, (row * store.ctx_len + position)[own])
                assert np.array_equal(acts.activation.astype(np.float16), shard["activations"][own])
                n += int(own.sum())
    assert summary.taken["activations"] == n


def test_all_windows_are_those_of_delphi(
    imported: tuple[Store, Summary], expected: dict[str, dict[str, Any]]
):
    store, _ = imported
    seen = 0
    for coder, latent, record in latents(expected):
        acts = store.coder(coder).activations(latent)
        windows = positive_windows(acts, ctx_len=store.ctx_len, window=WINDOW)
        order = falling(windows.maximum)
        assert windows.maximum[order].tolist() == record["maxima"]
        assert acts.activation.max() == record["max"]
        if latent == TIED:
            continue
        digest = hashlib.sha256()
        places = np.stack([windows.context, windows.start, windows.stop], axis=1)[order]
        for place in places.tolist():
            example = cut(acts, store.tokens, *place)
            digest.update(example.token_ids.astype("<i8").tobytes())
            digest.update(example.activations.astype("<f2").tobytes())
        assert digest.hexdigest() == record["windows"], (coder, latent)
        seen += 1
    assert seen >= 16


def normalised(activations: NDArray[np.float32], latent_max: float) -> list[float]:
    """As delphi computes them, in float16. Ours are exact: where a tenth of the maximum lies within float16's rounding,
    delphi's may be one less."""
    halves = activations.astype(np.float16)
    as_delphi = np.clip(np.ceil(halves * np.float16(10) / np.float16(latent_max)), 0, 10)
    exact = 10 * activations.astype(np.float64) / latent_max
    clear = np.abs(exact - exact.round()) > 0.002 * np.maximum(exact, 1)
    assert np.array_equal(levels(activations, latent_max)[clear], as_delphi[clear])
    return as_delphi.tolist()


def as_delphi(example: Example, latent_max: float) -> dict[str, Any]:
    return {
        "tokens": example.token_ids.tolist(),
        "activations": example.activations.tolist(),
        "normalised": normalised(example.activations, latent_max),
        "quantile": example.quantile,
    }


def test_examples_quantiles_and_normalised_activations_are_those_of_delphi(
    resources: Resources, expected: dict[str, dict[str, Any]]
):
    explain = ExplainOptions(protocol="delphi", n_examples=N_TRAIN, window=WINDOW)
    score = ScoreOptions(protocol="delphi", n_examples=N_TEST, n_negatives=N_NEGATIVES, window=WINDOW)
    for coder, latent, record in latents(expected):
        if latent == TIED:
            continue
        evidence = select_evidence(resources, coder, latent, explain)
        top = evidence.latent_max
        assert [as_delphi(window.example, top) for window in evidence.activating] == record["train"]
        explanation = Explanation(coder=coder, latent=latent, text="", explainer="none")
        (places,) = heldout_places(resources, [explanation], score)
        assert places is not None
        test = cut_many(places.acts, resources.store.tokens, places.activating)
        assert [as_delphi(example, top) for example in test] == record["test"]
        negatives = cut_many(places.acts, resources.store.tokens, places.non_activating)
        assert [example.token_ids.tolist() for example in negatives] == record["negatives"]


def test_explanations_come_with_how_they_were_made(
    golden: Path, resources: Resources, expected: dict[str, dict[str, Any]]
):
    annotations, coder = resources.annotations, "layers.0.mlp"
    for latent in range(1, 5):
        (explanation,) = annotations.explanations(coder, latent)
        file = golden / "run" / "explanations" / f"{coder}_latent{latent}.txt"
        assert explanation.text == json.loads(file.read_text(encoding="utf-8"))
        assert (explanation.explainer, explanation.model, explanation.protocol) == (
            "default",
            "some/judge",
            "delphi",
        )
        shown = [resources.store.tokens[int(c)][int(s) : int(s) + int(w)].tolist() for c, s, w in
                 (id_.split(":") for id_ in explanation.example_ids)]  # fmt: skip
        if latent != TIED:
            assert shown == [example["tokens"] for example in expected[coder][str(latent)]["train"]]
    (failed,) = annotations.explanations(coder, 0)
    assert (failed.status, failed.text, failed.error_kind) == ("failed", "", "unparsed")
    assert annotations.scores_of_latent(coder, 0) == []


def test_scores_give_delphis_own_figures(resources: Resources, expected: dict[str, dict[str, Any]]):
    names = {"detection": "detection", "fuzz": "fuzzing"}
    seen = 0
    for latent in range(1, 5):
        scores = {
            score.scorer: score for score in resources.annotations.scores_of_latent("layers.0.mlp", latent)
        }
        for name, figures in expected["layers.0.mlp"][str(latent)]["figures"].items():
            score = scores[names[name]]
            assert score.value == pytest.approx(figures["accuracy"], abs=1e-12), (
                "delphi's accuracy is balanced accuracy"
            )
            assert (score.n_pos, score.n_neg) == (figures["total_positives"], figures["total_negatives"])
            assert score.tnr == pytest.approx(figures["true_negative_rate"], abs=1e-12)
            assert score.unparsed == N_TEST + N_NEGATIVES - figures["total_examples"]
            assert (score.judge, score.protocol, score.negatives) == ("llm", "delphi", "random")
            judged = resources.annotations.judged(score.id)
            pool = pooled(judged)
            assert pool.f1 == pytest.approx(figures["f1_score"], abs=1e-12)
            assert pool.accuracy == score.value
            assert pool.failed == score.unparsed
            seen += 1
    assert seen == 8


def test_judged_examples_stand_where_delphi_took_them_from(
    golden: Path, resources: Resources, expected: dict[str, dict[str, Any]]
):
    store, coder = resources.store, "layers.0.mlp"
    for latent in (1, 2, 4):
        record = expected[coder][str(latent)]
        silent = {tuple(tokens) for tokens in record["negatives"]}
        firing = {(tuple(example["tokens"]), example["quantile"]) for example in record["test"]}
        acts = store.coder(coder).activations(latent)
        for score in resources.annotations.scores_of_latent(coder, latent):
            judged = resources.annotations.judged(score.id)
            assert len(judged) == N_TEST + N_NEGATIVES, score.scorer
            for example in judged:
                row = store.tokens[example.context][example.start : example.start + example.window]
                activating = example.source == "activating"
                assert example.window == WINDOW
                if activating:
                    assert (tuple(row.tolist()), example.quantile) in firing
                else:
                    assert tuple(row.tolist()) in silent
                at = example.context * store.ctx_len + example.start
                assert bool(((acts.token >= at) & (acts.token < at + WINDOW)).any()) == activating


def test_fuzzing_has_the_marks_that_delphi_shows(resources: Resources):
    for latent in (1, 2, 4):
        explanation = resources.annotations.explanations("layers.0.mlp", latent)[0]
        options = ScoreOptions(
            scorer="fuzzing", protocol="delphi", n_examples=N_TEST, n_negatives=N_NEGATIVES, window=WINDOW
        )
        plan = fuzzing_plan(select_heldout(resources, explanation, options))
        ours = {(item.window.id, item.marks) for item in plan.items}
        (score,) = [
            score
            for score in resources.annotations.scores_of_latent("layers.0.mlp", latent)
            if score.scorer == "fuzzing"
        ]
        assert {
            (example.example_id, example.marks) for example in resources.annotations.judged(score.id)
        } == ours


def test_graded_scores(golden: Path, resources: Resources):
    scores = {score.scorer: score for score in resources.annotations.scores_of_latent("layers.0.mlp", 1)}
    folder = golden / "run" / "scores"
    simulation = json.loads((folder / "simulation" / "layers.0.mlp_latent1.txt").read_text())
    (whole,) = [group for group in simulation if group["distance"] == 0]
    assert scores["simulation"].value == pytest.approx(whole["ev_correlation_score"], abs=1e-9)
    by_quantile = {
        group["distance"] - 1: group["ev_correlation_score"] for group in simulation if group["distance"]
    }
    for quantile, value in by_quantile.items():
        assert scores["simulation"].value_by_quantile[quantile] == pytest.approx(value, abs=1e-9)
    for name, value_of in (
        ("embedding", lambda row: row["similarity"]),
        ("surprisal", lambda row: sum(row["no_explanation"]) - sum(row["explanation"])),
    ):
        rows = json.loads((folder / name / "layers.0.mlp_latent1.txt").read_text())
        truth = [row["distance"] >= 0 for row in rows]
        assert scores[name].value == pytest.approx(
            roc_auc_score(truth, [value_of(row) for row in rows]), abs=1e-9
        )
        judged = resources.annotations.judged(scores[name].id)
        assert [example.truth for example in judged] == truth


def test_importing_again_changes_nothing(golden: Path, imported: tuple[Store, Summary], resources: Resources):
    store, first = imported
    before = resources.annotations.counts()
    again = run(
        ImportRequest(sources=(golden / "run" / "latents",), store=store.path, options={"tokenizer": None}),
        no_progress,
    )
    assert again.known == {"coders": 2}
    again = run(ImportRequest(sources=(golden / "run",), store=store.path, options={}), no_progress)
    assert again.known == {"coders": 2, "explanations": 5, "scores": first.taken["scores"]}
    assert resources.annotations.counts() == before
