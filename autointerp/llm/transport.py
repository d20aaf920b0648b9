"""The connection to an OpenAI-compatible server, over the `openai` package (imported at the first request: it is slow)."""

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from autointerp.llm import features
from autointerp.llm.endpoint import is_local
from autointerp.llm.errors import LLMError, ServerUnreachable, Transient
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.llm.secrets import Secret
from autointerp.llm.translate import Context, read_reply, status_error

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai._types import RequestOptions


_PER_LINE = (
    16  # connections in one pool: the pool looks at each of its idle ones before and after every request
)


class Transport(Protocol):
    """One attempt at one request; raises `LLMError`. Runs in the event loop of the client."""

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply: ...

    async def models(self) -> list[str]: ...

    async def close(self) -> None: ...


@dataclass
class _Line:
    """One SDK client with its own pool of connections."""

    sdk: "AsyncOpenAI"
    in_flight: int = 0


class OpenAITransport:
    """One attempt over HTTP. No retries and no redirects here: a redirect could carry the key to another host."""

    def __init__(self, url: str, model: str, secret: Secret, *, timeout: float, max_in_flight: int):
        self._url = url
        self._model = model
        self._secret = secret
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._lines: list[_Line] = []
        self._opening = asyncio.Lock()

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply:
        used = tuple(features.used(request, dropped))
        context = Context(self._url, request.model or self._model, self._secret, used)
        fields = features.body(request, self._model, dropped)
        body, headers = await self._call("post", "/chat/completions", fields, context)
        return read_reply(body, headers, context)

    async def models(self) -> list[str]:
        """Names the server offers; empty when it does not list them."""
        import json

        body, _ = await self._call("get", "/models", None, Context(self._url, self._model, self._secret))
        try:
            rows = json.loads(body)["data"]
            return [str(row["id"]) for row in rows]
        except (ValueError, KeyError, TypeError):
            return []

    async def close(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            await line.sdk.close()

    async def _call(
        self, method: str, path: str, fields: dict[str, Any] | None, context: Context
    ) -> tuple[bytes, dict[str, str]]:
        lines = self._lines or await self._open()
        line = min(lines, key=lambda line: line.in_flight)
        sdk = line.sdk
        import httpx2
        import openai

        error: LLMError
        line.in_flight += 1
        try:
            # The SDK insists on a key unless the header is omitted by name; local servers have none.
            options: RequestOptions = {} if self._secret else {"headers": {"Authorization": openai.Omit()}}
            if method == "post":
                response = await sdk.post(path, cast_to=httpx2.Response, body=fields, options=options)
            else:
                response = await sdk.get(path, cast_to=httpx2.Response, options=options)
            return response.content, dict(response.headers)
        except openai.APIStatusError as failure:
            error = status_error(
                failure.status_code, dict(failure.response.headers), failure.response.text, context
            )
        except openai.APIConnectionError as failure:
            error = _connection_error(failure, context, httpx2)
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as failure:
            error = Transient(f"The request to {self._url} failed: {context.clean(str(failure))}")
        finally:
            line.in_flight -= 1
        # Raised out here, so that the SDK's exception, which holds the request and the raw body, is not its context.
        raise error

    async def _open(self) -> "list[_Line]":
        async with self._opening:
            if not self._lines:
                n_lines = math.ceil(self._max_in_flight / _PER_LINE)
                self._lines = await asyncio.to_thread(lambda: [_Line(self._make()) for _ in range(n_lines)])
            return self._lines

    def _make(self) -> "AsyncOpenAI":
        import httpx2
        import openai

        host = urlsplit(self._url).hostname or ""
        http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            trust_env=not is_local(host),  # no proxy for servers in our own network
            timeout=httpx2.Timeout(self._timeout, connect=min(10.0, self._timeout), pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._max_in_flight),
        )
        headers: dict[str, Any] = {}
        if not host.endswith("openai.com"):
            # The SDK would send these account names from the environment to any server.
            headers = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._secret.reveal(),
            admin_api_key="",  # nor does its own search of the environment give a key to anyone
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
            default_headers=headers,
        )


def _connection_error(failure: Exception, context: Context, httpx2: Any) -> LLMError:
    cause = failure.__cause__
    detail = context.clean(str(cause or "") or type(cause).__name__)
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol):
        return ServerUnreachable(
            f"No server answers at {context.url} ({detail}). Start it, or correct the base URL in Settings or --base-url."
        )
    if isinstance(cause, httpx2.TimeoutException):
        return Transient(f"{context.url} did not answer in time.", overload=True, max_attempts=3)
    return Transient(f"The connection to {context.url} broke before the reply was complete ({detail}).")
