"""What the SmolLM2 demo's coders are trained on: activations of the published model over the demo's training text.

They are written once, in float16, and all coders read them. Positions of the token that joins documents are left out, as the
store leaves them out.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from precision import PRECISION
from subject import Log
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from autointerp.demo.corpus import iter_documents

MLP = "layers.12.mlp"
RESIDUAL = "layers.10"
"""Both lie where no token dwarfs the others. From layer 11 on, 99 % of the residual stream's variance is the first token of
each row, and the MLPs of layers 8 to 11 write or erase such outliers."""
SITES = ("input", "output", "residual")
WIDTH = 576
CONTEXT = 128
BATCH_ROWS = 16


class _LastModuleRead(Exception):
    """Ends a forward pass: the layers above are not needed."""


def token_rows(model_dir: Path, work: Path, tokens: int) -> np.ndarray:
    """About `tokens` tokens of the training text in rows of `CONTEXT`, BOS before each document; kept in `work`."""
    path = work / f"rows_{tokens}.npy"
    if not path.exists():
        tokenizer = AutoTokenizer.from_pretrained(model_dir)
        parts: list[list[int]] = []
        left = tokens
        for document in iter_documents("train"):
            parts.append(
                [tokenizer.bos_token_id, *tokenizer(document.text, add_special_tokens=False).input_ids]
            )
            left -= len(parts[-1])
            if left <= 0:
                break
        stream = np.concatenate([np.array(part, dtype=np.uint16) for part in parts])
        np.save(path, stream[: len(stream) // CONTEXT * CONTEXT].reshape(-1, CONTEXT))
    return np.load(path)


class Stored:
    """The activations on disk: one file a site, float16, `WIDTH` values a token."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.state_file = work / "activations.json"
        self.state = {"after": 0, "rows": 0, "tokens": 0, "seconds": 0.0}
        if self.state_file.exists():
            self.state |= json.loads(self.state_file.read_text())

    def path(self, site: str) -> Path:
        return self.work / f"{site}.f16"

    def read(self) -> dict[str, np.ndarray]:
        """Site to Float16[ndarray, "tokens width"], memory-mapped."""
        shape = (self.state["tokens"], WIDTH)
        return {site: np.memmap(self.path(site), np.float16, "r", shape=shape) for site in SITES}

    def collect(self, rows: np.ndarray, after: int, model_dir: Path, deadline: float, log: Log) -> None:
        """Write what is missing of the rows after the first `after`, until `time.time()` reaches `deadline`. What a killed run
        left half written is cut off."""
        if self.state["rows"] and self.state["after"] != after:
            raise SystemExit(f"{self.work} holds activations after row {self.state['after']}, not {after}.")
        self.state["after"], rows = after, rows[after:]
        if not len(rows):
            raise SystemExit(f"The text has no rows after the first {after:,}.")
        whole = AutoModelForCausalLM.from_pretrained(model_dir, dtype=PRECISION).eval()
        model, bos = whole.base_model, whole.config.bos_token_id
        seen = _hooked(model)
        files = {site: self.path(site).open("ab") for site in SITES}
        for file in files.values():
            file.truncate(self.state["tokens"] * WIDTH * 2)
        logged = time.monotonic()
        while self.state["rows"] < len(rows) and time.time() < deadline:
            began = time.monotonic()
            batch = torch.from_numpy(rows[self.state["rows"] :][:BATCH_ROWS].astype(np.int64))
            kept = (batch != bos).flatten()
            with torch.inference_mode(), suppress(_LastModuleRead):
                model(batch, use_cache=False)
            for site, file in files.items():
                file.write(seen[site].flatten(0, 1)[kept].to(torch.float16).numpy().tobytes())
                file.flush()
            self.state["rows"] += len(batch)
            self.state["tokens"] += int(kept.sum())
            self.state["seconds"] += time.monotonic() - began
            part = self.state_file.with_suffix(".part")
            part.write_text(json.dumps(self.state))
            part.replace(self.state_file)
            if time.monotonic() - logged > 60:
                logged = time.monotonic()
                speed = self.state["tokens"] / self.state["seconds"]
                log(f"activations: {self.state['tokens']:,} tokens, {speed:.0f} tokens/s")
        for file in files.values():
            file.close()
        log(f"activations: {self.state}")


def _hooked(model) -> dict[str, Tensor]:
    """Filled by each forward pass with what `SITES` hold, [batch, ctx_len, width]."""
    seen: dict[str, Tensor] = {}

    def mlp(_module, inputs, output) -> None:
        seen["input"], seen["output"] = inputs[0], output
        raise _LastModuleRead

    def residual(_module, _inputs, output) -> None:
        seen["residual"] = output[0] if isinstance(output, tuple) else output

    model.get_submodule(MLP).register_forward_hook(mlp)
    model.get_submodule(RESIDUAL).register_forward_hook(residual)
    return seen
