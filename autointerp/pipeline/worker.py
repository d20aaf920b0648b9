"""`Worker`: explains and scores within one piece of work, with its clients, its budget and its way to stop."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from autointerp.errors import UserError
from autointerp.explain import Explainer, ExplanationResult, LLMExplainer, PatternExplainer
from autointerp.llm import Budget, CancelToken, Client, Usage
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.pipeline.options import ExplainOptions, KeyGone, LLMOptions, ScoreOptions, plan_seed
from autointerp.pipeline.records import explanation_record, score_records
from autointerp.pipeline.stored import Upcoming
from autointerp.score import (
    Detection,
    Embedding,
    Fuzzing,
    Judge,
    LLMJudge,
    Scorer,
    ScoreResult,
    Simulation,
    Surprisal,
    delphi,
)
from autointerp.score.results import Metric
from autointerp.store.annotations import Explanation, JudgedColumns, JudgedExample, Score

if TYPE_CHECKING:
    from autointerp.pipeline.bench import Workbench


class Worker:
    """Thread-safe; close it, or use it in a `with`. Explainers, scorers and clients are made once per choice of options, so a
    budget holds for all that the worker does, `before` included: what was spent on the same work before, by another worker."""

    def __init__(self, bench: "Workbench", cancel: CancelToken | None = None, *, before: Usage | None = None):
        self.bench = bench
        self._before = before
        self.cancel = cancel or CancelToken()
        self._clients: dict[str, Client] = {}
        self._budgets: dict[tuple[int | None, float | None], Budget] = {}
        self._scorers: dict[str, Scorer] = {}
        self._lock = threading.Lock()
        self._open = ExitStack()
        self.upcoming = Upcoming(bench)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def spent(self) -> Usage:
        """By all clients so far, for whatever; without what was spent `before`."""
        with self._lock:
            return sum((client.stats.usage for client in self._clients.values()), Usage())

    def explain(self, coder: str, latent: int, options: ExplainOptions) -> Explanation:
        """A new explanation; what went wrong is a failed one. Raises `Cancelled`, `BudgetExceeded` and `KeyGone` only."""
        config = options.identity()
        try:
            client = self.client(options.llm) if options.llm and options.needs_llm else None
            result = self.explainer(options, client).explain(
                self.bench.evidence(coder, latent, options), seed=options.seed
            )
        except (Cancelled, BudgetExceeded, KeyGone):
            raise
        except UserError as error:
            result = ExplanationResult(
                text="", explainer=options.explainer, seed=options.seed, status="failed", error=str(error)
            )
        return explanation_record(result, coder, latent, config)

    def score(self, explanation: Explanation, options: ScoreOptions) -> tuple[Score, list[JudgedExample]]:
        """A score and its judged examples; failures are records. Raises `Cancelled`, `BudgetExceeded` and `KeyGone` only."""
        floor = self.bench.floor_of(explanation, options)
        try:
            if explanation.status != "ok":
                raise UserError("This version is a failure, not an explanation: there is no text to score.")
            heldout = self.bench.heldout(explanation, options)
            client = self.client(options.llm) if options.llm and options.needs_llm else None
            result = self.scorer(options, client).run(
                explanation.text,
                heldout,
                seed=plan_seed(explanation.latent, options),
                floor=floor[1] if floor else None,
            )
        except (Cancelled, BudgetExceeded, KeyGone):
            raise
        except UserError as error:
            result = ScoreResult(
                scorer=options.scorer,
                judge=options.judge_name,
                metric=_METRICS[options.scorer],
                value=None,
                protocol=options.protocol,
                negatives=options.negatives_name,
                seed=options.seed,
                status="failed",
                error=str(error),
            )
        return score_records(result, explanation.id, options.identity(), floor[0] if floor else None)

    def score_rows(
        self, explanation: Explanation, options: ScoreOptions
    ) -> tuple[Score, Sequence[JudgedExample | JudgedColumns]]:
        """`score` as it is stored, by a shorter way where the windows are embedded already; shorter still for one of those that
        `upcoming` was told to expect. Raises as `score` does."""
        if options.scorer == "embedding":
            with suppress(UserError):  # which the long way records
                scorer = self.scorer(options, None)
                assert isinstance(scorer, Embedding)
                found = self.upcoming.score(explanation, options, scorer)
                if found is not None:
                    return found[0], [found[1]]
        return self.score(explanation, options)

    def explainer(self, options: ExplainOptions, client: Client | None) -> Explainer:
        """Raises UserError."""
        if options.explainer == "pattern":
            return PatternExplainer(n_examples=options.n_examples, n_contrast=options.n_contrast)
        assert client is not None
        return LLMExplainer(
            client,
            variant=options.explainer,
            activations=options.activations,
            reasoning=options.reasoning,
            n_examples=options.n_examples,
            n_contrast=options.n_contrast,
            max_tokens=options.max_tokens,
            cancel=self.cancel,
        )

    def scorer(self, options: ScoreOptions, client: Client | None) -> Scorer:
        """Raises UserError. One per choice of options: scorers keep what the next latent can use."""
        key = repr(sorted(options.identity().items(), key=lambda item: item[0]))
        with self._lock:
            if key not in self._scorers:
                self._scorers[key] = self._make_scorer(options, client)
            return self._scorers[key]

    def _make_scorer(self, options: ScoreOptions, client: Client | None) -> Scorer:
        resamples = self.bench.resamples
        if options.scorer == "embedding":
            return Embedding(self.bench.embedder(options.embedder), resamples=resamples)
        if options.scorer == "surprisal":
            return Surprisal(self.bench.text_model(), resamples=resamples)
        if options.scorer == "simulation":
            assert client is not None
            return Simulation(client, cancel=self.cancel, resamples=resamples)
        judge = self.judge(options, client)
        if options.protocol == "delphi":
            kind = delphi.DelphiDetection if options.scorer == "detection" else delphi.DelphiFuzzing
            return kind(judge, resamples=resamples)
        if options.scorer == "detection":
            return Detection(judge, resamples=resamples)
        return Fuzzing(judge, wrong_marks=options.wrong_marks, resamples=resamples)

    def judge(self, options: ScoreOptions, client: Client | None) -> Judge:
        """Who answers detection's and fuzzing's questions."""
        if options.judge == "offline":
            return self.bench.offline_judge(options.window)
        assert client is not None
        batch = delphi.BATCH if options.protocol == "delphi" else options.batch
        return LLMJudge(client, batch=batch, graded=options.graded, cancel=self.cancel)

    def client(self, options: LLMOptions) -> Client:
        """One client for each server and model. Raises UserError."""
        key = repr(sorted(options.to_dict().items(), key=lambda item: item[0]))
        with self._lock:
            if key not in self._clients:
                limits = (options.max_tokens, options.max_cost)
                if limits not in self._budgets:
                    self._budgets[limits] = Budget(
                        max_tokens=limits[0], max_cost=limits[1], spent=self._before
                    )
                client = self.bench.client(options, budget=self._budgets[limits])
                self._clients[key] = self._open.enter_context(client)
            return self._clients[key]


_METRICS: dict[str, Metric] = {
    "detection": "balanced_accuracy",
    "fuzzing": "balanced_accuracy",
    "embedding": "auroc",
    "surprisal": "auroc",
    "simulation": "correlation",
}
