"""From what servers send to our replies and errors. Servers differ widely here; nothing in a body is taken on trust."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from autointerp.llm import errors
from autointerp.llm.limits import retry_after
from autointerp.llm.messages import ChatReply, TokenLogprob, Usage
from autointerp.llm.parameters import OPTIONAL, named, sendable
from autointerp.llm.secrets import Secret, redact

_TOO_LONG = re.compile(
    r"context_length|context (?:length|window|size)|maximum (?:context|model|input|prompt) ?length|exceed_context"
    r"|(?:prompt|input|request) is too long|too many (?:input )?tokens|longer than the maximum",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|model\b.{0,120}(?:not found|does ?n[o't]t exist|not exist|not available|not supported by)"
    r"|(?:unknown|invalid|no such) model|not a valid model|no endpoints found|pinned to",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(
    r"content_filter|content_policy|content management policy|moderation|flagged", re.IGNORECASE
)
_NO_QUOTA = re.compile(r"exceeded your current quota", re.IGNORECASE)
_SOON = re.compile(r"(?:retry|try again) in \d", re.IGNORECASE)
_MAY_BE_ABOUT_A_PARAMETER = (400, 403, 404, 422)
_KEY_CHARS = 12
"""Shorter keys are words, which replies may well hold."""
_TAGS = re.compile(r"<(?:style|script).*?</(?:style|script)>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Context:
    """Who was asked for what, for messages. `parameters`: the optional ones that may have been used."""

    url: str
    model: str
    secret: Secret
    parameters: tuple[str, ...] = OPTIONAL
    what: str = "chat completions"

    def clean(self, text: str, length: int = 300) -> str:
        """Server text fit for a message: one line, short, without keys."""
        text = " ".join(redact(text[:20_000], self.secret).split())
        return text if len(text) <= length else text[:length] + "..."

    def without_model(self, text: str) -> str:
        """`text` without the model's name, which may sound like a parameter."""
        return re.sub(rf"(?<![\w/.-]){re.escape(self.model)}(?![\w/.-])", " ", text)


def status_error(status: int, headers: Mapping[str, str], body: object, context: Context) -> errors.LLMError:
    """The error that an HTTP status, or an error object in a 200 reply, stands for. `body`: that object, or whatever the server
    sent instead."""
    detail, code = _detail(body)
    quoted = f' The server said: "{context.clean(detail)}"' if detail.strip() else ""
    texts = (context.clean(detail, 4000),) if quoted else ()
    whole = f"{code} {detail}"
    at = f"{context.url} (status {status})"
    if status == 402 or (status == 429 and _is_out_of_credit(code, detail, headers)):
        return errors.QuotaExceeded(
            f"The account at {at} has no credit left. Top it up or use another key.{quoted}"
        )
    if status == 429:
        return errors.RateLimited(
            f"{at} asks for fewer requests. Wait, or lower the number in flight.{quoted}",
            retry_after=retry_after(headers),
            overload=True,
        )
    if status == 413 or (status not in (401, 403) and status < 502 and _TOO_LONG.search(whole)):
        return errors.PromptTooLong(
            f"The prompt is too long for {context.model!r} at {at}. Show fewer or shorter examples, or use a model with "
            f"a longer context.{quoted}"
        )
    if status != 401 and status < 500 and _FILTERED.search(whole):
        return errors.Refused(f"A content filter at {at} declined the prompt.{quoted}", texts=texts)
    if status == 403 and isinstance(body, str) and _is_page(body):
        # Servers of this protocol say in JSON that a key is wrong. A page comes from a firewall and is about this one prompt
        # (code in it looks like an attack) or about us: no reason to stop the other questions.
        return errors.Refused(
            f"A firewall or proxy in front of {at} blocked this request. Show other examples, or ask whoever runs it.{quoted}",
            texts=texts,
        )
    about = named(context.without_model(whole), context.parameters)
    if about and status in _MAY_BE_ABOUT_A_PARAMETER:
        # Before key and model are suspected: "You are not allowed to request logprobs from this model" is a 403, too.
        return errors.RequestRejected(f"{at} rejected the request.{quoted}", about=about)
    if status in (401, 403):
        problem = (
            "rejected the key: it is wrong, or may not use this model" if context.secret else "asks for a key"
        )
        return errors.AuthError(
            f"{at} {problem}. Set AUTOINTERP_API_KEY (or OPENAI_API_KEY, OPENROUTER_API_KEY for those servers), or type the "
            f"key in Settings.{quoted}"
        )
    if status < 500 and _NO_MODEL.search(whole):
        return errors.UnknownModel(
            f"{at} does not offer the model {context.model!r}. Choose another.{quoted}"
        )
    if status in (404, 405) or 300 <= status < 400:
        target = headers.get("location", "")
        moved = f" It points to {context.clean(target)}." if target else ""
        return errors.WrongURL(
            f"No {context.what} at {at}. Check the base URL; most end in /v1.{moved}{quoted}",
        )
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return errors.Transient(
            f"{at} failed.{quoted} If this persists, the server is in trouble: retry later.",
            retry_after=retry_after(headers),
            overload=status in (503, 529),
        )
    return errors.RequestRejected(f"{at} rejected the request.{quoted}", about=about)


def _is_out_of_credit(code: str, message: str, headers: Mapping[str, str]) -> bool:
    """Whether a 429 means an empty account. Ordinary rate limits speak of billing and credits as well (as ways to higher
    limits), and of a quota where it is one per minute: those say when to come back."""
    if "insufficient_quota" in code.lower():
        return True
    return bool(_NO_QUOTA.search(message)) and retry_after(headers) is None and not _SOON.search(message)


def read_reply(body: bytes, headers: Mapping[str, str], context: Context) -> ChatReply:
    """A chat completion from the body of a 200 response. Raises the `LLMError` that fits what is wrong with it."""
    data, first = first_choice(body, headers, context)
    message = _object(first.get("message"))
    text = _text(message.get("content"))
    usage = usage_of(data.get("usage"), text)
    finish = str(first.get("finish_reason") or "stop")
    if message.get("refusal") or finish == "content_filter":
        refusal = str(message.get("refusal") or "")
        reason = context.clean(refusal or "stopped by its content filter")
        raise errors.Refused(
            f"{context.model!r} declined to answer: {reason}", usage=usage, texts=(refusal or text,)
        )
    return ChatReply(
        text=text,
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        model=served_model(data, context),
        finish_reason=finish,
        usage=usage,
        logprobs=without_key(logprobs_of(first.get("logprobs")), context.secret),
        prompt_logprobs=without_key(
            _prompt_logprobs(data.get("prompt_logprobs") or first.get("prompt_logprobs")), context.secret
        ),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def served_model(data: Mapping[str, Any], context: Context) -> str:
    """What the server calls the model; without the folder where it is a file on the server (llama.cpp), which is nobody else's
    business."""
    name = sendable(str(data.get("model") or context.model))
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    return PureWindowsPath(name).name or name if absolute and name != context.model else name


def first_choice(
    body: bytes, headers: Mapping[str, str], context: Context
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON object of a body and the first answer in it."""
    data = _chat_completion(body, headers, context)
    choices = data.get("choices")
    first = _object(choices[0]) if isinstance(choices, list) and choices else {}
    failure = data.get("error") or first.get("error")
    if failure:
        status = _object(failure).get("code")
        status = status if isinstance(status, int) and 400 <= status < 600 else 500
        raise status_error(status, headers, failure, context)
    if not first:
        if "choices" in data:
            raise errors.Transient(f"The reply from {context.url} holds no answer.")
        raise errors.WrongURL(f"{context.url} answers, but not with {context.what}. Check the base URL.")
    return data, first


def _chat_completion(body: bytes, headers: Mapping[str, str], context: Context) -> dict[str, Any]:
    """The JSON object of a body, without our own key wherever a server may echo it. Raises WrongURL, Transient."""
    try:
        data = _redacted(json.loads(body), context.secret)
    except (ValueError, RecursionError):
        data = (
            None  # raised below: json's own error holds the whole document and would be the context of ours
        )
    if isinstance(data, dict):
        return data
    if _is_page(body) or (data is None and "html" in headers.get("content-type", "")):
        raise errors.WrongURL(
            f"{context.url} answers with a web page, not with {context.what}. Check the base URL; most end in /v1."
        )
    if data is None:
        raise errors.Transient(
            f"The reply from {context.url} was cut short or is not JSON ({len(body)} bytes)."
        )
    raise errors.WrongURL(f"{context.url} answers, but not with {context.what}. Check the base URL.")


def _redacted(value: Any, secret: Secret) -> Any:
    """A parsed reply as it is, except for our own key in any text of it."""
    if isinstance(value, str):
        key = secret.reveal()
        return value.replace(key, "[hidden]") if len(key) >= _KEY_CHARS and key in value else value
    if isinstance(value, list):
        return [_redacted(item, secret) for item in value]
    if isinstance(value, dict):
        return {_redacted(name, secret): _redacted(item, secret) for name, item in value.items()}
    return value


L = TypeVar("L", bound=Sequence[TokenLogprob | None])


def without_key(tokens: L | None, secret: Secret) -> L | None:
    """The tokens, unless they spell our own key."""
    key = secret.reveal()
    spelt = "".join(token.token for token in tokens or () if token is not None)
    return None if len(key) >= _KEY_CHARS and key in spelt else tokens


def _is_page(body: bytes | str) -> bool:
    return body.lstrip()[:1] in ("<", b"<")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _detail(error: object) -> tuple[str, str]:
    """Message and code of an error in any of the usual shapes."""
    if isinstance(error, str):
        return _TAGS.sub(" ", error[:20_000]) if _is_page(error) else error[:20_000], ""
    if not isinstance(error, dict):
        return "" if error is None else str(error)[:20_000], ""
    message = error.get("message") or error.get("detail") or error
    text = message if isinstance(message, str) else json.dumps(message)
    raw = _object(error.get("metadata")).get("raw")
    text = f"{text} {raw}" if isinstance(raw, str) else text
    return text, f"{error.get('code') or ''} {error.get('type') or ''}"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def usage_of(data: Any, text: str) -> Usage:
    data = _object(data)
    prompt, completion = _count(data.get("prompt_tokens")), _count(data.get("completion_tokens"))
    cached = _count(_object(data.get("prompt_tokens_details")).get("cached_tokens"))
    cost = _finite(data.get("cost"))
    return Usage(
        prompt or 0,
        len(text) // 4 if completion is None else completion,
        min(cached or 0, prompt or 0),
        cost if cost is not None and cost >= 0 else None,
        estimated=prompt is None or completion is None,
    )


def logprobs_of(data: Any) -> tuple[TokenLogprob, ...] | None:
    rows = _object(data).get("content")
    if not isinstance(rows, list) or not rows:
        return None
    result = []
    for row in rows:
        entry = candidate(row)
        if entry is None:
            return None
        candidates = [candidate(item) for item in row.get("top_logprobs") or []]
        result.append(TokenLogprob(*entry, tuple(item for item in candidates if item is not None)))
    return tuple(result)


def _prompt_logprobs(rows: Any) -> tuple[TokenLogprob | None, ...] | None:
    """vLLM: per prompt token `null` or {token id: {logprob, rank, decoded_token}}, the actual token first."""
    if not isinstance(rows, list) or not rows:
        return None
    result: list[TokenLogprob | None] = []
    for row in rows:
        entries = [candidate(item) for item in _object(row).values()]
        candidates = [item for item in entries if item is not None]
        if not candidates:
            result.append(None)
            continue
        best_first = tuple(sorted(candidates, key=lambda item: -item[1]))
        result.append(TokenLogprob(*candidates[0], best_first))
    return tuple(result)


def candidate(item: Any) -> tuple[str, float] | None:
    if not isinstance(item, dict):
        return None
    token, value = item.get("token", item.get("decoded_token")), _finite(item.get("logprob"))
    # No probability is above 1, and what a broken server says instead must not overflow later.
    return (token, min(value, 0.0)) if isinstance(token, str) and value is not None else None


def _count(value: Any) -> int | None:
    number = _finite(value)
    return int(number) if number is not None and 0 <= number < 1e12 else None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
