"""What can go wrong between the client and a language model server.

    LLMError
    |-- Transient            worth another try: a dropped connection, a 5xx, a timeout
    |   |-- RateLimited          429, or the server asked us to wait longer than we may
    |-- ServerUnreachable    nobody answers at this address
    |   |-- WrongURL             somebody answers, but not with chat completions
    |-- AuthError            the key is missing, wrong or not allowed
    |-- QuotaExceeded        the account has no credit left
    |-- UnknownModel         the server does not have the model
    |-- PromptTooLong        more tokens than the model can read
    |-- RequestRejected      the server refuses the request for another reason
    |-- Refused              the model, or a content filter, declined to answer
    |-- BadAnswer            an answer that cannot be used, even after asking again
    |-- BudgetExceeded       the limit on tokens or money is reached
    |-- Cancelled            the user stopped it

Every message says what happened and what to do, and has passed `redact`: no key is ever in it.
"""

from autointerp.errors import UserError
from autointerp.llm.messages import Usage


class LLMError(UserError):
    """Base of the family.

    `usage`: what the failed attempts cost all the same. `texts`: the unusable replies, oldest first, and `complaints`: what was
    wrong with each but the last, as the model was told. `reply_ref`: the key under which the client's cache keeps them, if it
    does.
    """

    kind = "llm"

    def __init__(self, message: str, *, usage: Usage | None = None, texts: tuple[str, ...] = ()):
        super().__init__(message)
        self.usage = usage
        self.texts = texts
        self.complaints: tuple[str, ...] = ()
        self.reply_ref: str | None = None


class Transient(LLMError):
    """A failure that may go away on retry. `retry_after`: seconds to wait, as the server asked. `overload`: send less.
    `max_attempts`: at most so many, if below the client's limit."""

    kind = "transient"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        overload: bool = False,
        max_attempts: int | None = None,
    ):
        super().__init__(message)
        self.retry_after = retry_after
        self.overload = overload
        self.max_attempts = max_attempts


class RateLimited(Transient):
    """The server asks for fewer requests per minute (429)."""

    kind = "rate_limited"


class ServerUnreachable(LLMError):
    """No server at this address, or no way to it."""

    kind = "unreachable"
    retryable = True


class WrongURL(ServerUnreachable):
    """The address answers, but does not speak the chat completions protocol."""

    kind = "wrong_url"
    retryable = False


class AuthError(LLMError):
    """The key is missing, malformed, wrong or not allowed to use the model."""

    kind = "auth"


class QuotaExceeded(LLMError):
    """The account behind the key has no credit left."""

    kind = "quota"


class UnknownModel(LLMError):
    """The server does not offer the model."""

    kind = "unknown_model"


class PromptTooLong(LLMError):
    """The prompt and the answer do not fit the model's context."""

    kind = "too_long"


class RequestRejected(LLMError):
    """The server found fault with the request itself (400, 422...). `about`: the optional features that it names."""

    kind = "rejected"

    def __init__(self, message: str, *, about: frozenset[str] = frozenset()):
        super().__init__(message)
        self.about = about


class Refused(LLMError):
    """The model or the server's content filter declined."""

    kind = "refused"


class BadAnswer(LLMError):
    """The reply came, was paid for, and cannot be used: prose, a list of the wrong length, cut or empty."""

    kind = "bad_answer"
    retryable = True


class BudgetExceeded(LLMError):
    """The next call would cross the limit on tokens or money; nothing was sent."""

    kind = "budget"
    retryable = True


class NoPrice(BudgetExceeded):
    """A limit on money and a model without a price: no larger limit helps."""

    kind = "no_price"
    retryable = False


class Cancelled(LLMError):
    """Stopped by the user before the answer came."""

    kind = "cancelled"
    retryable = True
