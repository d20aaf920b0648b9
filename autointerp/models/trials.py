"""Trying out what a model can do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def trial() -> Iterator[None]:
    """Within, an error of a model that cannot do what is tried ends the block, and no more. Running out of memory says nothing
    about the model, and is raised."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError, RuntimeError):
        pass
