"""Reading a coder's files, which come from anyone: no code in them is run, and none takes more memory than its size warrants.

Weights are left as they lie in the file, shapes are checked before anything is converted, and everything a parser throws is a
CoderLoadError that names the file.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.reading import reading, reason

MAX_CONFIG = 4 << 20
"""Bytes of a configuration, far more than any library writes."""
EXPANSION, SLACK = 8, 1 << 20
"""A compressed file may unpack to so many times its size, and so many bytes more: weights hardly compress."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        config = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise CoderLoadError(f"{path} cannot be read as JSON: {reason(error)}") from error
    if not isinstance(config, dict):
        raise CoderLoadError(f"{path} holds a {type(config).__name__}, not an object of settings")
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; nothing in it is run."""
    import yaml

    try:
        config = yaml.safe_load(_text(path))
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:
        raise CoderLoadError(f"{path} cannot be read as YAML: {reason(error)}") from error
    if not isinstance(config, dict):
        raise CoderLoadError(f"{path} holds a {type(config).__name__}, not a mapping of settings")
    return {str(key): value for key, value in config.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    _must_exist(path)
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise CoderLoadError(f"{path} is not a safetensors file, or is damaged: {reason(error)}") from error


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of numbers of an npz file; arrays of Python objects, which could run code, are refused."""
    _must_exist(path)
    damaged = f"{path} is not an npz file, or is damaged"
    try:
        with zipfile.ZipFile(path) as archive:
            _check_unpacked(path, archive)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(_numbers(path, name, arrays[name])) for name in arrays.files}
    except CoderLoadError:
        raise
    except Exception as error:  # zip, zlib and numpy throw a dozen kinds
        raise CoderLoadError(f"{damaged}: {reason(error)}") from error


def _numbers(path: Path, name: str, array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise CoderLoadError(f"{path}: {name!r} is not an array of numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize == 8:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).copy()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt` file that holds a state dict and nothing else.

    `.pt` is a pickle. It is read with torch's `weights_only`, which builds tensors and runs nothing, from a memory map, so that
    a false size meets the end of the file and not the memory beside it.
    """
    _must_exist(path)
    damaged = f"{path} is not a state dict of torch, or is damaged"
    try:
        with zipfile.ZipFile(path) as archive:
            _check_unpacked(path, archive)
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CoderLoadError(
                    f"{damaged}: torch compresses nothing, and parts of this file are compressed"
                )
            index = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
            if len(index) != 1 or index[0].file_size > MAX_CONFIG:
                raise CoderLoadError(f"{damaged}: it has no index, or one of {MAX_CONFIG >> 20} MB or more")
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise CoderLoadError(f"{damaged}: {reason(error)}") from error
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch's reader and its unpickler throw a dozen kinds
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error) or "nsupported" in str(error):
            raise CoderLoadError(
                f"{path} holds more than weights: opening it would run code, so it is never loaded"
            ) from error
        raise CoderLoadError(f"{damaged}: {reason(error)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CoderLoadError(f"{path} holds a {type(state).__name__}, not weights by name")
    weights = {name: weight for name, weight in state.items() if isinstance(weight, Tensor)}
    for name, weight in weights.items():
        if weight.layout != torch.strided or weight.is_quantized or weight.device.type != "cpu":
            raise CoderLoadError(f"{path}: {name!r} is not a plain tensor")
        if weight.numel() * weight.element_size() > weight.untyped_storage().nbytes():
            raise CoderLoadError(f"{path}: {name!r} has more entries than the file holds")
    return weights


def _check_unpacked(path: Path, archive: zipfile.ZipFile) -> None:
    size, unpacked = path.stat().st_size, sum(entry.file_size for entry in archive.infolist())
    if unpacked > EXPANSION * size + SLACK:
        raise CoderLoadError(
            f"{path} has {size:,} bytes and would unpack to {unpacked:,}: weights do not compress so well, so it is not opened"
        )


def checked(
    path: Path, weights: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], device: torch.device
) -> dict[str, Tensor]:
    """The named weights in float32 on `device`; CoderLoadError where one lacks, or has not the shape."""
    chosen = {}
    for name, shape in shapes.items():
        if name not in weights:
            held = ", ".join(sorted(weights)) or "nothing"
            raise CoderLoadError(f"{path} lacks the weight {name!r}; it holds {held[:400]}")
        weight = weights[name]
        if tuple(weight.shape) != tuple(shape):
            raise CoderLoadError(
                f"{path}: weight {name!r} has shape {tuple(weight.shape)}, not {tuple(shape)}"
            )
        if weight.is_complex() or weight.dtype == torch.bool:
            raise CoderLoadError(f"{path}: weight {name!r} holds {weight.dtype}, not numbers")
        chosen[name] = weight.to(device=device, dtype=torch.float32).contiguous()
    return chosen


def matrix_shape(path: Path, weights: Mapping[str, Tensor], name: str, n_axes: int = 2) -> tuple[int, ...]:
    """The shape of a weight that the other shapes follow from; CoderLoadError where it lacks or is no such matrix."""
    if name not in weights:
        held = ", ".join(sorted(weights)) or "nothing"
        raise CoderLoadError(f"{path} lacks the weight {name!r}; it holds {held[:400]}")
    shape = tuple(weights[name].shape)
    if len(shape) != n_axes or not all(shape):
        raise CoderLoadError(f"{path}: weight {name!r} has shape {shape}, not {n_axes} axes of at least 1")
    return shape


def positive(path: Path, config: Mapping[str, Any], key: str) -> int:
    """A setting that must be a whole number of at least 1."""
    value = config.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CoderLoadError(f"{path}: {key!r} must be a positive whole number, not {value!r:.80}")
    return value


def _text(path: Path) -> str:
    with reading(path, "a coder's settings", CoderLoadError), path.open("rb") as file:
        content = file.read(MAX_CONFIG + 1)
    if len(content) > MAX_CONFIG:
        raise CoderLoadError(
            f"{path} has over {MAX_CONFIG >> 20} MB, too much for the configuration of a coder"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CoderLoadError(f"{path} is not UTF-8 text") from error


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise CoderLoadError(f"{path.parent} holds no {path.name}; weights saved as a pickle are never run.")
