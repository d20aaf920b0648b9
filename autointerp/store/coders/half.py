"""float16 values as the 16-bit integers that hold them: two bytes on disk, exact, and in the order of the values.

Non-negative half floats sort like their bits, so maxima and ranks are taken on integers. A power-of-two `scale` per coder
keeps large activations in range without changing a digit.
"""

import numpy as np
from numpy.typing import NDArray

MAX_HALF = 65504.0
SMALLEST_BITS = 1  # 2**-24, the smallest positive half
_VALUES = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)


def encode_positive(activation: NDArray[np.floating], scale: float) -> NDArray[np.uint16]:
    """Bits of `activation / scale`, all > 0 and <= 65504 after scaling.

    A value too small for a half becomes the smallest positive one: it fired, and must not turn into silence.
    """
    scaled = activation if scale == 1.0 else activation * np.asarray(1.0 / scale, dtype=activation.dtype)
    bits = np.ascontiguousarray(scaled, dtype=np.float16).view(np.uint16)
    if len(bits) and not bits.all():
        bits = np.maximum(bits, np.uint16(SMALLEST_BITS))
    return bits


def decode(bits: NDArray[np.uint16], scale: float = 1.0) -> NDArray[np.float32]:
    """The float32 values behind `bits` (either sign), times `scale`."""
    values = np.take(_VALUES, bits)
    return values if scale == 1.0 else values * np.float32(scale)


def encode_signed(values: NDArray[np.floating], scale: float) -> NDArray[np.uint16]:
    """Bits of `values / scale`, any sign; rounding to float16, infinities kept."""
    return (np.asarray(values, dtype=np.float32) / np.float32(scale)).astype(np.float16).view(np.uint16)


def power_of_two_scale(largest: float) -> float:
    """The power of two, at least 1, that brings `largest` under the greatest half float."""
    if not largest > MAX_HALF:
        return 1.0
    return float(2.0 ** np.ceil(np.log2(largest / MAX_HALF)))
