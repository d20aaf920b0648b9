"""Which optional parts of the protocol a server takes: found out by trying, remembered per endpoint and model."""

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from autointerp.llm.messages import ChatRequest

# In the order in which they are given up when the server does not say what it dislikes.
_BLAME = {
    "json_schema": r"response_format|json_?schema|structured|guided|grammar|\bschema\b",
    "json_object": r"response_format|json_?object|json mode",
    "prompt_logprobs": r"prompt_logprobs",
    "logprobs": r"(?<!prompt_)logprobs",
    "seed": r"\bseed\b",
    "temperature": r"temperature",
    "max_tokens": r"max_tokens.{0,80}(?:not supported|unsupported|max_completion_tokens)"
    r"|(?:not supported|unsupported).{0,40}max_tokens",
}

OPTIONAL = tuple(_BLAME)
"""All optional parts of the protocol."""


class Features:
    """The features one model on one endpoint does not take. Thread-safe; shared by all clients of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped: frozenset[str] = frozenset()

    @property
    def dropped(self) -> frozenset[str]:
        return self._dropped

    def drop(self, names: frozenset[str]) -> frozenset[str]:
        """Remember `names`; returns those that were not known before."""
        with self._lock:
            new = names - self._dropped
            self._dropped |= names
        return new


_known: dict[tuple[str, str], Features] = {}
_known_lock = threading.Lock()


def features(endpoint: str, model: str) -> Features:
    """What this process has learnt about `model` on `endpoint`."""
    with _known_lock:
        return _known.setdefault((endpoint, model), Features())


def used(request: ChatRequest, dropped: frozenset[str]) -> list[str]:
    """The optional features `request` would use, given what is dropped; in the order of giving up."""
    names = []
    if request.schema is not None:
        if "json_schema" not in dropped:
            names.append("json_schema")
        elif "json_object" not in dropped and _speaks_of_json(request):
            names.append("json_object")
    if request.prompt_logprobs:
        names.append("prompt_logprobs")
    if request.top_logprobs:
        names.append("logprobs")
    if request.seed is not None:
        names.append("seed")
    if request.temperature is not None:
        names.append("temperature")
    if request.max_tokens is not None:
        names.append("max_tokens")
    return [name for name in names if name not in dropped]


def named(message: str, names: Iterable[str]) -> frozenset[str]:
    """Those of the features in use that the server's complaint names."""
    return frozenset(name for name in names if re.search(_BLAME[name], message, re.IGNORECASE | re.DOTALL))


def blame(message: str, names: Sequence[str]) -> frozenset[str]:
    """Those of the features in use that the server's complaint is about; when it names none, the first that may go."""
    optional = [name for name in names if name not in ("temperature", "max_tokens")]
    return named(message, names) or frozenset(optional[:1])


def body(request: ChatRequest, model: str, dropped: frozenset[str]) -> dict[str, Any]:
    """The JSON body of a chat completion."""
    names = used(request, dropped)
    fields: dict[str, Any] = {
        "model": request.model or model,
        "messages": [
            {"role": message.role, "content": sendable(message.content)} for message in request.messages
        ],
    }
    if "json_schema" in names:
        schema = {"name": "answer", "schema": dict(request.schema or {}), "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif "json_object" in names:
        fields["response_format"] = {"type": "json_object"}
    if "logprobs" in names:
        fields |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if "prompt_logprobs" in names:
        fields["prompt_logprobs"] = request.prompt_logprobs
    if "seed" in names:
        fields["seed"] = request.seed
    if "temperature" in names:
        fields["temperature"] = request.temperature
    if request.max_tokens is not None:
        # Reasoning models of OpenAI take the new name only; everybody else takes the old one.
        fields["max_tokens" if "max_tokens" in names else "max_completion_tokens"] = request.max_tokens
    return fields | dict(request.extra)


def sendable(text: str) -> str:
    """`text` as UTF-8 can hold it: models, and corpora, do come up with halves of surrogate pairs, and a re-ask repeats what
    the model said."""
    return text.encode("utf-8", "replace").decode()


def _speaks_of_json(request: ChatRequest) -> bool:
    # Servers demand the word before they turn JSON mode on.
    return any("json" in message.content.lower() for message in request.messages)
