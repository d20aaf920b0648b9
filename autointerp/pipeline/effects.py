"""Effects of raised latents, kept among the store's replies: what a score was made from can be looked at, and is not computed
again for the next explanation of the same latent."""

import json
from collections.abc import Sequence
from typing import Any

from autointerp.llm.cancel import CancelToken
from autointerp.llm.messages import ChatReply, ChatRequest, Message
from autointerp.models.effect import Effect
from autointerp.pipeline.kept import Replies, once
from autointerp.probe import recorded
from autointerp.records import canonical_json
from autointerp.steering.effects import Effects
from autointerp.store import Store
from autointerp.types import Progress

VERSION = "effect-1"
"""Of the way in which strengths are found and texts are written."""


class KeptEffects:
    """Thread-safe; one is computed at a time."""

    def __init__(self, store: Store, effects: Effects, replies: Replies):
        self._store, self._effects, self._replies = store, effects, replies

    def effect(
        self,
        coder: str,
        latent: int,
        prompts: Sequence[Sequence[int]],
        *,
        kl: float,
        n_new: int,
        seed: int,
        cancel: CancelToken | None = None,
    ) -> tuple[Effect, str]:
        """See `autointerp.score.resources.Effects`."""

        def check(_: Progress) -> None:
            if cancel is not None:
                cancel.check()

        def compute() -> Any:
            return self._effects.effect(
                coder, latent, prompts, kl=kl, n_new=n_new, seed=seed, progress=check
            ).to_json()

        request = self._request(coder, latent, prompts, kl=kl, n_new=n_new, seed=seed)

        def read(value: Any) -> Effect:
            effect = Effect.from_json(value)
            if len(effect.prompts) != len(prompts):
                raise ValueError("not one continuation a prompt")
            return effect

        return once(self._store, self._replies, request, compute, read)

    def _request(
        self, coder: str, latent: int, prompts: Sequence[Sequence[int]], *, kl: float, n_new: int, seed: int
    ) -> ChatRequest:
        """Everything that determines the effect, as a request to the model."""
        info = self._store.coder(coder).info
        asked = {
            "method": VERSION, "coder": " ".join(recorded.key(info)), "latent": latent, "target KL": kl,
            "prompts": [list(map(int, prompt)) for prompt in prompts],
        }  # fmt: skip
        return ChatRequest(
            (Message("user", canonical_json(asked)),), temperature=1.0, max_tokens=n_new, seed=seed
        )


def kept_effect(reply: ChatReply | None) -> Effect | None:
    """What is kept in this reply; `None` for another reply, or none."""
    if reply is None:
        return None
    try:
        return Effect.from_json(json.loads(reply.text))
    except (ValueError, KeyError, TypeError):
        return None
