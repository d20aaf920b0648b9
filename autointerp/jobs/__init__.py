"""Jobs: one queue per store, worked on by any number of processes at once.

    kind = JobKind("explain", handler, workers=8)
    with JobRunner(annotations, [kind]) as runner:             # the app: in the background
        job = runner.submit("explain", {"explainer": "pattern"}, items=range(1536))
    job = JobRunner(annotations, [kind]).run("explain", ...)   # the command line: here and now

The state is in `annotations.jobs` (`recent`, `get`, `items`, `cancel`, `retry`), for every process to see.
"""

from autointerp.jobs.handlers import Context, Handler, JobCancelled, JobKind, StopJob
from autointerp.jobs.runner import JobRunner
from autointerp.store.annotations import Job, JobItem, Outcome

__all__ = [
    "Context",
    "Handler",
    "Job",
    "JobCancelled",
    "JobItem",
    "JobKind",
    "JobRunner",
    "Outcome",
    "StopJob",
]
