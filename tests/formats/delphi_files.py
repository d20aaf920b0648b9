"""Caches in delphi's layout, from literals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

CONFIG = {
    "dataset_repo": "some/text",
    "dataset_split": "train",
    "dataset_name": "",
    "dataset_column": "text",
    "batch_size": 4,
    "cache_ctx_len": 8,
    "n_tokens": 32,
    "n_splits": 2,
    "model_name": "no/model",
}
Rows = Sequence[tuple[int, int, int, float]]
"""Row of the text, position, latent, activation."""


def write_cache(
    folder: Path,
    tokens: NDArray[np.integer],
    rows: Rows,
    ranges: Sequence[tuple[int, int]],
    *,
    locations: type = np.uint16,
    activations: type = np.float16,
    tokens_in_all: bool = True,
    config: Mapping[str, Any] | None = CONFIG,
) -> Path:
    """One hookpoint's cache: a shard for each range of latents, both ends included."""
    folder.mkdir(parents=True)
    for i, (first, last) in enumerate(ranges):
        own = [row for row in rows if first <= row[2] <= last]
        places = [(row, position, latent - first) for row, position, latent, _ in own]
        arrays = {
            "locations": np.array(places, dtype=locations).reshape(len(own), 3),
            "activations": np.array([value for *_, value in own], dtype=activations),
        }
        if tokens_in_all or i == 0:
            arrays["tokens"] = np.ascontiguousarray(tokens)
        save_file(arrays, folder / f"{first}_{last}.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")
    return folder
