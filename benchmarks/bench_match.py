"""How long two coders take to match by one kind of direction.

    python benchmarks/bench_match.py [--latents 1536 32768] [--width 768] [--slice 131072]

Half of the second coder's rows are those of the first with noise, the others random. Beside each time, in the same run: the
bare product of the two matrices in the same blocks, which no matching can beat. The slice is 4,096 rows against that many: the
time of the whole is that times the number of slices. Goals: 2 x 1,536 exactly in 2 s; 2 x 32,768 of width 768, encoder and
decoder, in 60 s within 3 GB, the product at least 0.8 of it.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from autointerp.compare.matching import BLOCK_BYTES, EXACT_LATENTS, match, nearest

SLICE_ROWS = 4096


def coders(n: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n, width, generator=generator)
    second = torch.randn(n, width, generator=generator)
    second[::2] = first[::2] + 0.5 * second[::2]
    return first, second[torch.randperm(n, generator=generator)]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


@torch.inference_mode()
def product(a: Tensor, b: Tensor) -> None:
    """The bare product, in blocks of the size that `nearest` takes."""
    rows = max(16, min(len(a), BLOCK_BYTES // (4 * len(b))))
    buffer = torch.empty(rows, len(b))
    for start in range(0, len(a), rows):
        torch.mm(a[start : start + rows], b.T, out=buffer[: min(rows, len(a) - start)])


def report(what: str, bare: tuple[float, float], whole: tuple[float, float]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{what}: {whole[0]:.2f} s ({whole[1]:.2f} s CPU); bare product {bare[0]:.2f} s ({bare[1]:.2f} s CPU), "
        f"{bare[0] / whole[0]:.2f} of it (CPU {bare[1] / whole[1]:.2f}); peak memory so far {peak:.2f} GB",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--latents", type=int, nargs="*", default=[1536, EXACT_LATENTS, 32768])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--slice", type=int, default=131072)
    args = parser.parse_args()
    for n in args.latents:
        first, second = coders(n, args.width)
        a, b = normalize(first, dim=1), normalize(second, dim=1)
        product(a[:512], b[:512])
        bare = timed(lambda a=a, b=b: product(a, b))
        how = "exact" if n <= EXACT_LATENTS else "mutual nearest"
        report(f"2 x {n:,}, {how}", bare, timed(lambda first=first, second=second: match(first, second)))
    if args.slice:
        first, second = coders(args.slice, args.width)
        a, b = normalize(first[:SLICE_ROWS], dim=1), normalize(second, dim=1)
        del first, second
        report(
            f"{SLICE_ROWS:,} x {args.slice:,} (a slice)",
            timed(lambda: product(a, b)),
            timed(lambda: nearest(a, b)),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
