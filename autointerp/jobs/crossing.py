"""Scoring explanations on the examples of other latents, as jobs."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from autointerp.compare.cross_score import cross_score
from autointerp.jobs.handlers import Context, JobKind, Outcome
from autointerp.jobs.sessions import opened, stop_if_fatal, stopping, stored
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import SCORERS


@dataclass(frozen=True)
class Crossing:
    """An explanation, and the latent of `coder` on whose examples it is scored by each of `options`."""

    explanation: Explanation
    coder: str
    latent: int
    options: Sequence[ScoreOptions]


def cross_score_job(crossings: Sequence[Crossing]) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: what comes of it is kept, and is no score of any latent. Raises UserError."""
    options: list[dict[str, Any]] = []
    items = []
    for each in crossings:
        for option in each.options:
            data = stored(option.check())
            if data not in options:
                options.append(data)
            item = {"explanation": each.explanation.id, "coder": each.coder, "latent": each.latent}
            items.append({**item, "score": options.index(data)})
    names = ", ".join(dict.fromkeys(SCORERS.label(str(data["scorer"])) for data in options))
    of = {f"{each.explanation.coder} #{each.explanation.latent}" for each in crossings}
    label = f"cross-score {' and '.join(sorted(of))}: {names}"
    return {"kind": "cross_score", "payload": {"score": options}, "items": items, "label": label}


def cross_score_kind(resources: Resources) -> JobKind:
    """The kind of these jobs, on this store."""

    def setup(payload: Mapping[str, Any], context: Context) -> AbstractContextManager[Session]:
        return opened(resources, context)

    def handler(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        options = ScoreOptions.from_dict(payload["score"][int(item["score"])]).check()
        explanation = resources.annotations.explanation(str(item["explanation"]))
        with stopping():
            made = cross_score(context.state, explanation, str(item["coder"]), int(item["latent"]), options)
        if made.failure is not None and not made.tokens_in:
            stop_if_fatal(made.failure)
        return Outcome(
            tokens_in=made.tokens_in, tokens_out=made.tokens_out, cost=made.cost, failure=made.failure
        )

    return JobKind("cross_score", handler, setup=setup)
