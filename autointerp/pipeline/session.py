"""`Session`: one piece of work's clients of language models, with one budget and one way to stop."""

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from autointerp.explain import Explainer, LLMExplainer, PatternExplainer
from autointerp.llm import Budget, CancelToken, Client, Usage
from autointerp.pipeline.options import ExplainOptions, LLMOptions, ScoreOptions
from autointerp.pipeline.resources import Resources
from autointerp.score import (
    Detection,
    Embedding,
    Fuzzing,
    Judge,
    LLMJudge,
    Scorer,
    Simulation,
    Surprisal,
    delphi,
)


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
                limits = (llm.max_tokens, llm.max_cost)
                if limits not in self._budgets:
                    self._budgets[limits] = Budget(
                        max_tokens=limits[0], max_cost=limits[1], spent=self._before
                    )
                client = self.resources.client(llm, budget=self._budgets[limits])
                self._clients[key] = self._open.enter_context(client)
            return self._clients[key]

    def explainer(self, options: ExplainOptions) -> Explainer:
        """Raises UserError."""
        if options.explainer == "pattern":
            return PatternExplainer(n_examples=options.n_examples, n_contrast=options.n_contrast)
        return LLMExplainer(
            self.client(options.llm),
            variant=options.explainer,
            activations=options.activations,
            reasoning=options.reasoning,
            n_examples=options.n_examples,
            n_contrast=options.n_contrast,
            max_tokens=options.max_tokens,
            cancel=self.cancel,
        )

    def scorer(self, options: ScoreOptions) -> Scorer:
        """Raises UserError. One per choice of options: scorers keep what the next latent can use."""
        key = repr(sorted(options.identity().items(), key=lambda item: item[0]))
        with self._lock:
            if key not in self._scorers:
                self._scorers[key] = self._make_scorer(options)
            return self._scorers[key]

    def _make_scorer(self, options: ScoreOptions) -> Scorer:
        resamples = self.resources.resamples
        if options.scorer == "embedding":
            return Embedding(self.resources.embedder(options.embedder), resamples=resamples)
        if options.scorer == "surprisal":
            return Surprisal(self.resources.text_model(), resamples=resamples)
        if options.scorer == "simulation":
            return Simulation(self.client(options.llm), cancel=self.cancel, resamples=resamples)
        judge = self.judge(options)
        if options.protocol == "delphi":
            kind = delphi.DelphiDetection if options.scorer == "detection" else delphi.DelphiFuzzing
            return kind(judge, resamples=resamples)
        if options.scorer == "detection":
            return Detection(judge, resamples=resamples)
        return Fuzzing(judge, wrong_marks=options.wrong_marks, resamples=resamples)

    def judge(self, options: ScoreOptions) -> Judge:
        """Who answers detection's and fuzzing's questions."""
        if options.judge == "offline":
            return self.resources.offline_judge(options.window)
        batch = delphi.BATCH if options.protocol == "delphi" else options.batch
        return LLMJudge(self.client(options.llm), batch=batch, graded=options.graded, cancel=self.cancel)
