"""What the store's own model was run for, kept among the store's replies: it can be looked at, and is not computed again."""

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from autointerp.errors import StoreDamaged
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.store import Store

ENDPOINT = "subject model"
"""In the place of a server's address."""


T = TypeVar("T")


class Replies(Protocol):
    """Where it is kept."""

    def get(self, key: str, /) -> ChatReply | None: ...

    def put(self, key: str, request: ChatRequest, reply: ChatReply, /) -> None: ...


def once(
    store: Store, replies: Replies, request: ChatRequest, compute: Callable[[], Any], read: Callable[[Any], T]
) -> tuple[T, str]:
    """What `read` makes of what `compute` gives, JSON, or gave before, and its key. `request`: all that determines it, as a
    request to the model. Raises StoreDamaged where `read` raises KeyError, TypeError or ValueError of what was kept: a store
    may be from anybody."""
    model = store.meta["model"]
    key = request.key(ENDPOINT, str(model.get("fingerprint") or model["name"]))
    reply = replies.get(key)
    if reply is None:
        value = compute()
        text = json.dumps(value, ensure_ascii=False, indent=1)
        replies.put(key, request, ChatReply(text, str(model["name"]), key=key))
        return read(value), key
    try:
        return read(json.loads(reply.text)), key
    except (ValueError, KeyError, TypeError):
        raise StoreDamaged(
            f"the store's record of an earlier run of {model['name']} cannot be read ({key})"
        ) from None
