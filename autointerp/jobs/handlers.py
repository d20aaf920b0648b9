"""What a kind of job has to provide, and what it is given."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from autointerp.errors import AutointerpError, Failure
from autointerp.llm.cancel import CancelToken
from autointerp.store.annotations import Job, Outcome
from autointerp.types import Progress


class StopJob(AutointerpError):
    """The whole job cannot go on (no endpoint, wrong key, budget spent): it fails with this reason, and the item that met it
    waits for a retry, with all that were not tried."""

    def __init__(self, failure: Failure):
        super().__init__(failure.error)
        self.failure = failure


class JobCancelled(AutointerpError):
    """The job is to stop; raised by `Context.check`. The item waits for a retry."""


class Context:
    """A handler's view of its job. Shared by the job's threads. `stop` is cancelled when the job is to stop. `keep`: see the
    method. `meter`, where a set-up puts one, tells what the job has spent since it was claimed: what no outcome accounts for
    (calls for an item that was cancelled halfway) is counted when the job ends or goes back to the queue."""

    def __init__(self, job: Job, stop: CancelToken, keep: Callable[[Outcome], None]):
        self.job = job
        self.state: Any = None
        self.stop = stop
        self.meter: Callable[[], Outcome] | None = None
        self._keep = keep
        self.stage: Progress | None = None
        """What was reported last; set it to `None` when that part is over."""

    def cancelled(self) -> bool:
        """Whether to stop soon. Long handlers ask at least once a second."""
        return self.stop.cancelled

    def check(self) -> None:
        """Raises JobCancelled when it is time to stop."""
        if self.stop.cancelled:
            raise JobCancelled(f"job {self.job.id} was asked to stop")

    def wait(self, seconds: float) -> None:
        """Sleep, unless the job is to stop: then raises JobCancelled at once."""
        self.stop.wait(seconds)
        self.check()

    def keep(self, part: Outcome) -> None:
        """Store at once what an item has made so far, and count its cost, because it was paid for: whatever becomes of the
        item, this stays. A handler that does so finds it when the item is tried again, and leaves it out of its last outcome.
        Only rows, tokens, cost and `follow` of `part` count. Raises UserError for rows that are refused."""
        self._keep(part)

    def progress(self, report: Progress) -> None:
        """Report how far a long item is. A progress callback for any library function; it stops cancelled work too."""
        self.stage = report
        self.check()


class Handler(Protocol):
    """Works on one item. Runs on several threads at once; an item may run again if the process dies before its end is
    stored, so whatever it pays for goes through the reply cache, and what was made of it through `Context.keep`.

    UserError (any AutointerpError) fails the item with its message, StopJob the job, another exception the item as a bug.
    """

    def __call__(self, payload: Mapping[str, Any], item: Any, context: Context) -> Outcome | None: ...


@dataclass(frozen=True, slots=True)
class JobKind:
    """How to do one kind of job.

    `workers`: threads per job, a number or a function of the payload. `setup(payload, context)`: opened once per job, for
    models and clients; what it yields is `context.state`. Payloads and items are stored and shown: no credentials in them.
    """

    name: str
    handler: Handler
    workers: int | Callable[[Mapping[str, Any]], int] = 1
    setup: Callable[[Mapping[str, Any], Context], AbstractContextManager[Any]] | None = None

    def n_workers(self, payload: Mapping[str, Any]) -> int:
        return max(1, self.workers(payload) if callable(self.workers) else self.workers)
