"""The demo's sparse coders: five `sparsify` coders trained at once, from one forward pass a batch.

The modules, their initialisation, loss (fraction of variance unexplained), decoder normalisation
and file format are those of eai-sparsify. The loop is ours because its fused encoder is slow
on CPU: `sparse.py` is the same function (checked on the first batch).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from precision import mixed_precision
from sparse import forward
from sparsify import SparseCoder, SparseCoderConfig
from subject import EVAL_ROWS, Log, heldout_loss
from text import rows
from torch import Tensor
from transformers import GPTNeoXForCausalLM

LATENTS = 1536
K = 24
BATCH_ROWS = 16
LR = 2e-3
WARMUP_SHARE = 0.05
SPLICE_ROWS = 256
AUXK_ALPHA = 1 / 32
DEAD_AFTER = 500_000


@dataclass(frozen=True, slots=True)
class CoderSpec:
    """What a coder reads and how it starts."""

    name: str
    hookpoint: str
    seed: int = 0
    transcode: bool = False
    skip: bool = False


SPECS = (
    CoderSpec("sae", "layers.2.mlp", seed=0),
    CoderSpec("sae-seed1", "layers.2.mlp", seed=1),
    CoderSpec("transcoder", "layers.2.mlp", seed=0, transcode=True),
    CoderSpec("skip-transcoder", "layers.2.mlp", seed=0, transcode=True, skip=True),
    CoderSpec("sae-l1", "layers.1", seed=0),
)


class Activations:
    """Inputs and outputs of the hooked modules of a frozen subject."""

    def __init__(self, model: GPTNeoXForCausalLM) -> None:
        self.model = model.eval()
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}
        for name in sorted({spec.hookpoint for spec in SPECS}):
            module = model.base_model.get_submodule(name)
            module.register_forward_hook(self._hook(name))

    @torch.no_grad()
    def __call__(self, batch: np.ndarray) -> dict[str, tuple[Tensor, Tensor]]:
        """Hookpoint to (input, output), each ``[tokens, width]`` in fp32."""
        ids = torch.from_numpy(batch.astype(np.int64))
        self.model.base_model(ids, use_cache=False)
        return dict(self._seen)

    def _hook(self, name: str):
        def hook(_module, inputs, output) -> None:
            output = output[0] if isinstance(output, tuple) else output
            self._seen[name] = (inputs[0].flatten(0, 1).float(), output.flatten(0, 1).float())

        return hook


def new_coder(spec: CoderSpec, width: int) -> SparseCoder:
    """A freshly initialised coder of the demo's size."""
    torch.manual_seed(spec.seed)
    config = SparseCoderConfig(num_latents=LATENTS, k=K, transcode=spec.transcode, skip_connection=spec.skip)
    return SparseCoder(width, config)


def dense_forward(coder: SparseCoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(reconstruction ``[n, width]``, top-k activations, pre-activations, both ``[n, latents]``)."""
    centred = x if coder.cfg.transcode else x - coder.b_dec
    pre = F.relu(F.linear(centred, coder.encoder.weight, coder.encoder.bias))
    with torch.no_grad():
        chosen = torch.zeros_like(pre).scatter_(1, pre.topk(coder.cfg.k, sorted=False).indices, 1.0)
    acts = pre * chosen
    assert coder.W_dec is not None
    out = acts @ coder.W_dec + coder.b_dec
    return (out if coder.W_skip is None else out + x @ coder.W_skip.mT), acts, pre


def train(
    train_stream: np.ndarray,
    heldout_stream: np.ndarray,
    work: Path,
    out: Path,
    tokens: int,
    log: Log,
) -> None:
    """Train all coders on ``tokens`` tokens of the saved subject, save them in fp16 and measure them.

    Resumes from ``work/coders.pt``. Writes ``out/coders/<coder>/<hookpoint>/`` and the figures to
    ``work/coders.json``.
    """
    activations = Activations(GPTNeoXForCausalLM.from_pretrained(out / "model", dtype=torch.float32))
    table = rows(train_stream)
    table = table[np.random.default_rng(42).permutation(len(table))]
    first = activations(table[:BATCH_ROWS])
    coders = {spec.name: new_coder(spec, first[spec.hookpoint][1].shape[1]) for spec in SPECS}
    for spec in SPECS:
        x, y = first[spec.hookpoint]
        initialise(coders[spec.name], x if spec.transcode else y, y)
    optimizer = torch.optim.Adam([p for c in coders.values() for p in c.parameters()], lr=LR)
    silent = {name: torch.zeros(LATENTS, dtype=torch.long) for name in coders}
    state = {"spent": 0.0, "step": 0, "tokens": 0}
    checkpoint = work / "coders.pt"
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
        content = {"coders": weights, "optimizer": optimizer.state_dict()}
        torch.save(content | {"state": state, "silent": silent}, part)
        part.replace(checkpoint)

    before = state["spent"]
    began = last_save = last_log = time.monotonic()
    logged_tokens = state["tokens"]
    while state["tokens"] < tokens:
        start = (state["step"] * BATCH_ROWS) % (len(table) - BATCH_ROWS)
        seen = activations(table[start : start + BATCH_ROWS])
        progress = state["tokens"] / tokens
        scale = max(min(1.0, progress / WARMUP_SHARE, (1 - progress) / (1 - WARMUP_SHARE)), 1e-3)
        for group in optimizer.param_groups:
            group["lr"] = LR * scale
        with mixed_precision():
            fvus = {}
            for spec in SPECS:
                x, y = seen[spec.hookpoint]
                fvus[spec.name] = backward(
                    coders[spec.name], x if spec.transcode else y, y, silent[spec.name], DEAD_AFTER
                )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.monotonic()
        state["step"] += 1
        state["tokens"] += BATCH_ROWS * table.shape[1]
        state["spent"] = before + now - began
        if now - last_log > 30:
            speed = (state["tokens"] - logged_tokens) / (now - last_log)
            figures = ", ".join(
                f"{n} {v:.3f} ({float((silent[n] > DEAD_AFTER).float().mean()):.1%} dead)"
                for n, v in fvus.items()
            )
            log(
                f"coders: {state['spent'] / 60:.1f} min, step {state['step']}, "
                f"{state['tokens'] / 1e6:.2f} M tokens, {speed:.0f} tokens/s, FVU {figures}"
            )
            last_log, logged_tokens = now, state["tokens"]
        if now - last_save > 120:
            save()
            last_save = time.monotonic()
    save()
    for spec in SPECS:
        coder = coders[spec.name]
        if not spec.transcode:
            coder.set_decoder_norm_to_unit_norm()
        folder = out / "coders" / spec.name / spec.hookpoint
        coder.half().save_to_disk(folder)
        (folder / "sae.safetensors").chmod(0o644)
    figures = evaluate(activations, heldout_stream, out)
    spliced = spliced_losses(activations.model, heldout_stream, out)
    for spec in SPECS:
        figures[spec.name] |= {"spliced_loss": spliced[spec.name], "clean_loss": spliced[""]}
    shared = {"lr": LR, "latents": LATENTS, "k": K}
    facts = {spec.name: {**asdict(spec), **state, **figures[spec.name], **shared} for spec in SPECS}
    (work / "coders.json").write_text(json.dumps(facts, indent=2))
    for name, values in facts.items():
        log(f"coders: {name} held-out FVU {values['fvu']:.4f}, dead {values['dead']:.2%}")


@torch.no_grad()
def evaluate(activations: Activations, heldout_stream: np.ndarray, out: Path) -> dict[str, dict[str, float]]:
    """Figures of the saved fp16 coders on ``EVAL_ROWS`` evenly spread held-out rows.

    Returns:
        Coder to ``fvu`` (squared error over variance, one mean over all tokens), ``dead`` (share of
        latents that never fire on these tokens), ``l0`` (mean latents active) and ``eval_tokens``.
    """
    table = rows(heldout_stream)
    table = table[np.linspace(0, len(table) - 1, min(EVAL_ROWS, len(table))).astype(int)]
    coders = {
        s.name: SparseCoder.load_from_disk(out / "coders" / s.name / s.hookpoint).float() for s in SPECS
    }
    total = {s.name: {"error": 0.0, "square": 0.0, "active": 0.0, "sum": 0.0, "fired": False} for s in SPECS}
    for start in range(0, len(table), 32):
        seen = activations(table[start : start + 32])
        for spec in SPECS:
            x, y = seen[spec.hookpoint]
            predicted, acts, _ = dense_forward(coders[spec.name], x if spec.transcode else y)
            t = total[spec.name]
            t["error"] += float((predicted - y).double().pow(2).sum())
            t["square"] += float(y.double().pow(2).sum())
            t["sum"] = t["sum"] + y.double().sum(0)
            t["active"] += float((acts > 0).sum())
            t["fired"] = t["fired"] | (acts > 0).any(0)
    tokens = int(table.size)
    return {
        name: {
            "fvu": t["error"] / (t["square"] - float(t["sum"].pow(2).sum()) / tokens),
            "dead": 1.0 - float(t["fired"].float().mean()),
            "l0": t["active"] / tokens,
            "eval_tokens": tokens,
        }
        for name, t in total.items()
    }


@torch.no_grad()
def spliced_losses(model: GPTNeoXForCausalLM, heldout_stream: np.ndarray, out: Path) -> dict[str, float]:
    """Held-out loss (nats per token, ``SPLICE_ROWS`` rows) with the hooked module's output replaced.

    The key ``""`` holds the loss of the untouched model on the same rows.
    """
    losses = {"": heldout_loss(model, heldout_stream, SPLICE_ROWS)}
    for spec in SPECS:
        coder = SparseCoder.load_from_disk(out / "coders" / spec.name / spec.hookpoint).float()

        def replace(_module, inputs, output, coder=coder, spec=spec):
            y = output[0] if isinstance(output, tuple) else output
            source = inputs[0] if spec.transcode else y
            new = dense_forward(coder, source.flatten(0, 1))[0].view_as(y)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handle = model.base_model.get_submodule(spec.hookpoint).register_forward_hook(replace)
        losses[spec.name] = heldout_loss(model, heldout_stream, SPLICE_ROWS)
        handle.remove()
    return losses


@torch.no_grad()
def initialise(coder: SparseCoder, x: Tensor, y: Tensor) -> None:
    """Initialise the biases as sparsify does, from what the coder reads and rebuilds (of an SAE both are the same), and check
    our forward passes against the module's."""
    if coder.cfg.transcode:
        coder.encoder.bias.data = -x.mean(0) @ coder.encoder.weight.mT
    coder.b_dec.data = y.mean(0)
    x, y = x[:256], y[:256]
    torch.testing.assert_close(dense_forward(coder, x)[0], coder(x, y).sae_out, rtol=1e-3, atol=1e-4)
    with torch.enable_grad():
        dense, sparse = (
            torch.autograd.grad((y - out).pow(2).sum(), list(coder.parameters()))
            for out in (dense_forward(coder, x)[0], forward(coder, x).out)
        )
    for ours, plain in zip(sparse, dense, strict=True):
        assert (ours - plain).norm() <= 1e-3 * plain.norm()


def backward(coder: SparseCoder, x: Tensor, y: Tensor, silent: Tensor, dead_after: int) -> float:
    """One batch of what the coder reads and rebuilds: gradients of FVU plus auxiliary loss into it; returns its FVU.

    ``silent`` counts, per latent, the tokens since it last fired; it is updated in place. One silent for more than
    ``dead_after`` is dead.
    """
    transcode = coder.cfg.transcode
    if not transcode:
        coder.set_decoder_norm_to_unit_norm()
    predicted, acts, indices, bias = forward(coder, x)
    error = y - predicted
    variance = (y - y.mean(0)).pow(2).sum()
    fvu = error.pow(2).sum() / variance
    loss = fvu
    dead = (silent > dead_after).nonzero().flatten()
    if len(dead):
        half = y.shape[1] // 2
        candidates = F.relu(F.linear(x, coder.encoder.weight[dead], bias[dead]))
        if len(dead) > half:
            kept = torch.zeros_like(candidates).scatter_(
                1, candidates.detach().topk(half, sorted=False).indices, 1.0
            )
            candidates = candidates * kept
        assert coder.W_dec is not None
        guess = candidates @ coder.W_dec[dead]
        auxk = (guess - error.detach()).pow(2).sum() / variance
        loss = fvu + AUXK_ALPHA * min(len(dead) / half, 1.0) * auxk
    loss.backward()
    if not transcode:
        coder.remove_gradient_parallel_to_decoder_directions()
    silent += len(y)
    silent[indices[acts > 0]] = 0
    return float(fvu.detach())
