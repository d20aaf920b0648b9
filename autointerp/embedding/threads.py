"""Threads that each compute alone: torch's own threads turned off in them.

Torch splits every matrix product over all cores and waits for the slowest. On a machine that does anything else, pages
for example, that waiting costs more than the work: with another program on both of two cores, texts took seven times as long
and four times the CPU time. Whole batches side by side wait for nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")

_lock = threading.Lock()


@cache
def n_threads() -> int:
    """As many as torch would use."""
    return max(1, torch.get_num_threads())


@cache
def bulk() -> ThreadPoolExecutor:
    """For many texts."""
    return _pool("embed", n_threads())


@cache
def quick() -> ThreadPoolExecutor:
    """For a query, which does not wait behind a corpus."""
    return _pool("embed-query", 1)


def as_done(
    pool: ThreadPoolExecutor, work: Callable[[Task], Result], tasks: Iterable[Task], *, ahead: int
) -> Iterator[tuple[Task, Result]]:
    """(task, result) as they come, `ahead` tasks in the pool at most; the others are not begun when the caller stops."""
    running: dict[Future[Result], Task] = {}
    waiting = iter(tasks)
    try:
        while True:
            while len(running) < ahead and (task := next(waiting, None)) is not None:
                running[pool.submit(work, task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _pool(name: str, n: int) -> ThreadPoolExecutor:
    """`n` threads that compute with one core each. The setting is per thread, but torch hands the last one on to threads that
    come later, so it is put back when all have started."""
    with _lock:
        before = torch.get_num_threads()
        started = threading.Barrier(n + 1)
        pool = ThreadPoolExecutor(n, name, initializer=_alone)
        for _ in range(n):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool


def _alone() -> None:
    torch.get_num_threads()  # the first call in a thread takes over the process's number, which would undo the next line
    torch.set_num_threads(1)
