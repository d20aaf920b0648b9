"""How long one latent takes to read, warm, in the library: statistics, histogram, and 40 contexts with tokens.

    python benchmarks/bench_latent.py STORE [--coder NAME] [--latents 400] [--by-firings]

Beside it, in the same run and alternating with it: the bare `SELECT` of the latent's rows, which no reader can beat by
much, so that a ratio stands next to each time. CPU time tells what a busy machine
added. Goal at 10^8 activations: p95 of the whole at most 10 ms.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from autointerp.sampling import build_groups
from autointerp.store import LatentQuery, Store, list_latents, preview_examples

GOAL_MS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--latents", type=int, default=400)
    parser.add_argument(
        "--by-firings", action="store_true", help="draw latents in proportion to their firings"
    )
    parser.add_argument("--window", type=int, default=32)
    args = parser.parse_args()

    store = Store.open(args.store)
    coder = store.coder(args.coder or store.coders()[0].coder)
    rng = np.random.default_rng(0)
    live = coder.table().live
    firings = coder.table().columns["n_activations"][live].astype(float)
    # Drawn like a click on "random" by default; by firings, what is read is mostly the densest latents of the coder.
    weights = firings / firings.sum() if args.by_firings else None
    latents = rng.choice(live, args.latents, p=weights)
    sizes = coder.table().columns["n_activations"][latents]
    info = coder.info
    print(
        f"{info.n_activations:,} activations, {info.n_latents:,} latents, {info.n_tokens:,} tokens; ", end=""
    )
    print(f"latents read: {len(latents)}, firings median {int(np.median(sizes)):,}, max {int(sizes.max()):,}")

    generation = store._catalog.current()
    alias = generation.coder(coder.name).alias

    def bare(latent: int) -> None:
        query = f"SELECT place, activation FROM {alias}.activations WHERE latent = ?"
        generation.cursor().execute(query, [latent]).fetchnumpy()

    def whole(latent: int) -> None:
        coder.stats(latent)
        coder.histogram(latent)
        acts = coder.activations(latent)
        groups = build_groups(
            acts, store.tokens, rng=np.random.default_rng(latent), window=args.window,
            n_top=10, n_random=5, n_per_quantile=2, n_non_activating=5,
        )  # fmt: skip
        for group in groups.values():
            for made in group:
                store.decode(made.token_ids)

    def rest(latent: int) -> None:
        coder.logits(latent)
        for relation in ("decoder", "encoder", "cofiring"):
            coder.neighbours(latent, relation)

    parts: dict[str, Callable[[int], object]] = {
        "bare select": bare,
        "activations": coder.activations,
        "histogram": coder.histogram,
        "statistics, histogram, 40 contexts": whole,
        "quantiles, logits, neighbours": rest,
    }
    for latent in latents[:20].tolist():
        for run in parts.values():
            run(latent)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for latent in latents.tolist():
        for name, run in parts.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            run(latent)
            times[name].append((time.perf_counter() - begin, time.process_time() - begin_cpu))
    page: list[tuple[float, float]] = []
    for offset in range(0, 1000, 50):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        rows = list_latents(store, [coder.name], LatentQuery(sort="max_activation", offset=offset)).rows
        preview_examples(store, rows)
        page.append((time.perf_counter() - begin, time.process_time() - begin_cpu))
    times["page of 25 latents with previews"] = page

    base = np.percentile([wall for wall, _ in times["bare select"]], [50, 95]) * 1e3
    print(
        f"{'milliseconds':38}{'p50':>8}{'p95':>8}   of which CPU{'p50':>8}{'p95':>8}   ratio to the bare select"
    )
    for name, pairs in times.items():
        (p50, cpu50), (p95, cpu95) = np.percentile(np.array(pairs), [50, 95], axis=0) * 1e3
        print(
            f"{name:38}{p50:8.2f}{p95:8.2f}{'':15}{cpu50:8.2f}{cpu95:8.2f}     {p50 / base[0]:6.2f} {p95 / base[1]:6.2f}"
        )
    p95 = float(np.percentile([wall for wall, _ in times["statistics, histogram, 40 contexts"]], 95) * 1e3)
    verdict = "met" if p95 <= GOAL_MS else "MISSED"
    print(f"goal: p95 of statistics, histogram, 40 contexts at most {GOAL_MS:.0f} ms: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
