"""Talking to language models over any OpenAI-compatible server, without ever losing a paid answer or showing a key."""

from autointerp.llm.asking import Answer, Outcome, Question, Stats
from autointerp.llm.budget import USED_UP, Budget
from autointerp.llm.cache import MemoryCache, ReplyCache
from autointerp.llm.cancel import CancelToken
from autointerp.llm.check import EndpointCheck, check_endpoint
from autointerp.llm.client import Client
from autointerp.llm.endpoint import ENDPOINTS
from autointerp.llm.errors import (
    AuthError,
    BadAnswer,
    BudgetExceeded,
    Cancelled,
    LLMError,
    PromptTooLong,
    QuotaExceeded,
    RateLimited,
    Refused,
    RequestRejected,
    ServerUnreachable,
    Transient,
    UnknownModel,
    WrongURL,
)
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import ChatReply, ChatRequest, Message, TokenLogprob, Usage
from autointerp.llm.mock import MockClient
from autointerp.llm.parse import (
    json_answer,
    list_answer,
    list_schema,
    object_schema,
    parse_json_answer,
    text_answer,
    text_schema,
)
from autointerp.llm.prices import Price, PriceTable
from autointerp.llm.secrets import Secret, find_key, redact

__all__ = [
    "ENDPOINTS",
    "USED_UP",
    "Answer",
    "AuthError",
    "BadAnswer",
    "Budget",
    "BudgetExceeded",
    "CancelToken",
    "Cancelled",
    "ChatReply",
    "ChatRequest",
    "Client",
    "EndpointCheck",
    "LLMError",
    "MemoryCache",
    "Message",
    "MockClient",
    "Outcome",
    "Price",
    "PriceTable",
    "PromptTooLong",
    "Question",
    "QuotaExceeded",
    "RateLimited",
    "Refused",
    "ReplyCache",
    "RequestRejected",
    "RetryPolicy",
    "Secret",
    "ServerUnreachable",
    "Stats",
    "TokenLogprob",
    "Transient",
    "UnknownModel",
    "Usage",
    "WrongURL",
    "check_endpoint",
    "find_key",
    "json_answer",
    "list_answer",
    "list_schema",
    "object_schema",
    "parse_json_answer",
    "redact",
    "text_answer",
    "text_schema",
]
