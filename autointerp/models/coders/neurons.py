"""A module's own neurons after the non-linearity, the k largest kept per token: the paper's baseline.

The neurons of an MLP are what its down-projection reads. Their decoder directions are that projection's columns, so
"neurons" have a reconstruction (of the down-projection's output) and a spliced loss like any coder. The channels of a
state-space block and of RWKV's channel mixing are found likewise; a mixture of experts has a module of its own (`experts`).
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import CoderSpec, SparseActivations, SparseCoder, check_finite, check_k
from autointerp.models.coders.experts import expert_neurons, find_experts
from autointerp.models.coders.topk import group_size, top_k
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel

DEFAULT_K = 32
SIGNED = "These neurons are negative on some tokens; a negative activation counts as silent, and the figures include that loss."
DOWN = re.compile(
    r"(^|\.)(dense_4h_to_h|down_proj|c_proj|fc2|fc_out|w2|wo|lin2|linear2|dense|out_proj)$", re.IGNORECASE
)
ATTENTION = re.compile(r"(^|[._])(self_?)?(attn|attention)([._]|$)")


class NeuronCoder(SparseCoder):
    """Its latents are the inputs of the linear layer `down`."""

    def __init__(self, source: str, hookpoint: str, path: str, down: nn.Module, k: int, device: torch.device):
        weight, bias = down.weight, down.bias
        assert isinstance(weight, Tensor)
        directions = (weight if isinstance(down, Conv1D) else weight.T).to(device=device, dtype=torch.float32)
        check_finite(source, {f"{path}.weight": directions})
        n_neurons, d_out = directions.shape
        super().__init__(
            kind="neurons", source=source, hookpoint=hookpoint, tap=Tap(path, "input"), target=Tap(path, "output"),
            n_latents=n_neurons, d_in=n_neurons, d_out=d_out, k=k, W_dec=directions.contiguous(),
            config={"k": k, "neurons_of": path},
        )  # fmt: skip
        self._k, self._group = k, group_size(n_neurons, k)
        self._bias = bias.float() if isinstance(bias, Tensor) else None

    def encode(self, x: Tensor) -> SparseActivations:
        """See `SparseCoder.encode`: the k largest neurons; those that are not positive do not fire."""
        values, latents = top_k(x.contiguous(), self._k, self._group)
        return SparseActivations(values.clamp(min=0.0), latents)

    def decode(self, acts: SparseActivations, x: Tensor) -> Tensor:
        """See `SparseCoder.decode`: the kept neurons through the down-projection, with its bias."""
        y = super().decode(acts, x)
        return y if self._bias is None else y + self._bias


def load(spec: CoderSpec, subject: SubjectModel) -> SparseCoder:
    """From `neurons:<hookpoint>[:k]`; the hookpoint is an MLP, or its down-projection itself."""
    _, hookpoint, *k_given = spec.source.split(":")
    if len(k_given) > 1 or not all(number.isdecimal() for number in k_given):
        raise CoderLoadError(f"{spec.source!r} is not of the form neurons:<hookpoint>[:k]")
    hookpoint = subject.resolve(hookpoint)
    experts = find_experts(subject, hookpoint)
    path = find_down_projection(subject, hookpoint, experts)
    k = int(k_given[0]) if k_given else DEFAULT_K
    coder: SparseCoder
    if path in experts:
        coder = expert_neurons(spec.source, hookpoint, path, subject, k)
        signed = True
    else:
        n_neurons = subject.width(Tap(path, "input"))
        k = k if k_given else min(k, n_neurons)
        check_k(spec.source, k, n_neurons)
        coder = NeuronCoder(spec.source, hookpoint, path, subject.modules[path], k, subject.device)
        signed = _is_signed(subject, coder.tap)
    check_k(spec.source, k, coder.n_latents)
    if signed:
        coder.config["notes"] = [SIGNED]
    return coder


def _is_signed(subject: SubjectModel, tap: Tap) -> bool:
    """Whether the neurons are negative on some tokens, seen on a few."""
    n = min(32, subject.max_ctx_len or 32)
    ids = (torch.arange(n, device=subject.device) % subject.vocab_size)[None]
    return bool((subject.read([tap], ids)[tap] < 0).any())


def find_down_projection(subject: SubjectModel, hookpoint: str, experts: Sequence[str] = ()) -> str:
    """Path of the linear layer (or of one of `experts`) that maps the neurons back to the residual stream.

    Found by the names that transformers' models use, else as the only layer that maps another width to the model's; within a
    whole block, attention's own projections are left out.
    """
    inside = {
        name: module
        for name, module in subject.modules.items()
        if (name == hookpoint or name.startswith(hookpoint + "."))
        and isinstance(module, (nn.Linear, Conv1D))
        and not ATTENTION.search(name)
    }
    if hookpoint in inside:
        return hookpoint
    named = [name for name in inside if DOWN.search(name[len(hookpoint) :])]
    # BERT's `intermediate.dense` is the way up; among several, only what ends in the model's width is a way down.
    widths = {name: _widths(inside[name]) for name in named}
    named = [name for name in named if widths[name][1] == subject.d_model]
    named = [name for name in named if widths[name][0] != subject.d_model] or named
    if not named:
        widths = {name: _widths(module) for name, module in inside.items()}
        named = [name for name, (d_in, d_out) in widths.items() if d_out == subject.d_model != d_in]
    named = [*experts, *named]
    if len(named) == 1:
        return named[0]
    if not named:
        raise CoderLoadError(
            f"no down-projection found in {hookpoint} of {subject.name}, so it has no neurons to read. Give an MLP, or the "
            "linear layer that reads its neurons."
        )
    raise CoderLoadError(f"{hookpoint} holds several down-projections: {', '.join(named)}. Give one of them.")


def _widths(module: nn.Module) -> tuple[int, int]:
    """Of what a linear layer reads and writes."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    d_out, d_in = weight.T.shape if isinstance(module, Conv1D) else weight.shape
    return d_in, d_out
