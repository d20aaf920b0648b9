"""Requests to a model and its replies: plain frozen records that convert to JSON and back without loss."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Usage:
    """Tokens and money. `cached_tokens` of `prompt_tokens` came from the server's prefix cache. `cost` in the currency
    of the price table, `None` when no price is known. `estimated`: the server gave no counts, we guessed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = 0.0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        unknown = self.cost is None or other.cost is None
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            None if unknown else (self.cost or 0.0) + (other.cost or 0.0),
            self.estimated or other.estimated,
        )


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model. Keep what many requests share (instructions, shots) first: servers cache prefixes.

    `schema`: a JSON schema (an object at its root) for the answer, used where the server takes it; say the format in
    the prompt too. `model`: `None` for the client's. `top_logprobs`: 0 for none, else how many candidates per answer
    token. `prompt_logprobs`: candidates per *prompt* token, an extension of some servers (vLLM). `sample` is not sent:
    another number is another sample, where the cache would otherwise return the first. `allow_truncated`: accept a reply
    that stopped at `max_tokens`. `extra`: further body fields, for extensions. `likelihood`:
    the messages are no chat but, one after the other, a plain text, and the question is how likely its last message is after
    the others: the `prompt_logprobs` of the reply are those of its tokens (see `autointerp.llm.likelihoods`).
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    model: str | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = 512
    seed: int | None = None
    top_logprobs: int = 0
    prompt_logprobs: int = 0
    sample: int = 0
    allow_truncated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    likelihood: bool = False

    @staticmethod
    def of(user: str, *, system: str | None = None, **options: Any) -> "ChatRequest":
        """A request of one user message, with an optional system message before it."""
        head = (Message("system", system),) if system is not None else ()
        return ChatRequest((*head, Message("user", user)), **options)

    @property
    def n_chars(self) -> int:
        return sum(len(message.content) for message in self.messages)

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        if not self.likelihood:
            del data["likelihood"]  # as before there were any: the keys of replies stay what they are
        return data

    def key(self, endpoint: str, model: str) -> str:
        """SHA-256 of everything that determines the reply; `endpoint` is host and path, without scheme or key."""
        content = {**self.to_dict(), "model": self.model or model, "endpoint": endpoint}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True)
class TokenLogprob:
    """One token with its natural log probability and the likeliest candidates at its place, best first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ChatReply:
    """A model's answer and how it came about.

    `logprobs` is `None` when none were asked for or the server gives none; `prompt_logprobs` likewise, and its first
    entry is `None` as the first token has no past. `usage` covers every attempt behind the answer, also for a reply
    from the cache (`cached`), where `spent` is zero. `dropped`: request features that the server does not take.
    `discarded`: earlier unusable replies to the same question, and `complaints`: what the model was then told, after the
    beginning of that reply; empty where the question was only repeated. `seconds`: from the first try to the
    answer. `reasoning`: what the model thought, where the server keeps it apart from the text.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[TokenLogprob, ...] | None = None
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    key: str = ""
    cached: bool = False
    attempts: int = 1
    dropped: tuple[str, ...] = ()
    discarded: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    created: str = ""
    seconds: float = 0.0
    reasoning: str = ""

    @property
    def spent(self) -> Usage:
        """What this answer cost now: nothing when it came from the cache."""
        return Usage() if self.cached else self.usage

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives an equal reply."""
        return json.loads(json.dumps(asdict(self)))

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "ChatReply":
        return ChatReply(
            **{
                **data,
                "usage": Usage(**data["usage"]),
                "logprobs": _logprobs(data["logprobs"]),
                "prompt_logprobs": _logprobs(data["prompt_logprobs"]),
                "dropped": tuple(data["dropped"]),
                "discarded": tuple(data["discarded"]),
                "complaints": tuple(data.get("complaints", ())),  # older replies have none
            }
        )


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What `validate` made of the reply, and the reply."""

    value: T
    reply: ChatReply


@dataclass(frozen=True)
class Question(Generic[T]):
    """A request with its validator."""

    request: ChatRequest
    validate: Callable[[ChatReply], T]


def _logprobs(rows: Sequence[Mapping[str, Any] | None] | None) -> Any:
    if rows is None:
        return None
    return tuple(
        None
        if row is None
        else TokenLogprob(row["token"], row["logprob"], tuple((token, value) for token, value in row["top"]))
        for row in rows
    )
