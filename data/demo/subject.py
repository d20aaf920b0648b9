"""The demo's subject model: a small GPT-NeoX, trained against a wall-clock budget."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from cards import text_versions
from precision import mixed_precision
from text import CONTEXT, VOCAB_SIZE, rows
from torch import Tensor, nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

BATCH_ROWS = 32
MUON_LR = 0.02
ADAM_LR = 3e-3
WARMUP_SHARE = 0.02
DECAY_SHARE = 0.6
EVAL_ROWS = 2048

Log = Callable[[str], None]


def new_model(seed: int = 0) -> GPTNeoXForCausalLM:
    """A freshly initialised subject; the matrices that write to the residual stream are zero."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=768,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=True,
        tie_word_embeddings=False,
    )
    model = GPTNeoXForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.dense.weight", "dense_4h_to_h.weight")):
            nn.init.zeros_(parameter)
    return model


def next_token_loss(model: GPTNeoXForCausalLM, batch: Tensor) -> Tensor:
    """Mean cross-entropy in nats per predicted token.

    Args:
        model: The subject.
        batch: Token ids, ``[rows, CONTEXT]``; each row predicts its ``CONTEXT - 1`` last tokens.
    """
    hidden = model.gpt_neox(batch, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


@torch.inference_mode()
def heldout_loss(model: GPTNeoXForCausalLM, stream: np.ndarray, max_rows: int | None = None) -> float:
    """Held-out loss in nats per token in fp32, over all rows or ``max_rows`` evenly spread ones."""
    was_training = model.training
    model.eval()
    table = rows(stream)
    if max_rows is not None and len(table) > max_rows:
        table = table[np.linspace(0, len(table) - 1, max_rows).astype(int)]
    total = 0.0
    for start in range(0, len(table), 64):
        batch = torch.from_numpy(table[start : start + 64].astype(np.int64))
        total += float(next_token_loss(model, batch)) * len(batch)
    model.train(was_training)
    return total / len(table)


def train(
    train_stream: np.ndarray,
    heldout_stream: np.ndarray,
    work: Path,
    minutes: float,
    log: Log,
    seed: int = 0,
) -> None:
    """Train until ``minutes`` of training time are spent; resumes from ``work/subject.pt``.

    The rate warms up, stays, and decays linearly to zero as a function of the time spent, so the
    schedule ends properly however fast the machine is. Matrices use Muon, the rest AdamW.
    """
    model = new_model(seed)
    model.train()
    matrices = [p for n, p in model.gpt_neox.layers.named_parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.01), MUON_LR),
        (torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0), ADAM_LR),
    ]
    state = {"spent": 0.0, "step": 0, "tokens": 0}
    checkpoint = work / "subject.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for (optimizer, _), optimizer_state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        state = saved["state"]
        log(f"subject: resumed at step {state['step']}")

    def save() -> None:
        part = checkpoint.with_suffix(".part")
        states = [optimizer.state_dict() for optimizer, _ in optimizers]
        torch.save({"model": model.state_dict(), "optimizers": states, "state": state}, part)
        part.replace(checkpoint)

    loss_of = torch.compile(lambda batch: next_token_loss(model, batch))
    with mixed_precision():  # compile outside the budget
        loss_of(torch.zeros(BATCH_ROWS, CONTEXT, dtype=torch.long)).backward()
    budget = minutes * 60
    began = last_save = last_log = time.monotonic()
    before, logged_tokens, losses = state["spent"], state["tokens"], []
    batches = _batches(train_stream, seed, state["step"])
    while state["spent"] < budget:
        scale = _schedule(state["spent"] / budget)
        for optimizer, rate in optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        with mixed_precision():
            loss = loss_of(next(batches))
        loss.backward()
        nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise RuntimeError(f"the loss is {losses[-1]} at step {state['step']}")
        now = time.monotonic()
        state["step"] += 1
        state["tokens"] += BATCH_ROWS * CONTEXT
        state["spent"] = before + now - began
        if now - last_log > 30:
            speed = (state["tokens"] - logged_tokens) / (now - last_log)
            log(
                f"subject: {state['spent'] / 60:.1f} min, step {state['step']}, "
                f"{state['tokens'] / 1e6:.2f} M tokens, loss {np.mean(losses):.3f}, "
                f"{speed:.0f} tokens/s, rate x{scale:.2f}"
            )
            last_log, logged_tokens, losses = now, state["tokens"], []
        if now - last_save > 120:
            save()
            log(f"subject: held-out (48 rows) {heldout_loss(model, heldout_stream, 48):.3f}")
            last_save = time.monotonic()
    save()


def load_checkpoint(work: Path) -> tuple[GPTNeoXForCausalLM, dict[str, float]]:
    """The model of the last checkpoint and its counters (``spent`` s, ``step``, ``tokens``)."""
    saved = torch.load(work / "subject.pt", weights_only=True)
    model = new_model()
    model.load_state_dict(saved["model"])
    return model.eval(), saved["state"]


def export(
    work: Path, model_dir: Path, heldout_stream: np.ndarray, facts: dict[str, float]
) -> dict[str, object]:
    """Save the last checkpoint in fp16 and measure what was saved, on ``EVAL_ROWS`` spread rows.

    The figures, with ``facts`` about the run, also go to ``work/subject.json``.
    """
    model, state = load_checkpoint(work)
    model.half().save_pretrained(model_dir)
    (model_dir / "model.safetensors").chmod(0o644)
    saved = GPTNeoXForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    measured = {
        **facts,
        **state,
        "heldout_loss": heldout_loss(saved, heldout_stream, EVAL_ROWS),
        "heldout_tokens": len(heldout_stream),
        "eval_tokens": min(EVAL_ROWS, len(rows(heldout_stream))) * CONTEXT,
        "parameters": sum(p.numel() for p in saved.parameters()),
        "versions": text_versions(),
    }
    (work / "subject.json").write_text(json.dumps(measured, indent=2))
    return measured


def _schedule(progress: float) -> float:
    if progress < WARMUP_SHARE:
        return max(progress / WARMUP_SHARE, 0.02)
    return min(1.0, max(0.0, (1.0 - progress) / DECAY_SHARE))


def _batches(stream: np.ndarray, seed: int, start: int):
    """Endless batches ``[BATCH_ROWS, CONTEXT]``, shuffled anew in each epoch, from step ``start``."""
    step, epoch = 0, 0
    while True:
        generator = np.random.default_rng((seed, epoch))
        table = rows(stream, int(generator.integers(CONTEXT)))
        order = generator.permutation(len(table))
        for first in range(0, len(order) - BATCH_ROWS + 1, BATCH_ROWS):
            if step >= start:
                chosen = np.sort(order[first : first + BATCH_ROWS])
                yield torch.from_numpy(table[chosen].astype(np.int64))
            step += 1
        epoch += 1
