"""An audit of a store: what is drawn, what a rater is shown, and what their answers are worth."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autointerp.audit.draw import create, population, scores_of, strata_of
from autointerp.audit.evidence import FIRST, contexts, judges_score, more, questions, thinned
from autointerp.audit.human import answered, human_score
from autointerp.audit.options import AuditOptions
from autointerp.errors import UserError
from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, AuditItem, Rating, Task
from autointerp.records import Explanation
from autointerp.sampling import Window
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Item
from autointerp.types import Example
from tests.audited import FEW, N_LATENTS, kind_named
from tests.pipeline.conftest import score_once

BOTH = AuditOptions(coders=("sae", "tc"))


def test_the_population_is_what_was_asked_for(resources: Resources) -> None:
    annotations = resources.annotations
    every = population(resources, BOTH)
    assert len(every) == 2 * N_LATENTS
    assert every.score is None
    assert every.coder.tolist() == [0] * N_LATENTS + [1] * N_LATENTS
    shown = [annotations.shown("sae", latent) for latent in range(N_LATENTS)]
    assert list(every.ids[:N_LATENTS]) == [explanation.id for explanation in shown if explanation]
    by_hand = Explanation(coder="sae", latent=3, text="by hand", explainer="person")
    annotations.show_by("newest")
    annotations.add(
        by_hand, Explanation(coder="sae", latent=N_LATENTS, text="never fires", explainer="person")
    )
    assert by_hand.id in population(resources, BOTH).ids
    assert population(resources, replace(BOTH, explainer="person")).ids == (by_hand.id,)
    assert by_hand.id not in population(resources, replace(BOTH, explainer="pattern")).ids
    some = population(resources, replace(BOTH, latents={"sae": [2, 5, 99]}))
    assert (some.latent.tolist(), some.coder.tolist()) == ([2, 5], [0, 0])
    kind = kind_named(annotations, "fuzzing")
    scored = population(resources, replace(BOTH, kind=kind, explainer="pattern"))
    assert scored.score is not None
    middle = float(np.sort(scored.score)[12])
    upper = population(resources, replace(BOTH, kind=kind, explainer="pattern", bounds=(middle, None)))
    assert upper.ids == tuple(
        id_ for id_, score in zip(scored.ids, scored.score, strict=True) if score >= middle
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"explainer": "llm"}, "no explanation by “llm” in sae, tc"),
        ({"latents": {"sae": []}}, "no explanation among these features"),
        ({"coders": ("sae", "x"), "n": 5}, "unknown coder 'x'"),
    ],
)
def test_an_empty_population_says_so(resources: Resources, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        create(resources, replace(BOTH, **fields), name="A", author="Ann")


def test_an_audit_is_drawn(resources: Resources, audit: Audit) -> None:
    drawn = [item for item in audit.items if not item.is_control]
    controls = [item for item in audit.items if item.is_control]
    assert (len(drawn), len(controls)) == (10, 2)
    assert sum(stratum.sampled for stratum in audit.strata) == 10
    assert sum(stratum.population for stratum in audit.strata) == 2 * N_LATENTS
    for item in drawn:
        explanation = resources.annotations.explanation(item.explanation_id)
        assert (explanation.coder, explanation.latent, explanation.text) == (
            item.coder,
            item.latent,
            item.text,
        )
        assert item.scores == scores_of(resources.annotations, item.coder)[item.explanation_id]
        stratum = audit.strata[item.stratum or 0]
        assert stratum.coder == item.coder
        kind = AuditOptions.from_config(audit.config).kind
        assert kind is not None
        assert stratum.score is not None
        assert stratum.score[0] <= round(item.scores[kind.key], 9) <= stratum.score[1]
    for item in controls:
        shown = resources.annotations.explanation(item.text_id)
        own = resources.annotations.explanation(item.explanation_id)
        assert (shown.coder, own.coder, own.latent) == (item.coder, item.coder, item.latent)
        assert shown.latent != item.latent
        assert item.text == shown.text != own.text
        assert (item.coder, item.latent) not in {(each.coder, each.latent) for each in drawn}
    options = AuditOptions.from_config(audit.config)
    again = create(resources, options, name="First look", author="Ann", purpose="A test")
    assert (again.items, again.strata, again.store) == (audit.items, audit.strata, audit.store)
    other = create(resources, replace(options, seed=1), name="First look", author="Ann")
    assert {item.explanation_id for item in other.items} != {item.explanation_id for item in audit.items}


def test_a_small_population_gives_all_it_has(resources: Resources) -> None:
    options = replace(BOTH, n=500, control_share=0.5)
    made = create(resources, options, name="All", author="Ann")
    assert len(made.items) == 2 * N_LATENTS * 1.5
    assert all(stratum.sampled == stratum.population for stratum in made.strata)
    strata = strata_of(population(resources, options), options).strata
    assert strata == made.strata
    lone = create(
        resources, replace(options, coders=("sae",), latents={"sae": [1]}), name="One", author="Ann"
    )
    assert [item.is_control for item in lone.items] == [False], "nothing to mix in"


def places(examples: list[Example]) -> set[tuple[int, int]]:
    return {(example.context, example.start) for example in examples}


def test_contexts_are_held_out_and_the_same_for_everybody(resources: Resources, audit: Audit) -> None:
    for item in audit.items:
        groups = contexts(resources, audit, item)
        explanation = resources.annotations.explanation(item.explanation_id)
        options = ScoreOptions(scorer="detection", **FEW)
        heldout = select_heldout(resources, explanation, options)
        seen = {int(id_.split(":")[0]) for id_ in explanation.example_ids}
        every = [example for group in groups.values() for example in group]
        assert not {example.context for example in every} & seen
        assert len(groups["top"]) == FIRST.top
        maxima = [example.max_activation for example in groups["top"]]
        assert maxima == sorted(maxima, reverse=True)
        assert {example.quantile for example in groups["quantiles"]} == set(range(10))
        assert all(example.max_activation == 0 for example in groups["non_activating"])
        assert {example.source for example in groups["non_activating"]} == {"random", "neighbours"}
        assert max(w.example.max_activation for w in heldout.activating) <= maxima[0]
        again = contexts(Resources(resources.store, resources.annotations), audit, item)
        assert {name: places(group) for name, group in again.items()} == {
            name: places(group) for name, group in groups.items()
        }


def test_more_contexts_are_others(resources: Resources, audit: Audit) -> None:
    item = audit.items[0]
    first = contexts(resources, audit, item)
    explanation = resources.annotations.explanation(item.explanation_id)
    seen = {int(id_.split(":")[0]) for id_ in explanation.example_ids}
    for group in ("top", "random", "quantiles", "non_activating"):
        pages = [first[group], *(more(resources, audit, item, group, page) for page in range(1, 4))]
        assert pages[1], group
        every = [place for page in pages for place in places(page)]
        assert len(set(every)) == len(every)
        assert not {context for context, _ in every} & seen
    maxima = [
        example.max_activation for page in (0, 1) for example in more(resources, audit, item, "top", page)
    ]
    assert maxima == sorted(maxima, reverse=True)
    assert more(resources, audit, item, "top", 50) == []


def test_nothing_an_ancestor_saw_is_shown(resources: Resources, audit: Audit) -> None:
    item = next(item for item in audit.items if not item.is_control)
    parent = resources.annotations.explanation(item.explanation_id)
    shown = contexts(resources, audit, item)
    seen = {example.context for group in shown.values() for example in group[:3]}
    other = replace(
        parent, id="other", example_ids=tuple(f"{context}:0:32" for context in seen)
    )  # of another protocol
    child = Explanation(
        coder=item.coder, latent=item.latent, text="edited", explainer="person", parent=other.id
    )
    resources.annotations.add(other, child)
    for each in (other, child):
        groups = contexts(resources, audit, replace(item, explanation_id=each.id, text_id=each.id))
        assert not {example.context for group in groups.values() for example in group} & seen
    edit = Explanation(
        coder=item.coder, latent=item.latent, text="edited", explainer="person", parent=parent.id
    )
    resources.annotations.add(edit)
    edited = replace(item, explanation_id=edit.id, text_id=edit.id, text=edit.text)
    seen = {int(id_.split(":")[0]) for id_ in parent.example_ids}
    groups = contexts(resources, audit, edited)
    assert not {example.context for group in groups.values() for example in group} & seen
    assert groups["top"]
    assert places(groups["top"]) == places(contexts(resources, audit, item)["top"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"explanation_id": "gone"}, "explanation of item 1 is not in this store"),
        ({"coder": "gone"}, "feature of item 1 is no longer in this store"),
        ({"latent": 99}, "feature of item 1 is no longer in this store"),
    ],
)
def test_what_is_gone_is_said_plainly(
    resources: Resources, audit: Audit, fields: dict[str, Any], says: str
) -> None:
    item = replace(audit.items[0], **fields)
    for ask in (
        lambda: contexts(resources, audit, item),
        lambda: more(resources, audit, item, "top", 1),
        lambda: questions(resources, audit, item, "fuzzing"),
    ):
        with pytest.raises(UserError, match=says):
            ask()
    rating = answer(audit, audit.items[0], resources)
    assert human_score(resources, replace(item, explanation_id="gone"), rating).judge is None


# Judge's tasks --------------------------------------------------------------------------------------


def answer(audit: Audit, item: AuditItem, resources: Resources, share: float = 1.0) -> Rating:
    plan = questions(resources, audit, item, "fuzzing")
    rng = np.random.default_rng(0)
    answers = [bool(asked.truth) == (rng.random() < share) for asked in plan.items]
    return Rating(audit_id=audit.id, item=item.i, rater="Ann", task="fuzzing", judged=answered(plan, answers))


def test_a_person_is_asked_what_the_judge_was_asked(resources: Resources, audit: Audit) -> None:
    for item in audit.items:
        plan = questions(resources, audit, item, "fuzzing")
        explanation = resources.annotations.explanation(item.explanation_id)
        score = judges_score(resources, explanation, "fuzzing")
        assert score is not None
        judged = {example.key: example for example in score.judged or ()}
        given = answered(plan, [None] * len(plan.items))
        assert {example.key for example in given} <= set(judged)
        assert [example.truth for example in given].count(True) == 5
        assert len(given) == 10
        assert len({example.quantile for example in given if example.truth}) == 5
        assert {example.source for example in given if not example.truth} == {"random", "neighbours"}
        for asked, example in zip(plan.items, given, strict=True):
            assert asked.window.example.source == judged[example.key].source
            assert (asked.window.example.max_activation > 0) == bool(example.truth)
        assert [each.key for each in given] == [
            each.key for each in answered(questions(resources, audit, item, "fuzzing"), [None] * 10)
        ]


def test_a_score_that_comes_later_changes_no_question(resources: Resources, audit: Audit) -> None:
    item = audit.items[0]
    explanation = resources.annotations.explanation(item.explanation_id)

    def asked(task: Task) -> list[str]:
        return [each.window.id for each in questions(resources, audit, item, task).items]

    def score_again(task: Task, seed: int) -> None:
        options = ScoreOptions(scorer=task, seed=seed, floor=False, **FEW)
        resources.annotations.add(score_once(resources, explanation, options))

    before = asked("fuzzing")
    score_again("fuzzing", 5)
    assert asked("fuzzing") == before
    new = Explanation(coder=item.coder, latent=item.latent, text="by hand", explainer="person")
    resources.annotations.add(new)
    explanation, item = new, replace(item, explanation_id=new.id)
    drawn = asked("detection")
    score_again("detection", 6)
    first = asked("detection")
    assert first != drawn, "now there are a judge's"
    score_again("detection", 7)
    assert asked("detection") == first


def test_without_a_judges_score_the_scorer_is_asked(resources: Resources, audit: Audit) -> None:
    item = next(item for item in audit.items if not item.is_control)
    new = Explanation(coder=item.coder, latent=item.latent, text="by hand", explainer="person")
    resources.annotations.add(new)
    plan = questions(resources, audit, replace(item, explanation_id=new.id, text_id=new.id), "detection")
    assert len(plan.items) == 10
    assert sum(bool(asked.truth) for asked in plan.items) == 5


def test_a_human_score_is_the_judges_where_the_answers_are(resources: Resources, audit: Audit) -> None:
    item = next(item for item in audit.items if not item.is_control)
    whole = replace(audit, config={**audit.config, "n_questions": 200})
    plan = questions(resources, whole, item, "fuzzing")
    score = judges_score(resources, resources.annotations.explanation(item.explanation_id), "fuzzing")
    assert score is not None
    by_judge = {example.key: example.answer for example in score.judged or ()}
    keys = [example.key for example in answered(plan, [None] * len(plan.items))]
    assert len(keys) == len(by_judge) == 32
    same = Rating(
        audit_id=audit.id, item=item.i, rater="Ann", task="fuzzing",
        judged=answered(plan, [by_judge[key] for key in keys]),
    )  # fmt: skip
    made = human_score(resources, item, same)
    assert made.judged_by is not None
    assert made.judged_by.id == score.id
    figures = ("value", "ci_low", "ci_high", "n_pos", "n_neg", "tpr_by_quantile", "tnr", "unparsed")
    for name in figures:
        assert getattr(made.human, name) == getattr(score, name) == getattr(made.judge, name)
    assert made.both is not None
    assert made.both[True, False] == made.both[False, True] == 0
    assert sum(made.both.values()) == 32
    opposite = replace(same, judged=answered(plan, [not by_judge[key] for key in keys]))
    made = human_score(resources, item, opposite)
    assert made.human.value == pytest.approx(1 - (score.value or 0))
    assert made.both is not None
    assert made.both[True, True] == made.both[False, False] == 0


def test_answers_that_were_left_out_are_in_no_figure(resources: Resources, audit: Audit) -> None:
    item = audit.items[0]
    plan = questions(resources, audit, item, "fuzzing")
    answers = [None if i < 3 else bool(asked.truth) for i, asked in enumerate(plan.items)]
    rating = Rating(audit_id=audit.id, item=0, rater="Ann", task="fuzzing", judged=answered(plan, answers))
    resources.annotations.audits.rate(rating)
    (stored,) = resources.annotations.audits.ratings(audit.id)
    made = human_score(resources, item, stored)
    assert (made.human.value, made.human.unparsed, made.human.n_pos + made.human.n_neg) == (1.0, 3, 7)
    with pytest.raises(UserError, match="holds no answers"):
        human_score(resources, item, replace(rating, judged=(), verdict="correct", task="verdict"))


def test_a_judge_that_was_asked_something_else_is_not_compared_with(
    resources: Resources, audit: Audit
) -> None:
    rating = answer(audit, audit.items[0], resources)
    strange = replace(rating, judged=(rating.judged[0]._replace(marks=(1, 2, 3)), *rating.judged[1:]))
    assert human_score(resources, audit.items[0], rating).judge is not None
    assert human_score(resources, audit.items[0], strange).judge is None


def test_thinning_takes_what_there_is() -> None:
    def item(i: int, truth: bool) -> Item:
        example = Example(
            i, 0, np.zeros(2, np.int64), np.zeros(2, np.float32), float(truth), i % 10 if truth else None
        )
        return Item(Window(example, ["a", "b"]), truth)

    items = [item(i, i % 3 == 0) for i in range(30)]
    rng = np.random.default_rng(0)
    chosen = thinned(items, 12, rng)
    assert sum(bool(each.truth) for each in chosen) == 6
    order = [each.window.example.context for each in chosen]
    assert order == sorted(order), "in the order of the plan"
    assert len(thinned(items, 100, rng)) == 30
    few = [each for each in items if not each.truth][:2] + [each for each in items if each.truth]
    assert len(thinned(few, 10, rng)) == 10
