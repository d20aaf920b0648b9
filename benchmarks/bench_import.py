"""How fast a delphi cache is imported, and in how much memory.

    python benchmarks/bench_import.py [--activations N] [--width N] [--active N] [--ctx-len N] [--splits N]

A cache of N activations (20 million by default; power-law densities, random token ids) is made in delphi's layout, and
imported in a process of its own, whose peak memory is reported: contexts, activations, statistics, neighbours by co-firing.
On a machine with other work the processor time, over two cores, says more than the wall time.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 50_000
TOKENS_AT_ONCE = 1 << 16


def make_cache(folder: Path, *, activations: int, width: int, active: int, ctx_len: int, splits: int) -> None:
    """A cache of about `activations` entries, `active` latents on a token, written a shard at a time."""
    from autointerp.formats.delphi.tensors import write_tensors

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = max(1, activations // active // ctx_len)
    tokens = rng.integers(0, VOCABULARY, (rows, ctx_len)).astype("<i4")
    share = 1 / np.arange(1, width + 1) ** 0.8
    ladder, places = np.cumsum(share / share.sum()), rng.permutation(width)
    entries = []
    for start in range(0, rows * ctx_len, TOKENS_AT_ONCE):
        n = min(TOKENS_AT_ONCE, rows * ctx_len - start)
        latent = places[np.minimum(np.searchsorted(ladder, rng.random((n, active))), width - 1)]
        entries.append(np.unique((np.arange(start, start + n)[:, None] * width + latent).ravel()))
    token, latent = np.divmod(np.concatenate(entries), width)
    value = (np.abs(rng.standard_normal(len(token))) + 0.01).astype("<f2")
    bounds = [part * width // splits for part in range(splits + 1)]
    for first, stop in pairwise(bounds):
        own = np.flatnonzero((latent >= first) & (latent < stop))
        row, position = np.divmod(token[own], ctx_len)
        dtype = "<u2" if max(rows, stop - first) <= 1 << 16 else "<u4"
        locations = np.stack([row, position, latent[own] - first], axis=1).astype(dtype)
        write_tensors(
            folder / f"{first}_{stop - 1}.safetensors",
            {
                "locations": (locations.dtype, locations.shape, [locations]),
                "activations": (value.dtype, (len(own),), [value[own]]),
                "tokens": (tokens.dtype, tokens.shape, [tokens]),
            },
        )
    config = {"dataset_repo": "generated", "cache_ctx_len": ctx_len, "n_splits": splits}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def timed_import(source: Path, store: Path) -> dict[str, Any]:
    """In this process, from the first import of a module on."""
    started = time.perf_counter()
    from autointerp.formats.delphi.read import run
    from autointerp.formats.requests import ImportRequest
    from autointerp.types import no_progress

    summary = run(ImportRequest(sources=(source,), store=store), no_progress)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "activations": summary.taken["activations"],
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_gb": round(used.ru_maxrss / 1e6, 2),
        "store_bytes": sum(path.stat().st_size for path in store.rglob("*") if path.is_file()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--activations", type=float, default=2e7)
    parser.add_argument("--width", type=int, default=32_768)
    parser.add_argument("--active", type=int, default=32)
    parser.add_argument("--ctx-len", type=int, default=256)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument(
        "--only-import", type=Path, nargs=2, metavar=("SOURCE", "STORE"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.only_import:
        print(json.dumps(timed_import(*args.only_import)))
        return
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        make_cache(
            folder / "run" / "latents" / "layers.0",
            activations=int(args.activations),
            width=args.width,
            active=args.active,
            ctx_len=args.ctx_len,
            splits=args.splits,
        )
        command = [sys.executable, __file__, "--only-import", str(folder / "run"), str(folder / "store")]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        n, seconds, processor = done["activations"], done["seconds"], done["processor_seconds"]
        print(f"{n:,} activations of {args.width:,} latents")
        print(f"{seconds} s, {n / seconds / 1e6:.2f} million a second")
        print(f"processor {processor} s, over two cores {2 * n / processor / 1e6:.2f} million a second")
        print(f"peak {done['peak_gb']} GB, {done['store_bytes'] / n:.2f} bytes an activation")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
