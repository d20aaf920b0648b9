"""Which optional parameters a server accepts: learned by trying, remembered per endpoint and model."""

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from autointerp.llm.messages import ChatRequest

# In the order in which they are dropped when the server does not say which one it rejects.
_COMPLAINTS = {
    "json_schema": r"response_format|json_?schema|structured|guided|grammar|\bschema\b",
    "json_object": r"response_format|json_?object|json mode",
    "prompt_logprobs": r"prompt_logprobs",
    "logprobs": r"(?<!prompt_)logprobs",
    "seed": r"\bseed\b",
    "temperature": r"temperature",
    "max_tokens": r"max_tokens.{0,80}(?:not supported|unsupported|max_completion_tokens)"
    r"|(?:not supported|unsupported).{0,40}max_tokens",
}

OPTIONAL = tuple(_COMPLAINTS)
"""All optional parameters."""

CONFIRMED = 2
"""Questions that have to be answered only without a feature, before it is left out of all later ones, where the server does not
name what it rejects: one stray rejection says nothing."""
_dropped: dict[tuple[str, str], frozenset[str]] = {}
_suspected: dict[tuple[str, str, str], int] = {}
_lock = threading.Lock()


def dropped(endpoint: str, model: str) -> frozenset[str]:
    """What `model` on `endpoint` is known not to accept, in this process."""
    return _dropped.get((endpoint, model), frozenset())


def learn(
    endpoint: str, model: str, *, used: Iterable[str], named: frozenset[str], guessed: frozenset[str]
) -> frozenset[str]:
    """What a good answer shows: the features it `used` are accepted; those left out for it because the server had `named` them
    are not, and those that were `guessed` are not after `CONFIRMED` such answers in a row. Returns what is new."""
    with _lock:
        for name in used:
            _suspected.pop((endpoint, model, name), None)
        sure = set(named)
        for name in guessed - named:
            place = (endpoint, model, name)
            _suspected[place] = _suspected.get(place, 0) + 1
            if _suspected[place] >= CONFIRMED:
                sure.add(name)
        before = dropped(endpoint, model)
        if not sure <= before:
            _dropped[endpoint, model] = before | sure
    return frozenset(sure - before)


def used(request: ChatRequest, dropped: frozenset[str]) -> list[str]:
    """The optional parameters that `request` uses without `dropped`, in the order of dropping. How likely a text is can
    be asked in one way only."""
    if request.likelihood:
        return []
    as_json = request.schema is not None and "json_schema" in dropped and _mentions_json(request)
    uses = {
        "json_schema": request.schema is not None,
        "json_object": as_json,
        "prompt_logprobs": request.prompt_logprobs > 0,
        "logprobs": request.top_logprobs > 0,
        "seed": request.seed is not None,
        "temperature": request.temperature is not None,
        "max_tokens": request.max_tokens is not None,
    }
    return [name for name in OPTIONAL if uses[name] and name not in dropped]


def named(message: str, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that the server's complaint mentions."""
    return frozenset(
        name for name in names if re.search(_COMPLAINTS[name], message, re.IGNORECASE | re.DOTALL)
    )


def guess(names: Sequence[str]) -> frozenset[str]:
    """Of the features in use, the first that can be done without."""
    optional = [name for name in names if name not in ("temperature", "max_tokens")]
    return frozenset(optional[:1])


def arguments(request: ChatRequest, model: str, dropped: frozenset[str]) -> dict[str, Any]:
    """Arguments of `chat.completions.create`; what is not in OpenAI's API goes into `extra_body`."""
    names = used(request, dropped)
    values: dict[str, Any] = {
        "model": request.model or model,
        "messages": [
            {"role": message.role, "content": sendable(message.content)} for message in request.messages
        ],
    }
    extra = dict(request.extra)
    if "json_schema" in names:
        schema = {"name": "answer", "schema": dict(request.schema or {}), "strict": True}
        values["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif "json_object" in names:
        values["response_format"] = {"type": "json_object"}
    if "logprobs" in names:
        values |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if "prompt_logprobs" in names:
        extra = {"prompt_logprobs": request.prompt_logprobs, **extra}
    if "seed" in names:
        values["seed"] = request.seed
    if "temperature" in names:
        values["temperature"] = request.temperature
    if request.max_tokens is not None:
        # OpenAI's reasoning models take the new name only; everybody else takes the old one.
        values["max_tokens" if "max_tokens" in names else "max_completion_tokens"] = request.max_tokens
    return values | {"extra_body": extra}


def sendable(text: str) -> str:
    """`text` with `?` for each lone surrogate, which UTF-8 cannot encode; corpora and models produce them."""
    return text.encode("utf-8", "replace").decode()


def _mentions_json(request: ChatRequest) -> bool:
    # Servers insist on the word before they turn JSON mode on.
    return any("json" in message.content.lower() for message in request.messages)
