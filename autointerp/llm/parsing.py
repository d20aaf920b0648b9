"""Reading answers: strict JSON when we get it, and what models write instead of it when we do not."""

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autointerp.llm.errors import BadAnswer
from autointerp.llm.messages import ChatReply

_MAX_TEXT = 200_000  # characters; longer answers are not searched for JSON
_KEY = "answers"
_MAX_LITERAL = 20_000
_MAX_CANDIDATES = 200
_THOUGHT = r"(?:seed:)?(?:think(?:ing)?|reasoning|thought)"
_TAG = re.compile(
    rf"(?P<end></{_THOUGHT}>|\[/think\]|\u25c1/think\u25b7|<\|end_thinking\|>|<\|end_of_thought\|>|<channel\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"|assistantfinal)"
    rf"|<{_THOUGHT}>|\[think\]|\u25c1think\u25b7|<\|start_thinking\|>|<\|begin_of_thought\|>|<\|channel>thought"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)[^<]*<\|message\|>"
    r"|\Aanalysis(?-i:(?=[A-Z]))",
    re.DOTALL | re.IGNORECASE,
)
"""Where thinking begins or ends (group `end`), as reasoning models of various makers write it; last in each half, gpt-oss where
the server takes special tokens out."""
_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)```", re.DOTALL)
_ON_A_LINE = re.compile(r"^[^\S\n]*\[[^\[\]]*\][^\S\n]*$", re.MULTILINE)
_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"})
_TRAILING_COMMA = re.compile(r",(\s*[\]}])")
_WORDS: dict[str, int] = {"true": 1, "yes": 1, "false": 0, "no": 0}
_REFUSAL = re.compile(
    r"^\W*(?:i(?:'|\u2019)?m (?:really |very )?sorry|sorry,|i (?:can(?:no|')t|cannot|can\u2019t|am unable|am not able)|"
    r"as an ai)",
    re.IGNORECASE,
)


def object_answer(text: str, key: str) -> dict[str, Any]:
    """The JSON object in `text`: the last that has `key`, else the whole of it, else the last fenced one, else the last in the
    prose.

    Forgives thinking, code fences, words around the object, single and curly quotes, Python's True/False/None and trailing
    commas. Raises `BadAnswer` when there is none.
    """
    text = _plain(text)
    groups = _groups(text)
    keyed = _with_key(groups, key)
    if keyed is not None:
        return keyed
    for group in groups:
        for value in group:
            if isinstance(value, dict):
                return value
    raise BadAnswer(f"the answer holds no JSON object: {_excerpt(text)}")


def list_answer(n: int, *, high: float = 1) -> Callable[[ChatReply], list[float]]:
    """A validator for exactly `n` numbers in [0, high], as `list_schema(n)` asks for.

    Takes the list under "answers" of the last object that has it. Only where none has: an object's only list, else a bare list,
    and neither where several of them could be meant. Takes numbers, booleans, digits in quotes, yes/no.
    """

    def validate(reply: ChatReply) -> list[float]:
        text = _plain(reply.text)
        groups = _groups(text)
        keyed = _with_key(groups, _KEY)
        if keyed is not None:
            if not isinstance(keyed[_KEY], list):
                raise BadAnswer(f"the answer has no list under {_KEY!r}")
            return _numbers(keyed[_KEY], n, high)
        complaint: BadAnswer | None = None
        for group in groups:
            for candidates in _lists(group, n, text):
                read: list[list[float]] = []
                for value in candidates:
                    try:
                        read.append(_numbers(value, n, high))
                    except BadAnswer as error:
                        complaint = complaint or error
                if any(numbers != read[0] for numbers in read):
                    raise BadAnswer(f"the answer holds several lists of {n} that differ")
                if read:
                    return read[0]
        if complaint is None and any(isinstance(value, dict) for group in groups for value in group):
            raise BadAnswer(f"the answer has no list under {_KEY!r}")
        if complaint is None and any(groups):
            # Questions number their texts: "[1] 0" and "text [1] does not fit" answer text 1 with no.
            raise BadAnswer("the list does not stand on its own")
        raise complaint or BadAnswer(f"the answer holds no JSON object or list: {_excerpt(text)}")

    return validate


def _lists(group: list[Any], n: int, text: str) -> Iterator[list[list[Any]]]:
    """The lists of a group that may be meant: those of objects, then the bare ones; a bare one of a single number only where
    it has a line to itself."""
    inside = [
        [item for item in value.values() if isinstance(item, list)]
        for value in group
        if isinstance(value, dict)
    ]
    yield [lists[0] for lists in inside if len(lists) == 1]
    bare = [value for value in group if isinstance(value, list)]
    if n == 1 and bare:
        alone = [_read(line) for line in _ON_A_LINE.findall(text)]
        bare = [value for value in bare if value in alone]
    yield bare


def _numbers(values: list[Any], n: int, high: float) -> list[float]:
    if len(values) != n:
        raise BadAnswer(f"the list has {len(values)} entries, {n} were asked for")
    numbers = []
    for item in values:
        number = _number(item)
        if number is None or not 0 <= number <= high:
            raise BadAnswer(
                f"the list holds {str(item)[:40]!r}; each entry must be a number from 0 to {high:g}"
            )
        numbers.append(number)
    return numbers


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema for an object with exactly these properties, in the form strict servers ask for."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def list_schema(n: int, *, low: int = 0, high: int = 1) -> dict[str, Any]:
    item = {"type": "integer", "enum": list(range(low, high + 1))}
    return object_schema({_KEY: {"type": "array", "items": item, "minItems": n, "maxItems": n}})


def split_reasoning(text: str) -> tuple[str, str]:
    """What a model thought before it answered, without its tags, and the answer. Thinking is everything up to its last end, for
    servers may take the tag out that begins it, and everything from a beginning that has no end. What JSON holds is no tag."""
    masked = text
    for start, end in _balanced(text) if _TAG.search(text) else ():
        if _TAG.search(text, start, end) and isinstance(_read(text[start:end]), dict | list):
            masked = masked[:start] + " " * (end - start) + masked[end:]
    tags = list(_TAG.finditer(masked))
    begin = max((tag.end() for tag in tags if tag["end"]), default=0)
    end = min((tag.start() for tag in tags if tag.start() >= begin), default=len(text))
    return _TAG.sub("", text[:begin] + text[end:]).strip(), text[begin:end].strip()


def looks_like_refusal(text: str) -> bool:
    """Whether prose begins as refusals do. Used only where no answer could be read."""
    return bool(_REFUSAL.match(split_reasoning(text)[1]))


def only_thought(text: str) -> bool:
    """Whether `text` is nothing but thinking, which some servers leave out."""
    return not split_reasoning(text)[1]


def _number(item: Any) -> float | None:
    if isinstance(item, str):
        item = _WORDS.get(item.strip().lower(), item)
    if isinstance(item, str):
        try:
            item = float(item)
        except ValueError:
            return None
    if not isinstance(item, int | float):
        return None
    try:
        number = float(item)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _plain(text: str) -> str:
    """The answer without the model's thinking. Raises `BadAnswer` for nothing and for too much."""
    if len(text) > _MAX_TEXT:
        raise BadAnswer(f"the answer has {len(text):,} characters and is not JSON of the asked shape")
    thought, answer = split_reasoning(text)
    if not answer:
        raise BadAnswer("the answer is nothing but thinking" if thought else "the answer is empty")
    return answer


def _groups(text: str) -> list[list[Any]]:
    """The JSON objects and lists of a text by where they stand, most trusted first: the whole of it (and then nothing else), in
    fences, in prose; in each, last first."""
    whole = _read(text)
    if isinstance(whole, dict | list):
        return [[whole]]
    groups = (reversed(_FENCE.findall(text)), (text[start:end] for start, end in _balanced(text)))
    return [[value for value in map(_read, group) if isinstance(value, dict | list)] for group in groups]


def _with_key(groups: list[list[Any]], key: str) -> dict[str, Any] | None:
    """The last object that has `key`. Prose holds the fences too, unless stray brackets hide them."""
    values = [value for group in reversed(groups) for value in group]
    return next((value for value in values if isinstance(value, dict) and key in value), None)


def _read(source: str) -> Any:
    """The value `source` stands for, or `None`."""
    source = source.strip()
    if source[:1] not in ("{", "["):
        return None
    for attempt in (source, _TRAILING_COMMA.sub(r"\1", source)):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    if len(source) > _MAX_LITERAL:
        return None
    for attempt in (source, source.translate(_QUOTES)):
        try:
            return ast.literal_eval(_python_words(attempt))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _python_words(source: str) -> str:
    words = {"true": "True", "false": "False", "null": "None"}
    return re.sub(r"(?<![\w'\"])(true|false|null)(?![\w'\"])", lambda match: words[match[1]], source)


def _balanced(text: str) -> list[tuple[int, int]]:
    """Where the outermost brackets of `text` begin and end, last first; those in double-quoted strings do not count."""
    spans: list[tuple[int, int]] = []
    stack: list[tuple[str, int]] = []
    quoted = escaped = False
    for position, character in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"' or character == "\n":
                quoted = False
        elif character == '"' and stack:
            quoted = True
        elif character in "{[":
            stack.append((character, position))
        elif character in "}]":
            opening = "{" if character == "}" else "["
            if stack and stack[-1][0] == opening:
                _, start = stack.pop()
                while spans and spans[-1][0] > start:
                    spans.pop()
                spans.append((start, position + 1))
            else:
                stack.clear()
    return spans[: -_MAX_CANDIDATES - 1 : -1]


def _excerpt(text: str, length: int = 120) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= length else flat[:length] + "...")
