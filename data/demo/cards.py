"""Model cards of the demo, written from the figures that the training stages measured."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

from autointerp.demo.corpus import HELDOUT_ONE_IN, MIN_CHARS

_KINDS = {
    "sae": "sparse autoencoder",
    "sae-seed1": "sparse autoencoder, the same as `sae` except for the seed of its initial weights",
    "transcoder": "transcoder (predicts the MLP's output from its input)",
    "skip-transcoder": "transcoder with a linear skip connection",
    "sae-l1": "sparse autoencoder at another site: the residual stream after block 1",
}

_PURPOSE = """## Purpose

It makes the feature browser's demo work offline, and is small enough to commit. Use it to try out the browser and to
test code that reads such models. It is not a research model: it tells you nothing about large language models.
The weights are ours and covered by this repository's licence (Apache-2.0); no text is distributed with them.
"""


def text_versions() -> dict[str, str]:
    """Installed versions of the packages that hold most of the text."""
    names = [
        "torch",
        "transformers",
        "scipy",
        "sympy",
        "scikit-learn",
        "pandas",
        "networkx",
        "numpy",
        "streamlit",
        "huggingface-hub",
    ]
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write(work: Path, out: Path) -> None:
    """Write ``README.md`` into the model's folder and into each coder's.

    Raises:
        FileNotFoundError: If a training stage has not left its figures in ``work``.
    """
    subject = json.loads((work / "subject.json").read_text())
    coders = json.loads((work / "coders.json").read_text())
    config = json.loads((out / "model" / "config.json").read_text())
    (out / "model" / "README.md").write_text(_model_card(subject, config))
    for name, facts in coders.items():
        (out / "coders" / name / "README.md").write_text(_coder_card(name, facts, coders))


def _model_card(facts: dict, config: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"""# Demo subject model

A GPT-NeoX language model of {facts["parameters"] / 1e6:.2f} M parameters: {config["num_hidden_layers"]} layers, \
width {config["hidden_size"]}, MLP width {config["intermediate_size"]}, {config["num_attention_heads"]} heads, \
context {config["max_position_embeddings"]} tokens, byte-level BPE of {config["vocab_size"]:,} entries. Id 0 \
(`<|endoftext|>`) separates documents and is BOS and EOS. Stored in fp16.

## Data

Docstrings of the installed dependencies and of the Python standard library, at least {MIN_CHARS} characters long,
without exact duplicates: {facts["train_tokens"] / 1e6:.2f} M tokens for training. One module in {HELDOUT_ONE_IN}, by a \
hash of its path, is held out ({facts["heldout_tokens"] / 1e6:.2f} M tokens), and no training document repeats a
held-out one verbatim; near-duplicates, such as the parameter lists that libraries repeat, remain. Documents are
joined and cut into rows of {config["max_position_embeddings"]} tokens. Text from: {versions}, and others.

## Training

{facts["tokens"] / 1e6:.2f} M tokens ({facts["tokens"] / facts["train_tokens"]:.2f} epochs) in {facts["step"]:,} steps \
of 4,096 tokens and {facts["spent"] / 60:.1f} minutes on two CPU cores shared with other work. Muon for the matrices,
AdamW for the rest, bfloat16 autocast; the learning rate decays to zero over the last 60 % of the time. Two runs: the
first to the end of a budget of 36 minutes; the second resumed from it with the whole budget, so the learning rate rose
again to 0.94 of its peak before the last decay. Seed 0.

| Measured on the fp16 weights, {facts["eval_tokens"]:,} tokens spread over the held-out part | |
|---|---|
| Loss | {facts["heldout_loss"]:.3f} nats per token |
| Perplexity | {2.718281828 ** facts["heldout_loss"]:.1f} per token |

{_PURPOSE}
## Limits

It writes text that looks like a docstring and means nothing. It knows only the English of API references, and no context
beyond {config["max_position_embeddings"]} tokens. The schedule runs on wall time, so a second run on another
machine gives similar weights, not identical ones.

## Reproduce

    python data/demo/train.py tokenizer
    python data/demo/train.py subject --minutes 36
    python data/demo/train.py subject --minutes {facts["minutes"]:.0f}
"""


def _coder_card(name: str, facts: dict, all_facts: dict) -> str:
    added = facts["spliced_loss"] - facts["clean_loss"]
    others = "\n".join(
        f"| `{other}` | {f['hookpoint']} | {f['fvu']:.4f} | {f['dead']:.2%} | +{f['spliced_loss'] - f['clean_loss']:.3f} |"
        for other, f in all_facts.items()
    )
    return f"""# Demo coder `{name}`

A {_KINDS[name]}, on `{facts["hookpoint"]}` of the demo's subject model. TopK, {facts["latents"]:,} latents, \
k = {facts["k"]}, seed {facts["seed"]}, in the format of eai-sparsify, stored in fp16.

## Training

{facts["tokens"] / 1e6:.2f} M tokens of the training part of the demo's text (docstrings; see the model's card) in \
{facts["step"]:,} steps of 2,048 tokens and {facts["spent"] / 60:.1f} minutes on two CPU cores, all five coders
at once on the same batches. Adam, learning rate {facts["lr"]:g} with linear decay. Modules, initialisation, loss (FVU)
and decoder normalisation are sparsify's; its auxiliary loss (weight 1/32) revives latents silent for 500,000 tokens.

| Measured on the fp16 weights, {facts["eval_tokens"]:,} held-out tokens | |
|---|---|
| Fraction of variance unexplained | {facts["fvu"]:.4f} |
| Latents that never fired there | {facts["dead"]:.2%} |
| Latents active per token | {facts["l0"]:.2f} |
| Cross-entropy increase when it replaces the site's output (32,768 tokens) | {added:+.3f} nats \
(to {facts["spliced_loss"]:.3f}) |

All coders of the demo:

| Coder | Site | FVU | Never fired | Cross-entropy increase |
|---|---|---|---|---|
{others}

{_PURPOSE}
## Limits

Trained for minutes on a tiny model: many latents stand for single tokens or for one library's phrases. FVU is not
comparable between sites.

## Reproduce

    python data/demo/train.py coders --tokens {facts["tokens"]:.0f}
"""
