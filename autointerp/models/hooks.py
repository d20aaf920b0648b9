"""Reading (and replacing) what flows through a module, and stopping the forward pass once everything was seen."""

from collections.abc import Callable, Iterator, Sequence
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
    """Raised inside a hook when every tap was seen. Not an `Exception`: no handler in a model's code may swallow it."""


def input_tensor(tap: Tap, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """The tensor a module was called with: the first positional one, else `hidden_states`, else the first keyword one."""
    for value in (*args[:1], kwargs.get("hidden_states"), *kwargs.values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    raise ModelLoadError(
        f"{tap.module} gets no floating-point tensor as input, so its input cannot be read. Choose its output or "
        "another module."
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


def with_input(args: tuple, kwargs: dict[str, Any], tensor: Tensor) -> tuple[tuple, dict[str, Any]]:
    """A module's arguments with the tensor that `input_tensor` finds replaced."""
    if args and isinstance(args[0], Tensor) and args[0].is_floating_point():
        return (tensor, *args[1:]), kwargs
    for name in ("hidden_states", *kwargs):
        if isinstance(kwargs.get(name), Tensor) and kwargs[name].is_floating_point():
            return args, {**kwargs, name: tensor}
    raise ModelLoadError("the module gets no floating-point tensor as input")


def with_output(output: Any, tensor: Tensor) -> Any:
    """A module's output with the tensor that `output_tensor` finds replaced."""
    if isinstance(output, tuple):
        return (tensor, *output[1:])
    if isinstance(output, list):
        return [tensor, *output[1:]]
    if hasattr(output, "to_tuple"):
        first = next(iter(output))
        output[first] = tensor
        return output
    return tensor


@contextmanager
def hooked(
    base: nn.Module, taps: Sequence[Tap], function: Callable[[Tap, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call `function(tap, tensor)` whenever a tapped tensor appears in a forward pass of `base`. What it returns, unless
    `None`, takes the tensor's place, and the rest of the model runs on that."""
    handles = []
    try:
        for tap in dict.fromkeys(taps):
            module = base.get_submodule(tap.module)
            if tap.side == "input":

                def before(_m: nn.Module, args: tuple, kwargs: dict, tap: Tap = tap) -> tuple | None:
                    changed = function(tap, input_tensor(tap, args, kwargs))
                    return None if changed is None else with_input(args, kwargs, changed)

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


class TapReader:
    """Runs `base` only as far as the last tap. `read(ids)` gives each tap's tensor, [batch, ctx_len, width].

    A module's first call counts; models that call one module several times are refused by `SubjectModel.probe`.
    """

    def __init__(self, base: nn.Module, taps: Sequence[Tap]):
        self.base = base
        self.taps = tuple(dict.fromkeys(taps))

    @contextmanager
    def attached(self) -> Iterator["TapReader"]:
        """Hooks are in place within this context; `read` works only there."""
        self._seen: dict[Tap, Tensor] = {}
        with hooked(self.base, self.taps, self._note):
            yield self
        self._seen = {}

    def _note(self, tap: Tap, tensor: Tensor) -> None:
        self._seen.setdefault(tap, tensor)
        if len(self._seen) == len(self.taps):
            raise StopForward

    @torch.inference_mode()
    def read(self, ids: Tensor) -> dict[Tap, Tensor]:
        """One forward pass, ended at the last tap. `ids` Int64[Tensor, "batch ctx_len"]. Some models (OPT) flatten batch and
        position inside a layer; what they hold is given back in rows."""
        self._seen.clear()
        try:
            self.base(input_ids=ids)
        except StopForward:
            pass
        else:
            missing = [str(tap) for tap in self.taps if tap not in self._seen]
            raise ModelLoadError(f"the forward pass never reached {', '.join(missing)}")
        return {tap: tensor.reshape(*ids.shape, -1) for tap, tensor in self._seen.items()}
