"""A randomly initialised TopK coder, as sparsify starts one: the control that trained coders are compared with."""

import math

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders.registry import CoderRequest, check_k
from autointerp.models.coders.topk import TopKEncoder, decode_sparse
from autointerp.models.hooks import Tap
from autointerp.types import CoderKind

PREFIX = "random:"


class RandomCoder:
    """A `SparseCoder` (see there): encoder rows uniform in +-1/sqrt(d), no biases, decoder rows the same at unit length."""

    kind: CoderKind = "random"

    def __init__(
        self, source: str, tap: Tap, d_in: int, n_latents: int, k: int, seed: int, device: torch.device
    ):
        self.source, self.hookpoint, self.tap, self.target = source, tap.module, tap, tap
        self.n_latents, self.k, self.d_in, self.d_out = n_latents, k, d_in, d_in
        self.config = {"n_latents": n_latents, "k": k, "seed": seed}
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(d_in)
        weight = torch.empty(n_latents, d_in).uniform_(-bound, bound, generator=generator)
        self.W_enc: Tensor | None = weight.to(device)
        self.W_dec: Tensor | None = (weight / weight.norm(dim=1, keepdim=True)).to(device)
        self._encoder = TopKEncoder(self.W_enc, torch.zeros(n_latents, device=device), k)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `SparseCoder.encode`."""
        return self._encoder.encode(x)

    def decode(self, acts: Tensor, latents: Tensor, x: Tensor) -> Tensor:
        """See `SparseCoder.decode`."""
        assert self.W_dec is not None
        return decode_sparse(acts, latents, self.W_dec)


def claims(source: str) -> bool:
    """Whether `source` is `random:...`."""
    return source.startswith(PREFIX)


def load(request: CoderRequest) -> RandomCoder:
    """From `random:<hookpoint>:<n_latents>:<k>[:seed]`. It reads and rebuilds the hookpoint's output."""
    source, subject = request.spec.source, request.subject
    parts = source.removeprefix(PREFIX).split(":")
    if len(parts) not in (3, 4) or not all(part.isdecimal() for part in parts[1:]):
        raise CoderLoadError(f"{source!r} is not of the form random:<hookpoint>:<n_latents>:<k>[:seed]")
    n_latents, k, seed = int(parts[1]), int(parts[2]), int(parts[3]) if len(parts) == 4 else 0
    check_k(source, k, n_latents)
    tap = Tap(subject.resolve(parts[0]), request.spec.side or "output")
    return RandomCoder(source, tap, subject.width(tap), n_latents, k, seed, subject.device)
