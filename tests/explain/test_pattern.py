"""The explainer without a model."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.explain.explainer import Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.explain.pattern import PatternExplainer
from autointerp.explain.wording import sentences
from autointerp.parts import Named, Parts
from autointerp.records import Explanation
from autointerp.sampling import Window
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.offline import OfflineJudge
from tests.score.builders import heldout, window

FILLER = [
    [" the", " quick", " dog", " sleeps", " here"],
    [" one", " more", " line", ",", " then"],
    [" x", " =", " y", ".", "\n"],
]

ALL = ExplainOptions(n_examples=100, n_contrast=100)


def explanation(activating: list[Window], silent: list[Window] | None = None) -> Explanation:
    negatives = silent if silent is not None else [window(FILLER[i % 3], context=100 + i) for i in range(30)]
    made = PatternExplainer(ALL).explain(Evidence("sae", 3, activating, 10.0, negatives))
    assert made.status == "ok", made.error
    return made


def explain(activating: list[Window], silent: list[Window] | None = None) -> str:
    return explanation(activating, silent).text


def each(n: int, *variants: tuple[list[str], int]) -> list[Window]:
    return [
        window(variants[i % len(variants)][0], {variants[i % len(variants)][1]: 5.0}, context=i)
        for i in range(n)
    ]


def test_one_word() -> None:
    windows = each(20, ([" a", " fox", " ran"], 1), ([" two", " more", " fox"], 2), ([" fox", " is"], 0))
    assert explain(windows).startswith('The word "fox"')


def test_a_few_words_and_signs() -> None:
    windows = each(20, ([" a", " cat", " ran"], 1), ([" my", " dog", " sat"], 1))
    text = explain(windows)
    assert '"cat"' in text
    assert '"dog"' in text
    assert 'The text ">>>"' in explain(each(12, (["a", "\n", ">>>", " b"], 2), (["\n", ">>>", " import"], 1)))


def test_pieces_are_told_with_whole_words() -> None:
    windows = each(
        20,
        ([" re", "turn"], 0),
        ([" re", "duce"], 0),
        ([" re", "set"], 0),
        ([" re", "do"], 0),
        ([" re", "peat"], 0),
    )
    text = explain(windows)
    assert 'word piece "re"' in text
    assert "as in" in text


def test_kinds_of_tokens() -> None:
    windows = each(30, *(([" row", f" {i}{i + 1}", " col"], 1) for i in range(1, 30)))
    assert explain(windows).startswith("Numbers")
    assert "ine breaks" in explain(
        each(20, ([" end", ".", "\n"], 2), (["b", "\n\n", "c"], 1)), [window(FILLER[0])] * 10
    )


def test_what_must_stand_before() -> None:
    windows = each(40, *((["we", " cite", f" name{chr(97 + i)}", " and"], 2) for i in range(20)))
    assert 'after "cite"' in explain(windows)


def test_context_words() -> None:
    windows = each(30, *(([" matrix", f" w{chr(97 + i)}", " eigenvalue"], 1) for i in range(25)))
    text = explain(windows)
    assert "eigenvalue" in text
    assert "Typical of texts with" in text


def test_what_is_marked_is_weighed_against_what_is_met() -> None:
    """A comma that is marked now and then, but stands everywhere, is not named; a rare word is."""
    windows = each(
        30, ([" a", " fox", ",", " ran"], 1), ([" the", " owl", ",", " sat"], 1), ([" so", ",", " it"], 1)
    )
    silent = [window([" one", ",", " two", ",", " three"], context=100 + i) for i in range(30)]
    text = explain(windows, silent)
    assert '"fox"' in text
    assert '"owl"' in text
    assert '","' not in text


def test_words_signs_and_pieces_are_told_apart() -> None:
    windows = each(
        40,
        ([" a", " fox", " ran"], 1),
        (["x", "(", "y"], 1),
        ([" re", "turn"], 0),
        ([" re", "duce"], 0),
        ([" re", "peat"], 0),
        (["end", "\n"], 1),
    )
    silent = [window([" one", " more", " thing", " here"], context=100 + i) for i in range(30)]
    made = explanation(windows, silent)
    for phrase in ('the word "fox"', 'the text "("', 'the word piece "re", as in "', "ine breaks"):
        assert phrase in made.text.lower()
    parts = Parts.from_json(made.parts)
    assert parts is not None
    named = {(named.form, text) for named in parts.named for text in named.texts}
    assert named == {("word", "fox"), ("text", "("), ("piece", "re"), ("kind", "line breaks")}


texts = st.text('ab"\n\t(“…', min_size=1, max_size=45)
some = st.lists(texts, max_size=4).map(tuple)
things = st.one_of(
    st.builds(Named, st.sampled_from(["word", "text", "piece"]), st.lists(texts, min_size=1, max_size=4).map(tuple), some),
    st.builds(Named, st.just("kind"), st.sampled_from([("numbers",), ("line breaks",)]), some),
)  # fmt: skip
stated = st.builds(
    Parts, st.lists(things, max_size=3).map(tuple), st.sampled_from(["", "often", "sometimes"]), some, some
)


@given(stated)
def test_parts_are_kept_as_json(parts: Parts) -> None:
    assert Parts.from_json(json.loads(json.dumps(parts.to_json()))) == parts


@pytest.mark.parametrize(
    "data", [None, {}, [], "x", {"named": [{}]}, {**Parts().to_json(), "hedge": "never"}]
)
def test_other_parts_are_none(data: Any) -> None:
    assert Parts.from_json(data) is None


def test_sentences_of_every_part() -> None:
    parts = Parts(
        (
            Named("kind", ("numbers",), ("12",)),
            Named("word", ("cat", "dog")),
            Named("piece", ("re",), ("redo",)),
        ),
        "often",
        before=("a", "\n"),
        context=('5"', "pet"),
    )
    assert sentences(parts) == (
        'Often numbers such as "12", the words "cat" or "dog", or the word piece "re", as in "redo", right after "a" or a line '
        'break. Typical of texts with “5"” or "pet".'
    )
    anything = Parts((Named("any", examples=("b",)),), before=("a",))
    assert sentences(anything) == 'What comes, right after "a", such as "b".'
    assert sentences(Parts()) == ""


def test_context_words_that_may_be_chance_are_left_out() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f" {a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnprst"]
    rows = [[*rng.choice(vocabulary, 30), " fox"] for _ in range(40)]
    windows = [window([str(t) for t in row], {30: 5.0}, context=i) for i, row in enumerate(rows)]
    silent = [window([str(t) for t in rng.choice(vocabulary, 31)], context=100 + i) for i in range(40)]
    assert explain(windows, silent) == 'The word "fox".'


def test_it_is_deterministic() -> None:
    given = heldout(40, 40, length=32)
    evidence = Evidence("sae", 3, given.activating, 10.0, given.non_activating)
    texts = {PatternExplainer(ALL).explain(evidence).text for _ in range(3)}
    assert len(texts) == 1


def test_provenance_and_failure() -> None:
    given = heldout(5, 5)
    result = PatternExplainer(ALL).explain(
        Evidence("sae", 3, given.activating, 10.0, given.non_activating), seed=4
    )
    assert (result.explainer, result.model, result.seed, len(result.example_ids)) == ("pattern", None, 4, 10)
    failed = PatternExplainer(ALL).explain(Evidence("sae", 3, [], 0.0, given.non_activating))
    assert (failed.status, failed.text) == ("failed", "")
    assert "no activating examples" in (failed.error or "")


@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
def test_the_offline_judge_can_use_it(scorer: type[Detection]) -> None:
    learnt, scored = heldout(20, 20), heldout(20, 20)
    made = PatternExplainer(ALL).explain(Evidence("sae", 3, learnt.activating, 10.0, learnt.non_activating))
    judge = OfflineJudge([w.texts for w in scored.non_activating])
    assert scorer(judge).run(made, scored, seed=0).value == 1.0
    without_parts = replace(made, parts=None)
    assert scorer(judge).run(without_parts, scored, seed=0).value == 1.0


tokens = st.lists(st.text(max_size=4), min_size=1, max_size=6)


@given(st.lists(tokens, min_size=1, max_size=5), st.lists(tokens, max_size=3), st.integers(0, 5))
def test_any_tokens_give_an_explanation_or_a_cause(
    rows: list[list[str]], silent: list[list[str]], place: int
) -> None:
    activating = [window(row, {place % len(row): 1.0}, context=i) for i, row in enumerate(rows)]
    result = PatternExplainer(ALL).explain(
        Evidence("sae", 3, activating, 1.0, [window(row) for row in silent])
    )
    assert bool(result.text) == (result.status == "ok") == (result.error is None)
    assert "\n" not in result.text
    judge = OfflineJudge([row for row in silent])
    if result.text:
        parts = Parts.from_json(result.parts)
        assert parts is not None
        assert sentences(parts) == result.text, "the parts say what the sentence says, no more and no less"
        assert Detection(judge).run(result, heldout(3, 3), seed=0).value is not None


def test_levels_and_marks_of_examples() -> None:
    from autointerp.sampling import levels, mark, marks_above

    activations = np.array([0.0, 0.01, 3.0, 10.0], dtype=np.float32)
    assert levels(activations, 10.0).tolist() == [0, 1, 3, 10]
    assert levels(activations, 5.0).tolist() == [0, 1, 6, 10]
    assert levels(activations, 0.0).tolist() == [0, 0, 0, 0]
    assert marks_above(activations) == (2, 3)
    assert marks_above(np.zeros(3, dtype=np.float32)) == ()
    assert mark(["a", "b", "c", "d"], (0, 2, 3)) == "<<a>>b<<cd>>"
