"""`Session`: one piece of work's clients of language models, with one budget and one way to stop."""

import threading
from contextlib import ExitStack
from typing import Self

from autointerp.explain.explainer import Explainer
from autointerp.explain.options import ExplainOptions
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.costs import Budget
from autointerp.llm.messages import Usage
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from autointerp.score.scorer import Scorer


class Session:
    """Thread-safe; close it, or use it in a `with`. Clients and scorers are made once per choice of options, so a budget holds
    for all that is done in the session, `before` included: what an earlier session spent on the same work."""

    def __init__(
        self, resources: Resources, cancel: CancelToken | None = None, *, before: Usage | None = None
    ):
        self.resources = resources
        self.cancel = cancel or CancelToken()
        self._before = before
        self._clients: dict[str, Client] = {}
        self._budgets: dict[tuple[int | None, float | None], Budget] = {}
        self._scorers: dict[str, Scorer] = {}
        self._lock = threading.RLock()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def spent(self) -> Usage:
        """By all clients so far; without what was spent `before`."""
        with self._lock:
            return sum((client.stats.usage for client in self._clients.values()), Usage())

    def client(self, llm: LLMOptions | None) -> Client:
        """One client for each server and model. Raises UserError."""
        assert llm is not None  # options that need a language model are checked to name one
        key = repr(sorted(llm.to_dict().items(), key=lambda item: item[0]))
        with self._lock:
            if key not in self._clients:
                client = self.resources.client(llm, budget=self.budget(llm.max_tokens, llm.max_cost))
                self._clients[key] = self._open.enter_context(client)
            return self._clients[key]

    def budget(self, max_tokens: int | None, max_cost: float | None) -> Budget:
        """One for all clients with these limits."""
        limits = (max_tokens, max_cost)
        with self._lock:
            if limits not in self._budgets:
                self._budgets[limits] = self.resources.budget(*limits, spent=self._before)
            return self._budgets[limits]

    def explainer(self, options: ExplainOptions) -> Explainer:
        """Raises UserError."""
        client = self.client(options.llm) if options.needs_llm else None
        return options.entry.make(options, client, self.cancel)

    def scorer(self, options: ScoreOptions) -> Scorer:
        """Raises UserError. One per choice of options: scorers keep what the next latent can use."""
        key = repr(sorted(options.identity().items(), key=lambda item: item[0]))
        with self._lock:
            if key not in self._scorers:
                client = self.client(options.llm) if options.needs_llm else None
                self._scorers[key] = options.entry.make(options, self.resources, client, self.cancel)
            return self._scorers[key]
