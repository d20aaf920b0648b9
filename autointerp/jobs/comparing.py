"""What is computed from several coders, as jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.compare import results
from autointerp.jobs.handlers import Context, JobKind, Outcome
from autointerp.pipeline.resources import Resources


def compare_job(
    what: str, coders: Sequence[str], parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: one of `compare.registry.COMPUTATIONS`, kept for whoever asks next."""
    payload = {"what": what, "coders": list(coders), "parameters": dict(parameters or {})}
    return {"kind": "compare", "payload": payload, "items": (None,), "label": results.label(what, coders)}


def compare_kind(resources: Resources) -> JobKind:
    """The kind of these jobs, on this store."""

    def handler(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        what, coders, parameters = str(payload["what"]), payload["coders"], payload["parameters"]
        results.obtain(resources, what, coders, parameters, context.progress)
        return Outcome()

    return JobKind("compare", handler)
