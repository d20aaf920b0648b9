"""Reading (and replacing) what flows through a module, and stopping the forward pass once every tap has been seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from autointerp.errors import ModelLoadError

Side = Literal["input", "output"]


@dataclass(frozen=True)
class Tap:
    """One tensor of a forward pass: what goes into, or comes out of, the module at `module` (path in the base model)."""

    module: str
    side: Side

    def __str__(self) -> str:
        return f"{self.module} ({self.side})"


class StopForward(BaseException):
    """Raised inside a hook once every tap has been seen. Not an `Exception`: no handler in a model's code may swallow it."""


def _input_key(tap: Tap, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """Where a module's input is: `None` for the first positional argument, else `hidden_states` or the first such keyword."""
    candidates = {None: args[0] if args else None, "hidden_states": kwargs.get("hidden_states"), **kwargs}
    for key, value in candidates.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            return key
    raise ModelLoadError(
        f"{tap.module} takes no floating-point tensor, so its input cannot be read. Choose its output or another module."
    )


def output_tensor(tap: Tap, output: Any) -> Tensor:
    """The tensor a module returned: itself, or the first element of a tuple or of a transformers output."""
    if hasattr(output, "to_tuple"):
        output = output.to_tuple()
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    raise ModelLoadError(f"{tap.module} returns {type(output).__name__}, not a tensor of activations.")


def with_output(output: Any, tensor: Tensor) -> Any:
    """A module's output with the tensor that `output_tensor` finds replaced."""
    if isinstance(output, tuple):
        return (tensor, *output[1:])
    if isinstance(output, list):
        return [tensor, *output[1:]]
    if hasattr(output, "to_tuple"):
        output[next(iter(output))] = tensor
        return output
    return tensor


@contextmanager
def hooked(
    base: nn.Module, taps: Sequence[Tap], function: Callable[[Tap, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call `function(tap, tensor)` whenever a forward pass of `base` reaches a tap. What it returns, unless `None`, replaces
    the tensor for the rest of the model."""
    handles = []
    try:
        for tap in dict.fromkeys(taps):
            module = base.get_submodule(tap.module)
            if tap.side == "input":

                def before(_m: nn.Module, args: tuple, kwargs: dict, tap: Tap = tap) -> tuple | None:
                    key = _input_key(tap, args, kwargs)
                    changed = function(tap, args[0] if key is None else kwargs[key])
                    if changed is None:
                        return None
                    return ((changed, *args[1:]), kwargs) if key is None else (args, {**kwargs, key: changed})

                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            else:

                def after(_m: nn.Module, _args: tuple, output: Any, tap: Tap = tap) -> Any:
                    changed = function(tap, output_tensor(tap, output))
                    return None if changed is None else with_output(output, changed)

                handles.append(module.register_forward_hook(after))
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def read(base: nn.Module, taps: Sequence[Tap], inputs: Mapping[str, Tensor]) -> dict[Tap, Tensor]:
    """Run `base` on `inputs`, among them `input_ids` Int64[Tensor, "batch ctx_len"], only as far as the last tap: each tap's
    tensor, [batch, ctx_len, width].

    A module's first call counts; models that call one module several times are refused by `SubjectModel.probe`. Some models
    (OPT) flatten batch and position inside a layer; the tensors are given their rows back.
    """
    seen: dict[Tap, Tensor] = {}
    wanted = dict.fromkeys(taps)

    def note(tap: Tap, tensor: Tensor) -> None:
        if tap not in seen:
            is_last = len(seen) == len(wanted) - 1
            seen[tap] = tensor if is_last else tensor.clone()  # Falcon adds to an MLP's output in place
        if len(seen) == len(wanted):
            raise StopForward

    with hooked(base, taps, note):
        try:
            base(**inputs)
        except StopForward:
            rows = inputs["input_ids"].shape
            return {tap: tensor.reshape(*rows, -1) for tap, tensor in seen.items()}
    never = ", ".join(str(tap) for tap in wanted if tap not in seen)
    raise ModelLoadError(f"the forward pass never reached {never}")
