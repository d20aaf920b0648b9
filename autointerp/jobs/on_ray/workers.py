"""The workers of a job, from the side of the job's process: handing items out, doing again what died with a worker."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from autointerp.cluster import Actor, Cluster, WorkerLost
from autointerp.errors import Failure
from autointerp.jobs.handlers import Context, JobCancelled, JobKind, StopJob
from autointerp.jobs.kinds import MAX_WORKERS, job_kinds
from autointerp.jobs.llm import asked
from autointerp.jobs.on_ray.desk import Desk
from autointerp.jobs.on_ray.line import Message, error_of
from autointerp.jobs.on_ray.worker import BatchWorker, Brief, fingerprint
from autointerp.jobs.sessions import opened, workers
from autointerp.pipeline.resources import Resources
from autointerp.store.annotations import Outcome
from autointerp.types import Progress

_AHEAD = 4
"""Items that wait at a worker beyond those it works on, so that it is never idle between two."""
_ATTEMPTS = 5
"""How often an item is tried whose worker dies, and how often a worker is started that dies before it is ready."""
_MOST_THREADS = 1024
_STOP_SECONDS = 3.0
_DOWN_SECONDS = 30.0


@dataclass(frozen=True)
class Spread:
    """Over how many workers of an open cluster a job goes, and which servers they ask, in turn; none: the one that the job
    names. Several are replicas of that one, which keys, hashes and rows name: where an answer came from changes nothing."""

    cluster: Cluster
    n_workers: int
    servers: Sequence[str] = ()


def spread_kinds(resources: Resources, spread: Spread) -> list[JobKind]:
    """The kinds of jobs that work on this store, explaining and scoring on the cluster."""
    kinds = job_kinds(resources)
    return [_spread(kind, resources, spread) if kind.name in ("explain", "score") else kind for kind in kinds]


def _spread(kind: JobKind, resources: Resources, spread: Spread) -> JobKind:
    @contextmanager
    def setup(payload: Mapping[str, Any], context: Context) -> Iterator[Workers]:
        with opened(resources, context) as session:
            desk = Desk(resources, session, context)
            context.meter = desk.spent
            briefs = _briefs(resources, spread, payload, context)
            with Workers(spread.cluster, desk, briefs, context) as started:
                started.wait()
                yield started

    def handler(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        started: Workers = context.state
        return started.do(item)

    def threads(payload: Mapping[str, Any]) -> int:
        return min(_MOST_THREADS, spread.n_workers * (workers(payload, MAX_WORKERS) + _AHEAD))

    return replace(kind, handler=handler, workers=threads, setup=setup)


def _briefs(
    resources: Resources, spread: Spread, payload: Mapping[str, Any], context: Context
) -> list[Brief]:
    """One for each worker. Raises KeyGone, and UnknownName for a coder that is not in the store."""
    llm = asked(payload)
    urls = [] if llm is None else spread.servers or [llm.base_url]
    servers = [] if llm is None else [resources.server(replace(llm, base_url=url)) for url in urls]
    brief = Brief(
        store=str(resources.store.path),
        fingerprint=fingerprint(resources.store, str(payload["coder"])),
        job=context.job,
        n_threads=workers(payload, MAX_WORKERS),
        server=None,
        key="",
    )
    if not servers:
        return [brief] * spread.n_workers
    turns = itertools.islice(itertools.cycle(servers), spread.n_workers)
    return [replace(brief, server=server.url, key=server.key.reveal()) for server in turns]


@dataclass(eq=False)
class _Place:
    """Of one worker, and of the one that replaces it. `number` changes with each; `items`: handed to it, not ended."""

    brief: Brief
    number: int = 0
    actor: Actor | None = None
    ready: bool = False
    n_unready: int = 0
    items: dict[int, "Future[tuple[str, Any]]"] = field(default_factory=dict)


class Workers:
    """Started and stopped with the `with`. Thread-safe."""

    def __init__(self, cluster: Cluster, desk: Desk, briefs: Sequence[Brief], context: Context):
        self._cluster, self._desk, self._context = cluster, desk, context
        self._places = [_Place(brief) for brief in briefs]
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._down: dict[str, float] = {}
        """Until when (monotonic) servers that could not be reached are given less."""
        self._failure: Failure | None = None
        self._closing = False
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._forget_stop = self._context.stop.on_cancel(self._stop)
        for place in self._places:
            thread = threading.Thread(target=self._attend, args=(place,), name="ray-worker", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_stop()
        self._closing = True
        self._stop()
        with self._changed:  # what was paid for while they stop is kept
            self._changed.wait_for(lambda: not any(place.items for place in self._places), _STOP_SECONDS)
            for place in self._places:
                self._end_all(place, "cancelled", None)
                if place.actor is not None:
                    place.actor.kill()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    def wait(self) -> None:
        """Until one is ready. Raises JobCancelled, and UserError when none will be."""
        while not self._any_ready():
            self._context.progress(Progress("start workers", 0, len(self._places), "workers"))
        self._context.stage = None

    def do(self, item: Any) -> Outcome:
        """On whichever worker has the least to do. Raises what the handler raised there."""
        avoided: set[str | None] = set()
        how: str = "lost"
        value: Any = None
        for _ in range(_ATTEMPTS):
            place, end = self._hand_out(item, avoided)
            how, value = end.result()
            if how == "outcome" and self._is_unreached(value, place.brief.server, avoided):
                avoided.add(place.brief.server)
            elif how != "lost":
                break
        match how:
            case "outcome":
                return value
            case "stop":
                raise StopJob(value)
            case "cancelled":
                raise JobCancelled(f"job {self._context.job.id} was asked to stop")
            case "failed":
                raise error_of(value)
            case "bug":
                raise RuntimeError(f"on a worker:\n{value}")
            case _:
                error = f"the worker died in each of {_ATTEMPTS} attempts, the last with: {value}"
                return Outcome(failure=Failure(error, "crashed", retryable=True))

    def _is_unreached(self, outcome: Outcome, server: str | None, avoided: set[str | None]) -> bool:
        """Whether the item's server did not answer, and another one may. It is given less for a while: its items fail soon,
        and it would take most of them."""
        failure, servers = outcome.failure, {place.brief.server for place in self._places}
        if failure is None or failure.error_kind != "unreachable" or outcome.tokens_in or server is None:
            return False
        self._down[server] = time.monotonic() + _DOWN_SECONDS
        return bool(servers - avoided - {server})

    def _hand_out(self, item: Any, avoided: set[str | None]) -> "tuple[_Place, Future[tuple[str, Any]]]":
        def least(place: _Place) -> tuple[bool, bool, int]:
            server = place.brief.server
            down = self._down.get(server or "", 0.0) > time.monotonic()
            return server in avoided, down, len(place.items)

        number, end = next(self._numbers), Future[tuple[str, Any]]()
        with self._changed:
            while not (free := [place for place in self._places if self._has_room(place)]):
                self._check()
                self._changed.wait(0.2)
            self._check()
            place = min(free, key=least)
            place.items[number] = end
            assert place.actor is not None
            place.actor.call("hear", "do", number, item)
        return place, end

    def _check(self) -> None:
        if self._failure is not None:
            raise StopJob(self._failure)
        if self._closing:
            raise JobCancelled(f"job {self._context.job.id} was asked to stop")
        self._context.check()

    def _any_ready(self) -> bool:
        with self._changed:
            if self._failure is not None:
                raise error_of(self._failure)
            return self._changed.wait_for(lambda: any(place.ready for place in self._places), 0.5)

    def _has_room(self, place: _Place) -> bool:
        return place.ready and len(place.items) < place.brief.n_threads + _AHEAD

    def _attend(self, place: _Place) -> None:
        """Start a worker, listen to it, and start another one when it dies."""
        while not self._closing:
            place.number = next(self._numbers)
            try:
                actor = self._cluster.start(BatchWorker, len(self._places))
                with self._changed:
                    if self._closing:
                        actor.kill()
                        return
                    place.actor = actor
                actor.call("open", place.brief)
                while True:
                    for message in actor.get("say"):
                        self._hear(place, actor, message)
            except WorkerLost as error:
                if not self._closing:
                    self._lost(place, str(error))
            except Exception as error:
                self._give_up(Failure(f"unexpected {type(error).__name__}: {error}", "bug"))
                return

    def _hear(self, place: _Place, actor: Actor, message: Message) -> None:
        match message.what:
            case "ready":
                with self._changed:
                    place.ready, place.n_unready = True, 0
                    self._changed.notify_all()
                if self._context.stop.cancelled:
                    actor.call("hear", "stop")
            case "unfit":
                self._give_up(message.args[0])
            case "ended":
                number, how, value = message.args
                with self._changed:
                    if (end := place.items.pop(number, None)) is not None:
                        end.set_result((how, value))
                    self._changed.notify_all()
            case _:
                number = message.number

                def answer(value: Any, failure: Failure | None) -> None:
                    if number is not None:
                        actor.call("hear", "answer", number, value, failure)

                self._desk.hear(place.number, message, answer)

    def _lost(self, place: _Place, reason: str) -> None:
        self._desk.lost(place.number)
        with self._changed:
            if not place.ready:
                place.n_unready += 1
                if place.n_unready >= _ATTEMPTS:
                    text = f"a Ray worker died {_ATTEMPTS} times before it could begin, the last time with: {reason}"
                    self._failure = self._failure or Failure(text, "crashed", retryable=True)
            place.ready, place.actor = False, None
            self._end_all(place, "lost", reason)

    def _give_up(self, failure: Failure) -> None:
        with self._changed:
            self._failure = self._failure or failure
            for place in self._places:
                self._end_all(place, "stop", failure)

    def _end_all(self, place: _Place, how: str, value: Any) -> None:
        """Needs the lock."""
        ends, place.items = list(place.items.values()), {}
        for end in ends:
            end.set_result((how, value))
        self._changed.notify_all()

    def _stop(self) -> None:
        for place in self._places:
            if (actor := place.actor) is not None:
                actor.call("hear", "stop")
