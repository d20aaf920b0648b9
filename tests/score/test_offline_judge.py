"""The offline judge sees what an LLM would see, and answers by it."""

import pytest

from autointerp.parts import Hedge, Named, Parts
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.base import Shown
from autointerp.score.judges.clues import clues_of
from autointerp.score.judges.matching import OfKind, Quote
from autointerp.score.judges.offline import OfflineJudge
from tests.score.builders import explained, heldout

BACKGROUND = [
    [" the", " quick", " brown", " dog"],
    [" a", " list", " of", " 3", " items", "\n"],
    ["return", " x", "(", "y", ")"],
    [" once", " upon", " a", " time", ","],
    [" the", " lazy", " hills", "."],
] * 8


@pytest.fixture
def judge() -> OfflineJudge:
    return OfflineJudge(BACKGROUND)


def says(judge: OfflineJudge, explanation: str | Parts, *shown: Shown) -> list[bool | None]:
    task = "detection" if shown[0].marks is None else "fuzzing"
    is_text = isinstance(explanation, str)
    told = explained(explanation) if is_text else explained("As stated.", parts=explanation.to_json())
    return [verdict.answer for verdict in judge.judge(task, told, shown).verdicts]


@pytest.mark.parametrize(
    "explanation", ['The word "fox".', "foxes and other animals: \u201cfox\u201d", "`fox`", "The word 'fox'"]
)
@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
def test_a_quoted_word_is_enough(judge: OfflineJudge, scorer: type[Detection], explanation: str) -> None:
    result = scorer(judge).run(
        explained(explanation), heldout(), seed=0, floor=explained('The word "violin".')
    )
    assert (result.value, result.floor) == (1.0, 0.5)
    assert result.auroc == 1.0
    assert (result.judge, result.model, result.prompt_version) == ("offline", None, "offline-3")
    assert (result.tokens_in, result.cost) == (0, 0.0)


def test_whole_words_are_meant_unless_pieces_are_stated(judge: OfflineJudge) -> None:
    inside, alone = Shown((" fox", "glove")), Shown((" a", " fox"))
    assert says(judge, 'The word "fox".', inside, alone) == [False, True]
    assert says(judge, Parts((Named("word", ("fox",)),)), inside, alone) == [False, True]
    assert says(judge, Parts((Named("piece", ("fox",)),)), inside, alone) == [True, True]


def test_case_matters_when_the_explanation_has_capitals(judge: OfflineJudge) -> None:
    assert says(judge, '"Fox"', Shown((" Fox",)), Shown((" fox",))) == [True, False]
    assert says(judge, '"fox"', Shown((" Fox",)), Shown((" fox",))) == [True, True]


def test_what_stands_before_counts_for_marks(judge: OfflineJudge) -> None:
    after, elsewhere = Shown((" see", " also", " it"), (2,)), Shown((" did", " it"), (1,))
    assert says(judge, Parts((Named("any"),), before=("also",)), after, elsewhere) == [True, False]
    line, middle = Shown((" so", ".\n", " it"), (2,)), Shown((" so", " it"), (1,))
    assert says(judge, Parts((Named("any"),), before=("\n",)), line, middle) == [True, False]


def test_context_words_count_for_texts(judge: OfflineJudge) -> None:
    assert says(judge, Parts(context=("matrix",)), Shown((" the", " matrix")), Shown((" the", " dog"))) == [
        True,
        False,
    ]


def test_the_hedge_counts(judge: OfflineJudge) -> None:
    """A text without what is named speaks the less against a latent, the less often it is said to be named things."""

    def value(hedge: Hedge) -> float:
        parts = Parts((Named("word", ("fox",)),), hedge)
        (verdict,) = judge.judge(
            "detection", explained("x", parts=parts.to_json()), [Shown((" a", " cat"))]
        ).verdicts
        return verdict.value or 0.0

    assert value("") < value("often") < value("sometimes") < 0.5


def test_the_sentence_is_not_read_where_its_parts_are_stated(judge: OfflineJudge) -> None:
    stated = explained('The word "cat".', parts=Parts((Named("word", ("fox",)),)).to_json())
    shown = [Shown((" a", " fox")), Shown((" a", " cat"))]
    assert [verdict.answer for verdict in judge.judge("detection", stated, shown).verdicts] == [True, False]


def test_parts_that_cannot_be_read_leave_the_sentence(judge: OfflineJudge) -> None:
    told = explained('The word "fox".', parts={"of": "another version"})
    assert clues_of(told) == clues_of(explained('The word "fox".'))


def test_kinds_of_tokens_are_read(judge: OfflineJudge) -> None:
    assert says(judge, "Closing brackets.", Shown((" a", ")"), (1,)), Shown((" a", ")"), (0,))) == [
        True,
        False,
    ]
    assert says(judge, "Numbers in tables", Shown((" 42",), (0,)), Shown((" x",), (0,))) == [True, False]
    assert says(judge, "Line breaks.", Shown(("a", "\n"), (1,)), Shown(("a", "\n"), (0,))) == [True, False]


def test_words_without_quotes_count_too(judge: OfflineJudge) -> None:
    assert says(
        judge, "talk of gardens and flowers", Shown((" a", " garden", " flower")), Shown((" x",))
    ) == [True, False]


def test_quotes_kinds_and_topics_of_a_sentence() -> None:
    clues = clues_of(
        explained("The digits or closing parentheses after 'vol.' in `citations` of “Nature” journals")
    )
    assert [thing.kind.name for thing in clues.named if isinstance(thing, OfKind)] == [
        "numbers",
        "closing brackets",
    ]
    assert [thing.text for thing in clues.named if isinstance(thing, Quote)] == [
        "vol.",
        "citations",
        "Nature",
    ]
    assert [stem.text for stem in clues.topics] == ["journal"]


@pytest.mark.parametrize(
    "explanation", ["\N{FOX FACE}", "word " * 2000, '"' * 100, "(((", "\\", "'a' " * 500, "\n", '"(" or "["']
)
def test_any_text_is_answered(judge: OfflineJudge, explanation: str) -> None:
    for marks in (None, (0,)):
        (verdict,) = judge.judge(
            "detection" if marks is None else "fuzzing", explained(explanation), [Shown((" a", "(b"), marks)]
        ).verdicts
        assert verdict.answer is not None
        assert 0 <= (verdict.value or 0.0) <= 1


def test_one_emoji_finds_itself(judge: OfflineJudge) -> None:
    assert says(judge, "\N{FOX FACE}", Shown((" a \N{FOX FACE}",)), Shown((" a",))) == [True, False]


def test_answers_do_not_depend_on_the_other_texts_asked_about(judge: OfflineJudge) -> None:
    """Nothing can leak from one example's truth to another's answer."""
    one, others = Shown((" a", " fox")), [Shown((" x",)), Shown((" fox",))]
    told = explained('The word "fox"')
    alone = OfflineJudge(BACKGROUND).judge("detection", told, [one]).verdicts[0]
    assert judge.judge("detection", told, [*others, one]).verdicts[-1] == alone


def test_without_any_background_it_still_answers() -> None:
    assert Detection(OfflineJudge()).run(explained('The word "fox".'), heldout(), seed=0).value == 1.0
