"""Where latents fire in texts that a language model wrote, kept among the store's replies: the judged examples of a score show
them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.errors import CorpusError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.messages import ChatReply, ChatRequest, Message
from autointerp.models.fired import FiredText, FiredTexts
from autointerp.pipeline.kept import Replies, once
from autointerp.probe import Prober, recorded
from autointerp.records import canonical_json
from autointerp.store import Store

VERSION = "firings-2"
"""Of the way in which texts are run."""


class KeptFirings:
    """Thread-safe; one text is run at a time."""

    def __init__(self, store: Store, prober: Prober, replies: Replies):
        self._store, self._prober, self._replies = store, prober, replies

    def prepare(self, coder: str) -> None:
        """See `autointerp.score.resources.Firings`."""
        if not self._prober.ready([coder]):
            for error in self._prober.load([coder]).values():
                raise error

    def on(
        self,
        coder: str,
        latent: int,
        texts: Sequence[str],
        *,
        written_by: str,
        cancel: CancelToken | None = None,
    ) -> tuple[tuple[FiredText, ...], str]:
        """See `autointerp.score.resources.Firings`."""

        def compute() -> object:
            ran = []
            for text in texts:
                if cancel is not None:
                    cancel.check()
                ran.append(self._run(coder, latent, text))
            return FiredTexts(written_by, tuple(ran)).to_json()

        asked = {
            "method": VERSION, "coder": " ".join(recorded.key(self._store.coder(coder).info)), "latent": latent,
            "texts": list(texts), "written_by": written_by,
        }  # fmt: skip
        request = ChatRequest((Message("user", canonical_json(asked)),), temperature=None, max_tokens=None)

        def read(value: Any) -> tuple[FiredText, ...]:
            ran = FiredTexts.from_json(value).texts
            if len(ran) != len(texts):
                raise ValueError("not each of the texts")
            return ran

        return once(self._store, self._replies, request, compute, read)

    def _run(self, coder: str, latent: int, text: str) -> FiredText:
        if not text:
            return FiredText(text)
        try:
            result = self._prober.run(text, [coder])
        except CorpusError:
            return FiredText(text)
        place = np.arange(len(result.token_ids))
        row_start = self._store.meta["tokenizer"].get("row_start")
        begins_row = (place % result.ctx_len == 0) & (result.token_ids == row_start)
        own = (place >= result.n_added) & ~begins_row
        activations = self._prober.latent(result, coder, latent)
        return FiredText(text, tuple(result.token_ids[own].tolist()), tuple(activations[own].tolist()))


def kept_texts(reply: ChatReply | None) -> FiredTexts | None:
    """What is kept in this reply; `None` for another reply, or none."""
    if reply is None:
        return None
    try:
        return FiredTexts.from_json(json.loads(reply.text))
    except (ValueError, KeyError, TypeError):
        return None
