"""The neurons of a mixture of experts: those of all experts side by side, each times the weight that the router gives its
expert, silent where the router does not choose it.

transformers keeps the experts of a layer as two stacked weights in one module, so no layer reads a neuron: they are computed
from what the module reads. That the sum of all of them through the down-projections is what the module returns is checked
before a coder is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import SparseActivations, SparseCoder, check_finite
from autointerp.models.coders.topk import group_size, top_k
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel

ROWS = 256


def find_experts(subject: SubjectModel, hookpoint: str) -> list[str]:
    """Paths of the modules in (or at) `hookpoint` that hold stacked experts."""
    return [
        name
        for name, module in subject.modules.items()
        if (name == hookpoint or name.startswith(hookpoint + ".")) and _stacked(module)
    ]


def _stacked(module: nn.Module) -> bool:
    own = dict(module.named_parameters(recurse=False))
    return all(name in own and own[name].ndim == 3 for name in ("gate_up_proj", "down_proj"))


@dataclass(frozen=True)
class _Router:
    """The module that chooses experts, and where in its output the weights and the chosen indices are."""

    module: nn.Module
    weights: int
    indices: int

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        output = self.module(x)
        return output[self.weights], output[self.indices]


class ExpertNeurons(SparseCoder):
    """Latent e n + j is neuron j of expert e, of n neurons an expert."""

    def __init__(self, source: str, hookpoint: str, path: str, experts: nn.Module, router: _Router, k: int):
        gate_up, down = experts.gate_up_proj, experts.down_proj
        assert isinstance(gate_up, Tensor)
        assert isinstance(down, Tensor)
        n_experts, d_out, n_neurons = down.shape
        directions = down.transpose(1, 2).reshape(n_experts * n_neurons, d_out).float().contiguous()
        check_finite(source, {f"{path}.down_proj": directions})
        super().__init__(
            kind="neurons", source=source, hookpoint=hookpoint, tap=Tap(path, "input"), target=Tap(path, "output"),
            n_latents=len(directions), d_in=gate_up.shape[2], d_out=d_out, k=k, W_dec=directions,
            config={"k": k, "neurons_of": path, "n_experts": n_experts},
        )  # fmt: skip
        self._experts, self._router, self._gate_up = experts, router, gate_up
        self._n, self._k, self._group = n_neurons, k, group_size(len(directions), k)

    def neurons(self, x: Tensor) -> Tensor:
        """All neurons, Float32[Tensor, "n n_latents"], for `x` Float[Tensor, "n d_in"]."""
        x = x.to(self._gate_up.dtype)
        weights, chosen = self._router(x)
        out = torch.zeros(len(x), self.n_latents, device=x.device)
        act: Any = self._experts.act_fn
        for expert in chosen.unique().tolist():
            row, place = torch.where(chosen == expert)
            gate, up = torch.nn.functional.linear(x[row], self._gate_up[expert]).chunk(2, dim=-1)
            here = slice(expert * self._n, (expert + 1) * self._n)
            out[row, here] = (act(gate) * up * weights[row, place, None]).float()
        return out

    @torch.inference_mode()
    def encode(self, x: Tensor) -> SparseActivations:
        """See `SparseCoder.encode`: the k largest neurons; those that are not positive do not fire."""
        values, latents = zip(
            *(top_k(self.neurons(part), self._k, self._group) for part in x.split(ROWS)), strict=True
        )
        return SparseActivations(torch.cat(values).clamp(min=0.0), torch.cat(latents))

    def weights(self) -> tuple[Tensor, ...]:
        """See `SparseCoder.weights`."""
        return (*super().weights(), self._gate_up)


@torch.inference_mode()
def expert_neurons(source: str, hookpoint: str, path: str, subject: SubjectModel, k: int) -> ExpertNeurons:
    """The coder; CoderLoadError where what is computed is not what the module returns."""
    experts = subject.modules[path]
    unknown = CoderLoadError(
        f"{path} of {subject.name} ({type(experts).__name__}) is a mixture of experts whose neurons cannot be read"
    )
    seen: dict[str, Any] = {}
    around = path.rpartition(".")[0]
    siblings = {name: module for name, module in subject.modules.items() if name.startswith(around + ".")}
    handles = [experts.register_forward_hook(lambda _m, args, kwargs, output: seen.update(
        inputs=[*args, *kwargs.values()], output=output), with_kwargs=True)]  # fmt: skip
    outputs: dict[str, Any] = {}
    for name, module in siblings.items():
        handles.append(
            module.register_forward_hook(lambda _m, _a, output, name=name: outputs.setdefault(name, output))
        )
    try:
        ids = torch.arange(8, device=subject.device)[None] % subject.vocab_size
        subject.base(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    inputs, output = seen.get("inputs"), seen.get("output")
    router = _find_router(siblings, outputs, inputs) if inputs else None
    if router is None or not isinstance(output, Tensor) or not hasattr(experts, "act_fn"):
        raise unknown
    try:
        coder = ExpertNeurons(source, hookpoint, path, experts, router, k)
        assert coder.W_dec is not None
        assert inputs is not None
        rebuilt = coder.neurons(inputs[0].reshape(-1, coder.d_in)) @ coder.W_dec
    except (RuntimeError, ValueError) as error:  # weights of another layout
        raise unknown from error
    true = output.reshape(rebuilt.shape).float()
    if float((rebuilt - true).norm()) > 0.02 * float(true.norm()):
        raise unknown
    return coder


def _find_router(
    modules: dict[str, nn.Module], outputs: dict[str, Any], inputs: Sequence[Any]
) -> _Router | None:
    """The module among whose outputs are the indices and weights that the experts were given."""
    given = [x for x in inputs if isinstance(x, Tensor)]
    for name, output in outputs.items():
        if not isinstance(output, tuple):
            continue
        places = [
            next(
                (
                    i
                    for i, x in enumerate(output)
                    if isinstance(x, Tensor) and any(_same(x, y) for y in given if wanted(y))
                ),
                None,
            )
            for wanted in (
                lambda y: y.is_floating_point() and y.shape[-1] < inputs[0].shape[-1],
                lambda y: not y.is_floating_point(),
            )
        ]
        weights, indices = places
        if weights is not None and indices is not None:
            return _Router(modules[name], weights, indices)
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
