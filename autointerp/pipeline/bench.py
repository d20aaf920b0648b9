"""`Workbench`: a store with everything that explaining and scoring on it needs, loaded once and shared."""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.explain import LLMExplainer
from autointerp.llm import (
    Budget,
    CancelToken,
    ChatReply,
    ChatRequest,
    Client,
    PriceTable,
)
from autointerp.llm.secrets import redact
from autointerp.pipeline import draw
from autointerp.pipeline.compare import compare
from autointerp.pipeline.firings import Firings
from autointerp.pipeline.floors import Floors
from autointerp.pipeline.keys import LentKeys
from autointerp.pipeline.options import (
    DEFAULT_EMBEDDER,
    ExplainOptions,
    KeyGone,
    LLMOptions,
    ScoreOptions,
    plan_seed,
)
from autointerp.pipeline.preview import MODE_UNKNOWN, Preview
from autointerp.pipeline.worker import Worker
from autointerp.sampling import make_windows, positive_windows
from autointerp.score import Difference, LLMJudge, OfflineJudge, Resamples, Simulation
from autointerp.score.classify import shown
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import (
    Annotations,
    Explanation,
    JudgedExample,
    ReplyCache,
    Score,
    StoredReply,
    config_hash,
)

if TYPE_CHECKING:
    from autointerp.embedding import StoreEmbedder
    from autointerp.score import TextModel

BOOTSTRAP_SEED = 20241017
MAX_TEXT = 10_000
"""Characters of an explanation that a person may write."""


class _Last(threading.local):
    """What a thread drew last, with what it depends on: several scorers ask about the same."""

    heldout: "tuple[object, draw.Heldout] | None" = None


class Workbench:
    """One per process and store; thread-safe. Models are loaded when first needed."""

    def __init__(self, store: Store, annotations: Annotations):
        self.store = store
        self.annotations = annotations
        self.resamples = Resamples(BOOTSTRAP_SEED)
        self.floors = Floors(annotations)
        self.keys = LentKeys(annotations)
        self._judges: dict[int, OfflineJudge] = {}
        self._embedders: dict[str, StoreEmbedder] = {}
        self._text_model: TextModel | None = None
        self._lock = threading.RLock()
        self._firings = Firings(store)
        self._last = _Last()

    # One latent at a time ------------------------------------------------------------------------

    def evidence(self, coder: str, latent: int, options: ExplainOptions) -> "draw.Evidence":
        """What the explainer would see. Raises UserError."""
        store = self.store.coder(coder)
        return draw.evidence(self.store, store, latent, self._firings.get(store, latent), options)

    def heldout(self, explanation: Explanation, options: ScoreOptions) -> "draw.Heldout":
        """What the scorer may ask about `explanation`: nothing that it, or a version it was edited from, was made from."""
        coder = self.store.coder(explanation.coder)
        key = (explanation.id, coder.info.created, options.drawing)
        if self._last.heldout is None or self._last.heldout[0] != key:
            self._last.heldout = (key, self._draw_heldout(explanation, coder, options))
        return self._last.heldout[1]

    def heldout_places(
        self, explanations: Sequence[Explanation], options: ScoreOptions
    ) -> "list[tuple[draw.Drawn, float] | None]":
        """Where the windows of `heldout` lie, for options whose negatives are random ones alone, and the latent's maximum; of
        many explanations of one coder at once. `None` for a latent that never fires."""
        if not explanations:
            return []
        coder = self.store.coder(explanations[0].coder)
        asked = [
            draw.Place(one.latent, acts, **self._lineage(one)) if len(acts.token) else None
            for one, acts in zip(
                explanations, self._firings.get_all(coder, [one.latent for one in explanations]), strict=True
            )
        ]
        places = [one for one in asked if one is not None]
        found = iter(draw.heldout_places(self.store, places, options))
        return [one and (next(found), float(one.acts.activation.max())) for one in asked]

    def _draw_heldout(
        self, explanation: Explanation, coder: CoderStore, options: ScoreOptions
    ) -> "draw.Heldout":
        hard = self._hard_negatives(options) if "embedding" in options.negatives else None
        return draw.heldout(
            self.store,
            coder,
            explanation.latent,
            self._firings.get(coder, explanation.latent),
            options,
            hard=hard,
            **self._lineage(explanation),
        )

    def explain(
        self, coder: str, latent: int, options: ExplainOptions, *, cancel: CancelToken | None = None
    ) -> Explanation:
        """A new explanation, not yet stored; a failure is a record too. Raises `Cancelled`, `BudgetExceeded`, UserError for
        options that cannot be."""
        with Worker(self, cancel) as worker:
            return worker.explain(coder, latent, options.check())

    def score(
        self, explanation: Explanation, options: ScoreOptions, *, cancel: CancelToken | None = None
    ) -> tuple[Score, list[JudgedExample]]:
        """A new score of a stored explanation with its judged examples, not yet stored. Raises as `explain` does."""
        with Worker(self, cancel) as worker:
            return worker.score(explanation, options.check())

    def write(
        self, coder: str, latent: int, text: str, *, author: str, parent: str | None = None
    ) -> Explanation:
        """Store what a person wrote, as a new version. Raises UserError for an empty or endless text."""
        written = self.compose(coder, latent, text, author=author, parent=parent)
        self.annotations.add(written)
        return written

    def compose(
        self, coder: str, latent: int, text: str, *, author: str, parent: str | None = None
    ) -> Explanation:
        """What `write` stores, not stored yet. Raises as it does."""
        latent = self.store.coder(coder).check_latent(latent)
        text = text.strip()
        if not text:
            raise UserError(
                "The explanation is empty. Write what the feature responds to, in a sentence or two."
            )
        if len(text) > MAX_TEXT:
            raise UserError(f"The explanation has {len(text):,} characters; at most {MAX_TEXT:,} are kept.")
        return Explanation(
            coder=coder,
            latent=latent,
            text=text,
            explainer="person",
            author=author.strip()[:100] or "anonymous",
            parent=parent,
            cost=0.0,
        )

    def compare(self, first: str, second: str) -> Difference:
        """How much better the second score's explanation did than the first's, on the examples both were asked about. Raises
        UserError when the two cannot be compared."""
        return compare(self.store, self.annotations, first, second, self.resamples)

    def reply(self, key: str) -> StoredReply | None:
        """The raw reply behind an explanation or a judged example, with the exact prompt."""
        return self.annotations.replies.get(key)

    # Before it costs anything --------------------------------------------------------------------

    def preview_explain(self, coder: str, latent: int, options: ExplainOptions) -> Preview:
        """Raises UserError."""
        options.check()
        if not options.needs_llm or options.llm is None:
            return Preview()
        with self.client(options.llm) as client, Worker(self) as worker:
            explainer = worker.explainer(options, client)
            assert isinstance(explainer, LLMExplainer)
            return self._preview(client, [explainer.request(self.evidence(coder, latent, options))])

    def preview_score(self, explanation: Explanation, options: ScoreOptions) -> Preview:
        """Raises UserError."""
        options.check()
        if not options.needs_llm or options.llm is None:
            return Preview()
        with self.client(options.llm) as client, Worker(self) as worker:
            scorer = worker.scorer(options, client)
            rng = np.random.default_rng(plan_seed(explanation.latent, options))
            plan = scorer.plan(self.heldout(explanation, options), rng)
            texts = [explanation.text]
            other = self.floor_of(explanation, options)
            texts += [other[1]] if other else []
            if isinstance(scorer, Simulation):
                requests = scorer.requests(
                    texts, plan, lambda one: self._replies.get(one.key(client.endpoint, client.model))
                )
                unknown = requests[0].prompt_logprobs > requests[-1].prompt_logprobs
                return self._preview(client, requests, note=MODE_UNKNOWN if unknown else "")
            judge = worker.judge(options, client)
            assert isinstance(judge, LLMJudge)
            task = "fuzzing" if options.scorer == "fuzzing" else "detection"
            items = shown(plan.items)
            return self._preview(client, [one for text in texts for one in judge.requests(task, text, items)])

    def _preview(self, client: Client, requests: list[ChatRequest], note: str = "") -> Preview:
        kept = [
            request.key(client.endpoint, client.model) in self.annotations.replies for request in requests
        ]
        new = [client.estimate(request) for request, cached in zip(requests, kept, strict=True) if not cached]
        costs = [one.cost for one in new]
        return Preview(
            messages=requests[0].messages if requests else (),
            n_requests=len(requests),
            tokens_in=sum(one.prompt_tokens for one in new),
            tokens_out=sum(one.completion_tokens for one in new),
            cost=None if None in costs else sum(cost or 0.0 for cost in costs),
            from_cache=sum(kept),
            note=note,
        )

    # What workers share --------------------------------------------------------------------------

    def lend_key(self, key: str) -> str:
        """Keep an API key in this process's memory; the name to put into `LLMOptions.key_ref`. Raises `AuthError` for what
        cannot be a key."""
        return self.keys.lend(key)

    def client(self, options: LLMOptions, *, budget: Budget | None = None) -> Client:
        """A client of that server whose replies are kept in the store. Raises `KeyGone` when its key is not known here."""
        options.check()
        key = None
        if options.key_ref is not None:
            key = self.keys.get(options.key_ref)
            if key is None:
                raise KeyGone(
                    "The API key of this work was typed into a session that is over, or was forgotten: it is kept nowhere. "
                    "Type it again (Settings page) or put it into the environment, then press Retry."
                )
        return Client(
            options.model,
            base_url=options.base_url,
            api_key=key,
            max_in_flight=options.max_in_flight,
            timeout=options.timeout,
            cache=self._replies,
            budget=budget,
            prices=PriceTable.parse(options.prices),
        )

    def redact(self, text: str) -> str:
        """`text` without any key lent to this process."""
        for secret in self.keys.all():
            text = redact(text, secret)
        return text

    @cached_property
    def _replies(self) -> ReplyCache[ChatRequest, ChatReply]:
        return ReplyCache(
            self.annotations.replies,
            dump_request=ChatRequest.to_dict,
            dump_reply=ChatReply.to_dict,
            load_reply=ChatReply.from_dict,
            usage=lambda reply: (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cost),
        )

    def floor_of(self, explanation: Explanation, options: ScoreOptions) -> tuple[str, str] | None:
        """Id and text of the random other explanation that `explanation` is held against."""
        if not options.floor:
            return None
        if (
            options.needs_llm
        ):  # the same as the last time, whatever has been explained since: its answers are paid for
            used = self.annotations.floor_used(explanation.id, config_hash(options.identity()))
            if used is not None:
                return used
        return self.floors.draw(
            explanation.coder,
            explanation.latent,
            text=explanation.text,
            explainer=explanation.explainer,
            seed=options.seed,
        )

    def offline_judge(self, window: int) -> OfflineJudge:
        """Knows the explanation, the example, and what ordinary text of this corpus looks like."""
        with self._lock:
            if window not in self._judges:
                self._judges[window] = OfflineJudge(draw.background(self.store, window=window))
            return self._judges[window]

    def embedder(self, name: str = DEFAULT_EMBEDDER) -> "StoreEmbedder":
        """Looks windows up in the store's embeddings where there are any."""
        from autointerp.embedding import StoreEmbedder, load_embedder

        with self._lock:
            if name not in self._embedders:
                self._embedders[name] = StoreEmbedder(self.store, load_embedder(name))
            return self._embedders[name]

    def has_embedder(self, name: str = DEFAULT_EMBEDDER) -> bool:
        """Whether it is in memory already, so that the next score by it takes no time."""
        return name in self._embedders

    def text_model(self) -> "TextModel":
        """The store's own subject, as surprisal's language model."""
        from autointerp.models.subject import load_subject
        from autointerp.score import CausalTextModel

        with self._lock:
            if self._text_model is None:
                source = self.store.meta["model"]
                subject = load_subject(source["source"], revision=source.get("revision") or None)
                if not subject.is_causal:
                    raise UserError(
                        f"{source['name']} is no causal language model, so surprisal has none to ask. Use another scorer."
                    )
                self._text_model = CausalTextModel(subject.model, subject.tokenizer, name=source["name"])
            return self._text_model

    def _lineage(self, explanation: Explanation) -> draw.Lineage:
        """The split of the nearest version made from examples, and the windows that any version was made from, those of another
        corpus left out."""
        config: Mapping[str, Any] = {}
        seen: dict[str, None] = {}
        version: Explanation | None = explanation
        while version is not None:
            seen |= dict.fromkeys(version.example_ids)
            if not config and "split_seed" in version.config:
                config = version.config
            version = self.annotations.explanation(version.parent) if version.parent else None
        numbers = np.array(":".join(seen).split(":") if seen else [], dtype=np.int64).reshape(-1, 3)
        shown = numbers[(numbers[:, 0] < self.store.n_contexts) & (numbers[:, 1] < self.store.ctx_len)]
        shown[:, 2] = np.minimum(shown[:, 1] + shown[:, 2], self.store.ctx_len)
        return {
            "split_seed": int(config.get("split_seed", 0)),
            "heldout_fraction": float(config.get("heldout_fraction", 0.5)),
            "shown": shown,
        }

    def _hard_negatives(self, options: ScoreOptions) -> "draw.HardNegatives":
        from autointerp.embedding import hard_contexts

        embeddings = self.store.embeddings(options.embedder, window=options.window)
        if embeddings is None:
            raise UserError(
                f"Negatives near in meaning need embeddings of windows of {options.window} tokens, and this store has none: "
                "embed it first (Settings page), or choose other negatives."
            )
        found = embeddings

        def draw_hard(
            coder: str, latent: int, allowed: NDArray[np.bool_], n: int, rng: np.random.Generator
        ) -> list[tuple[int, int]]:
            ctx_len = self.store.ctx_len
            acts = self._firings.get(self.store.coder(coder), latent)
            windows = positive_windows(acts, ctx_len=ctx_len, window=options.window)
            per_context = -(-ctx_len // options.window)
            rows = windows.context * per_context + windows.start // options.window
            chosen = hard_contexts(found, rows, ~allowed, n, rng)
            return [(int(row) // per_context, int(row) % per_context * options.window) for row in chosen]

        return draw_hard

    def windows_of(self, judged: list[JudgedExample], coder: str, latent: int) -> list["draw.Window"]:
        """The judged examples with their tokens and true activations, in the same order."""
        acts = self.store.coder(coder).activations(latent)
        cuts = [
            draw.cut(
                acts, self.store.tokens, one.context, one.start, one.start + one.window, quantile=one.quantile
            )
            for one in judged
        ]
        return make_windows(cuts, self.store.decode)
