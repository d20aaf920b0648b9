"""What the store's own model was run for, kept among the store's replies: it can be looked at, and is not computed again."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.store import Store

ENDPOINT = "subject model"
"""In the place of a server's address."""


class Replies(Protocol):
    """Where it is kept."""

    def get(self, key: str, /) -> ChatReply | None: ...

    def put(self, key: str, request: ChatRequest, reply: ChatReply, /) -> None: ...


def once(store: Store, replies: Replies, request: ChatRequest, compute: Callable[[], Any]) -> tuple[Any, str]:
    """What `compute` gives, JSON, or gave before, and its key. `request`: everything that determines it, as a request to the
    model."""
    model = store.meta["model"]
    key = request.key(ENDPOINT, str(model.get("fingerprint") or model["name"]))
    reply = replies.get(key)
    if reply is not None:
        return json.loads(reply.text), key
    value = compute()
    text = json.dumps(value, ensure_ascii=False, indent=1)
    replies.put(key, request, ChatReply(text, str(model["name"]), key=key))
    return value, key
