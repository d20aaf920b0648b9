"""How long a page of the list of features takes in the library, with explanations and scores, beside the list without them.

    python benchmarks/bench_list.py [STORE] [--latents 100000] [--pages 40] [--json]

Without STORE one is generated: a coder of that many latents, each with an explanation and three scores. Pages are read in turn,
the plain one among them, so that the machine's mood hits all alike; a ratio to the plain page stands next to each time, and CPU
time tells what a busy machine added. Below: the one-time reading of the annotations, and what bringing them up to date costs
after a thousand latents got something new, as beside a running batch (a STORE of one's own is only read). Goal: a page within
100 ms, warm.

Last, search by meaning (unless --no-meaning): how long a job needs to embed the explanations, from two thousand of them; then,
with all of them embedded (vectors drawn at random: a search takes as long by any), the first search of a process, which reads
the vectors, one while a tenth is not embedded yet, and one when all are in memory, with the memory they take.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from make_store import WORDS, annotate, make_store

from autointerp.store import LatentQuery, Store, annotated_store, list_latents, preview_examples
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.score_text import order

GOAL_MS = 100.0


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds."""
    begin, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - begin) * 1e3, (time.process_time() - cpu) * 1e3


def measure(store: Store, annotations: Annotations, pages: int) -> dict[str, dict[str, float]]:
    """Pages of 25 with previews, and searches of explanations."""
    name = store.coders()[0].coder
    kept = annotated_store(annotations)
    kind = next(iter(kept.kinds([name], order)))

    def page(number: int, query: LatentQuery, with_scores: bool = True) -> None:
        found = list_latents(store, [name], query, annotations=annotations if with_scores else None)
        preview_examples(store, found.rows)

    def at(number: int, **more: object) -> LatentQuery:
        return LatentQuery(offset=25 * number, **more)  # type: ignore[arg-type]

    def words(number: int) -> None:
        matches = {name: kept.coder(name).find_words(f"bracket {WORDS[number % len(WORDS)]}")}
        page(number, LatentQuery(sort="relevance", matches=matches, kind=kind))

    parts: dict[str, Callable[[int], None]] = {
        "no explanations, by density": lambda i: page(i, at(i), with_scores=False),
        "by density, with explanations": lambda i: page(i, at(i, kind=kind)),
        "by lower bound": lambda i: page(i, at(i, kind=kind, sort="ci_low")),
        "by value above floor": lambda i: page(i, at(i, kind=kind, sort="above_floor")),
        "lower bound at least 0.5, one explainer": lambda i: page(
            i, at(i, kind=kind, sort="ci_low", bounds={"ci_low": (0.5, None)}, explainer="pattern")
        ),
        "explained and scored, dense": lambda i: page(i, at(i, kind=kind, state="explained", sort="score")),
        "two words of explanations": words,
    }
    times: dict[str, list[tuple[float, float]]] = {part: [] for part in parts}
    for number in range(-2, pages):
        for part, run in parts.items():
            spent = timed(lambda run=run, number=number: run(max(number, 0)))
            if number >= 0:
                times[part].append(spent)
    found = {}
    for part, pairs in times.items():
        (p50, cpu50), (p95, _) = np.percentile(np.array(pairs), [50, 95], axis=0)
        found[part] = {"p50": float(p50), "p95": float(p95), "cpu_p50": float(cpu50)}
    base = found["no explanations, by density"]
    for figures in found.values():
        figures["ratio"] = figures["p50"] / base["p50"]
        figures["cpu_ratio"] = figures["cpu_p50"] / base["cpu_p50"]
    return found


def meaning(store: Store, path: Path, name: str, rng: np.random.Generator) -> dict[str, float]:
    """Milliseconds, megabytes, and explanations embedded per second."""
    from autointerp.embedding import StoreEmbedder, coverage, load_embedder, search_explanations
    from autointerp.store.embeddings.texts import TextVectors

    embedder = load_embedder()
    embedder.embed(["warm"] * 300)
    with Annotations(path, read_only=True) as annotations:
        texts = list(dict.fromkeys(annotations.summary(name)["text"].to_pylist()))
        some = [str(text) for text in rng.choice(texts, 2000)]
        wall, cpu = timed(lambda: embedder.embed(some))
        found = {
            "embedded_per_s": 2e6 / wall,
            "embed_all_s": len(texts) * wall / 2e6,
            "embed_cpu_ms": cpu / 2000,
        }
        kept = TextVectors(store.path, embedder.name, embedder.fingerprint, embedder.dim)

        def put(part: list[str]) -> None:
            vectors = rng.standard_normal((len(part), embedder.dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            kept.put(dict(zip(part, vectors.astype(np.float16), strict=True)))

        nine_tenths = len(texts) * 9 // 10
        for at in range(0, nine_tenths, 2000):
            put(texts[at : min(at + 2000, nine_tenths)])

        def search(known: StoreEmbedder, query: str) -> None:
            coverage(annotations, known, [name])  # as a page does
            search_explanations(
                annotations, known, [name], query, limit=500, mode="semantic", embed_missing=False
            )

        partly = StoreEmbedder(store, embedder)
        search(partly, "a first query")
        put(texts[:1])  # something has been added, so what is missing is looked for again
        found["a tenth not embedded yet"] = timed(lambda: search(partly, "brackets near numbers"))[0]
        put(texts[nine_tenths:])
        whole = StoreEmbedder(store, embedder)
        found["first search of a process"] = timed(lambda: search(whole, "brackets near quotes"))[0]
        warm = [timed(lambda i=i: search(whole, f"{WORDS[i % len(WORDS)]} and {i}"))[0] for i in range(20)]
        found["once in memory, p50"], found["once in memory, p95"] = map(float, np.percentile(warm, [50, 95]))
        found["memory_mb"] = len(texts) * embedder.dim * 4 / 1e6
    return found


def first_read(path: Path, name: str) -> tuple[float, float]:
    with Annotations(path, read_only=True) as annotations:
        return timed(lambda: annotated_store(annotations).coder(name))


def refresh(path: Path, name: str, n_latents: int) -> tuple[float, float]:
    """After a thousand latents got an explanation and scores."""
    with Annotations(path) as annotations:
        kept = annotated_store(annotations)
        kept.coder(name)
        step = max(1, n_latents // 1000)
        annotate(annotations, name, range(0, n_latents, step), np.random.default_rng(1))
        return timed(
            lambda: [
                f(name) for f in (annotations.summary, annotations.score_summary, annotations.failure_summary)
            ]
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--latents", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--no-meaning", action="store_true", help="leave search by meaning out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    folder = None
    if args.store is None:
        folder = Path(tempfile.mkdtemp(prefix="bench-list-"))
        path = folder / "store"
        make_store(
            path, n_activations=40 * args.latents, n_latents=args.latents, k=8, n_explained=args.latents
        )
    else:
        path = args.store
    try:
        store = Store.open(path)
        info = store.coders()[0]
        wall, cpu = first_read(path, info.coder)
        with Annotations(path, read_only=True) as annotations:
            found = measure(store, annotations, args.pages)
        found["read all annotations, once"] = {"p50": wall, "p95": wall, "cpu_p50": cpu}
        if folder is not None:
            wall, cpu = refresh(path, info.coder, info.n_latents)
            found["bring up to date after 1,000 latents"] = {"p50": wall, "p95": wall, "cpu_p50": cpu}
        by_meaning = {}
        if folder is not None and not args.no_meaning:
            by_meaning = meaning(store, path, info.coder, np.random.default_rng(2))
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    pages = {part: figures for part, figures in found.items() if "ratio" in figures}
    worst = max(figures["p95"] for figures in pages.values())
    met = worst <= GOAL_MS
    if args.json:
        document = {"latents": info.n_latents, "parts": found, "worst_p95_ms": worst, "met": met}
        print(json.dumps({**document, "meaning": by_meaning}))
        return 0
    print(f"{info.n_latents:,} latents; a page is 25 rows with previews")
    print(f"{'milliseconds':42}{'p50':>9}{'p95':>9}{'CPU p50':>9}{'ratio':>8}{'CPU':>7}")
    for part, figures in found.items():
        ratios = f"{figures['ratio']:8.2f}{figures['cpu_ratio']:7.2f}" if "ratio" in figures else ""
        print(f"{part:42}{figures['p50']:9.1f}{figures['p95']:9.1f}{figures['cpu_p50']:9.1f}{ratios}")
    if by_meaning:
        rate, minutes = by_meaning["embedded_per_s"], by_meaning["embed_all_s"] / 60
        print(
            f"search by meaning: {rate:.0f} explanations embedded per second, all of them in {minutes:.1f} min, once;"
        )
        parts = ", ".join(f"{part} {value:.0f} ms" for part, value in by_meaning.items() if " " in part)
        print(f"  {parts}; {by_meaning['memory_mb']:.0f} MB of vectors")
    print(f"goal: every page within {GOAL_MS:.0f} ms (p95): {'met' if met else f'MISSED, {worst:.0f} ms'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
