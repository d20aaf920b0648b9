"""Loaded before every other conftest: the network guard must stand before a library reads the environment."""

import atexit
import os
import sys

pytest_plugins = ["tests.netguard"]

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are shared with the other workers


def _mute_standard_error() -> None:
    """Keep pytest's closing line the last one. With torch loaded, DuckDB 2.0's bindings report what the interpreter did not
    take apart at exit as leaks, a page of text on the C level's standard error; the program itself exits without any."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_mute_standard_error)
