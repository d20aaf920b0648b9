"""How many CPU threads torch uses: on a busy machine, several wait seconds for each other over work that one does at once."""

from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 4e9
"""Multiplications below which one CPU thread does the work (about 0.1 s)."""


@contextmanager
def threads_for(n_multiplications: float, small: float = SMALL) -> Iterator[None]:
    """Within, torch works on one thread where a pass takes fewer than `small` multiplications; else on its usual number."""
    import torch

    before = torch.get_num_threads()
    if n_multiplications < small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
