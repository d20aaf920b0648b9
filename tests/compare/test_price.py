"""Interpretability and cost: the library's figures against scipy on the rows, what is missing, and what is said."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from autointerp.compare import claims, price, results
from autointerp.compare.price import Comparison, Price, Question, Side, frontier, usual_coders
from autointerp.compare.supply import supplies
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.score.intervals import Estimate
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.compare.scores import give_scores

CHANCES = {"transcoder": 0.8, "skip": 0.8, "sae": 0.65, "neurons": 0.65, "random": 0.5}
ALL = tuple(CHANCES)


@pytest.fixture(scope="module")
def compared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resources]:
    path = tmp_path_factory.mktemp("price") / "store"
    shutil.copytree(built, path)
    store = Store.open(path)
    give_scores(store, CHANCES, scorers=("detection", "fuzzing"))
    give_scores(store, {"other": 0.6}, n=4)
    with Annotations(path) as annotations:
        yield Resources(store, annotations)


@pytest.fixture
def answer(compared: Resources) -> Price:
    for name in ALL:
        results.obtain(compared, "fidelity", [name])
    return price.price(compared, Question(ALL, "detection", n=20, seed=3))


def rows(resources: Resources, coder: str, scorer: str = "detection") -> dict[int, float]:
    table = resources.annotations.score_summary(coder).to_pylist()
    return {row["latent"]: row["value"] for row in table if row["scorer"] == scorer}


def test_tests_are_scipys_on_the_stored_rows(compared: Resources, answer: Price):
    assert answer.n == 20
    by_pair = {(pair.first, pair.second): pair for pair in answer.by("score")}
    assert set(by_pair) == set(combinations([side.coder for side in answer.sides], 2))
    values = {}
    for side in answer.sides:
        stored = rows(compared, side.coder)
        assert len(set(side.latents)) == 20
        values[side.coder] = [stored[latent] for latent in side.latents]
        assert list(side.scores) == values[side.coder]
        assert side.score is not None
        assert side.score.value == pytest.approx(np.mean(values[side.coder]))
        assert side.floor == 0.5
        assert side.n_scored == len(stored)
    for (first, second), pair in by_pair.items():
        a, b = values[first], values[second]
        wins = np.mean([(x > y) + (x == y) / 2 for x in a for y in b])
        assert pair.superiority is not None
        assert pair.superiority.value == pytest.approx(wins)
        assert pair.p == pytest.approx(stats.brunnermunzel(a, b).pvalue)
        assert pair.difference.value == pytest.approx(np.mean(a) - np.mean(b))
        assert pair.p <= pair.p_corrected <= 1
        assert pair.apart == (pair.p_corrected < 0.05)


def test_errors_are_paired_by_context(compared: Resources, answer: Price):
    for pair in answer.by("ce_increase"):
        first, second = answer.side(pair.first), answer.side(pair.second)
        assert first.ce_increase is not None
        assert second.ce_increase is not None
        assert pair.difference.value == pytest.approx(first.ce_increase.value - second.ce_increase.value)
        one, other = (price.measurement(compared, name) for name in (pair.first, pair.second))
        assert one is not None
        assert other is not None
        per_context = (one.contexts["spliced"] - other.contexts["spliced"]) / one.contexts["n_predicted"]
        if np.ptp(one.contexts["n_predicted"]) == 0:
            assert pair.p == pytest.approx(stats.ttest_1samp(per_context, 0).pvalue, rel=1e-6)  # pyright: ignore
    assert {pair.first for pair in answer.by("fvu")} <= set(ALL)
    for side in answer.sides:
        assert side.on_same_contexts
        assert side.recovered == pytest.approx(1 - side.ce_increase.value / side.ce_increase_zero)  # pyright: ignore


def test_one_seed_one_answer_and_matching_draws_equally_many(compared: Resources):
    question = Question(ALL, "fuzzing", seed=1)
    first = price.price(compared, question)
    again = price.price(compared, question)
    assert [side.latents for side in first.sides] == [side.latents for side in again.sides]
    assert first.n == min(len(rows(compared, name, "fuzzing")) for name in ALL)
    matched = price.price(compared, replace(question, coders=("sae", "transcoder"), match_density=True))
    assert matched.n_bins
    bins = []
    for side in matched.sides:
        density = compared.store.coder(side.coder).table().columns["density"][list(side.latents)]
        bins.append(sorted(np.floor(np.log10(density) * 4).tolist()))
    assert bins[0] == bins[1]
    median = price.price(compared, replace(question, centre="median"))
    for side in median.sides:
        assert side.score is not None
        assert side.score.value == np.median(side.scores)


def test_what_is_missing_is_named_with_what_supplies_it(compared: Resources):
    asked = Question(("sae", "other", "permuted"), "detection")
    answer = price.price(compared, asked)
    assert answer.too_few == ("other", "permuted")
    assert answer.n == 0
    assert answer.by("score") == []
    assert "too few" in claims.headline(answer)
    other, permuted = supplies(compared, answer)
    assert (other.coder, other.n_scored) == ("other", 4)
    live = set(compared.store.coder("other").table().live.tolist())
    done = set(rows(compared, "other"))
    assert len(other.explain) == other.wanted - 4
    assert set(other.explain) <= live - done
    assert other.scoring is not None
    assert (other.scoring.scorer, other.scoring.n_examples) == ("detection", 10)
    assert "autointerp score STORE other --scorer detection --n-examples 10" in other.commands("STORE")[1]
    assert permuted.n_scored == 0
    assert not permuted.asks_llm


def test_bad_questions(compared: Resources):
    for question, said in (
        (Question(("sae",)), "two coders"),
        (Question(("sae", "sae")), "two coders"),
        (Question(("sae", "transcoder"), n=9), "too few"),
        (Question(("sae", "transcoder"), seed=-1), "negative"),
        (Question(("sae", "transcoder"), "fizzing"), "Scored by"),
    ):
        with pytest.raises(UserError, match=said):
            price.price(compared, question)
    with pytest.raises(UnknownName):
        price.price(compared, Question(("sae", "sea")))
    unexplained = price.price(compared, Question(("permuted", "residual")))
    assert unexplained.kind is None
    assert "These coders are not scored yet" in claims.headline(unexplained)


def test_usual_coders_are_those_of_the_commonest_hookpoint(compared: Resources):
    infos = compared.store.coders()
    assert set(usual_coders(infos)) == {info.coder for info in infos if info.hookpoint == "layers.1.mlp"}
    assert usual_coders([]) == ()


# What is said, from made-up figures --------------------------------------------------------------


def side(coder: str, kind: str, score: float, ce: float, hookpoint: str = "mlp") -> Side:
    return Side(
        coder=coder, kind=kind, hookpoint=hookpoint, is_control=False, n_latents=99, dead=0.0, l0=8.0, fvu=Estimate(0.2),
        ce_increase=Estimate(ce), ce_increase_zero=1.0, ce_increase_mean=1.0, ce_increase_skip=None, recovered=1 - ce,
        n_contexts=9, on_same_contexts=True, absent=None, skip=None, skip_percentiles=None, n_live=99, n_explained=99,
        n_scored=50, latents=tuple(range(50)), scores=(score,) * 50, score=Estimate(score), floor=0.5,
    )  # fmt: skip


def made_up(compared: Resources, sides: list[Side], p: float) -> Price:
    """Every pair has this p."""
    pairs = [
        Comparison("score", a.coder, b.coder, 50, Estimate(a.scores[0] - b.scores[0], -1, 1),
                   Estimate(0.5 + (a.scores[0] - b.scores[0]) / 2, 0.1, 0.9), p, p)
        for a, b in combinations(sides, 2)
    ] + [
        Comparison("ce_increase", a.coder, b.coder, 9, Estimate(
            a.ce_increase.value - b.ce_increase.value, -1, 1), None, p, p)  # pyright: ignore
        for a, b in combinations(sides, 2)
    ]  # fmt: skip
    real = price.price(compared, Question(ALL, "detection"))
    return Price(Question(ALL), real.made_by, real.kind, tuple(sides), tuple(pairs), 50, None, (), {})


ORDERED = [
    side("tc", "transcoder", 0.8, 0.3), side("sae", "sae", 0.7, 0.4), side("neurons", "neurons", 0.6, 0.5),
    side("random", "random", 0.5, 0.9), side("sst", "skip_transcoder", 0.8, 0.2),
]  # fmt: skip


def test_the_order_is_said_to_hold_only_where_all_pairs_are_apart(compared: Resources):
    apart = made_up(compared, ORDERED, 0.001)
    assert claims.headline(apart).startswith(
        "The papers' order, transcoders > SAEs > neurons > random controls, holds at mlp in detection by the offline judge"
    )
    found = {claim.expected: claim for claim in claims.claims(apart)}
    assert found["transcoders > SAEs"].verdict == "holds"
    assert "tc over sae in 55 % of pairs" in found["transcoders > SAEs"].text
    assert found["skip transcoder < transcoder in cross-entropy"].verdict == "holds"
    assert found["skip transcoder < transcoder in cross-entropy"].text.startswith(
        "sst is below tc in cross-entropy: −0.1000 nats"
    )
    assert found["skip transcoder = transcoder"].verdict == "differ"
    assert "50 each" in found["skip transcoder = transcoder"].text
    unclear = made_up(compared, ORDERED, 0.3)
    assert {claim.verdict for claim in claims.claims(unclear)} == {"not told apart"}
    assert "is not shown at mlp" in claims.headline(unclear)  # which is no evidence against it
    assert "SAEs > neurons: cannot be told apart" in claims.headline(unclear)


def test_the_other_way_round_and_mixed_are_said(compared: Resources):
    turned = [
        side("tc", "transcoder", 0.6, 0.3),
        side("sae", "sae", 0.7, 0.4),
        side("sst", "skip_transcoder", 0.8, 0.4),
    ]
    said = {claim.expected: claim for claim in claims.claims(made_up(compared, turned, 0.001))}
    assert said["transcoders > SAEs"].verdict == "mixed"
    assert said["skip transcoder < transcoder in cross-entropy"].verdict == "reversed"
    backwards = made_up(compared, turned[:2], 0.001)
    assert [claim.verdict for claim in claims.claims(backwards)] == ["reversed"]
    assert "the other way round" in claims.headline(backwards)
    # The pair stands in the other order in the comparisons.
    flipped = made_up(compared, turned[1::-1], 0.001)
    assert [claim.verdict for claim in claims.claims(flipped)] == ["reversed"]
    assert "tc over sae in 45 % of pairs" in claims.claims(flipped)[0].text


def with_p(answer: Price, p: dict[tuple[str, str], float]) -> Price:
    """With these p-values of the scores of some pairs."""
    return replace(answer, comparisons=tuple(
        replace(pair, p_corrected=p[pair.first, pair.second])
        if pair.measure == "score" and (pair.first, pair.second) in p else pair
        for pair in answer.comparisons
    ))  # fmt: skip


def test_one_pair_apart_is_said_with_its_direction(compared: Resources):
    sides = [
        side("sae", "sae", 0.6, 0.3),
        side("sae2", "sae", 0.6, 0.3),
        side("neurons", "neurons", 0.7, 0.3),
    ]
    below = with_p(made_up(compared, sides, 0.001), {("sae", "neurons"): 0.2})
    assert [claim.verdict for claim in claims.claims(below)] == ["reversed for some"]
    assert "SAEs > neurons, does not hold" in claims.headline(below)
    assert "the other way round for some coders" in claims.headline(below)
    above = with_p(made_up(compared, [*sides[:2], side("neurons", "neurons", 0.5, 0.3)], 0.001),
                   {("sae", "neurons"): 0.2})  # fmt: skip
    assert [claim.verdict for claim in claims.claims(above)] == ["holds for some"]
    assert "holds in part" in claims.headline(above)


def test_the_price_is_said_with_the_order(compared: Resources):
    sides = [side("tc", "transcoder", 0.8, 0.5), side("sae", "sae", 0.7, 0.4)]
    dearer = made_up(compared, sides[::-1], 0.001)  # the pair stands in the other order
    assert "holds at mlp" in claims.headline(dearer)
    assert claims.headline(dearer).endswith("Cost in cross-entropy: transcoders more than SAEs.")
    assert "tc +0.1000 nats a token against sae" in claims.claims(dearer)[0].text
    cheaper = made_up(compared, [side("tc", "transcoder", 0.8, 0.3), sides[1]], 0.001)
    assert claims.headline(cheaper).endswith("Cost in cross-entropy: transcoders less than SAEs.")
    assert "transcoders and SAEs cannot be told apart." in claims.headline(made_up(compared, sides, 0.4))
    unknown = replace(dearer, comparisons=tuple(dearer.by("score")))
    assert "Price" not in claims.headline(unknown)


def test_kinds_without_scores_do_not_hide_the_pairs_around_them(compared: Resources):
    sides = [side("sae", "sae", 0.7, 0.4), replace(side("neurons", "neurons", 0.6, 0.5), score=None),
             side("random", "random", 0.5, 0.9)]  # fmt: skip
    answer = made_up(compared, sides, 0.001)
    answer = replace(
        answer, comparisons=tuple(c for c in answer.comparisons if "neurons" not in (c.first, c.second))
    )
    assert [claim.expected for claim in claims.claims(answer)] == ["SAEs > random controls"]


def test_hookpoints_are_named_where_they_disagree(compared: Resources):
    sides = [side("tc", "transcoder", 0.8, 0.5), side("sae", "sae", 0.7, 0.4),
             side("tc1", "transcoder", 0.6, 0.5, "mlp1"), side("sae1", "sae", 0.7, 0.4, "mlp1")]  # fmt: skip
    said = claims.headline(made_up(compared, sides, 0.001))
    assert "holds in part at mlp and mlp1" in said
    assert "Transcoders > SAEs at mlp1: the other way round." in said


def test_the_highest_mean_is_not_above_a_coder_that_is_above_it_by_rank(compared: Resources):
    sides = [side("a", "sae", 0.7, 0.3), side("b", "sae", 0.6, 0.2)]
    answer = made_up(compared, sides, 0.001)
    skewed = tuple(
        replace(pair, superiority=Estimate(0.3, 0.2, 0.4)) if pair.measure == "score" else pair
        for pair in answer.comparisons
    )
    assert "b above it in most pairs of scores" in claims.headline(replace(answer, comparisons=skewed))


def test_coders_of_other_kinds_or_hookpoints_are_only_ranked(compared: Resources):
    two = [side("a", "sae", 0.7, 0.3), side("b", "sae", 0.6, 0.2)]
    assert claims.claims(made_up(compared, two, 0.001)) == []
    assert "a scores highest, 0.700 (n 50 each), above all others" in claims.headline(
        made_up(compared, two, 0.001)
    )
    assert "b cannot be told apart from it" in claims.headline(made_up(compared, two, 0.5))
    apart = [side("a", "sae", 0.7, 0.3), side("b", "transcoder", 0.8, 0.2, "elsewhere")]
    assert claims.claims(made_up(compared, apart, 0.001)) == []


def test_coders_left_out_are_named_with_how_few_scores_they_have(compared: Resources):
    few = [replace(ORDERED[0], n_scored=4), replace(ORDERED[1], n_scored=0, n_live=0)]
    answer = replace(made_up(compared, few, 1.0), too_few=("tc", "sae"))
    assert (
        claims.left_out(answer)
        == "Left out of the tests, with fewer than 20 such scores: tc (4), sae (all dead)."
    )
    assert claims.left_out(made_up(compared, ORDERED, 1.0)) is None


def test_the_frontier_is_what_no_other_beats():
    rng = np.random.default_rng(2)
    sides = [side(f"c{i}", "sae", float(rng.integers(4)), float(rng.integers(4))) for i in range(12)]
    kept = set(frontier(sides))
    for one in sides:
        point = (one.ce_increase.value, one.score.value)  # pyright: ignore
        beaten = any(
            other.ce_increase.value <= point[0] and other.score.value >= point[1]  # pyright: ignore
            and (other.ce_increase.value, other.score.value) != point  # pyright: ignore
            for other in sides
        )  # fmt: skip
        assert (one.coder in kept) == (not beaten)
    assert frontier([]) == ()
