"""A job's session with language models: what it has spent, what it may spend, and what ends it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from autointerp.errors import Failure
from autointerp.explain.options import ExplainOptions
from autointerp.jobs.handlers import Context, JobCancelled, Outcome, StopJob
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.llm.messages import Usage
from autointerp.pipeline.keys import KeyGone
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Job

FATAL = ("auth", "wrong_url", "unknown_model", "quota")
"""Kinds of failures that every further item would meet too: they stop the job, which can be retried when they are mended."""


@contextmanager
def opened(resources: Resources, context: Context) -> Iterator[Session]:
    """The session of a job, which stops when the job is to stop."""
    with Session(resources, context.stop, before=_spent_before(context.job)) as session:
        context.meter = lambda: _spent(session)
        yield session


def _spent(session: Session) -> Outcome:
    usage = session.spent()
    return Outcome(tokens_in=usage.prompt_tokens, tokens_out=usage.completion_tokens, cost=usage.cost)


def _spent_before(job: Job) -> Usage:
    """By earlier attempts, up to this claim: a budget is the job's, however often it is retried or taken up again."""
    return Usage(prompt_tokens=job.tokens_in, completion_tokens=job.tokens_out, cost=job.cost)


@contextmanager
def stopping() -> Iterator[None]:
    """A cancelled call is a cancelled job; without budget or key the job cannot go on."""
    try:
        yield
    except Cancelled as error:
        raise JobCancelled(str(error)) from error
    except (BudgetExceeded, KeyGone) as error:
        raise StopJob(Failure.of(error)) from error


def stop_if_fatal(failure: Failure) -> None:
    """Raises StopJob for a failure that every further item would meet too."""
    if failure.error_kind in FATAL:
        raise StopJob(failure)


def stored(options: ExplainOptions | ScoreOptions) -> dict[str, Any]:
    """As a job holds them: a language model only where one is asked."""
    return (options if options.needs_llm else replace(options, llm=None)).to_dict()


def workers(payload: Mapping[str, Any], most: int) -> int:
    """As many items at once as the server takes requests; one for work that keeps this process's own cores busy."""
    options = [payload.get("explain"), *(payload.get("then") or ()), *(payload.get("score") or ())]
    asked = [each["llm"]["max_in_flight"] for each in options if each and each.get("llm")]
    return min(most, max(asked, default=1))
