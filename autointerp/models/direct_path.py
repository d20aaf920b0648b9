"""The direct path from a module's output to the logits: found by running the model, not by the names of its parts.

A change at the module reaches the logits along the residual stream, through the norms that stand there, and through every
later layer that reads the stream. The direct path is the first without the second: whatever holds a weight matrix in a later
part of the layers keeps its value. To see it, copies of the same contexts run side by side in one batch; the module's output
is changed in all but the first, and what holds a matrix gets the first copy's output in all of them.

What changes then is the path. Its mean linear part over the text's own tokens follows from the norms on it, and is compared
with changes of the logits as measured; where both disagree, there is no path to show.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autointerp.models.copies import differ, tensors_of, with_first_copy
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel

N_TOP = 10
MIN_AGREEMENT = 0.9
"""Of the ten tokens that a direction raises most by measurement, the share that the path must name, on average."""
N_DIRECTIONS = 4
MEASURED_TOKENS = 64
LOGIT_BYTES = 256 << 20
PRODUCT_TOKENS = 256
TRACED_TOKENS = 8
SIZED_ROWS = 4
STEP = 0.05
"""Size of a measured change, as a share of the module's output."""
NARROW_STEP = 0.15
"""The same for a model in half precision, where a smaller one drowns in rounding."""


class NoDirectPath(Exception):
    """Why a module has no direct path to the logits, as a sentence."""


@dataclass(frozen=True)
class DirectPath:
    """`matrix` Float32[Tensor, "d_out d_head"]: a direction at the module times this is the mean change of what the unembedding
    reads, per unit. `agreement`: share of the ten most raised tokens that the path and measurement have in common."""

    matrix: Tensor
    agreement: float


@dataclass(frozen=True)
class _Probe:
    """What the searching steps share. `path` modules are named in the whole model, the head included."""

    subject: SubjectModel
    target: Tap

    @property
    def modules(self) -> dict[str, nn.Module]:
        return dict(self.subject.model.named_modules())

    @contextmanager
    def changed(
        self, changes: Tensor, watch: Callable[[str, nn.Module, Any], Any], watched: Sequence[str]
    ) -> Iterator[None]:
        """Within, a forward pass over len(changes) copies adds `changes` Float[Tensor, "copies d_out"] at the target, and
        then calls `watch(name, module, output)` on `watched` modules; what it returns, unless `None`, is their output."""
        copies = len(changes)
        started = False

        def change(_: Tap, x: Tensor) -> Tensor:
            nonlocal started
            started = True
            return (x.view(copies, -1, x.shape[-1]) + changes[:, None].to(x.dtype)).view(x.shape)

        def after(name: str) -> Callable[..., Any]:
            return lambda module, _args, output: watch(name, module, output) if started else None

        modules = self.modules
        with hooked(self.subject.base, [self.target], change):
            handles = [modules[name].register_forward_hook(after(name)) for name in watched]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def logits(self, ids: Tensor, copies: int) -> Tensor:
        """Of `copies` copies of the rows `ids`: Float[Tensor, "copies rows ctx_len vocab"]."""
        return self.subject.model(**self.subject.inputs(ids.repeat(copies, 1))).logits.view(
            copies, *ids.shape, -1
        )


class DirectPaths:
    """Of one model, over one sample of text. What lies between a module and the logits is searched once, however many coders
    write to that module.

    `ids` Int64[Tensor, "contexts ctx_len"]; `mask` Bool of the same shape: what counts of it; `tokens` Bool[Tensor, " vocab"]:
    the ids that are tokens.
    """

    def __init__(self, subject: SubjectModel, ids: Tensor, mask: Tensor, tokens: Tensor | None = None):
        self._subject, self._ids, self._mask, self._tokens = subject, ids, mask, tokens
        self._routes: dict[Tap, _Route] = {}

    @torch.inference_mode()
    def find(self, target: Tap, directions: Tensor) -> DirectPath:
        """The path from `target`, checked on some of `directions` Float32[Tensor, "n d_out"]. Raises NoDirectPath."""
        norms = directions.norm(dim=1)
        live = (norms > 1e-6 * norms.max()).nonzero().ravel()
        if not len(live):
            raise NoDirectPath("The coder's decoder directions are all zero.")
        some = directions[live[torch.linspace(0, len(live) - 1, N_DIRECTIONS).long()]].float()
        some = some / some.norm(dim=1, keepdim=True)
        if target not in self._routes:  # a refusal is not kept: other directions may not meet it
            self._routes[target] = _searched(_Probe(self._subject, target), some[0], self._ids, self._mask)
        route = self._routes[target]
        factor, agreement = _measured(route, some, self._ids, self._mask, self._tokens)
        return DirectPath(route.matrix * factor, agreement)


@dataclass(frozen=True)
class _Route:
    """What lies between a module and the logits. `held`: what does not follow a change of the module; `path`: what every change
    passes; `step`: the size of a change that is measured; `matrix`: as of `DirectPath`, without the factor beside the path."""

    probe: _Probe
    held: list[str]
    path: list[str]
    step: float
    matrix: Tensor


def _searched(probe: _Probe, direction: Tensor, ids: Tensor, mask: Tensor) -> _Route:
    subject = probe.subject
    subject.inputs(ids)  # finds out about padding before there are hooks
    size = _typical_norm(subject, probe.target, ids[:SIZED_ROWS], mask[:SIZED_ROWS])
    step = size * (STEP if next(subject.model.parameters()).dtype == torch.float32 else NARROW_STEP)
    row = ids[:1, :TRACED_TOKENS]
    changes = torch.stack([torch.zeros_like(direction), direction * step])
    held = _matrices_after(probe, row, changes)
    path = _on_the_path(probe, row, changes, held)
    return _Route(probe, held, path, step, _mean_jacobian(probe, path, ids, mask, len(direction)))


def _typical_norm(subject: SubjectModel, target: Tap, ids: Tensor, mask: Tensor) -> float:
    vectors = subject.read([target], ids)[target]
    vectors = vectors[mask] if bool(mask.any()) else vectors.flatten(0, 1)
    size = float(vectors.float().norm(dim=1).median())
    if not size > 0:
        raise NoDirectPath("The module's output is zero on this text.")
    return size


def _matrices_after(probe: _Probe, row: Tensor, changes: Tensor) -> list[str]:
    """Modules inside the layers that run after the target and hold a weight matrix of their own.

    One that does not see all tokens in order (one expert of several) gives way to the module around it that does.
    """
    aligned: dict[str, bool] = {}
    sizes = (2 * len(row), 2 * row.numel())

    def note(name: str, _module: nn.Module, output: Any) -> None:
        tensors = list(tensors_of(output))
        aligned[name] = bool(tensors) and all(len(tensor) in sizes for tensor in tensors)

    modules = probe.modules
    with probe.changed(changes, note, [name for name in modules if name]):
        probe.logits(row, 2)
    target = _full_name(probe)
    held = []
    for name in aligned:
        is_matrix = any(p.ndim >= 2 for p in modules[name].parameters(recurse=False))
        if not is_matrix or not any(part.isdigit() for part in name.split(".")):
            continue
        while name and not aligned.get(name):
            name = name.rpartition(".")[0]
        around = target == name or target.startswith(name + ".")
        if name and not (around and not (target == name and probe.target.side == "input")):
            held.append(name)
    return list(dict.fromkeys(held))


def _on_the_path(probe: _Probe, row: Tensor, changes: Tensor, held: Sequence[str]) -> list[str]:
    """Modules that every change has to pass on its way to the logits, in order, without the head and what changes nothing."""
    modules = probe.modules
    own = _full_name(probe) if probe.target.side == "output" else ""
    leaves = [
        n for n, module in modules.items() if not list(module.children()) and n not in held and n != own
    ]
    live: list[str] = []

    def note(name: str, module: nn.Module, output: Any) -> Any:
        if name in held:
            return with_first_copy(output, 2)
        if any(differ(tensor) for tensor in tensors_of(output)) and not isinstance(
            module, (nn.Dropout, nn.Identity)
        ):
            live.append(name)
        return None

    with probe.changed(changes, note, [*held, *leaves]):
        logits = probe.logits(row, 2)
    response = (logits[1] - logits[0]).abs().max()
    if not response > 0:
        raise NoDirectPath(f"{probe.target.module} does not write to the residual stream.")
    head = probe.subject.unembedding
    live = [name for name in live if modules[name] is not head]
    copies = 2 + len(live)
    each = torch.cat([changes, changes[1:].expand(len(live), -1)])

    def block(name: str, _module: nn.Module, output: Any) -> Any:
        if name in held:
            return with_first_copy(output, copies)
        return with_first_copy(output, copies, 2 + live.index(name))

    with probe.changed(each, block, [*held, *live]):
        logits = probe.logits(row, copies)
    path = []
    for index, name in enumerate(live):
        left = (logits[2 + index] - logits[0]).abs().max() / response
        if left < 0.02:
            path.append(name)
        elif (logits[2 + index] - logits[1]).abs().max() / response > 0.02:
            raise NoDirectPath(
                f"What {probe.target.module} writes reaches the logits by several paths, one through {name}."
            )
    return path


def _mean_jacobian(probe: _Probe, path: Sequence[str], ids: Tensor, mask: Tensor, width: int) -> Tensor:
    """Mean over tokens of how a change at the target changes what the unembedding reads: Float32[Tensor, "width d_head"]."""
    modules, target = probe.modules, probe.target.module
    inputs: dict[str, Tensor] = {}
    handles = []
    for name in path:

        def before(_m: nn.Module, args: tuple, kwargs: dict, name: str = name) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            inputs[name] = given.reshape(*ids.shape, -1)[mask]

        handles.append(modules[name].register_forward_pre_hook(before, with_kwargs=True))
    try:
        probe.subject.base(**probe.subject.inputs(ids))
    finally:
        for handle in handles:
            handle.remove()
    W_U = probe.subject.W_U
    assert W_U is not None
    matrix, norms = torch.eye(width, device=ids.device), []
    for name in path:
        module = modules[name]
        if name not in inputs:
            raise NoDirectPath(
                f"The path from {target} to the logits goes through {name}, outside the base model."
            )
        if isinstance(module, nn.Linear):
            matrix, norms = _through(matrix, norms) @ module.weight.float().T, []
        else:
            norms.append(_Norm.fitted(name, module, inputs[name]))
        if inputs[name].shape[1] != (norms[0].unit if norms else inputs[name]).shape[1]:
            raise NoDirectPath(f"{target} does not write to the residual stream.")
    if norms and norms[0].unit.shape[1] != matrix.shape[1]:
        raise NoDirectPath(f"{target} does not write to the residual stream.")
    matrix = _through(matrix, norms)
    if matrix.shape[1] != W_U.shape[1]:
        raise NoDirectPath(f"{target} does not write to the residual stream.")
    return matrix


@dataclass(frozen=True)
class _Norm:
    """A norm at n tokens: y = s g (x - m) + b, with m the mean of x or 0, and s one over the size of x - m.

    Its Jacobian is s (1 - u u' / d) g, with u = s (x - m), and centred where m is. `size` Float32[Tensor, "n 1"] holds s,
    `unit` Float32[Tensor, "n d"] u, `gain` Float32[Tensor, " d"] g.
    """

    gain: Tensor
    size: Tensor
    unit: Tensor
    centred: bool

    @classmethod
    def fitted(cls, name: str, module: nn.Module, x: Tensor) -> "_Norm":
        """From what the module gives for its inputs `x` [n, d]: its weight need not be its gain (Gemma's is 1 + weight)."""
        wide = x.float()
        bias = module(torch.zeros_like(x[:1])).float().nan_to_num()
        y = module(x).float() - bias
        fits: list[tuple[float, _Norm]] = []
        for centred in (False, True):
            c = wide - wide.mean(1, keepdim=True) if centred else wide
            unit = c / c.pow(2).mean(1, keepdim=True).sqrt().clamp(min=1e-30)
            gain = (y * unit).sum(0) / unit.pow(2).sum(0).clamp(min=1e-30)
            size = (y * gain * c).sum(1, keepdim=True) / (gain * c).pow(2).sum(1, keepdim=True).clamp(
                min=1e-30
            )
            error = float((y - size * gain * c).pow(2).sum() / y.pow(2).sum().clamp(min=1e-30))
            fits.append((error, cls(gain, size, size * c, centred)))
        error, norm = min(fits, key=lambda fit: fit[0])
        if error > 1e-2:
            raise NoDirectPath(
                f"The path to the logits goes through {name} ({type(module).__name__}), which is not a norm."
            )
        return norm


def _through(matrix: Tensor, norms: Sequence[_Norm]) -> Tensor:
    """Mean over tokens of `matrix` times the Jacobians of norms that stand one after the other."""
    if not norms:
        return matrix
    d = matrix.shape[1]
    if len(norms) == 1:
        [norm] = norms
        mean = torch.eye(d, device=matrix.device) * norm.size.mean()
        mean -= (norm.unit * norm.size).T @ norm.unit / (d * len(norm.unit))
        mean = mean - mean.mean(0) if norm.centred else mean
        return matrix @ (mean * norm.gain)
    total = torch.zeros_like(matrix)
    tokens = (
        torch.linspace(0, len(norms[0].unit) - 1, min(len(norms[0].unit), PRODUCT_TOKENS))
        .long()
        .unique()
        .tolist()
    )
    for token in tokens:  # the product of means is not the mean of products: one matrix a token
        product = matrix
        for norm in norms:
            product = product - product.mean(1, keepdim=True) if norm.centred else product
            unit = norm.unit[token]
            product = (product - torch.outer(product @ unit, unit) / d) * (norm.size[token] * norm.gain)
        total += product
    return total / len(tokens)


def _measured(
    route: _Route, directions: Tensor, ids: Tensor, mask: Tensor, tokens: Tensor | None
) -> tuple[float, float]:
    """The factor by which the logits are scaled beside the path (Granite and Cohere have one), and the path's agreement with
    measurement on the first of the rows; NoDirectPath where that is too low."""
    probe, step = route.probe, route.step
    W_U = probe.subject.W_U
    assert W_U is not None
    n = min(MEASURED_TOKENS, LOGIT_BYTES // (3 * 4 * len(W_U)))
    rows = ids[: max(1, n // ids.shape[1]), : max(n, 2)]
    kept = mask[: len(rows), : rows.shape[1]]
    if not kept.any():
        rows, kept = ids, mask

    def hold(_name: str, _module: nn.Module, output: Any) -> Any:
        return with_first_copy(output, 3)

    measured = []
    for direction in directions:
        changes = torch.stack([torch.zeros_like(direction), direction * step, -direction * step])
        with probe.changed(changes, hold, route.held):
            logits = probe.logits(rows, 3)
        measured.append((logits[1][kept].float() - logits[2][kept].float()).mean(0) / (2 * step))
    matrix = _mean_jacobian(probe, route.path, rows, kept, directions.shape[1])
    observed, expected = torch.stack(measured), directions @ matrix @ W_U.float().T
    vocab = min(observed.shape[1], expected.shape[1])
    observed, expected = observed[:, :vocab], expected[:, :vocab]
    if tokens is not None:
        observed, expected = observed[:, tokens[:vocab]], expected[:, tokens[:vocab]]
    factor = float((observed * expected).sum() / expected.pow(2).sum().clamp(min=1e-30))
    n_top = min(N_TOP, observed.shape[1])
    tops = zip(observed.topk(n_top).indices, expected.topk(n_top).indices, strict=True)
    agreement = float(np.mean([torch.isin(a, b).float().mean().item() for a, b in tops]))
    if agreement < MIN_AGREEMENT - 1e-6 or factor <= 0:
        raise NoDirectPath(
            f"The path from {probe.target.module} to the logits is not understood: of the {n_top} tokens that its "
            f"directions raise most when tried, it predicts {n_top * agreement:.1f}."
        )
    return factor, agreement


def _full_name(probe: _Probe) -> str:
    """The target's name in the whole model."""
    module = probe.subject.base.get_submodule(probe.target.module)
    return next(name for name, other in probe.modules.items() if other is module)
