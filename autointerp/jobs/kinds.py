"""Explaining, scoring and embedding as jobs: what the app's buttons queue and the command line runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from autointerp.errors import Failure, UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs.comparing import compare_kind
from autointerp.jobs.crossing import cross_score_kind
from autointerp.jobs.handlers import Context, JobKind, Outcome
from autointerp.jobs.labels import label
from autointerp.jobs.llm import earlier
from autointerp.jobs.sessions import FATAL, opened, stop_if_fatal, stopping, stored, workers
from autointerp.llm.errors import BudgetExceeded
from autointerp.pipeline.embedding_scores import EmbeddingBatches
from autointerp.pipeline.explain import explain
from autointerp.pipeline.keys import KeyGone
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, Record, Score, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.settings import DEFAULT_EMBEDDER, DEFAULT_WINDOW
from autointerp.store import copies
from autointerp.store.annotations import NewJob

MAX_WORKERS = 64
_TEXTS_AT_ONCE = 16


def job_kinds(resources: Resources) -> list[JobKind]:
    """The kinds of jobs that work on this store."""
    setup, n_workers = _opening(resources), partial(workers, most=MAX_WORKERS)
    return [
        JobKind("explain", _explain, workers=n_workers, setup=setup),
        JobKind("score", _score, workers=n_workers, setup=setup),
        JobKind("embed", _embed, setup=setup),
        JobKind("embed_explanations", _embed_explanations, setup=setup),
        compare_kind(resources),
        cross_score_kind(resources),
    ]


def explain_job(
    coder: str,
    latents: Sequence[int],
    options: ExplainOptions,
    then: Sequence[ScoreOptions] = (),
    *,
    later: Sequence[ScoreOptions] = (),
) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: explain these latents, and score each new explanation at once by `then`, and
    by `later` in a job of its own, which is queued in the transaction that stores the explanation. Raises UserError."""
    options.check()
    payload: dict[str, Any] = {
        "coder": coder,
        "explain": stored(options),
        "then": [stored(scorer.check()) for scorer in then],
    }
    if later:
        payload["later"] = [stored(scorer.check()) for scorer in later]
    title = label("explain", payload, len(latents)) or ""
    return {"kind": "explain", "payload": payload, "items": latents, "label": title}


def score_job(coder: str, explanation_ids: Sequence[str], options: Sequence[ScoreOptions]) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: score these explanations with each of `options`. Raises UserError."""
    if not options:
        raise UserError("no scorer chosen: choose at least one.")
    payload = {"coder": coder, "score": [stored(scorer.check()) for scorer in options]}
    title = label("score", payload, len(explanation_ids)) or ""
    return {"kind": "score", "payload": payload, "items": explanation_ids, "label": title}


def embed_job(embedder: str = DEFAULT_EMBEDDER, window: int = DEFAULT_WINDOW) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: embed every window of the corpus, once."""
    return {
        "kind": "embed",
        "payload": {"embedder": embedder, "window": window},
        "items": (None,),
        "label": f"embed all windows of {window} tokens with {embedder}",
    }


def embed_explanations_job(coders: Sequence[str], embedder: str = DEFAULT_EMBEDDER) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: embed the shown explanations of these coders that are not embedded yet, so
    that they can be searched by meaning. What it has done is kept when it stops."""
    names = sorted(coders)
    of = names[0] if len(names) == 1 else f"{len(names)} coders"
    return {
        "kind": "embed_explanations",
        "payload": {"embedder": embedder, "coders": names},
        "items": (None,),
        "label": f"embed the explanations of {of} with {embedder}",
    }


# Handlers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    resources: Resources
    session: Session
    batches: EmbeddingBatches
    explain: ExplainOptions | None
    score: tuple[ScoreOptions, ...]


def _opening(resources: Resources) -> Callable[[Mapping[str, Any], Context], AbstractContextManager[_State]]:
    """How to open a session for a job, which stops when the job is to stop."""

    @contextmanager
    def setup(payload: Mapping[str, Any], context: Context) -> Iterator[_State]:
        explain = payload.get("explain")
        scores = payload.get("then") or payload.get("score") or ()
        with opened(resources, context) as session:
            state = _State(
                resources,
                session,
                EmbeddingBatches(session, _expected(resources, context)),
                ExplainOptions.from_dict(explain).check() if explain else None,
                tuple(ScoreOptions.from_dict(stored).check() for stored in scores),
            )
            if context.job.kind == "score":
                _embed_texts(state, payload, context)
            yield state
        if context.job.total >= copies.MIN_ROWS:  # whoever looks first need not wait for it
            resources.annotations.read_summaries(str(payload["coder"]))

    return setup


def _embed_texts(state: _State, payload: Mapping[str, Any], context: Context) -> None:
    """The vectors of a large job's explanations and of what their floors are drawn from, many at once: one at a time takes
    three times as long. Errors are left to the items, each of which meets them too."""
    names = {options.embedder for options in state.score if options.scorer == "embedding"}
    if not names or context.job.total < _TEXTS_AT_ONCE:
        return
    annotations, coder = state.resources.annotations, str(payload["coder"])
    with suppress(UserError):
        for name in sorted(names):
            embedder = state.resources.embedder(name)
            embedder.embed_ahead(state.resources.floors.texts(coder), context.progress)
            for ids in _pending(state.resources, context, 4096):
                explanations = annotations.explanations_of(ids)
                texts = [explanation.text for explanation in explanations if explanation.failure is None]
                embedder.embed_ahead(texts, context.progress)
    context.stage = None


def _pending(resources: Resources, context: Context, page: int) -> Iterator[list[str]]:
    """The items of the job that wait, a page at a time."""
    for offset in range(0, context.job.total, page):
        items = resources.annotations.jobs.items(context.job.id, limit=page, offset=offset)
        yield [str(item.item) for item in items if item.state == "pending"]


def _expected(resources: Resources, context: Context) -> Iterator[list[Explanation]]:
    """The explanations that a job with several is to score, in their order."""
    if context.job.kind == "score" and context.job.total > 1:
        for ids in _pending(resources, context, 256):
            yield resources.annotations.explanations_of(ids)


def _explain(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    state: _State = context.state
    assert state.explain is not None
    coder = str(payload["coder"])
    latent = state.resources.store.coder(coder).check_latent(item)
    with stopping():
        explanation = _of_this_job(state, payload, coder, latent, context)
        new = explanation is None
        if explanation is None:
            explanation = explain(state.session, coder, latent, state.explain)
        failure = explanation.failure
        if failure is not None:
            stop_if_fatal(failure)
            return _outcome([] if _is_known(state, explanation) else [explanation], [failure])
        if not new:
            return _scores(state, explanation, context, before=[], again=True)
        made = replace(_outcome([explanation], []), follow=_later(payload, explanation, context))
        if not state.score:
            return made
        if _was_paid(explanation):
            context.keep(made)
            return _scores(state, explanation, context, before=[], again=False)
        # A scorer looks its explanation's ancestors up; the explanation itself need not be stored yet.
        scored = _scores(state, explanation, context, before=[explanation], again=False)
        return replace(scored, follow=made.follow)


def _score(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    state: _State = context.state
    explanation = state.batches.explanation(str(item))
    with stopping():
        return _scores(state, explanation, context, before=[], again=True)


def _scores(
    state: _State, explanation: Explanation, context: Context, *, before: Sequence[Record], again: bool
) -> Outcome:
    """The item's outcome with what was made `before`. `again`: leave out what this job scored already, before an earlier
    scorer of the item failed or the job was stopped. What was paid for is stored as it comes, before the next scorer begins.

    So a kill costs no row that was paid for, and a cancelled job counts all it spent (`Context.meter`). Only a kill in the
    middle of a score leaves something out of the job's cost: the replies it had by then, which are free when it goes on.
    """
    rows: list[Record] = list(before)
    failures: list[Failure] = []
    annotations = state.resources.annotations
    done = annotations.scored_since(explanation.id, context.job.created) if again else set()
    for options in state.score:
        context.check()
        if config_hash(options.identity()) in done:
            continue
        try:
            score = state.batches.score(explanation, options)
        except (BudgetExceeded, KeyGone) as error:
            if not rows:
                raise
            stop = Failure.of(error)
            return _outcome(rows, [*failures, _by(options.scorer, stop)], stop=stop)
        failure = score.failure
        if failure is not None and not rows and not score.tokens_in:
            stop_if_fatal(failure)
        rows.append(score)
        if failure is not None:
            failures.append(_by(options.scorer, failure))
            if failure.error_kind in FATAL:
                return _outcome(rows, failures, stop=failure)
        if _was_paid(score) and options is not state.score[-1]:
            context.keep(_outcome(rows, []))
            rows = []
    return _outcome(rows, failures)


def _later(payload: Mapping[str, Any], explanation: Explanation, context: Context) -> tuple[NewJob, ...]:
    """The job that scores a new explanation by what takes longer."""
    options = [ScoreOptions.from_dict(stored) for stored in payload.get("later") or ()]
    if not options:
        return ()
    work = score_job(str(payload["coder"]), [explanation.id], options)
    return (NewJob(**work, priority=context.job.priority),)


def _was_paid(row: Explanation | Score) -> bool:
    return bool(row.tokens_in or row.tokens_out)


def _is_known(state: _State, failed: Explanation) -> bool:
    """Whether this attempt failed as an earlier one did, for nothing and for good: a dead latent that is explained again and
    again has one row that says so. What may end otherwise another time, or cost something, is a row each time."""
    if failed.retryable or _was_paid(failed):
        return False
    return any(
        (earlier.error, earlier.config_hash) == (failed.error, failed.config_hash)
        for earlier in state.resources.annotations.explanations(failed.coder, failed.latent)
    )


def _of_this_job(
    state: _State, payload: Mapping[str, Any], coder: str, latent: int, context: Context
) -> Explanation | None:
    """The explanation that an earlier attempt of this job stored, when only its scores failed; by whichever model it asked."""
    assert state.explain is not None
    ways = [state.explain, *(replace(state.explain, llm=llm) for llm in earlier(payload))]
    wanted = {config_hash(options.identity()) for options in ways}
    for explanation in state.resources.annotations.explanations(coder, latent, failed=False):
        if explanation.config_hash in wanted and explanation.created >= context.job.created:
            return explanation
    return None


def _embed(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    from autointerp.embedding import embed_store, load_embedder

    state: _State = context.state
    embed_store(
        state.resources.store,
        load_embedder(str(payload["embedder"])),
        window=int(payload["window"]),
        progress=context.progress,
    )
    return Outcome()


def _embed_explanations(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    from autointerp.embedding import embed_explanations

    state: _State = context.state
    embedder = state.resources.embedder(str(payload["embedder"]))
    embed_explanations(state.resources.annotations, embedder, payload["coders"], progress=context.progress)
    return Outcome()


def _by(scorer: str, failure: Failure) -> Failure:
    return failure._replace(error=f"{scorer}: {failure.error}")


def _outcome(rows: Sequence[Record], failures: Sequence[Failure], *, stop: Failure | None = None) -> Outcome:
    costs = [row.cost for row in rows]
    return Outcome(
        rows=rows,
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        failure=_joined(failures),
        stop=stop,
    )


def _joined(failures: Sequence[Failure]) -> Failure | None:
    """One of several, whether or not their texts end in a full stop; of kind "several" where they are of different kinds."""
    if not failures:
        return None
    errors = [failure.error for failure in failures]
    kinds = {failure.error_kind for failure in failures}
    return Failure(
        "; ".join([*(error.removesuffix(".") for error in errors[:-1]), errors[-1]]),
        kinds.pop() if len(kinds) == 1 else "several",
        any(failure.retryable for failure in failures),
    )
