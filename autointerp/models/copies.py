"""Several copies of the same rows side by side in one batch, so that one forward pass shows what a change changes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from autointerp.models.hooks import Tap, output_tensor, with_output


def tensors_of(output: Any) -> Iterator[Tensor]:
    """All tensors in a module's output."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from tensors_of(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from tensors_of(value)


def differ(tensor: Tensor) -> bool:
    """Whether the second half of a tensor's rows differs from the first."""
    if not tensor.is_floating_point() or not tensor.ndim or len(tensor) % 2:
        return False
    first, second = tensor.chunk(2)
    return not torch.equal(first, second)


def with_first_copy(output: Any, copies: int, only: int | None = None) -> Any:
    """A module's output in which the first copy's rows stand for all (or for the copy `only`)."""
    tensor = output_tensor(Tap("", "output"), output)
    rows = tensor.view(copies, -1, *tensor.shape[1:]).clone()
    if only is None:
        rows[1:] = rows[:1]
    else:
        rows[only] = rows[0]
    return with_output(output, rows.view(tensor.shape))
