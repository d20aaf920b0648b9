"""`autointerp score --protocol delphi` prints what the reference pipeline would make of its answers."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from autointerp.score import delphi
from autointerp.store.annotations import Annotations
from tests.batch.conftest import make_store
from tests.cli.conftest import RunJson, RunText
from tests.conftest import StoreFactory
from tests.explained import scores_of


def test_pooled_figures_are_those_of_the_stored_answers(
    store_factory: StoreFactory, run_json: RunJson, run_text: RunText
) -> None:
    store = make_store(store_factory, 5)
    run_json("explain", store.path, "sae")
    command = (
        "score",
        store.path,
        "sae",
        "--scorer",
        "detection",
        "--protocol",
        "delphi",
        "--n-examples",
        20,
    )
    (result,) = run_json(*command, "--n-negatives", 20)["scorers"]
    assert result["config"]["protocol"] == "delphi"
    truth, answer, f1s, weights = [], [], [], []
    counts = store.coder("sae").table().columns["n_activations"]
    with Annotations(store.path, read_only=True) as annotations:
        for explanation in annotations.iter_explanations("sae"):
            (score,) = scores_of(annotations, explanation.id)
            assert (score.protocol, score.seed) == ("delphi", delphi.SAMPLING_SEED)
            judged = [one for one in annotations.judged(score.id) if one.answer is not None]
            said = [bool(one.answer) for one in judged]
            right = [bool(one.truth) for one in judged]
            truth += right
            answer += said
            f1s.append(f1_score(right, said))
            weights.append(int(counts[explanation.latent]))
    pooled = result["pooled"]
    assert pooled["accuracy"] == pytest.approx(balanced_accuracy_score(truth, answer))
    assert pooled["precision"] == pytest.approx(precision_score(truth, answer))
    assert pooled["recall"] == pytest.approx(recall_score(truth, answer))
    assert pooled["f1"] == pytest.approx(f1_score(truth, answer))
    assert pooled["frequency_weighted_f1"] == pytest.approx(np.average(f1s, weights=weights))
    _, text, _ = run_text(*command, "--n-negatives", 20)
    assert f"f1 {pooled['f1']:.3f}" in text
    # These explanations were made by the usual protocol, and it says so.
    assert result["other_protocol"] == result["explanations"] > 0
    assert "were not made with the delphi protocol" in text
    (ours,) = run_json("score", store.path, "sae", "--scorer", "detection")["scorers"]
    assert "pooled" not in ours


def test_the_pair_overlaps_and_says_its_protocol(
    store_factory: StoreFactory, run_json: RunJson, run_text: RunText
) -> None:
    """Both commands follow the reference's draw; the other protocol, afterwards, asks about nothing that was seen."""
    store = make_store(store_factory, 1)
    explained = run_json("explain", store.path, "sae", "--protocol", "delphi")
    assert explained["config"]["protocol"] == "delphi"
    again = run_json("explain", store.path, "sae", "--protocol", "delphi")
    assert (again["already"], again["succeeded"]) == (1, 0)
    for protocol in ("delphi", "held-out"):
        (scored,) = run_json("score", store.path, "sae", "--scorer", "detection", "--protocol", protocol)[
            "scorers"
        ]
        assert not scored.get("other_protocol")
    (version,) = run_json("latent", store.path, "sae", 0)["explanations"]
    assert version["protocol"] == "delphi"
    acts = store.coder("sae").activations(0)
    n_windows = len({int(token) // 32 for token in acts.token})
    drawn = [set(delphi.draw(n_windows, n)[0]) for n in (40, 50)]
    with Annotations(store.path, read_only=True) as annotations:
        (explanation,) = annotations.iter_explanations("sae")
        asked = {
            score.protocol: {example.example_id: example.truth for example in annotations.judged(score.id)}
            for score in scores_of(annotations, explanation.id)
        }
    shown = set(explanation.example_ids)
    activating = {id_ for id_, truth in asked["delphi"].items() if truth}
    assert len(shown & activating) == len(drawn[0] & drawn[1]) > 0
    assert not shown & set(asked["held-out"])
    _, text, _ = run_text("latent", store.path, "sae", 0)
    assert "delphi protocol" in text
    (other,) = run_json("explain", store.path, "sae", "--seed", 1)["jobs"]
    assert other["state"] == "done"
    _, text, _ = run_text("latent", store.path, "sae", 0)
    assert text.count("delphi protocol") == 2, "of one explanation and of one score"
    code, out, err = run_text("explain", store.path, "sae", "--protocol", "delphi", "--seed", 3)
    assert (code, out) == (2, "")
    assert "leave out --seed" in err
