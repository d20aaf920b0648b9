"""The connection to an OpenAI-compatible server, over the `openai` package (imported at the first request: it is slow).

The package makes the requests, lists the models and tells failures apart. Its own retries are off, for the executor has to see
every attempt: one Retry-After holds all requests back, and each attempt is counted against the budget. Replies are taken raw:
the package's types are not checked against what a server sends, and with its strict validation most servers other than
OpenAI's would be refused (no `created`, other words for `finish_reason`, content in parts).
"""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from autointerp.llm import likelihoods
from autointerp.llm.endpoints import is_local
from autointerp.llm.errors import LLMError, RequestRejected, ServerUnreachable, Transient, WrongURL
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.llm.parameters import arguments, used
from autointerp.llm.responses import Context, read_reply, status_error
from autointerp.llm.secrets import Secret

if TYPE_CHECKING:
    from httpx2 import AsyncByteStream, Response
    from openai import AsyncOpenAI, Omit

T = TypeVar("T")

MAX_REPLY_BYTES = 4 << 20
"""Of one reply: some hundred times a long one with log probabilities."""
_PER_POOL = 16  # a pool of connections looks at each idle one before and after every request


class Transport(Protocol):
    """One attempt at one request; raises `LLMError`. Runs in the event loop of the client."""

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply: ...

    async def models(self) -> list[str]: ...

    async def close(self) -> None: ...


class OpenAITransport:
    """One attempt over HTTP. No redirects: one could carry the key to another host."""

    def __init__(self, url: str, model: str, secret: Secret, *, timeout: float, max_in_flight: int):
        self._url = url
        self._model = model
        self._secret = secret
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._clients: list[AsyncOpenAI] = []
        self._turns: Iterator[AsyncOpenAI] = iter(())
        self._opening = asyncio.Lock()
        self._forces = False
        """Whether the server has been found to say how likely a text is only where it is held to it."""

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply:
        context = Context(
            self._url, request.model or self._model, self._secret, tuple(used(request, dropped))
        )
        if request.likelihood:
            return await self._likelihood(request)
        fields = arguments(request, self._model, dropped)
        response = await self._call(
            lambda client: client.chat.completions.with_raw_response.create(
                **fields, extra_headers=self._headers()
            ),
            context,
        )
        return read_reply(response.content, response.headers, context)

    async def _likelihood(self, request: ChatRequest) -> ChatReply:
        """The question that every server of this kind may answer, and if it does not, the one for llama.cpp's."""
        context = Context(self._url, request.model or self._model, self._secret, (), "text completions")
        if self._forces:
            return await self._forced(request, context)
        fields = likelihoods.echo_arguments(request, self._model)
        try:
            return likelihoods.read_echo(*await self._completion(fields, context), context, request)
        except RequestRejected as error:
            untold = error
        try:
            reply = await self._forced(request, context)
        except likelihoods.SplitCharacter:
            raise
        except (RequestRejected, WrongURL):
            raise untold from None
        self._forces = True
        return reply

    async def _forced(self, request: ChatRequest, context: Context) -> ChatReply:
        url = self._url.removesuffix("/v1") + "/tokenize"
        asked = {"content": likelihoods.text_of(request), "add_special": False, "with_pieces": True}
        said = await self._call(
            lambda client: client.post(url, cast_to=object, body=asked, options={"headers": self._headers()}),
            context,
        )
        tokens = likelihoods.read_tokens(said, context)
        fields = likelihoods.forced_arguments(request, self._model, tokens)
        return likelihoods.read_forced(
            *await self._completion(fields, context), context, request, len(tokens)
        )

    async def _completion(self, fields: dict[str, Any], context: Context) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of a text completion."""
        response = await self._call(
            lambda client: client.completions.with_raw_response.create(
                **fields, extra_headers=self._headers()
            ),
            context,
        )
        return response.content, response.headers

    async def models(self) -> list[str]:
        """Names the server offers; empty when it does not list them."""

        async def listed(client: "AsyncOpenAI") -> list[str]:
            try:
                page = await client.models.list(extra_headers=self._headers())
                return [str(model.id) for model in page.data]
            except (AttributeError, TypeError, ValueError):  # whatever else answers at this address
                return []

        return await self._call(listed, Context(self._url, self._model, self._secret))

    async def close(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            await client.close()

    async def _call(self, ask: "Callable[[AsyncOpenAI], Awaitable[T]]", context: Context) -> T:
        client = await self._client()
        import httpx2
        import openai

        error: LLMError
        try:
            return await ask(client)
        except openai.APIStatusError as failure:
            error = status_error(failure.status_code, failure.response.headers, failure.body, context)
        except openai.APIConnectionError as failure:
            error = _connection_error(failure, context)
        except ReplyTooLarge as failure:
            error = _not_read(failure, context)
        except (openai.OpenAIError, httpx2.InvalidURL, UnicodeError) as failure:
            error = Transient(f"The request to {self._url} failed: {context.clean(str(failure))}")
        # Raised out here, so that the package's exception, which holds the request and the raw body, is not its context.
        raise error

    def _headers(self) -> "dict[str, str | Omit]":
        """The package insists on a key unless each request omits the header by name; local servers have none."""
        from openai import Omit

        return {} if self._secret else {"Authorization": Omit()}

    async def _client(self) -> "AsyncOpenAI":
        async with self._opening:
            if not self._clients:
                n_pools = math.ceil(self._max_in_flight / _PER_POOL)
                self._clients = await asyncio.to_thread(lambda: [self._make() for _ in range(n_pools)])
                self._turns = itertools.cycle(self._clients)
        return next(self._turns)

    def _make(self) -> "AsyncOpenAI":
        import httpx2
        import openai

        host = urlsplit(self._url).hostname or ""
        http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            trust_env=not is_local(host),  # no proxy for servers in our own network
            timeout=httpx2.Timeout(self._timeout, connect=min(10.0, self._timeout), pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._max_in_flight),
            event_hooks={"response": [_bound]},
        )
        headers: dict[str, Any] = {}
        # A compressed reply of a few kilobytes can be gigabytes: servers are asked for plain ones, and held to it.
        headers["Accept-Encoding"] = "identity"
        if not host.endswith("openai.com"):
            # The package would send these account names from the environment to any server.
            headers |= {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._secret.reveal(),
            admin_api_key="",  # nor may it find a key in the environment for anyone
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
            default_headers=headers,
        )


class ReplyTooLarge(Exception):
    """More bytes than any answer takes; or compressed, though asked not to be."""


async def _bound(response: "Response") -> None:
    """Holds a reply whose headers have come to `MAX_REPLY_BYTES`. Its time is bounded by the executor."""
    encoding = response.headers.get("content-encoding", "").strip().casefold()
    if encoding not in ("", "identity"):
        raise ReplyTooLarge(f"is compressed ({encoding[:20]}), which it was asked not to be")
    response.stream = _bounded_stream(response.stream)


def _bounded_stream(stream: Any) -> "AsyncByteStream":
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            n = 0
            async for part in stream:
                n += len(part)
                if n > MAX_REPLY_BYTES:
                    raise ReplyTooLarge(f"is longer than {MAX_REPLY_BYTES >> 20} MB")
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


def _not_read(failure: ReplyTooLarge, context: Context) -> LLMError:
    return Transient(f"The reply from {context.url} {failure}, so it was not read.", max_attempts=2)


def _connection_error(failure: Exception, context: Context) -> LLMError:
    import httpx2

    cause = failure.__cause__
    if isinstance(cause, ReplyTooLarge):
        return _not_read(cause, context)
    detail = context.clean(str(cause or "") or type(cause).__name__)
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol):
        return ServerUnreachable(
            f"No server answers at {context.url} ({detail}). Start it, or correct the base URL in Settings or --base-url."
        )
    if isinstance(cause, httpx2.TimeoutException):
        return Transient(f"{context.url} did not answer in time.", overload=True, max_attempts=3)
    return Transient(f"The connection to {context.url} broke before the reply was complete ({detail}).")
