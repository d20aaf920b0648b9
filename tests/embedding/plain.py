"""Second implementations, as plain as can be."""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer


def bert(folder: Path, text: str) -> NDArray[np.float64]:
    """The unit vector of one text: BERT and mean pooling in float64, one head at a time."""
    config = json.loads((folder / "config.json").read_text())
    weights = {
        name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()
    }
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = tokenizer.encode(text).ids[:256]

    def linear(x: NDArray, name: str) -> NDArray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: NDArray, name: str) -> NDArray:
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, "embeddings.LayerNorm")
    width = config["hidden_size"] // config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            linear(x, f"{layer}.attention.self.{what}") for what in ("query", "key", "value")
        )
        mixed = np.zeros_like(x)
        for head in range(config["num_attention_heads"]):
            part = slice(head * width, (head + 1) * width)
            logits = query[:, part] @ key[:, part].T / math.sqrt(width)
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            mixed[:, part] = shares / shares.sum(axis=1, keepdims=True) @ value[:, part]
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    pooled = x.mean(axis=0)
    return pooled / np.linalg.norm(pooled)


def search(vectors: NDArray, query: NDArray, limit: int) -> list[int]:
    """Rows by falling cosine, equals by row."""
    cosine = np.asarray(vectors, dtype=np.float32) @ query
    return sorted(range(len(vectors)), key=lambda row: (-cosine[row], row))[:limit]


def hard(
    vectors: NDArray, anchors: NDArray[np.int64], forbidden: NDArray[np.bool_], n: int, per_context: int
) -> list[int]:
    """Anchors take turns in their order; each gives its nearest window of a context not yet used."""
    chosen: list[int] = []
    full = np.asarray(vectors, dtype=np.float32)
    while len(chosen) < n:
        before = len(chosen)
        for anchor in anchors:
            cosine = full @ full[anchor]
            free = [
                row
                for row in range(len(full))
                if not forbidden[row // per_context]
                and row // per_context not in {other // per_context for other in chosen}
            ]
            if free and len(chosen) < n:
                chosen.append(min(free, key=lambda row: (-cosine[row], row)))
        if len(chosen) == before:
            break
    return chosen
