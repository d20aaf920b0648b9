"""Going on from a clean pass: the layers before the one that is changed give what they gave then, and are not run again."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel


def layers_before(subject: SubjectModel, module: str) -> list[str]:
    """The layers that stand before the one with `module` in the first list of modules on its path."""
    parts = module.split(".")
    for at, part in enumerate(parts):
        around = ".".join(parts[:at])
        if part.isdigit() and isinstance(subject.modules.get(around), nn.ModuleList):
            return [f"{around}.{index}" for index in range(int(part))]
    return []


def layers_unchanged(subject: SubjectModel, taps: Sequence[Tap]) -> list[str]:
    """The layers that give what they gave before where nothing is changed or read but at `taps`: those before the layers of all
    taps, and that layer too where its output is all that is tapped."""
    before = [layers_before(subject, tap.module) for tap in taps]
    shared = min(before, key=len)
    if any(names[: len(shared)] != shared for names in before):
        return []
    [first, *others] = {(tap.module, tap.side) for tap in taps}
    around, _, number = first[0].rpartition(".")
    is_layer = isinstance(subject.modules.get(around), nn.ModuleList) and number == str(len(shared))
    return [*shared, first[0]] if is_layer and not others and first[1] == "output" else shared


@contextmanager
def giving(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within, the module answers by `forward` without running; its hooks are called."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        _restore(module, own)


def _restore(module: nn.Module, own: Any) -> None:
    if own is None:
        module.__dict__.pop("forward", None)
    else:
        module.__dict__["forward"] = own


@dataclass
class CleanPass:
    """Of `rows` rows over the positions that were read: what each layer returned (by its name), and the cache after them.
    `first` Float32[Tensor, "rows vocab"]: log probabilities of the next token."""

    rows: int
    outputs: dict[str, Any] = field(default_factory=dict)
    n_read: int = 0
    cache: Any = None
    first: Tensor = field(default_factory=lambda: torch.empty(0))


@contextmanager
def recording(subject: SubjectModel, layers: Sequence[str], clean: CleanPass) -> Iterator[None]:
    """Within, the forward pass that is run is noted in `clean`."""
    with ExitStack() as stack:

        def note(name: str, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            clean.outputs[name] = copy.deepcopy(output)  # some models add to it in place
            clean.cache = _cache_of(args, kwargs)

        for name in layers:
            handle = subject.modules[name].register_forward_hook(
                lambda _m, args, kwargs, output, name=name: note(name, args, kwargs, output), with_kwargs=True
            )
            stack.callback(handle.remove)
        yield


@contextmanager
def resuming(subject: SubjectModel, layers: Sequence[str], clean: CleanPass, repeats: int) -> Iterator[None]:
    """Within, the next forward pass, over `repeats` copies of each row of the clean pass and the same positions, takes from it
    what `layers` (the first of the model, in order) give and leave in the cache. Passes after that run them."""
    with ExitStack() as stack:
        for index, name in enumerate(layers):
            module = subject.modules[name]
            stack.enter_context(giving(module, _once(module, index, clean, clean.outputs[name], repeats)))
        yield


def _once(module: nn.Module, index: int, clean: CleanPass, output: Any, repeats: int) -> Callable[..., Any]:
    own = module.__dict__.get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        _restore(module, own)
        layers = _cache_of(args, kwargs).layers
        kept = copy.deepcopy(clean.cache.layers[index])
        if repeats > 1:
            kept.batch_repeat_interleave(repeats)
        if index < len(layers):
            layers[index] = kept
        else:
            layers.append(kept)
        return _repeated(output, repeats, clean.rows, clean.n_read)

    return forward


def _cache_of(args: tuple, kwargs: dict[str, Any]) -> Any:
    """The cache that a layer was given; `None` if it was given none that has an entry for each layer."""
    for value in (*args, *kwargs.values()):
        if hasattr(value, "layers") and hasattr(value, "get_seq_length"):
            return value
    return None


def _repeated(output: Any, repeats: int, rows: int, n_read: int) -> Any:
    """A module's output for `repeats` copies of each of its rows, one after the other."""
    if isinstance(output, Tensor):
        if output.ndim and len(output) == rows:
            return output.repeat_interleave(repeats, 0)
        if output.ndim and len(output) == rows * n_read:  # flat within a layer (OPT)
            return output.unflatten(0, (rows, n_read)).repeat_interleave(repeats, 0).flatten(0, 1)
        return output
    if isinstance(output, (tuple, list)) and type(output) in (tuple, list):
        return type(output)(_repeated(each, repeats, rows, n_read) for each in output)
    return output
