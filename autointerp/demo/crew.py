"""The processes that do the jobs of the demo's completion side by side, and add their progress up."""

import atexit
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import embed_job, explain_job, job_kinds, score_job
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress, ProgressCallback

EXPLAIN = ExplainOptions(explainer="pattern")
SCORES = tuple(ScoreOptions(scorer=scorer) for scorer in ("detection", "fuzzing", "embedding"))
EMBEDDER = SCORES[2].embedder

STAGES = {
    "embed": ("embed", "windows"),
    "explain": ("explain", "features"),
    "score": ("score", "explanations"),
}


@dataclass(frozen=True)
class Task:
    """One job for one process. `items`: windows, latents, ids of explanations, or the one id of a job left behind."""

    stage: str
    coder: str = ""
    items: Sequence[Any] = ()
    left_behind: bool = False


@dataclass(frozen=True)
class _Report:
    task: int
    done: int


Work = Callable[[list[Task], ProgressCallback], None]


@contextmanager
def workers(path: Path, n: int) -> Iterator[Work]:
    """A function that does tasks in `n` processes and returns when all are done. With 1 in this process.

    Raises UserError when a process was killed. On any exception the others are ended; their jobs are for the next run.
    """
    if n == 1:
        worker = _Worker(path)
        try:
            yield lambda tasks, progress: _work_here(worker, tasks, progress)
        finally:
            worker.annotations.close()
        return
    spawn = multiprocessing.get_context("spawn")  # threads and open databases do not survive a fork
    reports: SimpleQueue[_Report] = spawn.SimpleQueue()
    pool = ProcessPoolExecutor(n, mp_context=spawn, initializer=_begin, initargs=(path, reports))
    try:
        yield lambda tasks, progress: _work_there(pool, reports, tasks, progress)
    except BaseException as error:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a killed job is found by the next run
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process of the demo's completion was killed (out of memory?). `autointerp demo` again goes on where it "
                "stopped."
            ) from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work_here(worker: "_Worker", tasks: list[Task], progress: ProgressCallback) -> None:
    stages = _Stages(tasks, progress)
    for number, task in enumerate(tasks):
        worker.do(task, lambda done, number=number: stages.report(number, done))
        stages.finish(number)


def _work_there(
    pool: ProcessPoolExecutor, reports: "SimpleQueue[_Report]", tasks: list[Task], progress: ProgressCallback
) -> None:
    stages = _Stages(tasks, progress)
    running: dict[Future[None], int] = {
        pool.submit(_do, number, task): number for number, task in enumerate(tasks)
    }
    while running:
        ended = wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done
        while not reports.empty():
            report = reports.get()
            stages.report(report.task, report.done)
        for future in ended:
            number = running.pop(future)
            future.result()
            stages.finish(number)


class _Stages:
    """Adds the progress of the tasks up, by stage."""

    def __init__(self, tasks: list[Task], progress: ProgressCallback):
        self._tasks = tasks
        self._progress = progress
        self._done = [0] * len(tasks)

    def report(self, number: int, done: int) -> None:
        if not self._tasks[number].left_behind:  # that is counted as one
            self._done[number] = done
            self._tell(self._tasks[number].stage)

    def finish(self, number: int) -> None:
        self._done[number] = len(self._tasks[number].items)
        self._tell(self._tasks[number].stage)

    def _tell(self, stage: str) -> None:
        of_stage = [i for i, task in enumerate(self._tasks) if task.stage == stage]
        left_behind = self._tasks[of_stage[0]].left_behind
        name, unit = (f"{stage} (continued)", "jobs") if left_behind else STAGES[stage]
        done = sum(self._done[i] for i in of_stage)
        self._progress(Progress(name, done, sum(len(self._tasks[i].items) for i in of_stage), unit))


class _Worker:
    """One process's store, models and runner."""

    def __init__(self, path: Path):
        self.store = Store.open(path)
        self.annotations = Annotations(path)
        self.resources = Resources(self.store, self.annotations)
        self.runner = JobRunner(self.annotations, job_kinds(self.resources))

    def do(self, task: Task, report: Callable[[int], None]) -> None:
        def tell(step: Progress) -> None:
            report(step.done)

        if task.left_behind:
            self.runner.run_job(str(task.items[0]))
        elif task.stage == "embed":
            with self._telling_windows(report):
                self.runner.run(**embed_job(EMBEDDER))
        elif task.stage == "explain":
            self.runner.run(**explain_job(task.coder, task.items, EXPLAIN), progress=tell)
            self._embed_texts(task.coder)
        else:
            # From the store into memory: one look instead of one per score.
            self._embed_texts(task.coder)
            self.runner.run(**score_job(task.coder, task.items, SCORES), progress=tell)

    @contextmanager
    def _telling_windows(self, report: Callable[[int], None]) -> Iterator[None]:
        """To a job, all windows are one item; how far it is stands in the store."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(1.0):
                for job in self.annotations.jobs.active():
                    if job.kind == "embed" and job.stage_done:
                        report(job.stage_done)

        thread = threading.Thread(target=look, name="look", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _embed_texts(self, coder: str) -> None:
        """The vectors of a coder's explanations, all at once."""
        texts = self.annotations.summary(coder)["text"].to_pylist()
        self.resources.embedder(EMBEDDER).embed_queries(texts)


_worker: _Worker | None = None
_reports: "SimpleQueue[_Report] | None" = None


def _begin(path: Path, reports: "SimpleQueue[_Report]") -> None:
    """In a new process: Ctrl-C is for the parent, and nobody outlives it."""
    global _worker, _reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, name="parent", daemon=True).start()
    _worker, _reports = _Worker(path), reports
    # Millions of small objects that hold no cycles: looking for cycles all the time costs a tenth.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    atexit.register(_end)


def _end() -> None:
    """Without taking the interpreter apart: DuckDB 2.0 beside torch would report a page of leaks there."""
    assert _worker is not None
    _worker.annotations.close()
    os._exit(0)


def _do(number: int, task: Task) -> None:
    assert _worker is not None
    assert _reports is not None
    reports, said = _reports, [0.0]

    def report(done: int) -> None:
        if time.monotonic() - said[0] > 0.2:
            said[0] = time.monotonic()
            reports.put(_Report(number, done))

    _worker.do(task, report)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
