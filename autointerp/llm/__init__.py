"""Talking to language models over any OpenAI-compatible server, without ever losing a paid answer or showing a key."""

from autointerp.llm.cache import ReplyCache
from autointerp.llm.cancel import CancelToken
from autointerp.llm.check import EndpointCheck, check_endpoint
from autointerp.llm.client import Client
from autointerp.llm.costs import Budget, Price, PriceTable
from autointerp.llm.endpoints import ENDPOINTS
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
from autointerp.llm.executor import Stats
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Outcome, Question, TokenLogprob
from autointerp.llm.parsing import list_answer, list_schema, object_schema, parse_json_answer, split_reasoning
from autointerp.llm.secrets import Secret, find_key, redact
from autointerp.llm.usage import Usage

__all__ = [
    "ENDPOINTS",
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
    "Message",
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
    "list_answer",
    "list_schema",
    "object_schema",
    "parse_json_answer",
    "redact",
    "split_reasoning",
]
