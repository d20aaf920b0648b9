"""The report: its figures against scikit-learn and plain counting, and its sentences against its figures."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from autointerp.audit.document import document, item_table
from autointerp.audit.draw import create
from autointerp.audit.estimate import share_right
from autointerp.audit.evidence import explanation_of, judges_score, questions
from autointerp.audit.findings import MIN_JUDGED, difference, findings
from autointerp.audit.human import answered
from autointerp.audit.options import AuditOptions
from autointerp.audit.report import Report, of_ratings, report
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.ratings import VERDICTS, Audit, Rating, Verdict
from autointerp.records import Explanation
from autointerp.score.intervals import Estimate
from tests.audit.krippendorff import krippendorff
from tests.audit.simulated import SCORES, an_audit, answers, explainers, judged
from tests.audited import kind_named

CODES = {verdict: code for code, verdict in enumerate(VERDICTS)}


def made(audit: Audit, ratings: list[Rating], **more) -> Report:
    raters = list(dict.fromkeys(rating.rater for rating in ratings if rating.role == "rater"))
    return of_ratings(audit, ratings, raters, explainers(audit), **more)


def first_verdicts(audit: Audit, ratings: list[Rating]) -> dict[str, dict[int, str]]:
    """By rater and item, without controls."""
    said: dict[str, dict[int, str]] = {}
    for rating in ratings:
        if rating.verdict and not rating.round and not audit.items[rating.item].is_control:
            said.setdefault(rating.rater, {})[rating.item] = rating.verdict
    return said


def text_of(found: Report, start: str) -> str:
    (text,) = (text for text in findings(found) if text.startswith(start))
    return text


def test_two_raters_have_scikit_learns_kappa_and_a_confusion_matrix():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann", share=0.9) + answers(audit, right, "bob", share=0.8)
    found = made(audit, ratings)
    ann, bob = first_verdicts(audit, ratings).values()
    both = sorted(set(ann) & set(bob))
    pairs = [ann[i] for i in both], [bob[i] for i in both]
    assert found.agreement.n_items == len(both)
    assert found.agreement.kappa is not None
    assert found.agreement.raw is not None
    assert found.agreement.kappa.value == pytest.approx(cohen_kappa_score(*pairs))
    assert found.agreement.raw.value == pytest.approx(np.mean([a == b for a, b in zip(*pairs, strict=True)]))
    is_right = [[verdict == "correct" for verdict in side] for side in pairs]
    assert found.agreement_right.kappa is not None
    assert found.agreement_right.kappa.value == pytest.approx(cohen_kappa_score(*is_right))
    again, counts = found.pair("ann", "bob")
    assert again == found.agreement
    assert counts.sum() == len(both)
    assert counts[CODES["correct"], CODES["wrong"]] == sum(
        pair == ("correct", "wrong") for pair in zip(*pairs, strict=True)
    )


def test_three_raters_with_gaps_have_the_alpha_of_a_second_implementation():
    audit, right = an_audit(seed=2)
    ratings = [rating for name in ("ann", "bob", "cyd") for rating in answers(audit, right, name, share=0.7)]
    found = made(audit, ratings)
    said = first_verdicts(audit, ratings)
    table = [
        [CODES[own[item.i]] if item.i in own else -1 for own in said.values()]  # type: ignore[index]
        for item in audit.items
    ]
    assert found.agreement.kappa is None
    assert found.agreement.alpha is not None
    assert found.agreement.alpha.value == pytest.approx(krippendorff(np.array(table)))


def test_controls_are_in_no_figure_but_their_own():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann") + answers(audit, right, "bob")
    controls = {item.i for item in audit.items if item.is_control}
    changed = [
        replace(rating, verdict="correct" if rating.item in controls else rating.verdict)
        for rating in ratings
    ]
    first, second = made(audit, ratings), made(audit, changed)
    for name in (
        "agreement",
        "agreement_right",
        "parts",
        "calibrations",
        "counts",
        "disagreements",
        "n_rated",
    ):
        assert getattr(first, name) == getattr(second, name)
    assert (first.n_items, first.n_controls) == (120, 12)
    for figures in second.raters:
        assert (figures.controls, figures.controls_right) == (12, 12)
    assert sum(figures.controls_right for figures in first.raters) < 12


def test_shares_are_those_of_the_estimate_for_all_coders_and_explainers():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann", share=0.8)
    found = made(audit, ratings)
    said = first_verdicts(audit, ratings)["ann"]
    stratum = np.array([audit.items[i].stratum for i in said])
    flags = np.array([float(verdict == "correct") for verdict in said.values()])
    assert found.whole == share_right(audit.strata, stratum, flags, np.ones(len(flags), dtype=bool))
    names = [(part.coder, part.explainer) for part in found.parts]
    assert names == [
        (None, None), ("one", None), ("two", None), (None, "default"), (None, "pattern"),
        ("one", "default"), ("one", "pattern"), ("two", "default"), ("two", "pattern"),
    ]  # fmt: skip
    by = {name: part.share for name, part in zip(names, found.parts, strict=True)}
    assert by["one", None].n + by["two", None].n == by[None, "default"].n + by[None, "pattern"].n == len(said)
    assert by["one", None].population == by["two", None].population == 400
    assert by[None, "default"].population + by[None, "pattern"].population == pytest.approx(800)


def test_a_settled_verdict_counts_in_place_of_theirs_and_not_for_agreement():
    audit, right = an_audit(n_controls=0)
    ratings = answers(audit, right, "ann") + answers(audit, right, "bob")
    before = made(audit, ratings)
    open_ = [row for row in before.disagreements if row.matters]
    settled = [
        Rating(
            audit_id=audit.id,
            item=row.item,
            rater="both",
            task="verdict",
            verdict="correct",
            role="adjudicator",
        )
        for row in open_
    ]
    after = made(audit, ratings + settled)
    assert after.agreement == before.agreement
    assert len(after.raters) == 2
    assert {row.settled for row in after.disagreements if row.matters} == {"correct"}
    assert before.table.right(["correct"])[open_[0].item] == 0.5
    assert after.table.right(["correct"])[open_[0].item] == 1
    assert after.whole.estimate is not None
    assert before.whole.estimate is not None
    assert after.whole.estimate.value > before.whole.estimate.value
    assert [row.settled is None for row in after.disagreements] == sorted(
        (row.settled is None for row in after.disagreements), reverse=True
    )


def test_items_that_came_back_are_compared_but_those_looked_up_before():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann", again=12)
    first = first_verdicts(audit, ratings)["ann"]
    again = [rating for rating in ratings if rating.round]
    seen = [replace(rating, revealed=True) if rating in again[:3] else rating for rating in ratings]
    found = made(audit, seen)
    same = sum(first[rating.item] == rating.verdict for rating in again[3:])
    (ann,) = found.raters
    assert (ann.again.n_items, ann.again_seen) == (9, 3)
    assert ann.again.raw is not None
    assert ann.again.raw.value == pytest.approx(same / 9)
    assert found.again == ann.again
    assert f"the same verdict {same} of 9 times" in text_of(found, "Shown an item again")


def test_broken_contexts_say_nothing_about_the_explanation():
    audit, right = an_audit(n_controls=0)
    ratings = answers(audit, right, "ann")
    broken = [
        replace(rating, verdict="broken_contexts") if rating.item < 20 else rating for rating in ratings
    ]
    found = made(audit, broken)
    assert (found.whole.n, found.n_rated, found.raters[0].n_unreadable) == (100, 120, 20)
    assert math.isnan(found.table.right(["correct"])[0])
    assert "20 verdicts say that contexts are broken: they are left out of all rates." in findings(found)


def test_an_estimated_number_of_readable_explanations_is_no_count():
    audit, right = an_audit(n_controls=0)
    ratings = answers(audit, right, "ann")
    assert " % of 800 explanations are right" in findings(made(audit, ratings))[0]
    broken = [
        replace(rating, verdict="broken_contexts") if rating.item < 20 else rating for rating in ratings
    ]
    found = made(audit, broken)
    about = f"of about {found.whole.population:.0f} explanations with readable contexts are right"
    assert found.whole.population < 700
    assert about in findings(found)[0]


def test_who_gave_no_verdict_is_no_rater_of_the_explanations():
    """One has skipped an item, another has judged a control only: kappa, sentences and counts are those of the two others."""
    audit, right = an_audit()
    ratings = answers(audit, right, "ann") + answers(audit, right, "bob")
    control = next(item.i for item in audit.items if item.is_control)
    idle = [
        Rating(audit_id=audit.id, item=0, rater="cyd", task="verdict", skipped=True),
        Rating(audit_id=audit.id, item=control, rater="dee", task="verdict", verdict="wrong"),
    ]
    two, four = made(audit, ratings), made(audit, ratings + idle)
    assert len(four.raters) == 4
    assert four.agreement == two.agreement
    assert four.agreement_right == two.agreement_right
    assert "judged by 2 raters." in findings(four)[0]
    assert text_of(four, "ann and bob give the same") == text_of(two, "ann and bob give the same")
    alone = made(audit, answers(audit, right, "ann") + idle)
    assert "judged by one rater." in findings(alone)[0]
    assert text_of(alone, "Only one rater so far")


def test_settled_verdicts_count_and_are_counted_where_a_rater_judged():
    audit, right = an_audit()
    control = next(item.i for item in audit.items if item.is_control)
    plain = [item.i for item in audit.items if not item.is_control]
    ratings = [rating for rating in answers(audit, right, "ann") if rating.item in {control, *plain[:60]}]
    verdicts: list[Verdict] = ["correct", "wrong", "broken_contexts", "wrong"]
    settled = [
        Rating(audit_id=audit.id, item=item, rater="x", task="verdict", verdict=verdict, role="adjudicator")
        for item, verdict in zip([plain[0], plain[1], plain[2], control], verdicts, strict=True)
    ]
    found = made(audit, ratings + settled)
    assert (found.whole.n, found.n_settled) == (59, 2)
    assert "from 59 items judged by one rater, 2 of them settled together." in findings(found)[0]


def test_what_others_settled_does_not_bias_the_report_of_one_rater():
    """Two raters settle what they differ on, and that is wrong more often; a third judged a random part, without error."""
    errors = []
    for seed in range(40):
        audit, right = an_audit(240, 0, seed=seed)
        rng = np.random.default_rng(seed)
        hard = [item.i for item in audit.items if not right[item.i] and rng.random() < 0.5]
        settled = [
            Rating(
                audit_id=audit.id, item=item, rater="x", task="verdict", verdict="wrong", role="adjudicator"
            )
            for item in hard
        ]
        cyd = answers(audit, right, "cyd", skill=1, share=0.3)
        share = of_ratings(audit, cyd + settled, ["cyd"], {}).whole.estimate
        assert share is not None
        errors.append(share.value - right.mean())
    assert abs(np.mean(errors)) < 3 * np.std(errors) / math.sqrt(len(errors))


def test_one_is_said_of_one():
    audit, right = an_audit()
    control = next(item.i for item in audit.items if item.is_control)
    plain = [rating for rating in answers(audit, right, "ann") if not audit.items[rating.item].is_control]
    said = findings(
        made(
            audit,
            [
                replace(plain[0], verdict="broken_contexts"),
                replace(plain[1], revealed=True),
                *plain[2:],
                replace(plain[0], item=control, verdict="correct"),
            ],
        )
    )
    for text in (
        "1 verdict says that contexts are broken: it is left out of all rates.",
        "1 verdict was given after looking at what the audit hides: it is not blind, but counted.",
        "Of 1 verdict on controls, explanations of other features, 1 calls them right.",
    ):
        assert text in said


def test_more_verdicts_can_count_as_right():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann")
    strict, lenient = made(audit, ratings), made(audit, ratings, right=("correct", "too_broad"))
    assert strict.whole.estimate is not None
    assert lenient.whole.estimate is not None
    assert strict.whole.estimate.value < lenient.whole.estimate.value
    assert "“Correct” or “Too broad”" in findings(lenient)[0]


def test_calibration_and_human_scores_are_scikit_learns():
    audit, right = an_audit(tasks=("verdict", "detection"))
    ratings = answers(audit, right, "ann") + judged(audit, right, "ann", "detection")
    found = made(audit, ratings)
    said = first_verdicts(audit, ratings)["ann"]
    for place, key in enumerate(SCORES):
        truth = [verdict == "correct" for verdict in said.values()]
        score = [audit.items[i].scores[key] for i in said]
        auroc = found.calibrations[key].auroc
        assert auroc is not None
        assert auroc.value == pytest.approx(roc_auc_score(truth, score)), place
    (human,) = found.humans
    assert (human.task, human.n, human.n_floor) == ("detection", 120, 12)
    per_item = {
        rating.item: balanced_accuracy_score(
            [e.truth for e in rating.judged], [e.answer for e in rating.judged]
        )
        for rating in ratings
        if rating.judged
    }
    real = [value for item, value in per_item.items() if not audit.items[item].is_control]
    floor = [value for item, value in per_item.items() if audit.items[item].is_control]
    assert human.score is not None
    assert human.floor is not None
    assert human.score.value == pytest.approx(np.mean(real))
    assert human.floor.value == pytest.approx(np.mean(floor))
    assert list(human.judges) == [SCORES[0]]
    by_people = found.human_calibrations["detection"].auroc
    assert by_people is not None
    assert by_people.value == pytest.approx(
        roc_auc_score([said[item] == "correct" for item in said], [per_item[item] for item in said])
    )


def test_sentences_carry_their_figures():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann", again=10) + answers(audit, right, "bob")
    found = made(audit, ratings)
    whole, kappa = found.whole.estimate, found.agreement.kappa
    assert whole is not None
    assert kappa is not None
    assert whole.low is not None
    first = findings(found)[0]
    for part in (
        f"{100 * whole.value:.0f} %",
        f"{100 * whole.low:.0f} %",
        "800 explanations",
        f"{found.whole.n} items",
    ):
        assert part in first
    assert f"{found.whole.more} more items would halve" in first
    assert f"Cohen's kappa {kappa.value:.2f}" in text_of(found, "ann and bob give the same verdict")
    fooled = sum(each.controls_right for each in found.raters)
    assert f"{fooled} call them right" in text_of(found, "Of 24 verdicts on controls")
    fuzzing = text_of(found, "Fuzzing (gpt)")
    assert "in the paper 0.69 (0.54 to 0.80), n 81" in fuzzing
    assert "Detection (offline)" in " ".join(findings(found))


@pytest.mark.parametrize("n", [0, 1, MIN_JUDGED - 1])
def test_little_is_said_of_little(n: int):
    audit, right = an_audit()
    plain = {item.i for item in audit.items if not item.is_control}
    ratings = [rating for rating in answers(audit, right, "ann") if rating.item in plain][:n]
    said = findings(made(audit, ratings))
    assert "%" not in " ".join(said)
    assert "None of the 120 items" in said[0] if n == 0 else f"{n} item" in said[0]


def test_few_shared_items_are_said_to_be_few():
    audit, right = an_audit()
    ann = answers(audit, right, "ann")
    text = text_of(made(audit, ann + answers(audit, right, "bob", share=0.1)), "ann and bob")
    assert text.endswith("Too few for an interval (at least 20 are needed).")
    assert "(" not in text.split("kappa")[1].split("Too few")[0]
    fewer = findings(made(audit, ann + answers(audit, right, "bob", share=0.02)))
    assert (
        "3 items judged by two raters: too few to measure their agreement (at least 10 are needed)." in fewer
    )
    assert "kappa" not in " ".join(fewer)


def test_a_rater_who_guesses_is_told_from_one_who_sees():
    audit, right = an_audit(400, 40)
    found = made(audit, answers(audit, right, "ann", skill=0.95) + answers(audit, right, "bob", skill=0.0))
    guesses = [text for text in findings(found) if "cannot be told apart from guesses" in text]
    assert len(guesses) == 1
    assert guesses[0].startswith("bob's verdicts")


def test_few_controls_are_no_evidence_against_a_rater():
    """One mistake in five controls is not told apart from guessing, but that is for want of controls; five in five is not."""
    audit, right = an_audit(60, 5)
    own = answers(audit, right, "ann", skill=1)
    controls = [rating for rating in own if audit.items[rating.item].is_control]
    for fooled, expected in (
        (0, None),
        (1, " with so few controls: 1 of 5 "),
        (5, ": 5 of 5 "),
    ):
        wrong = [replace(rating, verdict="correct") for rating in controls[:fooled]]
        rest = [rating for rating in own if rating.item not in {each.item for each in wrong}]
        said = [text for text in findings(made(audit, rest + wrong)) if "guesses" in text]
        assert len(said) == (expected is not None)
        assert expected is None or f"cannot be told apart from guesses{expected}" in said[0]


def test_coders_are_told_apart_only_where_they_differ():
    """Two coders alike, and two that are not: by the interval of their difference."""
    told = []
    for share in (0.6, 0.15):
        audit, right = an_audit(200, 0, seed=5)
        other = np.array([item.coder == "two" for item in audit.items])
        rng = np.random.default_rng(3)
        right = np.where(other, rng.random(len(right)) < share, rng.random(len(right)) < 0.6)
        told.append(
            "they can be told apart"
            in text_of(made(audit, answers(audit, right, "ann", skill=1)), "Right by coder")
        )
    assert told == [False, True]


def test_the_interval_of_a_difference_holds_the_truth():
    from autointerp.score.intervals import wilson

    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        shares = rng.binomial(40, 0.9) / 40, rng.binomial(25, 0.5) / 25
        ends = wilson(shares[0], 40), wilson(shares[1], 25)
        gap = difference(*(Estimate(share, *end) for share, end in zip(shares, ends, strict=True)))
        assert gap is not None
        assert gap.low is not None
        assert gap.high is not None
        held += gap.low <= 0.4 <= gap.high
    assert 0.93 <= held / 1000 <= 0.97


def test_the_document_is_json_and_holds_what_was_promised():
    audit, right = an_audit(tasks=("verdict", "detection"))
    ratings = [rating for name in ("ann", "bob") for rating in answers(audit, right, name, again=5)]
    found = made(audit, ratings + judged(audit, right, "ann", "detection"))
    whole = json.loads(json.dumps(document(found)))
    assert whole["n_items"] == 120
    assert [each["rater"] for each in whole["raters"]] == ["ann", "bob"]
    for name in ("raw", "kappa", "alpha"):
        low, high = whole["agreement"][name]["ci"]
        assert low <= whole["agreement"][name]["value"] <= high
    estimate = whole["estimates"][0]
    assert estimate["ci"][0] < estimate["value"] < estimate["ci"][1]
    assert (estimate["coder"], estimate["explainer"], estimate["population"]) == (None, None, 800)
    assert np.array(whole["confusion"][0]["counts"]).sum() == whole["confusion"][0]["n_items"]
    assert whole["findings"] == findings(found)


def test_the_table_of_items_has_a_row_an_item():
    audit, right = an_audit()
    ratings = answers(audit, right, "ann", share=0.5) + answers(audit, right, "bob")
    head, rows = item_table(made(audit, ratings))
    assert len(rows) == len(audit.items)
    by_name = [dict(zip(head, row, strict=True)) for row in rows]
    said = first_verdicts(audit, ratings)
    for row, item in zip(by_name, audit.items, strict=True):
        if not item.is_control:
            assert row["ann"] == said["ann"].get(item.i)
            assert row["bob"] == said["bob"].get(item.i)
        assert row[SCORES[0]] == item.scores[SCORES[0]]


def test_a_report_is_read_from_the_store(resources: Resources):
    annotations = resources.annotations
    audit, right = an_audit(20, 2)
    annotations.add(
        *(
            Explanation(
                coder=item.coder,
                latent=item.latent,
                text=item.text,
                explainer="pattern",
                id=item.explanation_id,
            )
            for item in audit.items[1:]
        )
    )
    annotations.audits.create(audit)
    annotations.audits.rate(*answers(audit, right, "ann"), *answers(audit, right, "bob"))
    found = report(resources, audit.id)
    assert found.table.raters == ("ann", "bob")
    assert {part.explainer for part in found.parts} == {None, "", "pattern"}  # one explanation is gone
    assert report(resources, audit.id, raters=["bob"]).table.raters == ("bob",)
    with pytest.raises(UnknownName, match="rater"):
        report(resources, audit.id, raters=["eve"])
    with pytest.raises(UnknownName, match="verdict"):
        report(resources, audit.id, right=["rihgt"])  # type: ignore[list-item]
    broken: Verdict = "broken_contexts"
    with pytest.raises(UserError, match="cannot count as right"):
        report(resources, audit.id, right=[broken])


def test_people_and_the_judge_on_the_same_questions(resources: Resources):
    """A person who answers as the judge did differs from it in nothing; one who answers yes to all scores one half."""
    kind = kind_named(resources.annotations, "fuzzing")
    options = AuditOptions(
        coders=("sae", "tc"), kind=kind, n=12, tasks=("verdict", "fuzzing"), control_share=0.2, n_questions=10
    )
    audit = create(resources, options, name="Beside the judge", author="ann")
    resources.annotations.audits.create(audit)
    for rater in ("like the judge", "yes"):
        for item in audit.items:
            plan = questions(resources, audit, item, "fuzzing")
            score = judges_score(resources, explanation_of(resources, item), "fuzzing")
            assert score is not None
            by_judge = {example.key: example.answer for example in score.judged or ()}
            keys = [example.key for example in answered(plan, [None] * len(plan.items))]
            said = [by_judge[key] if rater == "like the judge" else True for key in keys]
            resources.annotations.audits.rate(
                Rating(
                    audit_id=audit.id, item=item.i, rater=rater, task="fuzzing", judged=answered(plan, said)
                )
            )
    (alike,) = report(resources, audit.id, raters=["like the judge"]).humans
    assert alike.beside is not None
    assert alike.beside.n == 12
    assert alike.beside.people == pytest.approx(alike.beside.judge)
    assert alike.beside.difference.value == pytest.approx(0)
    assert alike.beside.n_same == alike.beside.n_questions == 120
    (yes,) = report(resources, audit.id, raters=["yes"]).humans
    assert yes.beside is not None
    assert (yes.beside.people, yes.beside.judge) == (pytest.approx(0.5), pytest.approx(alike.beside.judge))
    assert yes.beside.difference.value == pytest.approx(0.5 - alike.beside.judge)
    (both,) = report(resources, audit.id).humans
    assert both.beside is not None
    assert (both.beside.n, both.beside.n_questions) == (12, 240)
    assert both.beside.people == pytest.approx((0.5 + alike.beside.judge) / 2)
    assert [
        text for text in findings(report(resources, audit.id)) if "AUROC" in text
    ] == []  # there are no verdicts
    assert "of 240 questions" in text_of(report(resources, audit.id), "On the same questions of 12 items")


def test_one_control_is_not_called_controls():
    audit, right = an_audit(n_controls=1, tasks=("detection",))
    found = made(audit, judged(audit, right, "ann", "detection"))
    assert "on 1 control " in text_of(found, "People's detection score is")
