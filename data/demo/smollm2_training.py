"""The SmolLM2 demo's sparse coders: `sparsify` coders, all trained at once on the stored activations.

As in `coders.py`, modules, initialisation, loss and file format are eai-sparsify's, and the loop is ours. What a coder reads
and rebuilds is scaled to unit variance while it trains (the MLP's input is 40 times smaller than the residual stream);
saving folds the scales into the weights, so that the files work on the model's own activations.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from coders import CoderSpec, backward, initialise
from precision import mixed_precision
from smollm2_activations import MLP, RESIDUAL, WIDTH, Stored
from sparsify import SparseCoder, SparseCoderConfig
from subject import Log
from torch import Tensor

LATENTS = 3072
K = 32
BATCH = 512
LR = 1.5e-3
WARMUP_SHARE = 0.03
DEAD_AFTER = 100_000
SAMPLE = 16_384
BLOCK = 262_144
"""About how many tokens are shuffled among each other."""

SPECS = (
    CoderSpec("sae", MLP, seed=0),
    CoderSpec("sae-seed1", MLP, seed=1),
    CoderSpec("transcoder", MLP, seed=0, transcode=True),
    CoderSpec("skip-transcoder", MLP, seed=0, transcode=True, skip=True),
    CoderSpec("sae-residual", RESIDUAL, seed=0),
)


class Data:
    """Random batches of the stored activations, centred on nothing and divided by each site's standard deviation."""

    def __init__(self, stored: Stored) -> None:
        self.n = stored.state["tokens"]
        if self.n < BATCH:
            raise SystemExit(f"{stored.work} holds {self.n:,} tokens, less than a batch of {BATCH}.")
        self.arrays = stored.read()
        sample = np.sort(np.random.default_rng(0).choice(self.n, min(SAMPLE, self.n), replace=False))
        wide = {
            site: torch.from_numpy(array[sample].astype(np.float32)) for site, array in self.arrays.items()
        }
        self.scale = {site: float((x - x.mean(0)).pow(2).mean().sqrt()) for site, x in wide.items()}
        self._block: tuple[int, dict[str, np.ndarray]] | None = None

    def batch(self, step: int) -> dict[str, Tensor]:
        """Site to Float[Tensor, "batch width"]; every token once an epoch, but for less than a batch of each block.

        Blocks of the text are read in order, since more may be stored than memory holds, and shuffled within; the order
        depends only on the epoch.
        """
        n_blocks = max(1, round(self.n / BLOCK))
        size = self.n // n_blocks
        block, at = divmod(step, size // BATCH)
        if self._block is None or self._block[0] != block:
            epoch, part = divmod(block, n_blocks)
            order = np.random.default_rng((epoch, part)).permutation(size)
            rows = slice(part * size, (part + 1) * size)
            self._block = block, {site: array[rows][order] for site, array in self.arrays.items()}
        return {
            site: torch.from_numpy(array[at * BATCH : (at + 1) * BATCH].astype(np.float32)) / self.scale[site]
            for site, array in self._block[1].items()
        }


def sites(spec: CoderSpec) -> tuple[str, str]:
    """Which activations a coder reads, and which it rebuilds."""
    if spec.hookpoint == RESIDUAL:
        return "residual", "residual"
    return ("input", "output") if spec.transcode else ("output", "output")


def train(
    stored: Stored, work: Path, out: Path, epochs: float, go_on: bool, deadline: float, log: Log
) -> None:
    """Show the coders each stored token `epochs` times, save them in fp16 and add the run to `out/training.json`.

    `go_on`: begin with the coders in `out`, without their optimiser's state. Stops at `time.time()` `deadline` with what it has
    in `work/smollm2.pt`, from where the next call resumes.
    """
    data = Data(stored)
    history, checkpoint = out / "training.json", work / "smollm2.pt"
    earlier = json.loads(history.read_text()) if go_on else []
    n_read = sum(run["rows"] for run in earlier)
    if stored.state["after"] < n_read and not checkpoint.exists():
        raise SystemExit(
            f"These coders have seen the text's first {n_read:,} rows: collect activations --after {n_read}."
        )
    coders: dict[str, SparseCoder] = {}
    first = data.batch(0)
    for spec in SPECS:
        torch.manual_seed(spec.seed)
        config = SparseCoderConfig(
            num_latents=LATENTS, k=K, transcode=spec.transcode, skip_connection=spec.skip
        )
        coders[spec.name] = SparseCoder(WIDTH, config)
        initialise(coders[spec.name], *(first[site] for site in sites(spec)))
        if go_on:
            shipped = SparseCoder.load_from_disk(out / "coders" / spec.name / spec.hookpoint).float()
            coders[spec.name].load_state_dict(shipped.state_dict())
            fold(coders[spec.name], *(1 / data.scale[site] for site in sites(spec)))
    optimizer = torch.optim.Adam([p for c in coders.values() for p in c.parameters()], lr=LR, fused=True)
    silent = {name: torch.zeros(LATENTS, dtype=torch.long) for name in coders}
    state = {"spent": 0.0, "step": 0, "tokens": 0}
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for name, coder in coders.items():
            coder.load_state_dict(saved["coders"][name])
        optimizer.load_state_dict(saved["optimizer"])
        state, silent = saved["state"], saved["silent"]
        log(f"coders: resumed at step {state['step']}")

    def save() -> None:
        weights = {name: coder.state_dict() for name, coder in coders.items()}
        part = checkpoint.with_suffix(".part")
        content = {"coders": weights, "optimizer": optimizer.state_dict(), "state": state, "silent": silent}
        torch.save(content, part)
        part.replace(checkpoint)

    began = last_save = last_log = time.monotonic()
    before = state["spent"]
    steps = int(epochs * data.n / BATCH)
    running: dict[str, float] = {}
    while state["step"] < steps:
        if time.time() > deadline:
            save()
            log(f"coders: stopped at step {state['step']} of {steps}; the same command goes on")
            return
        progress = state["step"] / steps
        scale = max(min(1.0, progress / WARMUP_SHARE, (1 - progress) / 0.8), 1e-3)
        for group in optimizer.param_groups:
            group["lr"] = LR * scale
        seen = data.batch(state["step"])
        with mixed_precision():
            for spec in SPECS:
                read, rebuilt = (seen[site] for site in sites(spec))
                fvu = backward(coders[spec.name], read, rebuilt, silent[spec.name], DEAD_AFTER)
                running[spec.name] = 0.95 * running.get(spec.name, fvu) + 0.05 * fvu
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.monotonic()
        state["step"] += 1
        state["tokens"] += BATCH
        state["spent"] = before + now - began
        if now - last_log > 30:
            figures = ", ".join(
                f"{name} {fvu:.3f} ({float((silent[name] > DEAD_AFTER).float().mean()):.1%} dead)"
                for name, fvu in running.items()
            )
            log(f"coders: {state['spent'] / 60:.1f} min, step {state['step']} of {steps}, FVU {figures}")
            last_log = now
        if now - last_save > 120:
            save()
            last_save = time.monotonic()
    save()
    for spec in SPECS:
        coder = coders[spec.name]
        if not spec.transcode:
            coder.set_decoder_norm_to_unit_norm()
        fold(coder, *(data.scale[site] for site in sites(spec)))
        folder = out / "coders" / spec.name / spec.hookpoint
        coder.half().save_to_disk(folder)
        (folder / "sae.safetensors").chmod(0o644)
    run = {"rows_after": stored.state["after"], "rows": stored.state["rows"]}
    run |= {
        "distinct_tokens": min(data.n, state["tokens"]),
        "tokens": state["tokens"],
        "steps": state["step"],
    }
    run |= {"minutes": round(state["spent"] / 60, 1), "latents": LATENTS, "k": K, "lr": LR, "batch": BATCH}
    earlier = [
        each for each in earlier if each["rows_after"] != run["rows_after"]
    ]  # this run, ended once before
    history.write_text(json.dumps([*earlier, run], indent=2) + "\n")


@torch.no_grad()
def fold(coder: SparseCoder, read: float, rebuilt: float) -> None:
    """Make a coder of activations divided by `read` and `rebuilt` one of the activations themselves.

    An SAE's latents grow with its input, so its biases do; a transcoder's stay as they are.
    """
    assert coder.W_dec is not None
    if coder.cfg.transcode:
        coder.encoder.weight.div_(read)
        coder.W_dec.mul_(rebuilt)
        if coder.W_skip is not None:
            coder.W_skip.mul_(rebuilt / read)
    else:
        coder.encoder.bias.mul_(read)
    coder.b_dec.mul_(rebuilt)
