"""The encoders that formats share: pre-activations in blocks of rows, so that they are never a (tokens x latents) matrix.

`topk.TopKEncoder` is the one for a fixed number of latents a token. Here, any number: ReLU, JumpReLU, batch top-k at inference
(a threshold that all latents share) and gated.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from autointerp.models.coders.coder import SparseActivations
from autointerp.models.coders.topk import BUFFER_BYTES, ROWS


class DenseEncoder(ABC):
    """Looks at every pre-activation z = W x + b, for x already centred.

    `weight` Float32[Tensor, "n_latents d_in"], `bias` Float32[Tensor, " n_latents"].
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        self.weight, self.bias = weight, bias
        most = ROWS if weight.device.type == "cpu" else 8192
        self.rows = max(32, min(most, BUFFER_BYTES // (4 * weight.shape[0])))
        self._buffer: Tensor | None = None

    @abstractmethod
    def silent(self, pre: Tensor) -> Tensor:
        """Bool[Tensor, "n n_latents"]: where z means that the latent does not fire. False for NaN."""

    def values(self, pre: Tensor, latents: Tensor) -> Tensor:
        """Activations of the entries that fire, from their z, both Float32[Tensor, " m"]."""
        return pre

    def weights(self) -> tuple[Tensor, ...]:
        """What `encode` depends on beside the matrix."""
        return (self.bias,)

    @torch.inference_mode()
    def encode(self, x: Tensor) -> SparseActivations:
        """What fires on each row of `x` Float32[Tensor, "n d_in"], latents ascending within a token."""
        counts, values, latents = [], [], []
        if self._buffer is None or self._buffer.device != x.device:
            self._buffer = torch.empty(self.rows, self.weight.shape[0], device=x.device)
        for part in x.split(self.rows):
            pre = torch.addmm(self.bias, part, self.weight.T, out=self._buffer[: len(part)])
            fires = ~self.silent(pre)
            row, latent = fires.nonzero(as_tuple=True)
            counts.append(torch.bincount(row, minlength=len(part)))
            values.append(self.values(pre[row, latent], latent))
            latents.append(latent)
        if not values:
            nothing = torch.empty(0, dtype=torch.int64, device=x.device)
            return SparseActivations(nothing.float(), nothing, nothing.new_zeros(1))
        offsets = torch.nn.functional.pad(torch.cat(counts).cumsum(0), (1, 0))
        return SparseActivations(torch.cat(values), torch.cat(latents), offsets)


class ThresholdEncoder(DenseEncoder):
    """JumpReLU: z where it is above the latent's threshold, Float32[Tensor, " n_latents"], and above 0. A threshold of 0 is
    ReLU; one that all latents share is batch top-k at inference."""

    def __init__(self, weight: Tensor, bias: Tensor, threshold: Tensor | None = None):
        super().__init__(weight, bias)
        self.threshold = torch.zeros_like(bias) if threshold is None else threshold.clamp(min=0.0)

    def silent(self, pre: Tensor) -> Tensor:
        """See `DenseEncoder.silent`."""
        return pre <= self.threshold

    def weights(self) -> tuple[Tensor, ...]:
        """See `DenseEncoder.weights`."""
        return (self.bias, self.threshold)


class GatedEncoder(DenseEncoder):
    """Fires where W x + b_gate is above 0, with relu(exp(r_mag) W x + b_mag); one matrix for both."""

    def __init__(self, weight: Tensor, b_gate: Tensor, b_mag: Tensor, r_mag: Tensor):
        super().__init__(weight, torch.zeros_like(b_gate))
        self.b_gate, self.b_mag, self.scale = b_gate, b_mag, r_mag.exp()

    def silent(self, pre: Tensor) -> Tensor:
        """See `DenseEncoder.silent`."""
        return (pre + self.b_gate <= 0) | (pre * self.scale + self.b_mag <= 0)

    def values(self, pre: Tensor, latents: Tensor) -> Tensor:
        """See `DenseEncoder.values`."""
        return pre * self.scale[latents] + self.b_mag[latents]

    def weights(self) -> tuple[Tensor, ...]:
        """See `DenseEncoder.weights`."""
        return (self.b_gate, self.b_mag, self.scale)
