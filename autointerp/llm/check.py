"""The Test button in Settings: does a model answer, and what does the server support?"""

from dataclasses import dataclass, field

from autointerp.llm.client import Client
from autointerp.llm.errors import LLMError
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.llm.parsing import list_answer, list_schema
from autointerp.llm.usage import Usage


@dataclass(frozen=True)
class EndpointCheck:
    """`error` is `None` when an answer came. `text`: the reply. `structured`: it has the shape that was asked for."""

    model: str
    endpoint: str
    error: LLMError | None
    text: str = ""
    seconds: float = 0.0
    structured: bool = False
    logprobs: bool = False
    usage: Usage = field(default_factory=Usage)
    dropped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.error is None


def check_endpoint(client: Client) -> EndpointCheck:
    """Ask one short question and report on the reply; never raises an `LLMError`."""
    request = ChatRequest.of(
        'For each word say 1 if it is a colour, else 0: red, table. Answer in JSON: {"answers": [.., ..]}.',
        schema=list_schema(2),
        max_tokens=200,
        top_logprobs=5,
        allow_truncated=True,
    )
    try:
        reply = client.complete(request)
    except LLMError as error:
        return EndpointCheck(client.model, client.endpoint, error, text="\n".join(error.texts))
    return EndpointCheck(
        reply.model,
        client.endpoint,
        None,
        text=reply.text,
        seconds=reply.seconds,
        structured=_structured(reply),
        logprobs=reply.logprobs is not None,
        usage=reply.usage,
        dropped=reply.dropped,
    )


def _structured(reply: ChatReply) -> bool:
    try:
        list_answer(2)(reply)
    except LLMError:
        return False
    return True
