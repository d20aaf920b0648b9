"""`autointerp explain` and `autointerp score` without a language model; with one they are in tests/batch."""

import argparse
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.cli import explain, score
from autointerp.cli.main import build_parser
from autointerp.cli.shared.arguments import llm_options
from autointerp.explain.options import ExplainOptions
from autointerp.llm.options import LLMOptions
from autointerp.records import Explanation, new_id, now
from autointerp.score import delphi
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.batch.conftest import make_store
from tests.cli.conftest import RunJson, RunText
from tests.conftest import StoreFactory

FEW = ("--n-examples", 6, "--n-negatives", 6)
N_LATENTS = 5


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "no-settings.json"))


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    return make_store(store_factory, N_LATENTS)


def arguments(*argv: object) -> argparse.Namespace:
    return build_parser().parse_args([*map(str, argv)])


def test_all_latents_that_fire_are_explained_and_scored_once(tiny_store: Store, run_json: RunJson):
    document = run_json("explain", tiny_store.path, "sae")
    assert document["wanted"] == 7, "all but the dead one"
    assert document["succeeded"] + document["failed"] == 7
    assert document["succeeded"] >= 5
    assert document["explainer"] == "pattern"
    assert [job["state"] for job in document["jobs"]] == ["done"]
    again = run_json("explain", tiny_store.path, "sae", "--latents", "0,1,3-4")
    assert (again["wanted"], again["already"], again["succeeded"], again["jobs"]) == (4, 4, 0, [])
    scored = run_json(
        "score", tiny_store.path, "sae", "--scorer", "detection", "fuzzing", *FEW, "--latents", "0,3,4"
    )
    assert [(one["scorer"], one["judge"], one["succeeded"]) for one in scored["scorers"]] == [
        ("detection", "offline", 3),
        ("fuzzing", "offline", 3),
    ]
    assert all(0 <= one["median"] <= 1 for one in scored["scorers"])
    once = run_json("score", tiny_store.path, "sae", "--scorer", "fuzzing", *FEW, "--latents", "0,3,4")[
        "scorers"
    ][0]
    assert (once["already"], once["succeeded"], once["jobs"]) == (3, 0, [])


def test_another_configuration_is_other_work_and_redo_is_a_new_version(store: Store, run_json: RunJson):
    run_json("explain", store.path, "sae", "--latents", 0)
    assert run_json("explain", store.path, "sae", "--latents", 0, "--seed", 1)["succeeded"] == 1
    assert run_json("explain", store.path, "sae", "--latents", 0, "--redo")["succeeded"] == 1
    versions = run_json("latent", store.path, "sae", 0)["explanations"]
    assert [version["seed"] for version in versions] == [0, 1, 0], "newest first, none overwritten"
    assert [version["shown"] for version in versions] == [True, False, False]
    first = run_json("score", store.path, "sae", "--scorer", "detection", *FEW, "--all-versions")["scorers"][
        0
    ]
    assert first["succeeded"] == 3
    again = run_json("score", store.path, "sae", "--scorer", "detection", *FEW, "--redo")["scorers"][0]
    assert (again["wanted"], again["already"], again["succeeded"]) == (1, 0, 1)


def test_which_explanations_are_scored(store: Store, run_json: RunJson, run_text: RunText):
    run_json("explain", store.path, "sae", "--latents", "0-1")
    mine = Explanation(coder="sae", latent=0, text="word1", explainer="person", author="ada")
    with Annotations(store.path) as annotations:
        annotations.add(mine)

    def scored(*argv: object) -> set[tuple[int, str]]:
        run_json("score", store.path, "sae", "--scorer", "detection", *FEW, *argv)
        return {
            (latent, version["explainer"])
            for latent in range(2)
            for version in run_json("latent", store.path, "sae", latent)["explanations"]
            if version["scores"]
        }

    assert scored("--explanation", mine.id) == {(0, "person")}
    assert scored("--explainer", "pattern") == {(0, "person"), (0, "pattern"), (1, "pattern")}
    code, out, err = run_text("score", store.path, "sae", "--scorer", "detection", "--explanation", "01ABC")
    assert (code, out) == (2, "")
    assert "unknown explanation" in err
    code, _, err = run_text(
        "score", store.path, "sae", "--scorer", "detection", "--explanation", mine.id, "--latents", 1
    )
    assert code == 2
    assert "latent 0" in err


def test_a_latent_with_two_versions_makes_up_for_no_other(store: Store, run_json: RunJson):
    run_json("explain", store.path, "sae", "--latents", "0")
    with Annotations(store.path) as annotations:
        annotations.add(Explanation(coder="sae", latent=0, text="word1", explainer="person", author="ada"))
    for which in ((), ("--all-versions",), ("--explainer", "pattern")):
        document = run_json(
            "score", store.path, "sae", "--latents", "0-2", "--scorer", "detection", *FEW, *which
        )
        assert document["n_unexplained"] == 2


def test_the_median_is_of_the_kind_of_score_that_was_asked_for(store: Store, run_json: RunJson):
    run_json("explain", store.path, "sae", "--latents", "0-3")

    def scored(*argv: object) -> dict[str, Any]:
        document = run_json("score", store.path, "sae", "--scorer", "fuzzing", *FEW, *argv)
        return document["scorers"][0]

    random = scored()
    other = scored("--wrong-marks", "activating")
    assert (random["negatives"], other["negatives"]) == ("random", "wrong_marks")
    for one, negatives in ((random, "random"), (other, "wrong_marks")):
        values = [
            score["value"]
            for latent in range(4)
            for version in run_json("latent", store.path, "sae", latent)["explanations"]
            for score in version["scores"]
            if score["negatives"] == negatives
        ]
        assert one["n_scored"] == len(values) == one["succeeded"] > 0
        assert one["median"] == pytest.approx(float(np.median(values)))


def test_the_median_is_of_the_configuration_that_was_asked_for(store: Store, run_json: RunJson):
    run_json("explain", store.path, "sae")
    first = run_json("score", store.path, "sae", "--scorer", "detection")["scorers"][0]
    with Annotations(store.path) as annotations:  # newer scores, of another number of examples
        for score_id in annotations.score_summary("sae")["score_id"].to_pylist():
            known = annotations.score(score_id)
            config = {**known.config, "n_examples": 7}
            annotations.add(
                replace(known, id=new_id(), config=config, value=0.125, floor=0.25, created=now())
            )
    again = run_json("score", store.path, "sae", "--scorer", "detection")["scorers"][0]
    assert again["succeeded"] == 0  # all were done before
    for name in ("n_scored", "median", "median_floor"):
        assert again[name] == first[name] != 0.125


def test_the_latent_document_holds_the_contract(store: Store, run_json: RunJson, run_text: RunText):
    run_json("explain", store.path, "sae", "--latents", "0-2")
    run_json("score", store.path, "sae", "--scorer", "detection", "fuzzing")
    (explanation,) = run_json("latent", store.path, "sae", 0)["explanations"]
    assert {"id", "text", "explainer", "model", "author", "parent", "created", "example_ids"} <= set(
        explanation
    )
    assert (explanation["explainer"], explanation["model"], explanation["parent"]) == ("pattern", None, None)
    assert {one["scorer"] for one in explanation["scores"]} == {"detection", "fuzzing"}
    shown = set(explanation["example_ids"])
    assert len(shown) > 20
    contexts = {one.split(":")[0] for one in shown}
    for one in explanation["scores"]:
        assert {"scorer", "judge", "protocol", "negatives", "value", "ci", "n", "unparsed", "floor"} <= set(
            one
        )
        assert (one["judge"], one["protocol"], one["negatives"], one["unparsed"]) == (
            "offline",
            "held-out",
            "random",
            0,
        )
        assert one["ci"][0] <= one["value"] <= one["ci"][1]
        assert len(one["example_ids"]) == one["n"] > 20
        assert one["floor"] is not None
        assert not contexts & {id_.split(":")[0] for id_ in one["example_ids"]}, "no context is on both sides"
    _, out, _ = run_text("latent", store.path, "sae", 0)
    assert "fuzzing" in out
    assert "floor" in out
    assert "offline judge" in out
    coders = {coder["coder"]: coder for coder in run_json("info", store.path)["coders"]}
    assert (coders["sae"]["n_explained"], coders["sae"]["n_explanations"], coders["sae"]["n_scores"]) == (
        3,
        3,
        6,
    )
    query = "SELECT count(*) AS n FROM scores JOIN explanations e ON e.id = explanation_id WHERE e.shown"
    assert run_json("sql", store.path, query)["rows"] == [{"n": 6}]


def test_windows_are_embedded_once_before_a_batch_needs_them(
    store: Store, run_json: RunJson, run_text: RunText
):
    run_json("explain", store.path, "sae", "--latents", "0-1")
    few = ("--latents", 0, *FEW)
    document = run_json("score", store.path, "sae", "--scorer", "embedding", *few)
    assert document["scorers"][0]["judge"] == "embedder"
    assert store.embeddings("all-MiniLM-L6-v2") is None, "a few windows are not worth embedding all"
    code, _, err = run_text(
        "score", store.path, "sae", "--scorer", "detection", "--negatives", "embedding", *few
    )
    assert code == 0
    assert "Embedding the 200 windows" in err
    assert store.embeddings("all-MiniLM-L6-v2") is not None
    (one,) = run_json("latent", store.path, "sae", 0)["explanations"]
    assert {score["negatives"] for score in one["scores"]} == {"random", "embedding"}
    code, _, err = run_text("score", store.path, "sae", "--scorer", "embedding", "--n-examples", 9, *few[:2])
    assert code == 0
    assert "Embedding the" not in err


def test_a_dry_run_asks_nothing_and_shows_the_prompt(store: Store, run_json: RunJson, run_text: RunText):
    model = (
        "--llm",
        "m",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--price-in",
        1,
        "--price-out",
        2,
        "--dry-run",
    )
    document = run_json("explain", store.path, "sae", "--explainer", "contrastive", *model)
    assert (document["n_items"], document["n_requests"], document["from_cache"]) == (N_LATENTS, N_LATENTS, 0)
    assert document["tokens_in"] > 500 * N_LATENTS
    assert document["cost"] == pytest.approx(
        (document["tokens_in"] + 2 * document["tokens_out"]) / 1e6, rel=0.01
    )
    assert document["prompt"][0]["role"] == "system"
    code, out, _ = run_text("explain", store.path, "sae", "--explainer", "default", *model[:4], "--dry-run")
    assert code == 0
    assert "cost unknown" in out
    assert "[system]" in out
    assert "costs nothing" in run_text("explain", store.path, "sae", "--dry-run")[1]
    assert not run_json("jobs", store.path)["jobs"], "nothing was queued"
    run_json("explain", store.path, "sae")
    judged = run_json("score", store.path, "sae", "--scorer", "detection", "simulation", *FEW, *model)
    assert [one["scorer"] for one in judged["scorers"]] == ["detection", "simulation"]
    assert judged["n_requests"] == sum(one["n_requests"] for one in judged["scorers"])
    assert judged["scorers"][0]["n_requests"] == N_LATENTS * 2 * 2, "two batches, and as many for the floor"
    run_json("score", store.path, "sae", "--scorer", "detection", *FEW)
    assert (
        "Nothing to do" in run_text("score", store.path, "sae", "--scorer", "detection", *FEW, "--dry-run")[1]
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["explain", "nowhere"], "coder"),
        (["explain", "sae", "--latents", "5"], "latent"),
        (["explain", "sae", "--latents", "3-1"], "backwards"),
        (["explain", "sae", "--latents", "a"], "not a number or a range"),
        (["explain", "sae", "--latents", ""], "not a number or a range"),
        (["explain", "sae", "--latents", "1,,2"], "not a number or a range"),
        (["explain", "sae", "--explainer", "default"], "--llm"),
        (["explain", "sae", "--llm", "m"], "does not use one"),
        (["explain", "sae", "--budget-tokens", "5"], "--budget-tokens"),
        (["explain", "sae", "--n-examples", "0"], "n_examples"),
        (["explain", "sae", "--window", "0"], "window"),
        (["explain", "sae", "--heldout-fraction", "1"], "held-out"),
        (["explain", "sae", "--seed", "-1"], "seed"),
        (["explain", "sae", "--explainer", "default", "--llm", "m", "--price-in", "1"], "--price-out"),
        (
            [
                "explain",
                "sae",
                "--explainer",
                "default",
                "--llm",
                "m",
                "--price-in",
                "-1",
                "--price-out",
                "1",
            ],
            "price",
        ),
        (["explain", "sae", "--explainer", "default", "--llm", "m", "--budget-tokens", "0"], "budget"),
        (
            ["explain", "sae", "--explainer", "default", "--llm", "m", "--base-url", "http://u:p@h/v1"],
            "API key",
        ),
        (
            ["explain", "sae", "--explainer", "default", "--llm", "m", "--max-in-flight", "0"],
            "requests at once",
        ),
        (["score", "sae", "--scorer", "detection"], "autointerp explain"),
        (["score", "sae", "--scorer", "simulation"], "--llm"),
        (["score", "sae", "--scorer", "detection", "--judge", "llm"], "--llm"),
        (["score", "sae", "--scorer", "embedding", "--llm", "m"], "does not use one"),
        (
            ["score", "sae", "--scorer", "detection", "--protocol", "delphi", "--negatives", "neighbours"],
            "delphi",
        ),
    ],
)
def test_wrong_input_is_2_and_says_what_is_right(
    argv: list[str], message: str, store: Store, run_text: RunText
):
    code, out, err = run_text(argv[0], store.path, *argv[1:])
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_store_that_cannot_be_written_says_so(
    store: Store, run_text: RunText, monkeypatch: pytest.MonkeyPatch
):
    connect = sqlite3.connect

    def connect_without_permission(address: str, **options: Any) -> sqlite3.Connection:
        return connect(address.replace("mode=rwc", "mode=ro"), **options)

    monkeypatch.setattr(sqlite3, "connect", connect_without_permission)
    code, out, err = run_text("explain", store.path, "sae")
    assert (code, out) == (2, "")
    assert "written" in err


def test_defaults_are_those_of_the_library():
    args = arguments("explain", "s", "c")
    assert explain.explain_options(args) == ExplainOptions()
    (options,) = score.score_options(arguments("score", "s", "c", "--scorer", "detection"))
    assert options == ScoreOptions()
    reference = ("score", "s", "c", "--scorer", "detection", "--protocol", "delphi")
    (options,) = score.score_options(arguments(*reference))
    assert (options.n_examples, options.n_negatives) == (delphi.N_TEST, delphi.N_TEST)
    (options,) = score.score_options(arguments(*reference, "--n-negatives", 7))
    assert (options.n_examples, options.n_negatives) == (delphi.N_TEST, 7)


def test_every_option_is_reachable():
    argv = ("explain", "s", "c", "--explainer", "contrastive", "--sampling", "top", "--n-examples", 3, "--n-contrast", 4,
            "--window", 16, "--example-tokens", 8, "--no-activations", "--reasoning", "--seed", 5, "--split-seed", 6,
            "--heldout-fraction", 0.3, "--centre")  # fmt: skip
    llm = ("--llm", "m", "--base-url", "ollama", "--max-in-flight", 2, "--timeout", 9, "--price-in", 1, "--price-out", 2,
           "--price-cached", 0.5, "--budget-tokens", 100, "--budget-cost", 3)  # fmt: skip
    expected_llm = LLMOptions(
        model="m", base_url="ollama", max_in_flight=2, timeout=9, max_tokens=100, max_cost=3,
        prices={"m": {"prompt": 1.0, "completion": 2.0, "cached": 0.5}},
    )  # fmt: skip
    assert explain.explain_options(arguments(*argv, *llm)) == ExplainOptions(
        explainer="contrastive", sampling="top", n_examples=3, n_contrast=4, window=16, max_tokens=8, activations=False,
        reasoning=True, seed=5, split_seed=6, heldout_fraction=0.3, centre=True, llm=expected_llm,
    )  # fmt: skip
    argv = ("score", "s", "c", "--scorer", "fuzzing", "embedding", "fuzzing", "--n-examples", 3, "--n-negatives", 4,
            "--negatives", "neighbours", "random", "--wrong-marks", "activating", "--window", 16, "--seed", 5, "--no-floor",
            "--batch", 7, "--graded", "--embedder", "e", "--centre")  # fmt: skip
    fuzzing, embedding = score.score_options(arguments(*argv, *llm))
    shared = {
        **{
            "judge": "llm",
            "n_examples": 3,
            "n_negatives": 4,
            "negatives": ("neighbours", "random"),
            "window": 16,
        },
        **{
            "wrong_marks": "activating",
            "seed": 5,
            "floor": False,
            "batch": 7,
            "graded": True,
            "centre": True,
            "embedder": "e",
        },
    }
    assert fuzzing == ScoreOptions(scorer="fuzzing", llm=expected_llm, **shared)
    assert embedding == ScoreOptions(scorer="embedding", llm=None, **shared)


def test_what_is_left_out_comes_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from autointerp import preferences

    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "settings.json"))
    stored = preferences.Preferences(
        model="mine", base_url="vllm", max_tokens=500, prices={"mine": {"prompt": 1.0, "completion": 2.0}}
    )
    preferences.save(stored)
    args = arguments("explain", "s", "c", "--explainer", "default", "--max-in-flight", 3)
    assert llm_options(args, needed=True, by="it") == LLMOptions(
        model="mine", base_url="vllm", max_in_flight=3, max_tokens=500, prices=stored.prices
    )
