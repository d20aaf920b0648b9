"""Correlation and Jaccard index of all pairs of latents of two coders: time against the bare sparse products, and memory.

    python benchmarks/bench_coactivation.py [--latents 32768] [--tokens 400000] [--k 32] [--rows 1024]

Arrays are made up at the size of two coders of `--latents` latents, `--k` of which fire on each of `--tokens` tokens (some of
them on many, most on few). The products of the first `--rows` latents with all of the other coder are timed: bare (sparse
products of the values and of the ones, in as many threads), and with all that turns them into lists of nearest latents. All
pairs take `--latents` / `--rows` times as long. The products grow with the tokens, the lists do not: `--tokens 3125000` for
10^8 activations each.
"""

import argparse
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from autointerp.compare import products
from autointerp.store import LatentBlock


def made_up(latents: int, tokens: int, k: int, seed: int, stop: int | None = None) -> products.Block:
    """A coder's activations, or those of its latents up to `stop`: of latents of lognormal density, drawn at random."""
    rng = np.random.default_rng(seed)
    density = rng.lognormal(0, 1.5, latents)
    counts = np.minimum(np.maximum(density / density.sum() * tokens * k, 1), tokens // 2).astype(np.int64)
    rng.shuffle(counts)
    counts = counts[:stop]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    token = np.concatenate([np.sort(rng.choice(tokens, n, replace=False, shuffle=False)) for n in counts])
    bits = rng.lognormal(0, 0.6, len(token)).astype(np.float16).view(np.uint16)
    rows = LatentBlock(0, offsets, token.astype(np.uint32), bits, 1.0)
    return products.block(rows, tokens, tokens)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=int, default=32768)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--rows", type=int, default=2048)
    args = parser.parse_args()
    left = made_up(args.latents, args.tokens, args.k, 0, args.rows)
    begun = time.perf_counter()
    right = products.by_token([made_up(args.latents, args.tokens, args.k, 1)])
    print(f"made up {right.values.nnz:,} activations in {time.perf_counter() - begun:.1f} s")
    pieces = list(left.pieces(products.height(args.latents)))
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
    whole = time.perf_counter() - begun
    parts = args.latents / args.rows
    print(
        f"products of {args.rows:,} by {args.latents:,} latents: {alone:.2f} s; with nearest latents {whole:.2f} s"
    )
    print(
        f"ratio {alone / whole:.2f}; all pairs of {args.latents:,} latents: {whole * parts / 60:.1f} minutes"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"peak memory {peak:.2f} GB, of which {right.values.nnz * 12 / 1e9:.2f} GB are the second coder's activations"
    )


if __name__ == "__main__":
    main()
