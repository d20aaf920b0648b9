"""Reading answers: strict JSON when we get it, and what models write instead of it when we do not."""

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from autointerp.llm.errors import BadAnswer
from autointerp.llm.messages import ChatReply

_MAX_TEXT = 200_000  # longer answers are not looked through for JSON: no question of ours has one
_MAX_LITERAL = 20_000
_MAX_CANDIDATES = 200
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
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


def parse_json_answer(text: str, want: Literal["object", "list", "any"] = "any") -> Any:
    """The JSON value in `text`: the whole of it, else the last fenced block, else the last object or list in the prose.

    Forgives thinking tags, code fences, words around the value, single and curly quotes, Python's True/False/None and
    trailing commas. Raises `BadAnswer` when nothing of the wanted shape is there.
    """
    text = _THINKING.sub("", text).strip()
    if not text:
        raise BadAnswer("the answer is empty")
    if len(text) > _MAX_TEXT:
        raise BadAnswer(f"the answer has {len(text):,} characters and is not JSON of the asked shape")
    wanted: tuple[type, ...] = {"object": (dict,), "list": (list,), "any": (dict, list)}[want]
    sources = [text, *reversed(_FENCE.findall(text))]
    for source in sources:
        value = _read(source)
        if isinstance(value, wanted):
            return value
    for source in _balanced(text):
        value = _read(source)
        if isinstance(value, wanted):
            return value
    shape = {"object": "object", "list": "list", "any": "object or list"}[want]
    raise BadAnswer(f"the answer holds no JSON {shape}: {_excerpt(text)}")


def json_answer(check: Callable[[dict[str, Any]], Any] | None = None) -> Callable[[ChatReply], Any]:
    """A validator for `Client.ask` that returns the answer's JSON object, or what `check` makes of it."""

    def validate(reply: ChatReply) -> Any:
        value = parse_json_answer(reply.text, "object")
        return value if check is None else check(value)

    return validate


def text_answer(key: str) -> Callable[[ChatReply], str]:
    """A validator for one text in a JSON object, as `text_schema(key)` asks for."""

    def validate(reply: ChatReply) -> str:
        value = parse_json_answer(reply.text, "object").get(key)
        if not isinstance(value, str) or not value.strip():
            raise BadAnswer(f"the answer has no text under {key!r}")
        return value.strip()

    return validate


def list_answer(
    n: int, *, key: str = "answers", low: float = 0, high: float = 1
) -> Callable[[ChatReply], list[float]]:
    """A validator for exactly `n` numbers in [low, high], as `list_schema(n)` asks for.

    Takes a bare list or the list under `key` (or the object's only list); numbers, booleans, digits in quotes, yes/no.
    """

    def validate(reply: ChatReply) -> list[float]:
        value = parse_json_answer(reply.text)
        if isinstance(value, Mapping):
            lists = [item for item in value.values() if isinstance(item, list)]
            found = (
                value.get(key) if isinstance(value.get(key), list) else lists[0] if len(lists) == 1 else None
            )
            if found is None:
                raise BadAnswer(f"the answer has no list under {key!r}")
            value = found
        elif n == 1 and not _ON_A_LINE.search(_THINKING.sub("", reply.text)):
            # Questions number their texts: "[1] 0" and "text [1] does not fit" answer text 1 with no.
            raise BadAnswer("the list does not stand for itself")
        if len(value) != n:
            raise BadAnswer(f"the list has {len(value)} entries, {n} were asked for")
        numbers = [_number(item) for item in value]
        for item, number in zip(value, numbers, strict=True):
            if number is None or not low <= number <= high:
                raise BadAnswer(
                    f"the list holds {str(item)[:40]!r}; each entry must be a number from {low:g} to {high:g}"
                )
        return [number for number in numbers if number is not None]

    return validate


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema for an object with exactly these properties, in the form strict servers ask for."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def text_schema(key: str) -> dict[str, Any]:
    return object_schema({key: {"type": "string"}})


def list_schema(n: int, *, key: str = "answers", low: int = 0, high: int = 1) -> dict[str, Any]:
    item = {"type": "integer", "enum": list(range(low, high + 1))}
    return object_schema({key: {"type": "array", "items": item, "minItems": n, "maxItems": n}})


def looks_like_refusal(text: str) -> bool:
    """Whether prose begins as refusals do. Used only where no answer could be read."""
    return bool(_REFUSAL.match(_THINKING.sub("", text).strip()))


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
    return re.sub(r"(?<![\w'\"])(true|false|null)(?![\w'\"])", _python_word, source)


def _python_word(match: re.Match[str]) -> str:
    return {"true": "True", "false": "False", "null": "None"}[match[1]]


def _balanced(text: str) -> Iterator[str]:
    """Outermost bracketed stretches of `text`, last first; brackets in double-quoted strings do not count."""
    found: list[tuple[int, int]] = []
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
                while found and found[-1][0] > start:
                    found.pop()
                found.append((start, position + 1))
            else:
                stack.clear()
    for start, end in found[: -_MAX_CANDIDATES - 1 : -1]:
        yield text[start:end]


def _excerpt(text: str, length: int = 120) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= length else flat[:length] + "...")
