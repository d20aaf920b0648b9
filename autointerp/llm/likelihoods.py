"""How likely a text is after another one, which servers tell in one of two ways.

vLLM, as OpenAI's first models did, gives a prompt back with the log probability of each token (`echo` of /completions).
llama.cpp leaves that out without a word, but a grammar holds it to given tokens, and the log probabilities of what it writes
are those of the model, whatever the grammar.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from autointerp.llm.errors import RequestRejected
from autointerp.llm.messages import ChatReply, ChatRequest, Message, TokenLogprob
from autointerp.llm.parameters import sendable
from autointerp.llm.responses import (
    Context,
    candidate,
    first_choice,
    logprobs_of,
    served_model,
    usage_of,
    without_key,
)
from autointerp.llm.spelling import spelled

_BEFORE = 40
"""Characters in front of a text by which it is found."""


class SplitCharacter(RequestRejected):
    """A character of the text is several tokens to the model, which llama.cpp's grammars cannot hold it to."""


def likelihood_request(prefix: str, text: str) -> ChatRequest:
    """How likely is `text` after `prefix`? Its tokens are at most about half as many as its characters."""
    messages = (Message("user", prefix), Message("assistant", text))
    room = 1 + len(text) // 2
    return ChatRequest(messages, max_tokens=room, prompt_logprobs=1, allow_truncated=True, likelihood=True)


def text_of(request: ChatRequest) -> str:
    """The text that is asked about."""
    return sendable(request.messages[-1].content)


def prefix_of(request: ChatRequest) -> str:
    """What comes before it."""
    return sendable("".join(message.content for message in request.messages[:-1]))


def echo_arguments(request: ChatRequest, model: str) -> dict[str, Any]:
    """Arguments of `completions.create`: give this text back. One token is written, and thrown away: not every server can do
    with none."""
    return {
        **_arguments(request, model),
        "prompt": prefix_of(request) + text_of(request),
        "echo": True,
        "max_tokens": 1,
    }


def forced_arguments(request: ChatRequest, model: str, tokens: Sequence[int]) -> dict[str, Any]:
    """Arguments of `completions.create`: go on with these tokens."""
    grammar = "root ::= " + " ".join(f"<[{token}]>" for token in tokens)
    return {
        **_arguments(request, model),
        "prompt": prefix_of(request),
        "max_tokens": len(tokens),
        "extra_body": {**request.extra, "grammar": grammar},
    }


def _arguments(request: ChatRequest, model: str) -> dict[str, Any]:
    return {
        "model": request.model or model,
        "logprobs": request.prompt_logprobs,
        "temperature": request.temperature,
        "extra_body": dict(request.extra),
    }


def read_echo(body: bytes, headers: Mapping[str, str], context: Context, request: ChatRequest) -> ChatReply:
    """From the body of a 200 response: of the tokens of the text, from the one on that holds its first character, and so may
    begin in the prefix. Raises the `LLMError` that fits what is wrong with it."""
    data, first = first_choice(body, headers, context)
    counts = data.get("usage")
    written = counts.get("completion_tokens") if isinstance(counts, dict) else None
    written = written if isinstance(written, int) else 1
    return _reply(_at_end(first.get("logprobs"), written, request), data, context)


def read_tokens(data: Any, context: Context) -> list[int]:
    """From what llama.cpp's /tokenize says. Raises SplitCharacter, RequestRejected."""
    rows = data.get("tokens") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise _untold(context)
    tokens = [row.get("id") for row in rows]
    if not all(isinstance(token, int) for token in tokens):
        raise _untold(context)
    if not all(isinstance(row.get("piece"), str) for row in rows):  # bytes
        raise SplitCharacter(
            f"{context.url} does not return the likelihood of a text in which one character, such as an emoji, is several "
            "of the model's tokens. Put the explanation in other characters, or use vLLM."
        )
    return tokens


def read_forced(
    body: bytes, headers: Mapping[str, str], context: Context, request: ChatRequest, n_tokens: int
) -> ChatReply:
    """From the body of a 200 response: of the tokens that were written, where they are the text. Raises the `LLMError` that
    fits what is wrong with it."""
    data, first = first_choice(body, headers, context)
    logprobs = logprobs_of(first.get("logprobs")) or ()
    right = first.get("text") == text_of(request) and len(logprobs) >= n_tokens
    return _reply(logprobs[:n_tokens] if right else None, data, context)


def _reply(logprobs: tuple[TokenLogprob, ...] | None, data: Mapping[str, Any], context: Context) -> ChatReply:
    logprobs = without_key(logprobs, context.secret)
    if not logprobs:
        raise _untold(context)
    return ChatReply(
        text="",
        model=served_model(data, context),
        usage=usage_of(data.get("usage"), ""),
        prompt_logprobs=logprobs,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _untold(context: Context) -> RequestRejected:
    return RequestRejected(
        f"{context.url} does not return the likelihood of a given text, which this scorer needs. vLLM and llama.cpp do; "
        "Ollama and "
        "chat services do not."
    )


def _at_end(data: Any, written: int, request: ChatRequest) -> tuple[TokenLogprob, ...] | None:
    """The tokens that make the text, where the `tokens` of a text completion end with prefix and text, but for the last ones,
    those `written`."""
    logprobs = data if isinstance(data, dict) else {}
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        return None
    tokens = [str(token) for token in tokens[: max(0, len(tokens) - written)]]
    before = spelled(prefix_of(request)[-_BEFORE:])
    match = re.search(rf"{before}({spelled(text_of(request))})\Z", "".join(tokens))
    if match is None:
        return None
    ends = accumulate(map(len, tokens))
    first = next((i for i, end in enumerate(ends) if end > match.start(1)), len(tokens))
    rows = [{"token": token, "logprob": value} for token, value in zip(tokens, values, strict=False)]
    entries = [candidate(row) for row in rows[first:]]
    return tuple(TokenLogprob(*entry) for entry in entries if entry) if all(entries) else None
