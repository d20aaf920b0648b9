"""What the training scripts compute in: bfloat16 where the processor multiplies it, elsewhere float32, which is there up to
forty times faster."""

import torch

from autointerp.embedding.minilm import native_precision

PRECISION: torch.dtype = getattr(torch, native_precision())


def mixed_precision() -> torch.autocast:
    """Autocast to bfloat16; none where that is emulated."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_precision() == "bfloat16")
