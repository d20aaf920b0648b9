"""What an audit is made of: strata, a draw without bias, controls, and the order that each rater is asked in."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.audit.options import AuditOptions
from autointerp.audit.order import GAP, Entry, entries
from autointerp.audit.progress import by_entry, next_after, progress
from autointerp.audit.strata import LEAST, allocate, parts, stratify
from autointerp.errors import UserError
from autointerp.ratings import Audit, AuditItem, Rating, Stratum, Task
from autointerp.store import ScoreKind


@st.composite
def populations(draw: st.DrawFn) -> dict[str, Any]:
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    total = sum(sizes)
    decimals = draw(st.sampled_from([1, 2, 9]))
    return {
        "coders": [f"coder {i}" for i in range(len(sizes))],
        "coder": np.repeat(np.arange(len(sizes)), sizes),
        "density": rng.lognormal(-5, 2, total),
        "score": draw(st.sampled_from([None, rng.random(total).round(decimals)])),
        "n": draw(st.integers(len(sizes), 80)),
        "score_bins": draw(st.integers(1, 10)),
        "density_bins": draw(st.integers(1, 3)),
    }


@given(populations())
def test_strata_hold_everyone_once_and_give_n_items(members: dict[str, Any]) -> None:
    made = stratify(**members)
    sizes = np.bincount(made.label, minlength=len(made.strata))
    assert made.label.min() >= 0
    n = min(members["n"], len(made.label))
    assert sum(stratum.sampled for stratum in made.strata) == n
    assert {stratum.coder for stratum in made.strata} == set(members["coders"])
    for stratum, size in zip(made.strata, sizes.tolist(), strict=True):
        inside = made.label == stratum.number
        assert stratum.population == size
        assert {members["coders"][i] for i in members["coder"][inside]} == {stratum.coder}
        assert 1 <= stratum.sampled <= size
        assert stratum.density == (members["density"][inside].min(), members["density"][inside].max())
        if members["score"] is None:
            assert stratum.score is None
        else:
            assert stratum.score == (members["score"][inside].min(), members["score"][inside].max())
    per_coder = Counter(stratum.coder for stratum in made.strata)
    if n >= LEAST * len(members["coders"]):
        for stratum in made.strata:
            assert stratum.sampled >= min(LEAST, stratum.population)
            alone = per_coder[stratum.coder] == 1
            assert alone or stratum.population * n / len(made.label) >= LEAST * (1 - 1e-9)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 600))
def test_items_are_allotted_in_proportion(sizes: list[int], n: int) -> None:
    n = max(n, len(sizes))
    given_ = allocate(sizes, n)
    assert sum(given_) == min(n, sum(sizes))
    assert all(1 <= each <= size for each, size in zip(given_, sizes, strict=True))
    quota = [size * min(n, sum(sizes)) / sum(sizes) for size in sizes]
    if min(quota) >= LEAST:
        assert all(abs(each - share) < 1 for each, share in zip(given_, quota, strict=True))


def test_parts_are_of_equal_size_and_equal_values_stay_together() -> None:
    assert np.bincount(parts(np.random.default_rng(0).random(1000), 10)).tolist() == [100] * 10
    values = np.array([0.5] * 7 + [0.6] * 3)
    assert len(set(zip(values, parts(values, 10), strict=True))) == 2


def test_neighbours_in_score_are_put_together_only_when_those_in_density_are() -> None:
    score, density = np.meshgrid(np.arange(10) / 10, np.arange(3) / 3, indexing="ij")
    score, density = np.repeat(score.ravel(), 10), np.repeat(density.ravel(), 10)
    coder = np.zeros(300, dtype=np.int64)
    made = stratify(["sae"], coder, density, score, n=300, score_bins=10, density_bins=3)
    assert len(made.strata) == 30
    made = stratify(["sae"], coder, density, score, n=20, score_bins=10, density_bins=3)
    assert [stratum.score for stratum in made.strata] == [(q / 10, q / 10) for q in range(10)]
    made = stratify(["sae"], coder, density, score, n=2, score_bins=10, density_bins=3)
    assert [(stratum.population, stratum.sampled) for stratum in made.strata] == [(300, 2)]


def test_an_estimate_from_the_draw_has_no_bias() -> None:
    """Weighted by population over sampled; without the weights it is off, for the strata are sampled unequally."""
    from autointerp.audit.draw import draw

    rng = np.random.default_rng(5)
    coder = np.repeat([0, 1], [600, 9])
    score, density = rng.random(609), rng.lognormal(-5, 2, 609)
    right = (rng.random(609) < np.where(coder == 0, score, 1.0)).astype(float)
    made = stratify(["a", "b"], coder, density, score, n=12, score_bins=5, density_bins=2)
    weight = np.array([stratum.population / stratum.sampled for stratum in made.strata])
    assert weight.max() > 2 * weight.min()
    times = np.zeros(609)
    weighted, plain = [], []
    for seed in range(2000):
        drawn = draw(made, seed)
        assert len(set(drawn.tolist())) == 12
        times[drawn] += 1
        weighted.append((right[drawn] * weight[made.label[drawn]]).sum() / 609)
        plain.append(right[drawn].mean())
    error = np.std(weighted) / np.sqrt(2000)
    assert abs(np.mean(weighted) - right.mean()) < 4 * error
    assert abs(np.mean(plain) - right.mean()) > 4 * error
    # Everyone is drawn as often as the weights say: a chi-squared of 609 counts lies near 609.
    expected = 2000 / weight[made.label]
    assert ((times - expected) ** 2 / (expected * (1 - 1 / weight[made.label]))).sum() < 800


# On a store -----------------------------------------------------------------------------------------


def of_items(n: int, n_controls: int = 0, **fields: Any) -> Audit:
    items = [AuditItem(i, "sae", i, f"e{i}", f"e{i}", f"words {i}", 0) for i in range(n)]
    items += [AuditItem(n + i, "sae", n + i, f"c{i}", f"e{i}", f"words {i}", None) for i in range(n_controls)]
    given_: dict[str, Any] = {"name": "A", "author": "x", "tasks": ("verdict",), "seed": 1}
    given_ |= {"strata": (Stratum(0, "sae", None, None, 500, n),), "config": {"repeat_share": 0.1}, **fields}
    return Audit(items=tuple(items), **given_)


TASKS: list[tuple[Task, ...]] = [
    ("verdict",),
    ("detection",),
    ("verdict", "fuzzing"),
    ("verdict", "detection", "fuzzing"),
]


@given(st.integers(1, 60), st.integers(0, 6), st.floats(0, 1), st.sampled_from(TASKS), st.text(min_size=1))
def test_every_task_is_asked_once_and_items_come_back_later(
    n: int, n_controls: int, share: float, tasks: tuple[Task, ...], rater: str
) -> None:
    audit = of_items(n, n_controls, tasks=tasks, config={"repeat_share": share})
    order = entries(audit, rater)
    assert len(set(order)) == len(order)
    assert {entry.item for entry in order if not entry.round} == set(range(n + n_controls))
    assert entries(audit, rater) == order
    units = [order[i : i + len(tasks)] for i in range(0, len(order), len(tasks))]
    for unit in units:
        assert len({(entry.item, entry.round) for entry in unit}) == 1
        assert {entry.task for entry in unit} == set(tasks)
        assert "verdict" not in tasks or unit[-1].task == "verdict"
    at = {unit[0][:2]: i for i, unit in enumerate(units)}
    back = [item for item, round_ in at if round_ == 1]
    assert len(back) <= round(share * n)
    assert len(back) == round(share * n) or n < 4 * GAP or share > 0.4
    for item in back:
        assert item < n, "no control comes back"
        assert at[item, 1] >= len(units) / 2
        assert at[item, 1] - at[item, 0] > GAP


def test_raters_have_orders_of_their_own() -> None:
    audit = of_items(40)
    assert entries(audit, "Ann") != entries(audit, "Ben")
    assert entries(audit, "Ann") != entries(of_items(40, seed=2), "Ann")
    assert entries(audit, " Ann ") == entries(audit, "Ann")
    first = Counter(entries(audit, f"rater {i}")[0].item for i in range(400))
    assert max(first.values()) < 30


def answers(audit: Audit, *asked: Entry, **fields: Any) -> list[Rating]:
    return [
        Rating(
            **{
                "audit_id": audit.id, "item": entry.item, "round": entry.round, "task": entry.task, "rater": "Ann",
                "verdict": "correct", **fields,
            }
        )
        for entry in asked
    ]  # fmt: skip


def test_an_audit_goes_on_where_it_was_left() -> None:
    audit = of_items(20)
    order = entries(audit, "Ann")
    start = progress(audit, "Ann", [])
    assert (start.done, start.skipped, start.position, start.seconds, start.seconds_left) == (
        0,
        0,
        0,
        None,
        None,
    )
    done = answers(audit, *order[:5], seconds=10.0) + answers(audit, *order[5:8], seconds=20.0)
    others = [*answers(audit, order[8], rater="Ben"), *answers(audit, order[8], role="adjudicator")]
    now = progress(audit, "Ann", [*done, *others])
    assert (now.done, now.position, now.seconds, now.left) == (8, 8, 10.0, len(order) - 8)
    assert now.seconds_left == 10.0 * now.left
    skipped = answers(audit, order[8], verdict=None, skipped=True, seconds=99.0)
    now = progress(audit, "Ann", done + skipped)
    assert (now.done, now.skipped, now.position, now.seconds) == (8, 1, 9, 10.0)
    every = done + skipped + answers(audit, *order[9:])
    assert progress(audit, "Ann", every).position == 8, "what was skipped comes at the end"
    assert progress(audit, "Ann", every[:8] + every[9:] + answers(audit, order[8])).position is None


def test_what_comes_next() -> None:
    audit = of_items(10, config={"repeat_share": 0})
    order = entries(audit, "Ann")
    some = answers(audit, order[0], order[2])
    assert next_after(order, some, None) == 1
    assert next_after(order, some, 2) == 3
    assert next_after(order, answers(audit, *order[1:]), 9) == 0, "one left out on the way"
    skips = answers(audit, order[4], order[6], verdict=None, skipped=True)
    rest = answers(audit, *(entry for entry in order if entry not in by_entry(skips)))
    assert next_after(order, rest + skips, 4) == 6
    assert next_after(order, rest + skips, 6) == 4
    assert next_after(order, rest + skips[:1] + answers(audit, order[6]), 4) == 4, "the only one left"
    assert next_after(order, answers(audit, *order), 9) is None


KIND = ScoreKind("fuzzing", "offline", "held-out", "random", None, "0123456789ab")


@given(
    st.builds(
        AuditOptions,
        coders=st.sampled_from([("sae",), ("sae", "transcoder")]),
        explainer=st.sampled_from([None, "pattern"]),
        kind=st.sampled_from([None, KIND]),
        latents=st.sampled_from([None, {"sae": [1, 2]}]),
        n=st.integers(2, 500),
        tasks=st.sampled_from(TASKS),
        repeat_share=st.floats(0, 1),
        seed=st.integers(0, 2**40),
        blind=st.booleans(),
    )
)
def test_options_turn_into_json_and_back(options: AuditOptions) -> None:
    import json

    assert AuditOptions.from_config(json.loads(json.dumps(options.check().to_config()))) == options


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"coders": ()}, "at least one coder"),
        ({"coders": ("sae", "sae")}, "named twice"),
        ({"n": 0}, "n is 0; accepted: 1 to 10,000"),
        ({"coders": ("a", "b"), "n": 1}, "1 items cannot represent 2 coders"),
        ({"tasks": ()}, "each once"),
        ({"tasks": ("guess",)}, "unknown task"),
        ({"bounds": (0.5, None)}, "which kind of score"),
        ({"bounds": (0.7, 0.5), "kind": KIND}, "at least 0.7 and at most 0.5"),
        ({"repeat_share": 1.5}, "accepted: 0 to 1"),
        ({"latents": {"tc": [1]}}, "unknown coder 'tc'"),
        ({"n_questions": 1}, "accepted: 2 to 200"),
    ],
)
def test_options_that_make_no_sense_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        AuditOptions(**{"coders": ("sae",), **fields}).check()
    with pytest.raises(UserError, match="unknown option of audits 'colour'"):
        AuditOptions.from_config({"coders": ["sae"], "colour": 1})
