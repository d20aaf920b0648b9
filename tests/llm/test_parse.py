"""What models write instead of JSON."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.llm.errors import BadAnswer
from autointerp.llm.messages import ChatReply
from autointerp.llm.parsing import (
    list_answer,
    looks_like_refusal,
    object_answer,
    only_thought,
    split_reasoning,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
PROSE = st.text(st.characters(exclude_characters='{}[]"`<', exclude_categories=["Cs"]), max_size=60)


@given(OBJECTS, PROSE, PROSE, st.booleans(), st.booleans())
def test_an_object_is_found_in_any_wrapping(
    value: dict[str, Any], before: str, after: str, fence: bool, think: bool
) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if fence:
        text = f"```json\n{text}\n```"
    if think:
        before = f'<think>maybe {{"a": 1}} or [2]</think>{before}'
    assert object_answer(f"{before}\n{text}\n{after}", "no such key") == value


@given(st.text(max_size=300))
def test_any_text_gives_a_value_or_a_bad_answer(text: str) -> None:
    with contextlib.suppress(BadAnswer):
        assert isinstance(object_answer(text, "a"), dict)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 0, 1,],}', {"a": [1, 0, 1]}),
        ("{'answers': [True, False, None]}", {"answers": [True, False, None]}),
        ("{'answers': [true, null]}", {"answers": [True, None]}),
        ("{\u201canswers\u201d: [1]}", {"answers": [1]}),
        ('First I thought {"answers": [0]}. Now: {"answers": [1]}', {"answers": [1]}),
        ('```json\n{"a": 1}\n```\nor better\n```json\n{"a": 2}\n```', {"a": 2}),
        (
            '{"explanation": "marks like [ and } in \\"strings\\""} done',
            {"explanation": 'marks like [ and } in "strings"'},
        ),
        ('The tokens [x] matter: {"a": [1, 0]}', {"a": [1, 0]}),
        ("<think>no end {", BadAnswer),
        ("", BadAnswer),
        ("I would say the second one.", BadAnswer),
        ("__import__('os').getcwd()", BadAnswer),
        ("[1, 0", BadAnswer),
        ('"just a string"', BadAnswer),
    ],
)
def test_usual_forms(text: str, value: Any) -> None:
    if value is BadAnswer:
        with pytest.raises(BadAnswer):
            object_answer(text, "a")
    else:
        assert object_answer(text, "a") == value


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "</think>{" * 15_000,
        '{"a":"<think>"}' * 12_000,
        "<think>" * 25_000,
        "[" * 100_000,
        "{" * 50_000 + "}" * 50_000,
        '{"a":' * 30_000,
        "[]" * 60_000 + "x",
        "x" * 10**6,
    ],
)
def test_hostile_lengths_end_quickly(text: str) -> None:
    with pytest.raises(BadAnswer):
        object_answer(text, "a")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"answers": [1, 0, 1]}', [1, 0, 1]),
        ('{"reasoning": "..", "result": [true, "no", "1"]}', [1, 0, 1]),
        ("[1.0, 0, 0.5]", [1, 0, 0.5]),
        ('{"answers": [1, 0]}', "has 2 entries, 3 were asked for"),
        ("[1, 0, 2]", "from 0 to 1"),
        ("[1, 0, -1]", "from 0 to 1"),
        ("[1, 0, null]", "None"),
        ("[1, 0, NaN]", "nan"),
        ("[1, 0, 1e999]", "inf"),
        ('[1, 0, "maybe"]', "maybe"),
        ('{"a": [1, 0, 1], "b": [0, 0, 0]}', "no list under 'answers'"),
        ('I looked at [1] and [2].\n{"answers":[0,1,1]} Note [1, 0, 0] was considered', [0, 1, 1]),
        ('{"answers": [1, 0, 1]}\n\nExplanation: {"text": "x"}', [1, 0, 1]),
        ('```json\n{"answers": [1, 0, 1]}\n```\n```\n{"text": "x"}\n```', [1, 0, 1]),
        ('{"answers": [1, 1, 1]}. No: {"answers": [1, 0, 1]}', [1, 0, 1]),
        ('{"answers": "as asked"} [1, 0, 1]', "no list under 'answers'"),
        ('{"answers": [1, 0]} or rather [1, 0, 1]', "has 2 entries, 3 were asked for"),
        ("Texts [2, 3] and [1, 2, 3] fit: [1, 0, 1]", [1, 0, 1]),
        ("Perhaps [1, 0, 1], yes, [1, 0, 1]", [1, 0, 1]),
        ("Draft: [1, 1, 1]\nFinal: [1, 0, 1]", "several lists of 3 that differ"),
        ("Draft: [1, 1, 1]\n```json\n[1, 0, 1]\n```", [1, 0, 1]),
        ('{"a": [1, 0, 1]} and {"b": [0, 0, 0]}', "several lists of 3 that differ"),
    ],
)
def test_lists(text: str, values: list[float] | str) -> None:
    if isinstance(values, str):
        with pytest.raises(BadAnswer, match=values):
            list_answer(3)(ChatReply(text, "m"))
    else:
        assert list_answer(3)(ChatReply(text, "m")) == values


@pytest.mark.parametrize(
    "text", ["[1] 0", "[1]: does not respond", "Text [1] does not fit.", "0 for text [1]"]
)
def test_the_number_of_the_only_text_is_no_answer(text: str) -> None:
    with pytest.raises(BadAnswer):
        list_answer(1)(ChatReply(text, "m"))


def test_lists_of_a_single_answer_that_differ() -> None:
    with pytest.raises(BadAnswer, match="differ"):
        list_answer(1)(ChatReply("[1]\n[0]", "m"))


@pytest.mark.parametrize(
    "text",
    [
        "[0]\nText [1] does not fit",
        "[0]",
        " [0]\n",
        "```json\n[0]\n```",
        'Sure: {"answers": [0]}',
        "<think>[1]</think>[0]",
        "Here:\n[0]",
    ],
)
def test_one_answer_alone(text: str) -> None:
    assert list_answer(1)(ChatReply(text, "m")) == [0.0]


def test_the_object_with_the_key_goes_before_others() -> None:
    assert object_answer('{"explanation": "x"} {"sure": true}', "explanation") == {"explanation": "x"}
    assert object_answer('{"other": "x"}', "explanation") == {"other": "x"}


HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>"
DRAFT = 'Perhaps {"answers": [1]}'


@pytest.mark.parametrize(
    "thought",
    [
        "<think>{}</think>",
        "<Thinking>\n{}\n</Thinking>\n",
        "<reasoning>{}</reasoning>",
        "<thought>{}</thought>",
        "<seed:think>{}</seed:think>",
        "[THINK]{}[/THINK]",
        "\u25c1think\u25b7{}\u25c1/think\u25b7",
        "<|START_THINKING|>{}<|END_THINKING|>",
        "<|begin_of_thought|>{}<|end_of_thought|>",
        HARMONY,
        HARMONY.replace("final", "final <|constrain|>json"),
        HARMONY.replace("<|end|>", "<|end|><|start|>assistant<|channel|>commentary<|message|>{}<|end|>"),
        "analysis{}assistantfinal",  # the same where the server takes special tokens out
        "<|channel>thought\n{}<channel|>",
        "{}</think>",  # servers that open the tag in the prompt
        "<think>{}</think> no: {}</think>",
        "{}\u25c1/think\u25b7",
    ],
)
@pytest.mark.parametrize(
    "answer", ['{"answers": [0]}', "```json\n[0]\n```", '{"answers": [0], "why": "</think>"}']
)
def test_what_was_thought_is_no_answer(thought: str, answer: str) -> None:
    written = thought.replace("{}", DRAFT)
    assert list_answer(1)(ChatReply(f"{written}{answer}", "m")) == [0]
    thoughts, rest = split_reasoning(f"{written}{answer}")
    assert rest.strip() == answer
    assert DRAFT in thoughts
    with pytest.raises(BadAnswer, match="no JSON"):
        object_answer(f"{written}It is not active.", "answers")


def test_stray_brackets_in_thinking_hide_no_answer() -> None:
    assert list_answer(1)(ChatReply('<think>how to write "{"? [</think>{"answers": [0]}', "m")) == [0]


@pytest.mark.parametrize(
    "opening",
    [
        *("<think>", "<thinking>", "<reasoning>", "[THINK]", "\u25c1think\u25b7", "<|START_THINKING|>"),
        *("<|channel|>analysis<|message|>", "analysis", "<|channel>thought\n", "Well. </think><think>"),
    ],
)
def test_thinking_that_does_not_end_is_no_answer(opening: str) -> None:
    for text in (opening + DRAFT, f"{opening}{DRAFT}\n"):
        with pytest.raises(BadAnswer, match="thinking"):
            list_answer(1)(ChatReply(text, "m"))
        assert only_thought(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"explanation": "The tags <think> and </think>."}',
        'Sure: {"explanation": "The tag </think>."}',
        '```json\n{"explanation": "The tag <think>."}\n```',
        '<think>tags</think>{"explanation": "The tag </think>."}',
        '{"explanation": "analysis, as in \\"[THINK]\\""}',
    ],
)
def test_a_tag_that_is_quoted_is_part_of_the_answer(text: str) -> None:
    assert object_answer(text, "explanation") == json.loads(text[text.index("{") : text.rindex("}") + 1])


def test_refusals() -> None:
    assert looks_like_refusal("I'm sorry, but I cannot do that.")
    assert looks_like_refusal("<think>hm</think> I can\u2019t help with this")
    assert not looks_like_refusal("The latent fires on apologies such as I'm sorry.")
