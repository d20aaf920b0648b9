"""safetensors files by slices: rows of an array are read as they are needed, and nothing of the file stays in memory."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError

_DTYPES = {
    "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_RANKS = ("U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")
"""In ascending order of where the library puts them: largest alignment first."""
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class TensorSlice:
    """One array in a file. `start`: where its bytes begin."""

    path: Path
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    def rows(self, file: BinaryIO, first: int, last: int) -> NDArray:
        """Rows `first` to `last` - 1, read from the open `file`. Raises UserError where it has become shorter."""
        shape = (last - first, *self.shape[1:])
        n = math.prod(shape)
        file.seek(self.start + first * math.prod(self.shape[1:]) * self.dtype.itemsize)
        values = np.fromfile(file, self.dtype, n)
        if len(values) != n:
            raise UserError(f"{str(self.path)!r} became shorter while it was read. Import it again.")
        return values.reshape(shape)


def open_tensors(path: Path) -> dict[str, TensorSlice]:
    """The arrays of a safetensors file, by name. Raises UserError for a file that is none, truncated, or of dtypes that numpy
    lacks."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            n = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= n <= min(size - 8, _MOST_HEADER_BYTES):
                raise ValueError("it has no safetensors header, or is truncated inside it")
            header = json.loads(file.read(n))
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        header.pop("__metadata__", None)
        return {name: _slice(path, name, entry, 8 + n, size) for name, entry in header.items()}
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not a complete safetensors file: {error}.") from error


def _slice(path: Path, name: str, entry: object, start: int, size: int) -> TensorSlice:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header does not describe {name[:40]!r} by dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
            raise ValueError(f"shape and data_offsets of {name[:40]!r} are not lists of whole numbers")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise ValueError(
            f"{name[:40]!r} is of dtype {ascii(entry['dtype'])[:20]}; accepted: {', '.join(_DTYPES)}"
        )
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name[:40]!r} of shape {shape[:4]} does not have as many bytes as its shape needs")
    if start + offsets[1] > size:
        raise ValueError(f"it is truncated: {size:,} bytes of {start + offsets[1]:,}")
    return TensorSlice(path, name, dtype, tuple(shape), start + offsets[0])


def write_tensors(
    path: Path, tensors: Mapping[str, tuple[np.dtype, tuple[int, ...], Iterable[NDArray]]]
) -> None:
    """A safetensors file, byte for byte as the library lays it out, from the pieces of each array one after another: its dtype,
    its shape, and the pieces."""
    names = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
    order = sorted(tensors, key=lambda name: (-_RANKS.index(names[tensors[name][0]]), name))
    header, at = {}, 0
    for name in order:
        dtype, shape, _ = tensors[name]
        end = at + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": names[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in tensors[name][2]:
                file.write(np.ascontiguousarray(piece).data.cast("B") if piece.size else b"")
