"""The Test button in Settings: does a model answer, and what does the server support?"""

from autointerp.llm.client import Client
from autointerp.llm.errors import LLMError
from autointerp.llm.messages import Answer, ChatReply, ChatRequest
from autointerp.llm.parsing import list_answer, list_schema


def check_endpoint(client: Client) -> Answer[bool]:
    """Ask one short question; the value tells whether the reply has the shape that was asked for. Raises LLMError."""
    request = ChatRequest.of(
        'For each word say 1 if it is a colour, else 0: red, table. Answer in JSON: {"answers": [.., ..]}.',
        schema=list_schema(2),
        max_tokens=200,
        top_logprobs=5,
        allow_truncated=True,
    )
    return client.ask(request, _is_as_requested)


def _is_as_requested(reply: ChatReply) -> bool:
    try:
        return bool(list_answer(2)(reply))
    except LLMError:
        return False
