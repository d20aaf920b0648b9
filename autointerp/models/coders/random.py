"""A randomly initialised TopK coder, as sparsify starts one: the control that trained coders are compared with."""

import math

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import CoderSpec, SparseActivations, SparseCoder, check_k
from autointerp.models.coders.topk import TopKEncoder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel


class RandomCoder(SparseCoder):
    """Encoder rows uniform in +-1/sqrt(d), no biases; decoder rows the same at unit length. Rebuilds what it reads."""

    def __init__(
        self, source: str, tap: Tap, d: int, n_latents: int, k: int, seed: int, device: torch.device
    ):
        bound = 1 / math.sqrt(d)
        generator = torch.Generator().manual_seed(seed)
        weight = torch.empty(n_latents, d).uniform_(-bound, bound, generator=generator)
        W_enc, W_dec = weight.to(device), (weight / weight.norm(dim=1, keepdim=True)).to(device)
        super().__init__(
            kind="random", source=source, hookpoint=tap.module, tap=tap, target=tap, n_latents=n_latents, d_in=d, d_out=d,
            k=k, W_enc=W_enc, W_dec=W_dec,
            config={"n_latents": n_latents, "k": k, "seed": seed},
        )  # fmt: skip
        self._encoder = TopKEncoder(W_enc, torch.zeros(n_latents, device=device), k)

    def encode(self, x: Tensor) -> SparseActivations:
        """See `SparseCoder.encode`."""
        return self._encoder.encode(x)


def load(spec: CoderSpec, subject: SubjectModel) -> RandomCoder:
    """From `random:<hookpoint>:<n_latents>:<k>[:seed]`. It reads and rebuilds the hookpoint's output, or the given side."""
    _, hookpoint, *numbers = spec.source.split(":")
    if len(numbers) not in (2, 3) or not all(number.isdecimal() for number in numbers):
        raise CoderLoadError(f"{spec.source!r} is not of the form random:<hookpoint>:<n_latents>:<k>[:seed]")
    n_latents, k, seed = map(int, [*numbers, "0"][:3])
    check_k(spec.source, k, n_latents)
    tap = Tap(subject.resolve(hookpoint), spec.side or "output")
    return RandomCoder(spec.source, tap, subject.width(tap), n_latents, k, seed, subject.device)
