"""`Resources`: an open store with everything that explaining and scoring on it share, loaded once."""

import threading
from typing import TYPE_CHECKING, NamedTuple

from autointerp import settings
from autointerp.errors import ModelLoadError, NoHead, UserError
from autointerp.llm.client import Client
from autointerp.llm.costs import Budget, PriceTable
from autointerp.llm.endpoints import base_url as full_url
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.llm.options import LLMOptions
from autointerp.llm.secrets import Secret, find_key
from autointerp.pipeline.activations import ActivationCache
from autointerp.pipeline.floors import Floors
from autointerp.pipeline.keys import ApiKeys, KeyGone
from autointerp.preferences import is_named
from autointerp.sampling import random_texts
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.resampling import Resamples
from autointerp.settings import DEFAULT_EMBEDDER
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Replies

if TYPE_CHECKING:
    from autointerp.embedding import StoreEmbedder
    from autointerp.pipeline.effects import KeptEffects
    from autointerp.pipeline.firings import KeptFirings
    from autointerp.probe import Prober
    from autointerp.score.resources import TextModel


class StoredReplies:
    """The replies of language models that a store holds, as `llm.Client` wants them."""

    def __init__(self, replies: Replies):
        self._replies = replies

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def get(self, key: str, /) -> ChatReply | None:
        stored = self._replies.get(key)
        return None if stored is None else ChatReply.from_dict(stored.reply)

    def put(self, key: str, request: ChatRequest, reply: ChatReply, /) -> None:
        usage = reply.usage
        self._replies.put(
            key,
            request.to_dict(),
            reply.to_dict(),
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost=usage.cost,
        )


class Server(NamedTuple):
    """Where a language model is asked."""

    url: str
    key: Secret


class Resources:
    """One per process and store; thread-safe. Models are loaded when first needed."""

    def __init__(self, store: Store, annotations: Annotations):
        self.store = store
        self.annotations = annotations
        self.activations = ActivationCache(store)
        self.resamples = Resamples()
        self.floors = Floors(annotations)
        self.keys = ApiKeys(annotations)
        self.replies = StoredReplies(annotations.replies)
        self._judges: dict[int, OfflineJudge] = {}
        self._embedders: dict[str, StoreEmbedder] = {}
        self._text_model: TextModel | None = None
        self._prober: Prober | None = None
        self._effects: KeptEffects | None = None
        self._lock = threading.RLock()

    def client(self, options: LLMOptions, *, budget: Budget | None = None) -> Client:
        """A client of that server whose replies are kept in the store. Raises `KeyGone` when its key is not known here."""
        options.check()
        if settings.is_read_only():
            raise UserError("Visitors of this app cannot use a language model.")
        server = self.server(options)
        return Client(
            options.model,
            base_url=server.url,
            api_key=server.key,
            max_in_flight=options.max_in_flight,
            timeout=options.timeout,
            cache=self.replies,
            known_as=options.identity()["endpoint"],
            budget=budget,
            prices=PriceTable.parse(options.prices),
        )

    def server(self, options: LLMOptions) -> Server:
        """Raises `KeyGone`."""
        server = full_url(options.base_url)
        key = find_key(server, named=is_named(server))
        if options.key_ref is not None:
            key = self.keys.get(options.key_ref)
            if key is None:
                raise KeyGone(
                    "The API key for this work was typed into a session that has ended, or was removed, and is stored nowhere. "
                    "Enter it again (Settings page) or set it in the environment, then press Retry."
                )
        return Server(server, key)

    def budget(self, max_tokens: int | None, max_cost: float | None, spent: Usage | None) -> Budget:
        """Of one session; `spent`: by earlier ones on the same work."""
        return Budget(max_tokens=max_tokens, max_cost=max_cost, spent=spent)

    def offline_judge(self, window: int) -> OfflineJudge:
        """Knows the explanation, the example, and what ordinary text of this corpus looks like."""
        with self._lock:
            if window not in self._judges:
                self._judges[window] = OfflineJudge(
                    random_texts(self.store.tokens, self.store.decode, window=window)
                )
            return self._judges[window]

    def embedder(self, name: str = DEFAULT_EMBEDDER) -> "StoreEmbedder":
        """Looks windows up in the store's embeddings where there are any. Raises UserError."""
        from autointerp.embedding import StoreEmbedder, load_embedder

        with self._lock:
            if name not in self._embedders:
                self._embedders[name] = StoreEmbedder(self.store, load_embedder(name))
            return self._embedders[name]

    def has_embedder(self, name: str = DEFAULT_EMBEDDER) -> bool:
        """Whether it is in memory already, so that the next score by it takes no time."""
        return name in self._embedders

    def text_model(self) -> "TextModel":
        """The store's own model, in float32, to tell how likely texts are. Raises UserError for one that is not causal."""
        from autointerp.probe import recorded
        from autointerp.score.judges.causal import CausalTextModel

        with self._lock:
            if self._text_model is None:
                source = self.store.meta["model"]
                if self.store.meta["tokenizer"].get("by_name"):
                    raise ModelLoadError(
                        f"{source['name']} is not available, because this store was imported, so no scorer can ask it how "
                        "likely a text is. Choose another scorer."
                    )
                subject = recorded.load_model(self.store)
                if not subject.is_causal:
                    raise NoHead(
                        f"{source['name']} is not a causal language model, so it does not give the likelihood of a text. "
                        "Choose "
                        "another scorer."
                    )
                self._text_model = CausalTextModel(subject.model, subject.tokenizer, name=source["name"])
            return self._text_model

    def effects(self) -> "KeptEffects":
        """What raised latents do to what the store's own model writes."""
        from autointerp.pipeline.effects import KeptEffects
        from autointerp.steering.effects import Effects

        with self._lock:
            if self._effects is None:
                self._effects = KeptEffects(self.store, Effects(self.store, self._model()), self.replies)
            return self._effects

    def firings(self) -> "KeptFirings":
        """Where latents fire in new texts."""
        from autointerp.pipeline.firings import KeptFirings

        with self._lock:
            return KeptFirings(self.store, self._model(), self.replies)

    def _model(self) -> "Prober":
        """The store's own model and coders."""
        from autointerp.probe import Prober

        if self._prober is None:
            self._prober = Prober(self.store)
        return self._prober
