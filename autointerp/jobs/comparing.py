"""What is computed from several coders, as jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.compare import results
from autointerp.jobs.handlers import Context, JobKind, Outcome
from autointerp.pipeline.resources import Resources


def compare_job(
    what: str, *sets: Sequence[str], parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Arguments for `JobRunner.submit` and `run`: one of `compare.registry.COMPUTATIONS` for each of these sets of coders, kept
    for whoever asks next."""
    coders = [list(names) for names in sets]
    label = results.label(what, coders[0]) if len(coders) == 1 else results.label_of_sets(what, coders)
    payload = {"what": what, "parameters": dict(parameters or {})}
    return {"kind": "compare", "payload": payload, "items": coders, "label": label}


def compare_kind(resources: Resources) -> JobKind:
    """The kind of these jobs, on this store."""

    def handler(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        results.obtain(resources, str(payload["what"]), item, payload["parameters"], context.progress)
        return Outcome()

    return JobKind("compare", handler)
