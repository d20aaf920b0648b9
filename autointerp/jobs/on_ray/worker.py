"""What runs on a worker: the handlers of the job's kind, one item after the other on each of its threads."""

import hashlib
import json
import queue
import socket
import threading
import traceback
from dataclasses import dataclass, field, replace
from typing import Any, cast

from autointerp.errors import AutointerpError, Failure, StoreError, StoreMissing, UserError
from autointerp.jobs.handlers import Context, JobCancelled, JobKind, StopJob
from autointerp.jobs.kinds import job_kinds
from autointerp.jobs.on_ray.line import Line, Message, Remote, RemoteBudget, RemoteReplies
from autointerp.llm.cancel import CancelToken
from autointerp.llm.costs import Budget
from autointerp.llm.messages import Usage
from autointerp.llm.options import LLMOptions
from autointerp.llm.secrets import Secret
from autointerp.pipeline.floors import Floors
from autointerp.pipeline.resources import Resources, Server, StoredReplies
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Job, Outcome

SAY_SECONDS = 5.0


@dataclass(frozen=True)
class Brief:
    """What a worker is told first. `fingerprint`: of the store where the job runs. `server`, `key`: where it asks the language
    model; never part of an actor's constructor, which Ray keeps."""

    store: str
    fingerprint: str
    job: Job
    n_threads: int
    server: str | None
    key: str = field(repr=False)


def fingerprint(store: Store, coder: str) -> str:
    """What a copy of the store shares, and no other store: its text and this coder."""
    parts = [store.meta["corpus"]["sha256"], store.generation().coder(coder).identity]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class BatchWorker:
    """An actor. `hear` and `say` are the two directions of its line."""

    def __init__(self) -> None:
        self._line = Line()
        self._stop = CancelToken()
        self._todo: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def open(self, brief: Brief) -> None:
        """Begin, in the background; "ready" follows, or why not."""
        threading.Thread(target=self._open, args=(brief,), daemon=True).start()

    def hear(self, what: str, *args: Any) -> None:
        """An item to "do", an "answer", or to "stop"."""
        if what == "do":
            self._todo.put((args[0], args[1]))
        elif what == "answer":
            self._line.answered(*args)
        else:
            self._stop.cancel()

    def say(self) -> list[Message]:
        """What there is to say; waits for it a while."""
        return self._line.take(SAY_SECONDS)

    def _open(self, brief: Brief) -> None:
        try:
            resources = _WorkerResources(_opened(brief), self._line, brief)
            kind = next(kind for kind in job_kinds(resources) if kind.name == brief.job.kind)
            # As a job of one item: none looks ahead at the others' explanations.
            context = Context(replace(brief.job, total=1), self._stop, self._keep)
            assert kind.setup is not None
            with kind.setup(brief.job.payload, context) as context.state:
                work = [
                    threading.Thread(target=self._work, args=(kind, brief.job, context), daemon=True)
                    for _ in range(brief.n_threads)
                ]
                for thread in work:
                    thread.start()
                self._line.tell("ready")
                for thread in work:
                    thread.join()  # to the end of the process
        except AutointerpError as error:
            self._line.tell("unfit", Failure.of(error))
        except BaseException:
            self._line.tell("unfit", Failure(traceback.format_exc(limit=-3), "bug"))

    def _work(self, kind: JobKind, job: Job, context: Context) -> None:
        while True:
            number, item = self._todo.get()
            self._line.tell("ended", number, *self._handle(kind, job, item, context))

    def _handle(self, kind: JobKind, job: Job, item: Any, context: Context) -> tuple[str, Any]:
        """How the item ended, as `workers.Workers.do` takes it."""
        try:
            if not self._stop.cancelled:
                return "outcome", kind.handler(job.payload, item, context) or Outcome()
        except StopJob as error:
            return "stop", error.failure
        except JobCancelled:
            pass
        except AutointerpError as error:
            return "failed", Failure.of(error)
        except BaseException:
            return "bug", traceback.format_exc(limit=-3)
        return "cancelled", None

    def _keep(self, part: Outcome) -> None:
        self._line.ask("keep", part).result()


class _WorkerResources(Resources):
    """The store's files, read here; everything else over the line."""

    def __init__(self, store: Store, line: Line, brief: Brief):
        super().__init__(store, cast(Annotations, Remote(line, "annotations")))
        self.floors = cast(Floors, Remote(line, "floors"))
        self.replies = cast(StoredReplies, RemoteReplies(line))
        self._line = line
        self._brief = brief

    def server(self, options: LLMOptions) -> Server:
        assert self._brief.server is not None
        return Server(self._brief.server, Secret(self._brief.key))

    def budget(self, max_tokens: int | None, max_cost: float | None, spent: Usage | None) -> Budget:
        return RemoteBudget(self._line, max_tokens, max_cost)


def _opened(brief: Brief) -> Store:
    """Raises UserError for another store than the job's."""
    where = f"on the worker {socket.gethostname()}"
    shared = (
        "Workers read the store's files: put it into a folder that all machines share under the same path."
    )
    try:
        store = Store.open(brief.store)
        known = fingerprint(store, str(brief.job.payload["coder"]))
    except StoreMissing:
        raise StoreMissing(f"there is no store at {brief.store} {where}. {shared}") from None
    except StoreError as error:
        raise type(error)(f"{where}: {error}") from None
    except UserError as error:  # no such coder
        raise StoreError(f"the store at {brief.store} {where} is a different one: {error} {shared}") from None
    if known != brief.fingerprint:
        raise StoreError(
            f"the store at {brief.store} {where} is not the one where the command runs. {shared}"
        )
    return store
