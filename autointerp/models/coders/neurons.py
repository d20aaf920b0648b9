"""A module's own neurons after the non-linearity, the k largest kept per token: the paper's baseline.

The neurons of an MLP are what its down-projection reads. Their decoder directions are that projection's columns, so
"neurons" have a reconstruction (of the down-projection's output) and a spliced loss like any coder.
"""

import re

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autointerp.errors import CoderLoadError
from autointerp.models.coders.registry import CoderRequest, check_finite, check_k
from autointerp.models.coders.topk import decode_sparse, group_size, top_k
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel
from autointerp.types import CoderKind

PREFIX = "neurons:"
DEFAULT_K = 32
DOWN = re.compile(r"(^|\.)(dense_4h_to_h|down_proj|c_proj|fc2|fc_out|w2|wo|lin2|linear2|dense)$")
ATTENTION = re.compile(r"(^|[._])(self_?)?(attn|attention)([._]|$)")


class NeuronCoder:
    """A `SparseCoder` (see there) whose latents are the inputs of the linear layer `down`."""

    kind: CoderKind = "neurons"
    W_enc: Tensor | None = None

    def __init__(self, source: str, hookpoint: str, path: str, down: nn.Module, k: int, device: torch.device):
        weight, bias = down.weight, down.bias
        assert isinstance(weight, Tensor)
        self.source, self.hookpoint, self.k = source, hookpoint, k
        self.tap, self.target = Tap(path, "input"), Tap(path, "output")
        directions = weight if isinstance(down, Conv1D) else weight.T
        self.W_dec: Tensor | None = directions.to(device=device, dtype=torch.float32).contiguous()
        self.n_latents, self.d_out = directions.shape
        self.d_in = self.n_latents
        self._bias = bias.float() if isinstance(bias, Tensor) else None
        self.config = {"k": k, "neurons_of": path}
        self._group = group_size(self.n_latents, k)
        check_finite(source, {f"{path}.weight": self.W_dec})

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `SparseCoder.encode`: the k largest neurons; those that are not positive do not fire."""
        values, latents = top_k(x.contiguous(), self.k, self._group)
        return values.clamp(min=0.0), latents

    def decode(self, acts: Tensor, latents: Tensor, x: Tensor) -> Tensor:
        """See `SparseCoder.decode`: the kept neurons through the down-projection, with its bias."""
        assert self.W_dec is not None
        y = decode_sparse(acts, latents, self.W_dec)
        return y if self._bias is None else y + self._bias


def claims(source: str) -> bool:
    """Whether `source` is `neurons:...`."""
    return source.startswith(PREFIX)


def load(request: CoderRequest) -> NeuronCoder:
    """From `neurons:<hookpoint>[:k]`; the hookpoint is an MLP, or its down-projection itself."""
    source, subject = request.spec.source, request.subject
    parts = source.removeprefix(PREFIX).split(":")
    if len(parts) > 2 or (len(parts) == 2 and not parts[1].isdecimal()):
        raise CoderLoadError(f"{source!r} is not of the form neurons:<hookpoint>[:k]")
    hookpoint = subject.resolve(parts[0])
    path = find_down_projection(subject, hookpoint)
    down = subject.modules()[path]
    n_neurons = subject.width(Tap(path, "input"))
    k = int(parts[1]) if len(parts) == 2 else min(DEFAULT_K, n_neurons)
    check_k(source, k, n_neurons)
    return NeuronCoder(source, hookpoint, path, down, k, subject.device)


def find_down_projection(subject: SubjectModel, hookpoint: str) -> str:
    """Path of the linear layer that maps the MLP's neurons back to the residual stream.

    Found by the names that transformers' models use; within a whole block, attention's own projections are left out.
    """
    modules = subject.modules()
    inside = {
        name: module
        for name, module in modules.items()
        if (name == hookpoint or name.startswith(hookpoint + "."))
        and isinstance(module, (nn.Linear, Conv1D))
        and not ATTENTION.search(name)
    }
    if hookpoint in inside:
        return hookpoint
    named = [name for name in inside if DOWN.search(name[len(hookpoint) :])]
    # BERT's `intermediate.dense` is the way up; among several, only what ends in the model's width is a way down.
    named = [
        name
        for name in named
        if _out_width(inside[name]) == subject.d_model and _in_width(inside[name]) != subject.d_model
    ] or [name for name in named if _out_width(inside[name]) == subject.d_model]
    if len(named) == 1:
        return named[0]
    if not named:
        raise CoderLoadError(
            f"no down-projection found in {hookpoint} of {subject.name}, so it has no neurons to read. Give an MLP, or the "
            "linear layer that reads its neurons."
        )
    raise CoderLoadError(f"{hookpoint} holds several down-projections: {', '.join(named)}. Give one of them.")


def _out_width(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.shape[1] if isinstance(module, Conv1D) else weight.shape[0]


def _in_width(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.shape[0] if isinstance(module, Conv1D) else weight.shape[1]
