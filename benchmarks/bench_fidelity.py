"""What measuring fidelity costs beside caching.

    python benchmarks/bench_fidelity.py [--smollm2] [--tokens N] [--coders K] [--hookpoint PATH] [--json FILE]

With --smollm2 the model itself, the demo's SAE of it and the demo's text; otherwise a random Llama of 12 layers, width 576 and
vocabulary 49,152 (SmolLM2-135M's width, at 12 of its 30 layers), and TopK coders of eight times the width at one hookpoint.
Caching is timed without fidelity, then fidelity alone on the same store. The goal is a third of caching's time. On a machine
with other work, the ratio of processor times means more than that of wall times.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from bench_caching import CASES, token_rows

from autointerp.caching import cache
from autointerp.caching.fidelity import measure
from autointerp.caching.masking import masked_ids
from autointerp.demo.smollm2 import model_folder
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import load_subject
from autointerp.store import Store

WIDTH, VOCAB, CTX_LEN = 576, 49_152, 128
ROOT = Path(__file__).resolve().parents[1]


def save_model(folder: Path) -> Path:
    """The random model, with the demo's tokenizer."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=12,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(ROOT / "data" / "demo" / "model")
    tokenizer.save_pretrained(folder)
    return folder


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall time, processor time and result."""
    begun, used = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - begun, time.process_time() - used, result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smollm2", action="store_true")
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--coders", type=int, default=1)
    parser.add_argument("--hookpoint", default="layers.4.mlp")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        subject = load_subject(str(model_folder() if args.smollm2 else save_model(Path(scratch) / "model")))
        if args.smollm2:
            rows = token_rows(subject, args.tokens)
            specs = {"r0": CASES["smollm2"].spec()}
        else:
            rng = np.random.default_rng(0)
            rows = rng.integers(1, VOCAB, (args.tokens // CTX_LEN, CTX_LEN)).astype(np.uint16)
            specs = {f"r{i}": f"random:{args.hookpoint}:{8 * WIDTH}:32:{i}" for i in range(args.coders)}
        coders = {name: load_coder(spec, subject=subject) for name, spec in specs.items()}
        masked = masked_ids(subject, None, skip_bos=True)
        # What the first passes of a process cost is neither's.
        first = Path(scratch) / "first"
        cache(first, model=subject, coders=specs, token_ids=rows[:16], fidelity_tokens=0, logits=False)
        measure(subject, coders, Store.open(first), masked=masked)
        path = Path(scratch) / "store"
        wall, cpu, _ = timed(
            lambda: cache(path, model=subject, coders=specs, token_ids=rows, fidelity_tokens=0, logits=False)
        )
        store = Store.open(path)
        fidelity_wall, fidelity_cpu, figures = timed(lambda: measure(subject, coders, store, masked=masked))
    found = {
        "tokens": int(store.tokens.size),
        "caching_s": round(wall, 1),
        "caching_cpu_s": round(cpu, 1),
        "fidelity_s": round(fidelity_wall, 1),
        "fidelity_cpu_s": round(fidelity_cpu, 1),
        "fidelity_tokens": figures["r0"].n_tokens,
        "ratio": round(fidelity_wall / wall, 3),
        "cpu_ratio": round(fidelity_cpu / cpu, 3),
    }
    print(json.dumps(found, indent=2))
    if args.json:
        args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
