"""How likely a text is, by a language model behind a server that says so."""

from collections.abc import Iterator, Sequence

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import Cancelled, LLMError
from autointerp.llm.likelihoods import likelihood_request
from autointerp.llm.messages import ChatReply, ChatRequest, Question, Usage
from autointerp.score.resources import LogProbs


class ServedTextModel:
    """One request for each prefix."""

    max_tokens = None
    """Not known; the server says so where a prompt is too long."""

    def __init__(self, client: Client):
        self.client = client

    @property
    def name(self) -> str:
        return self.client.model

    def requests(self, prefixes: Sequence[str], text: str) -> list[ChatRequest]:
        """The exact requests that `log_probs_after` sends for a text."""
        return [likelihood_request(prefix, text) for prefix in prefixes]

    def log_probs_after(
        self, prefixes: Sequence[str], texts: Sequence[str], *, cancel: CancelToken | None = None
    ) -> Iterator[LogProbs]:
        """Raises LLMError where a request fails, after which no others are sent; its `usage` is that of all for the text."""
        return (self._log_probs_after(prefixes, text, cancel or CancelToken()) for text in texts)

    def _log_probs_after(self, prefixes: Sequence[str], text: str, cancel: CancelToken) -> LogProbs:
        questions = [Question(request, _total) for request in self.requests(prefixes, text)]
        values: dict[int, float] = {}
        usage = Usage()
        failure: LLMError | None = None
        stop = CancelToken()
        undo = cancel.on_cancel(stop.cancel)
        try:
            for i, answer in self.client.ask_many(questions, cancel=stop):
                if isinstance(answer, LLMError):
                    usage += answer.usage or Usage()
                    failure = failure or answer
                    stop.cancel()
                else:
                    usage += answer.reply.spent
                    values[i] = answer.value
        finally:
            undo()
        if failure is None and len(values) < len(questions):
            failure = Cancelled("Stopped before all questions had been asked. The answers so far are kept.")
        if failure is not None:
            failure.usage = usage
            raise failure
        return LogProbs([values[i] for i in range(len(questions))], usage)


def _total(reply: ChatReply) -> float:
    return sum(token.logprob for token in reply.prompt_logprobs or () if token is not None)
