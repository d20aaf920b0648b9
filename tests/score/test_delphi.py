"""The delphi protocol against a plain second implementation of its description."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from autointerp.records import JudgedExample
from autointerp.score.classify import Detection
from autointerp.score.delphi import (
    draw,
    draw_negatives,
    frequency_weighted_f1,
    pooled,
)
from autointerp.score.scorer import Heldout
from tests.score.builders import ScriptedJudge, explained, heldout, judged, knows


def item(truth: bool, answer: bool | None, value: float | None = None) -> JudgedExample:
    return JudgedExample(0, 0, 0, 4, truth, answer, value, 0 if truth else None, "activating")


rows_of = st.lists(st.builds(item, st.booleans(), st.sampled_from([True, False, None])), max_size=50)


def plain_metrics(rows: list[JudgedExample]) -> dict[str, float]:
    """The reference's summary as its description says: rows with a prediction, cut at 0.5, counted, divided."""
    counts = {"tp": 0, "tn": 0, "fp": 0, "fn": 0}
    for row in rows:
        if row.answer is None:
            continue
        predicted = float(row.answer) >= 0.5
        counts[("t" if predicted == row.truth else "f") + ("p" if predicted else "n")] += 1
    tp, tn, fp, fn = counts["tp"], counts["tn"], counts["fp"], counts["fn"]
    tpr = tp / (tp + fn) if tp + fn else 0
    tnr = tn / (tn + fp) if tn + fp else 0
    precision = tp / (tp + fp) if tp + fp else 0
    f1 = 2 * precision * tpr / (precision + tpr) if precision + tpr else 0
    return {
        "accuracy": (tpr + tnr) / 2,
        "precision": precision,
        "recall": tpr,
        "f1": f1,
        "true_negative_rate": tnr,
    }


@given(rows_of)
def test_pooled_metrics_are_the_references(rows: list[JudgedExample]) -> None:
    ours = pooled(rows)
    for name, value in plain_metrics(rows).items():
        assert getattr(ours, name) == pytest.approx(value), name
    assert ours.failed == sum(row.answer is None for row in rows)
    n_read = ours.true_positives + ours.true_negatives + ours.false_positives + ours.false_negatives
    assert n_read + ours.failed == len(rows)
    read = [row for row in rows if row.answer is not None]
    truth, said = [bool(row.truth) for row in read], [bool(row.answer) for row in read]
    if len(set(truth)) == 2:
        assert ours.accuracy == pytest.approx(balanced_accuracy_score(truth, said))
        (tn, fp), (fn, tp) = confusion_matrix(truth, said).tolist()
        assert (ours.true_negatives, ours.false_positives, ours.false_negatives, ours.true_positives) == (
            tn,
            fp,
            fn,
            tp,
        )


def test_the_same_judged_answers_give_delphis_numbers_over_latents() -> None:
    rng = np.random.default_rng(0)
    judge = ScriptedJudge(lambda *_: bool(rng.random() < 0.6) if rng.random() > 0.1 else None)
    results = [Detection(judge, protocol="delphi").run(explained("x"), heldout(), seed=i) for i in range(4)]
    together = [one for result in results for one in judged(result)]
    for name, value in plain_metrics(together).items():
        assert getattr(pooled(together), name) == pytest.approx(value)
    for result in results:
        assert result.value == pytest.approx(plain_metrics(list(judged(result)))["accuracy"])
        assert result.protocol == "delphi"
    firings = [5, 1, 100, 20]
    f1 = [plain_metrics(list(judged(result)))["f1"] for result in results]
    expected = sum(c * f for c, f in zip(firings, f1, strict=True)) / sum(firings)
    latents = [(c, judged(result)) for c, result in zip(firings, results, strict=True)]
    assert frequency_weighted_f1(latents) == pytest.approx(expected)
    assert frequency_weighted_f1([]) == 0.0


def test_pooled_auroc_uses_graded_answers_only() -> None:
    rows = [item(True, True, 0.9), item(True, False, 0.3), item(False, False, 0.3), item(False, None)]
    assert pooled(rows).auroc == pytest.approx(roc_auc_score([1, 1, 0], [0.9, 0.3, 0.3]))


@pytest.mark.parametrize(("n", "overlap"), [(200, 20), (500, 12), (2400, 10), (5000, 10)])
def test_the_shared_seed_shows_the_explainer_some_test_examples(n: int, overlap: int) -> None:
    """The figures measured on the reference's sampling."""
    train, test = draw(n, 40)[0], draw(n, 50)[0]
    assert (len(train), len(test)) == (40, 50)
    assert len(set(train) & set(test)) == overlap
    strongest = set(range(n // 10))
    assert set(train) & strongest <= set(test) & strongest


def test_quantiles_are_slices_and_the_tail_is_never_drawn() -> None:
    ranks, quantiles = draw(109, 50)
    assert (len(ranks), max(ranks) < 100) == (50, True)
    assert quantiles == [rank // 10 for rank in ranks]
    assert len(draw(30, 50)[0]) == 30


def test_negatives_are_drawn_with_replacement_from_a_fixed_seed() -> None:
    assert len(draw_negatives(10, 50)) == 0
    drawn = draw_negatives(60, 50)
    assert drawn.tolist() == draw_negatives(60, 50).tolist()
    assert len(set(drawn.tolist())) < 50
    assert drawn.max() < 60


def test_ours_and_delphi_differ_in_name() -> None:
    given: Heldout = heldout()
    assert Detection(knows(" fox")).run(explained("x"), given, seed=0).protocol == "held-out"
