"""Threads that each compute on one core, with torch's own threading turned off.

Torch splits every matrix product over all cores and waits for the slowest. On a machine that does anything else, pages
for example, that waiting costs more than the work: with another program on both of two cores, texts took seven times as long
and four times the CPU time. Whole batches side by side wait for nothing.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

_lock = threading.Lock()


@cache
def bulk() -> ThreadPoolExecutor:
    """For many texts: as many threads as torch would use."""
    return _pool("embed", max(1, torch.get_num_threads()))


@cache
def quick() -> ThreadPoolExecutor:
    """For a query, which does not wait behind a corpus."""
    return _pool("embed-query", 1)


def _pool(name: str, n: int) -> ThreadPoolExecutor:
    """`n` threads that compute with one core each. The setting is per thread, but torch hands the last one on to threads that
    come later, so it is put back when all have started."""
    with _lock:
        before = torch.get_num_threads()
        started = threading.Barrier(n + 1)
        pool = ThreadPoolExecutor(n, name, initializer=_use_one_core)
        for _ in range(n):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool


def _use_one_core() -> None:
    torch.get_num_threads()  # the first call in a thread takes over the process's number, which would undo the next line
    torch.set_num_threads(1)
