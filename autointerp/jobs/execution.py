"""One claimed job, from its first item to its end.

The calling thread hands items to the workers and commits what they finish: whatever finished during one commit is the next.
A second thread sends heartbeats and hears of cancelling. Memory holds a page of items and the results of one commit.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from autointerp.errors import AutointerpError, Failure, StoreError
from autointerp.jobs.handlers import Context, JobCancelled, JobKind, StopJob
from autointerp.jobs.rate import Rate
from autointerp.llm.cancel import CancelToken
from autointerp.store.annotations import CANCELLED, Claim, ClaimLost, Job, JobTable, Outcome

logger = logging.getLogger(__name__)

_PAGE = 256
_MAX_COMMIT = 500
_QUEUED = 32
"""Items handed out beyond what the workers need, so that quick items share transactions."""
_GATHER_SECONDS = 0.02

Finished = tuple[int, Outcome | None]  # None: not done, to be tried again


class Execution:
    """Runs one claim. `closing` is set when the whole runner stops: the job then goes back to the queue."""

    def __init__(
        self,
        table: JobTable,
        claim: Claim,
        kind: JobKind,
        *,
        closing: threading.Event,
        beat_seconds: float = 1.0,
        grace_seconds: float = 5.0,
        on_progress: Callable[[Job], None] | None = None,
    ):
        self.table = table
        self.claim = claim
        self.kind = kind
        self.closing = closing
        self.beat_seconds = beat_seconds
        self.grace_seconds = grace_seconds
        self.on_progress = on_progress
        self._stop = CancelToken()
        self._over = threading.Event()
        self._cancelled = False
        self._lost = False
        self._fatal: Failure | None = None
        self._context = Context(claim.job, self._stop, self._keep)
        self._todo: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._finished: deque[Finished] = deque()
        self._news = threading.Event()
        self._in_flight = 0
        self._n_finished = 0
        self._counting = threading.Lock()
        self._counted_in, self._counted_out, self._counted_cost = 0, 0, 0.0
        self._rate = Rate(time.monotonic())

    def run(self) -> Job | None:
        """The job at its end; `None` when another owner took it over. Raises StoreError when the end cannot be stored, and
        KeyboardInterrupt after cancelling the job."""
        beats = threading.Thread(target=self._beat_until_over, name=f"beat-{self.claim.job.id}", daemon=True)
        beats.start()
        try:
            self._work_guarded()
            return self._end()
        except ClaimLost:
            logger.warning("job %s was taken over by another process", self.claim.job.id)
            return None
        except KeyboardInterrupt:
            self._cancelled = True
            self._stop.cancel()
            self._drain()
            self._end()
            raise
        finally:
            self._stop.cancel()
            self._over.set()
            beats.join()

    def _work_guarded(self) -> None:
        payload = self.claim.job.payload
        try:
            with (
                self.kind.setup(payload, self._context)
                if self.kind.setup
                else nullcontext() as self._context.state
            ):
                self._work()
        except (ClaimLost, StoreError):
            raise
        except JobCancelled:
            pass
        except AutointerpError as error:
            self._fatal = self._fatal or Failure.of(error)
        except Exception as error:
            logger.exception("job %s could not run", self.claim.job.id)
            self._fatal = self._fatal or _bug(error)

    def _work(self) -> None:
        n_workers = self.kind.n_workers(self.claim.job.payload)
        for number in range(n_workers):
            name = f"job-{self.claim.job.id}-{number}"
            threading.Thread(target=self._worker, name=name, daemon=True).start()
        items = self._pending()
        more = True
        try:
            while not self._stopping():
                while more and self._in_flight < 2 * n_workers + _QUEUED:
                    following = next(items, None)
                    if following is None:
                        more = False
                    else:
                        self._todo.put(following)
                        self._in_flight += 1
                if not self._in_flight:
                    return
                self._commit(timeout=0.1)
            self._drain()
        finally:
            for _ in range(n_workers):
                self._todo.put(None)

    def _stopping(self) -> bool:
        if self.closing.is_set() or self._fatal is not None:
            self._stop.cancel()
        return self._stop.cancelled

    def _pending(self) -> Iterator[tuple[int, Any]]:
        after = -1
        while page := self.table.pending(self.claim, after=after, limit=_PAGE):
            yield from page
            after = page[-1][0]

    def _drain(self) -> None:
        """Keep what workers still finish while they stop: it may have been paid for."""
        deadline = time.monotonic() + self.grace_seconds
        while self._in_flight and time.monotonic() < deadline and not self._lost:
            self._commit(timeout=0.05)

    def _commit(self, timeout: float) -> None:
        if not self._finished:
            self._news.wait(timeout)
        if 0 < len(self._finished) < self._in_flight:
            time.sleep(_GATHER_SECONDS)  # what finishes meanwhile shares the transaction
        self._news.clear()
        # They stay where they are until they are stored, so that an interrupt anywhere here loses none.
        finished = [self._finished[i] for i in range(min(len(self._finished), _MAX_COMMIT))]
        outcomes = [(i, outcome) for i, outcome in finished if outcome is not None]
        refused = self.table.complete(self.claim, outcomes) if outcomes else []
        self._count(outcome for _, outcome in outcomes)
        for _ in finished:
            self._finished.popleft()
            self._in_flight -= 1
        for i, error in refused:
            logger.error("job %s, item %d: rows refused: %s", self.claim.job.id, i, error)
        self._n_finished += len(outcomes)
        if outcomes and self.on_progress:
            self.on_progress(self.table.get(self.claim.job.id))

    def _keep(self, part: Outcome) -> None:
        self.table.keep(self.claim, part)
        self._count([part])

    def _count(self, outcomes: Iterable[Outcome]) -> None:
        with self._counting:
            for outcome in outcomes:
                self._counted_in += outcome.tokens_in
                self._counted_out += outcome.tokens_out
                self._counted_cost += outcome.cost or 0.0

    def _count_the_rest(self) -> None:
        """What was spent on items that came to no end."""
        spent = self._context.meter() if self._context.meter is not None else None
        if spent is None:
            return
        with self._counting:
            tokens_in, tokens_out = spent.tokens_in - self._counted_in, spent.tokens_out - self._counted_out
            cost = None if spent.cost is None else max(0.0, spent.cost - self._counted_cost)
        if tokens_in > 0 or tokens_out > 0:
            self._keep(Outcome(tokens_in=max(0, tokens_in), tokens_out=max(0, tokens_out), cost=cost))

    def _worker(self) -> None:
        while (task := self._todo.get()) is not None:
            i, item = task
            self._finished.append((i, None if self._stop.cancelled else self._handle(item)))
            self._news.set()

    def _handle(self, item: Any) -> Outcome | None:
        try:
            outcome = self.kind.handler(self.claim.job.payload, item, self._context) or Outcome()
            if outcome.stop is not None:
                self._give_up(outcome.stop)
            return outcome
        except StopJob as error:
            self._give_up(error.failure)
            return None
        except JobCancelled:
            return None
        except AutointerpError as error:
            # Errors in the wake of a stop are no verdict on the item.
            return None if self._stop.cancelled else Outcome(failure=Failure.of(error))
        except BaseException as error:
            if self._stop.cancelled:
                return None
            logger.exception("job %s failed on item %r", self.claim.job.id, item)
            return Outcome(failure=_bug(error))

    def _give_up(self, failure: Failure) -> None:
        self._fatal = self._fatal or failure
        self._stop.cancel()  # now: the next item would meet the same

    def _beat_until_over(self) -> None:
        while not self._over.wait(self.beat_seconds):
            if self.closing.is_set():
                self._stop.cancel()
            try:
                stage = self._context.stage
                report = stage and (stage.stage, stage.done, stage.total, stage.unit)
                rate = self._rate.update(time.monotonic(), self._n_finished)
                if self.table.beat(self.claim, rate=rate, stage=report):
                    self._cancelled = True
                    self._stop.cancel()
            except ClaimLost:
                self._lost = True
                self._stop.cancel()
                return
            except StoreError as error:
                logger.warning("job %s: no heartbeat: %s", self.claim.job.id, error)

    def _end(self) -> Job:
        if self._lost:
            raise ClaimLost(self.claim.job.id)
        self._count_the_rest()
        if self._cancelled:
            return self.table.finish(self.claim, state="cancelled", failure=CANCELLED)
        if self._fatal is not None:
            return self.table.finish(self.claim, state="failed", failure=self._fatal)
        if self._stop.cancelled:
            self.table.release(self.claim)
            return self.table.get(self.claim.job.id)
        return self.table.finish(self.claim)


def _bug(error: BaseException) -> Failure:
    return Failure(f"unexpected {type(error).__name__}: {error}", "bug")
