"""Correlation and Jaccard index of all pairs of latents of two coders: time against the bare sparse products, and memory.

    python benchmarks/bench_coactivation.py [--latents 32768] [--tokens 3125000] [--k 32] [--rows 512]
    python benchmarks/bench_coactivation.py --store STORE CODER CODER

Activations are made up at the size of two coders of `--latents` latents, `--k` of which fire on each of `--tokens` tokens (some
of them on many, most on few): 10^8 each by default. A slice of the work is timed: the first `--rows` latents of the one coder
with as many of the other as are compared at once (`coactivation.PANEL`). Bare: the sparse products of the values and of the
ones, in as many threads; then with all that turns them into lists of nearest latents. Reading the store comes on top (about
ten million activations a second, the first coder once for each panel).

With `--store` two coders of a store are compared whole, as the job does it (`make_store.py --coders 2` makes one of 10^8 each).
"""

import argparse
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from autointerp.compare import coactivation, products
from autointerp.pipeline.resources import Resources
from autointerp.store import LatentBlock, Store
from autointerp.store.annotations import Annotations
from autointerp.types import no_progress


def counts_of(latents: int, tokens: int, k: int, seed: int) -> np.ndarray:
    """How many tokens each latent fires on: lognormal."""
    rng = np.random.default_rng(seed)
    density = rng.lognormal(0, 1.5, latents)
    return np.clip(density / density.sum() * tokens * k, 1, tokens // 2).astype(np.int64)


def made_up(counts: np.ndarray, first: int, tokens: int, rng: np.random.Generator) -> products.Block:
    """Latents that fire at random on so many tokens each."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    token = np.concatenate([np.sort(rng.choice(tokens, n, replace=False, shuffle=False)) for n in counts])
    bits = rng.lognormal(0, 0.6, len(token)).astype(np.float16).view(np.uint16)
    rows = LatentBlock(first, offsets, token.astype(np.uint32), bits, 1.0)
    return products.block(rows, tokens, tokens)


def whole(path: str, first: str, second: str) -> None:
    """All of the job, the store's reading included."""
    store = Store.open(path)
    begun, used = time.perf_counter(), time.process_time()
    with Annotations(store.path, read_only=True) as annotations:
        table = coactivation.compute(
            Resources(store, annotations), coactivation.in_order(first, second), {}, no_progress
        )
    minutes = (time.perf_counter() - begun) / 60
    total = " and ".join(f"{store.coder(name).info.n_activations:,}" for name in (first, second))
    print(f"all pairs of {table.num_rows:,} latents with {total} activations: {minutes:.1f} minutes,")
    print(f"{(time.process_time() - used) / 60:.1f} minutes of a processor; peak memory {peak():.2f} GB")


def peak() -> float:
    """Gigabytes that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=int, default=32768)
    parser.add_argument("--tokens", type=int, default=3_125_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--store", nargs=3, metavar=("STORE", "CODER", "CODER"))
    args = parser.parse_args()
    if args.store:
        whole(*args.store)
        return
    rng = np.random.default_rng(2)
    left_counts, right_counts = (counts_of(args.latents, args.tokens, args.k, seed) for seed in (0, 1))
    left = made_up(left_counts[: args.rows], 0, args.tokens, rng)
    begun = time.perf_counter()
    panel = max(1, int(np.searchsorted(np.cumsum(right_counts), coactivation.PANEL)))
    parts = [
        made_up(right_counts[first : min(first + 256, panel)], first, args.tokens, rng)
        for first in range(0, panel, 256)
    ]
    right = products.by_token(parts)
    del parts
    print(f"made up {right.values.nnz:,} activations in {time.perf_counter() - begun:.1f} s")
    pieces = list(left.pieces(products.height(panel)))
    for piece in [*pieces, right]:
        _ = piece.ones

    def bare(piece: products.Block) -> None:
        _ = piece.values @ right.values
        _ = piece.ones @ right.ones

    begun = time.perf_counter()
    with ThreadPoolExecutor(products.THREADS) as pool:
        list(pool.map(bare, pieces))
    alone = time.perf_counter() - begun
    begun = time.perf_counter()
    nearest = products.Nearest.empty(args.latents, args.latents)
    for _ in nearest.take(iter(pieces), right):
        pass
    listed = time.perf_counter() - begun
    share = left.values.nnz / left_counts.sum() * right.values.nnz / right_counts.sum()
    print(
        f"products of {args.rows:,} by {panel:,} latents: {alone:.2f} s; with nearest latents {listed:.2f} s"
    )
    total = f"{left_counts.sum():,} and {right_counts.sum():,} activations"
    print(f"ratio {alone / listed:.2f}; all pairs of {total}: {listed / share / 60:.1f} minutes")
    print(
        f"peak memory {peak():.2f} GB, of which {right.values.nnz * 12 / 1e9:.2f} GB are the second coder's activations"
    )


if __name__ == "__main__":
    main()
