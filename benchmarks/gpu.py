"""Caching on a GPU, in float32 and bfloat16: tokens per second beside the bare bound, and what it fires compared with the CPU.

    python benchmarks/gpu.py [--device cuda] [--model M --coder SPEC] [--tokens N] [--compare N] [--reps R] [--json FILE]

Without --model it is SmolLM2-135M-Instruct, from 4-bit weights, with the demo's SAE at layer 12 (see `autointerp demo --subject
smollm2`). The bare bound is that of `bench_caching.py`, on the same device and in the same precision: forward to the hook,
encode, top-k, thrown away.

The comparison caches `--compare` tokens on the CPU in float32 and on the device in each precision. "agree" is the share of
(token, latent) pairs that fire in both among those that fire in either; "difference" the 99th percentile of the differences of
activations where both fire, relative to the larger. In float32 rounding alone may swap latents that nearly tie at the top-k's
end; bfloat16 shows what three digits cost.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_caching import BATCH, CASES, bound, token_rows

from autointerp.caching import cache
from autointerp.demo.smollm2 import model_folder
from autointerp.errors import UserError
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store

DTYPES = ("float32", "bfloat16")


def seconds(work: Callable[[], Any], device: str) -> float:
    """Wall time until the device has done all of it."""

    def wait() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    begun = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - begun


def firings(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All activations of the store's one coder: keys Int64 (token position x latents + latent), ascending, and values."""
    coder = Store.open(path).coder("it")
    keys, values = [], []
    for latent in coder.table().live.tolist():
        fired = coder.activations(latent)
        keys.append(fired.token * coder.info.n_latents + latent)
        values.append(fired.activation)
    key = np.concatenate(keys)
    order = np.argsort(key)
    return key[order], np.concatenate(values)[order]


def compare(
    reference: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """How alike two sets of firings are."""
    both, a, b = np.intersect1d(reference[0], other[0], assume_unique=True, return_indices=True)
    x, y = reference[1][a], other[1][b]
    return {
        "agree": len(both) / (len(reference[0]) + len(other[0]) - len(both)),
        "difference": float(np.quantile(np.abs(x - y) / np.maximum(x, y), 0.99)),
    }


def speed(subject: SubjectModel, spec: str, rows: np.ndarray, reps: int, scratch: Path) -> dict[str, Any]:
    """Tokens per second of the bound and of caching, medians of alternating pairs, and the median of the pairs' ratios."""
    coder = load_coder(spec, subject=subject)
    store = scratch / f"speed-{subject.dtype}"
    # The corpus is made once, outside the timing, as it is for all later coders; so are the device's first kernels.
    cache(store, model=subject, coders={"warm": spec}, token_ids=rows, fidelity_tokens=0)
    bound(subject, coder, rows[: 4 * BATCH])
    device, pairs = str(subject.device), []
    for rep in range(reps):
        steps = [
            lambda: bound(subject, coder, rows),
            lambda: cache(store, model=subject, coders={"it": spec}, fidelity_tokens=0, overwrite=True),
        ]
        taken = {i: seconds(steps[i], device) for i in ((0, 1) if rep % 2 == 0 else (1, 0))}
        pairs.append((taken[0], taken[1]))
    return {
        "bound_tokens_per_s": round(rows.size / statistics.median(b for b, _ in pairs)),
        "ours_tokens_per_s": round(rows.size / statistics.median(o for _, o in pairs)),
        "ratio_to_bound": round(statistics.median(b / o for b, o in pairs), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--model", help="folder or hub name (default: SmolLM2-135M-Instruct from its package)"
    )
    parser.add_argument(
        "--coder", help="spec as of `autointerp cache --coder` (default: the demo's SAE of SmolLM2)"
    )
    parser.add_argument("--tokens", type=int, default=1_048_576)
    parser.add_argument(
        "--compare", type=int, default=16_384, metavar="N", help="tokens cached on the CPU too"
    )
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.model and not args.coder:
        parser.error("--model needs a --coder that fits it")
    spec = args.coder or CASES["smollm2"].spec()
    results: dict[str, Any] = {"device": args.device, "coder": spec}
    try:
        model = args.model or str(model_folder())
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            reference = load_subject(model)
            rows = token_rows(reference, max(args.tokens, args.compare))
            compared, timed = (rows[: n // rows.shape[1]] for n in (args.compare, args.tokens))
            cache(
                scratch / "cpu", model=reference, coders={"it": spec}, token_ids=compared, fidelity_tokens=0
            )
            expected = firings(scratch / "cpu")
            for dtype in DTYPES:
                subject = load_subject(model, device=args.device, dtype=dtype)
                results.setdefault(
                    "name", torch.cuda.get_device_name() if subject.device.type == "cuda" else "CPU"
                )
                path = scratch / dtype
                cache(path, model=subject, coders={"it": spec}, token_ids=compared, fidelity_tokens=0)
                alike = compare(expected, firings(path))
                results[dtype] = speed(subject, spec, timed, args.reps, scratch) | alike
                print(json.dumps({dtype: results[dtype]}), flush=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
