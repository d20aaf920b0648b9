"""Explain and score every live latent of every coder: what `autointerp explain` and `autointerp score --scorer detection
fuzzing embedding` do by default, for all coders, in two processes, because most of it is plain Python.

A batch run later finds the work done. Whatever is killed, the next run, or an app that has the store open, goes on where it
stopped.
"""

import atexit
import fcntl
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autointerp.cli.shared.batch import (
    embed_windows,
    explain_latents,
    job_runner,
    open_resources,
    score_explanations,
)
from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import Job
from autointerp.jobs.kinds import embed_job, explain_job, score_job
from autointerp.pipeline.pending import live_latents
from autointerp.pipeline.resources import Resources
from autointerp.records import canonical_json, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress, ProgressCallback, no_progress

EXPLAIN = ExplainOptions(explainer="pattern")
SCORES = tuple(ScoreOptions(scorer=scorer) for scorer in ("detection", "fuzzing", "embedding"))

PART = 800
"""Items in one job at most, so that two processes finish at about the same time."""
LOCK = ".complete.lock"
_POLL_SECONDS = 0.5
_RECENT = 1000
_EMBED_JOB = embed_job(SCORES[-1].embedder, SCORES[-1].window)
_UNITS = {"embed": "windows", "explain": "latents", "score": "explanations"}

Task = tuple[Any, ...]
"""A function for another process, and its arguments after the resources."""


@dataclass(frozen=True)
class Missing:
    """By coder, latents without an attempt at an explanation and explanations without an attempt at a score; whether windows
    are to be embedded. Attempts count, not successes: what failed once fails again, without a language model."""

    windows: bool = False
    latents: dict[str, list[int]] = field(default_factory=dict)
    explanations: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.windows or bool(self.latents) or bool(self.explanations)


@dataclass(frozen=True)
class Completion:
    """What `complete` did: latents explained and explanations scored, and seconds."""

    explained: int = 0
    scored: int = 0
    seconds: float = 0.0


def missing(resources: Resources) -> Missing:
    """What is still to be done; a second for the demo."""
    store, annotations = resources.store, resources.annotations
    latents, explanations = {}, {}
    for info in store.coders():
        attempts = [
            explanation
            for explanation in annotations.iter_explanations(
                info.coder, explainer=EXPLAIN.explainer, failed=True
            )
            if explanation.config_hash == config_hash(EXPLAIN.identity())
        ]
        attempted = {explanation.latent for explanation in attempts}
        good = {explanation.latent: explanation.id for explanation in attempts if explanation.status == "ok"}
        scored = [
            annotations.scored(
                info.coder,
                scorer=options.scorer,
                judge=options.judge_name,
                config_hash=config_hash(options.identity()),
                failed=True,
            )
            for options in SCORES
        ]
        latents[info.coder] = [
            latent for latent in live_latents(store, info.coder) if latent not in attempted
        ]
        explanations[info.coder] = [
            id_ for id_ in good.values() if not all(id_ in by_scorer for by_scorer in scored)
        ]
    return Missing(
        store.embeddings(SCORES[-1].embedder, window=SCORES[-1].window) is None,
        {coder: left for coder, left in latents.items() if left},
        {coder: left for coder, left in explanations.items() if left},
    )


def missing_in(path: Path) -> Missing:
    """`missing` of the store at `path`, which may be one that cannot be written."""
    with Annotations(path) as annotations:
        return missing(Resources(Store.open(path), annotations))


def complete(path: Path, progress: ProgressCallback = no_progress) -> Completion:
    """Do what is `missing`, in two processes where there are two cores. Another run on the same store is waited for.

    KeyboardInterrupt leaves the jobs under way for the next run. Raises StoreError, UserError when a process was killed or a
    job was cancelled.
    """
    start = time.monotonic()
    with _alone(path, progress), open_resources(path) as resources:
        resources.annotations.jobs.recover()
        unfinished = _unfinished(resources)
        if not unfinished and not missing(resources):
            return Completion(seconds=time.monotonic() - start)
        with _processes(path, min(2, os.cpu_count() or 1)) as pool:

            def work(tasks: Sequence[Task], report: Callable[[], None]) -> None:
                running = {pool.submit(_work, *task) for task in tasks}
                while running:
                    ended, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                    for future in ended:
                        future.result()
                    report()

            work([(_continue, job.id) for job in unfinished], _reporter(resources, {}, progress))
            unexplained = missing(resources)
            tasks: list[Task] = [
                (explain_latents, coder, part, EXPLAIN) for coder, part in _parts(unexplained.latents)
            ]
            totals = {"explain": _count(unexplained.latents)}
            if unexplained.windows:
                totals["embed"] = resources.store.window_places(SCORES[-1].window).n_windows
                tasks.insert(0, (embed_windows, SCORES[-1]))
            work(tasks, _reporter(resources, totals, progress))
            # Only when all is explained: the floor of a score is another explanation's.
            unscored = missing(resources)
            totals = {"score": _count(unscored.explanations)}
            tasks = [
                (score_explanations, coder, part, SCORES) for coder, part in _parts(unscored.explanations)
            ]
            work(tasks, _reporter(resources, totals, progress))
        if missing(resources):
            raise UserError(
                "explanations and scores are incomplete: a job was cancelled or failed, see the Jobs page. Run the same "
                "command again to do the rest."
            )
    return Completion(_count(unexplained.latents), _count(unscored.explanations), time.monotonic() - start)


def _count(by_coder: Mapping[str, Sequence[object]]) -> int:
    return sum(map(len, by_coder.values()))


@contextmanager
def _alone(path: Path, progress: ProgressCallback) -> Iterator[None]:
    with open(path / LOCK, "wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                progress(Progress("waiting for another run", 0, 1, "runs"))
                time.sleep(_POLL_SECONDS)
        yield


# Parts of the work, and how far they are -----------------------------------------------------------------------


def _parts(items: Mapping[str, Sequence[Any]]) -> list[tuple[str, Sequence[Any]]]:
    """Every coder's items in even parts of at most PART, the largest first."""
    parts = []
    for coder, left in items.items():
        n_parts = -(-len(left) // PART)
        parts += [(coder, left[at::n_parts]) for at in range(n_parts)]
    return sorted(parts, key=lambda part: -len(part[1]))


def _unfinished(resources: Resources) -> list[Job]:
    """Jobs of an earlier run that wait or are being done elsewhere, oldest first."""
    jobs = resources.annotations.jobs.active()
    return [job for job in reversed(jobs) if job.state != "preparing" and _is_part(resources, job)]


def _is_part(resources: Resources, job: Job) -> bool:
    """Whether a job does what jobs of a run do, and is not a person's own with other options."""
    coder = job.payload.get("coder", "")
    work = {
        "embed": _EMBED_JOB,
        "explain": explain_job(coder, [], EXPLAIN),
        "score": score_job(coder, [], SCORES),
    }
    return job.kind in work and canonical_json(job.payload) == canonical_json(work[job.kind]["payload"])


def _reporter(
    resources: Resources, totals: Mapping[str, int], progress: ProgressCallback
) -> Callable[[], None]:
    """Adds up how far jobs are that begin from now on. `totals`: by kind of job, how much there is to do."""
    table = resources.annotations.jobs
    before = {job.id for job in table.recent(limit=_RECENT)}

    def report() -> None:
        done = dict.fromkeys(totals, 0.0)
        for job in table.recent(limit=_RECENT):
            if job.id not in before and job.kind in done and _is_part(resources, job):
                done[job.kind] += job.fraction * (totals["embed"] if job.kind == "embed" else job.total)
        for kind, total in totals.items():
            if total:
                progress(Progress(kind, min(round(done[kind]), total), total, _UNITS[kind]))

    return report


# In a process of its own ---------------------------------------------------------------------------

_resources: Resources | None = None


@contextmanager
def _processes(path: Path, n: int) -> Iterator[ProcessPoolExecutor]:
    """Raises UserError when one was killed. On any exception the others are ended; their jobs are for the next run."""
    spawn = multiprocessing.get_context("spawn")  # threads and open databases do not survive a fork
    pool = ProcessPoolExecutor(n, mp_context=spawn, initializer=_begin, initargs=(path,))
    try:
        yield pool
    except BaseException as error:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process was killed (out of memory?). Run the same command again to continue where it stopped."
            ) from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(path: Path) -> None:
    """Ctrl-C is for the parent, and nobody outlives it."""
    global _resources
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, name="parent", daemon=True).start()
    opened = ExitStack()
    _resources = opened.enter_context(open_resources(path))
    # Millions of small objects that hold no cycles: looking for cycles all the time costs a tenth.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    atexit.register(_end, opened)


def _end(opened: ExitStack) -> None:
    """Without taking the interpreter apart: DuckDB 2.0 beside torch would report a page of leaks there."""
    opened.close()
    os._exit(0)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Callable[..., object], *arguments: Any) -> None:
    assert _resources is not None
    task(_resources, *arguments, quiet=True)


def _continue(resources: Resources, job_id: str, *, quiet: bool) -> None:
    job_runner(resources).run_job(job_id)
