"""A coder format as a newcomer writes one: this module, and a line in the registry (see `FORMAT`).

Sources are `toy:VARIANT`. The variants differ in what the program must not take for granted: how many latents are active on a
token, whether input and output have one width, whether there is a decoder.
"""

import torch
from torch import Tensor

from autointerp.models.coders.coder import CoderSpec, SparseActivations, SparseCoder
from autointerp.models.coders.registry import CoderFormat
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel

FORMAT = CoderFormat("toy", "tests.models.toy", "toy:VARIANT", "for tests", generated=True)
MLP_IN, MLP_OUT = Tap("layers.1.mlp", "input"), Tap("layers.1.mlp", "output")
HIDDEN = Tap("layers.1.mlp.dense_4h_to_h", "input")
VARIANTS: dict[str, tuple[str, Tap, Tap | None]] = {
    "jumprelu": ("sae", MLP_OUT, MLP_OUT),
    "relu": ("sae", MLP_OUT, MLP_OUT),
    "gated": ("sae", MLP_OUT, MLP_OUT),
    "batch_topk": ("transcoder", MLP_IN, MLP_OUT),
    "narrowing": ("transcoder", HIDDEN, MLP_OUT),
    "widening": ("transcoder", MLP_IN, HIDDEN),
    "encoder_only": ("sae", MLP_OUT, None),
}
N_LATENTS = 40


def from_dense(dense: Tensor) -> SparseActivations:
    """The entries of `dense` Float32[Tensor, "n n_latents"] that are not zero (NaN included)."""
    entries = dense != 0
    offsets = torch.nn.functional.pad(entries.sum(1).cumsum(0), (1, 0))
    return SparseActivations(dense[entries], entries.nonzero()[:, 1], offsets)


class ToyCoder(SparseCoder):
    """All variants in one, told apart by `variant`."""

    def __init__(self, variant: str, subject: SubjectModel, shift: float):
        kind, tap, target = VARIANTS[variant]
        d_in, d_out = subject.width(tap), subject.width(target) if target else None
        generator = torch.Generator().manual_seed(list(VARIANTS).index(variant))
        W_enc = torch.randn(N_LATENTS, d_in, generator=generator) / d_in**0.5
        W_dec = torch.randn(N_LATENTS, d_out, generator=generator) / d_out**0.5 if d_out else None
        super().__init__(
            kind=kind, source=f"toy:{variant}", hookpoint="layers.1.mlp", tap=tap, target=target, n_latents=N_LATENTS,
            d_in=d_in, d_out=d_out, W_enc=W_enc, W_dec=W_dec,
        )  # fmt: skip
        self.variant = variant
        self.bias = torch.randn(N_LATENTS, generator=generator) * 0.1
        self.threshold = torch.rand(N_LATENTS, generator=generator) * 0.3 + shift

    def encode(self, x: Tensor) -> SparseActivations:
        assert self.W_enc is not None
        pre = x @ self.W_enc.T + self.bias
        match self.variant:
            case "relu":
                return from_dense(pre.relu())
            case "gated":
                return from_dense(((pre - self.threshold) > 0) * (pre * 1.5 + 0.1).relu())
            case "batch_topk":  # at inference, one threshold for all latents
                return from_dense(pre * (pre > float(self.threshold[0])))
            case _:
                return from_dense(pre * (pre > self.threshold))

    def decode(self, acts: SparseActivations, x: Tensor) -> Tensor:
        assert self.W_dec is not None
        return acts.decode(self.W_dec) + 0.01

    def weights(self) -> tuple[Tensor, ...]:
        return (*super().weights(), self.bias, self.threshold)


def load(spec: CoderSpec, subject: SubjectModel) -> ToyCoder:
    """`toy:VARIANT[:SHIFT]`; the shift is added to every threshold."""
    _, variant, *shift = spec.source.split(":")
    return ToyCoder(variant, subject, float(shift[0]) if shift else 0.0)
