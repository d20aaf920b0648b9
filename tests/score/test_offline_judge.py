"""The offline judge sees what an LLM would see, and answers by it."""

import numpy as np
import pytest

from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.base import Shown
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.judges.reading import read
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


def says(judge: OfflineJudge, explanation: str, *shown: Shown) -> list[bool | None]:
    task = "detection" if shown[0].marks is None else "fuzzing"
    return [verdict.answer for verdict in judge.judge(task, explanation, shown).verdicts]


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
    assert (result.judge, result.model, result.prompt_version) == ("offline", None, "offline-2")
    assert (result.tokens_in, result.cost) == (0, 0.0)


def test_whole_words_are_meant_unless_pieces_are_said(judge: OfflineJudge) -> None:
    inside, alone = Shown((" foxglove",)), Shown((" a fox",))
    assert says(judge, 'The word "fox".', inside, alone) == [False, True]
    assert says(judge, 'The word piece "fox".', inside, alone) == [True, True]


def test_case_matters_when_the_explanation_has_capitals(judge: OfflineJudge) -> None:
    assert says(judge, '"Fox"', Shown((" Fox",)), Shown((" fox",))) == [True, False]
    assert says(judge, '"fox"', Shown((" Fox",)), Shown((" fox",))) == [True, True]


def test_what_stands_before_counts_for_marks(judge: OfflineJudge) -> None:
    after, elsewhere = Shown((" see", " also", " it"), (2,)), Shown((" did", " it"), (1,))
    assert says(judge, 'What comes right after "also".', after, elsewhere) == [True, False]


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


def test_roles_in_a_sentence() -> None:
    reading = read('Often the words "a" or "b", right after "in". Typical of texts with "u", "v" or "w".')
    assert [one.text for one in reading.focus] == ["a", "b"]
    assert [one.text for one in reading.before] == ["in"]
    assert [one.text for one in reading.context] == ["u", "v", "w"]
    assert reading.hedged
    assert not read('The word "a".').hedged
    assert [one.text for one in read('The text ">>>", but not "<<<".').focus] == [">>>"]
    pieces = read('The word pieces "re" or "un", as in "return".')
    assert [(one.text, one.piece) for one in pieces.focus] == [("re", True), ("un", True)]
    assert [one.text for one in pieces.examples] == ["return"]


@pytest.mark.parametrize(
    "explanation", ["\N{FOX FACE}", "word " * 2000, '"' * 100, "(((", "\\", "'a' " * 500, "\n", '"(" or "["']
)
def test_any_text_is_answered(judge: OfflineJudge, explanation: str) -> None:
    for marks in (None, (0,)):
        (verdict,) = judge.judge(
            "detection" if marks is None else "fuzzing", explanation, [Shown((" a", "(b"), marks)]
        ).verdicts
        assert verdict.answer is not None
        assert 0 <= (verdict.value or 0.0) <= 1


def test_one_emoji_finds_itself(judge: OfflineJudge) -> None:
    assert says(judge, "\N{FOX FACE}", Shown((" a \N{FOX FACE}",)), Shown((" a",))) == [True, False]


def test_answers_do_not_depend_on_the_other_texts_asked_about(judge: OfflineJudge) -> None:
    """Nothing can leak from one example's truth to another's answer."""
    one, others = Shown((" a", " fox")), [Shown((" x",)), Shown((" fox",))]
    alone = OfflineJudge(BACKGROUND).judge("detection", 'The word "fox"', [one]).verdicts[0]
    assert judge.judge("detection", 'The word "fox"', [*others, one]).verdicts[-1] == alone


def test_an_embedder_adds_its_word() -> None:
    def similarity(explanation: str, texts: object) -> np.ndarray:
        assert isinstance(texts, list)
        return np.array(
            [0.9 if "vulpine" in text else 0.1 + 0.01 * (len(text) % 5) for text in texts], dtype=np.float32
        )

    judge = OfflineJudge(BACKGROUND, similarity=similarity)
    assert says(judge, "foxes", Shown((" vulpine",)), Shown((" them",))) == [True, False]


def test_without_any_background_it_still_answers() -> None:
    assert Detection(OfflineJudge()).run(explained('The word "fox".'), heldout(), seed=0).value == 1.0
