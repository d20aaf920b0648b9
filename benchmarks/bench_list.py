"""How long a page of the list of features takes in the library, with explanations and scores, beside the list without them.

    python benchmarks/bench_list.py [STORE] [--latents 100000] [--pages 40] [--json]

Without STORE one is generated: a coder of that many latents, each with an explanation and three scores. Of a STORE of one's own
(such as `make_store.py --explained` makes) only the list and searches of words are measured, and nothing is written. Pages are
read in turn, the plain one among them, so that the machine's mood hits all alike; a ratio to the plain page stands next to each
time, and CPU time of all threads tells what a busy machine added.

Below: what the first visit of a process costs, with the annotations read from SQLite and with them mapped from copies; the
process's memory then; and what bringing them up to date costs after a thousand latents got something new, as beside a running
batch: scattered over the coder, and one after the other. Goal: a page within 100 ms, warm, with 10^5 latents, within 300 with
10^6, words of explanations among them.

Last, search by meaning (unless --no-meaning): how long a job needs to embed the explanations, from two thousand of them; then,
with all of them embedded (vectors drawn at random: a search takes as long by any), the first search of a process, which reads
the vectors from SQLite, the first with a copy of them, and one when all are at hand, with their memory. Goal: within 500 ms.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from make_store import WORDS, annotate, make_store

from autointerp.store import LatentQuery, Store, annotated_store, list_latents, preview_examples
from autointerp.store.annotations import Annotations
from autointerp.store.queries import ScoreValue, sorts
from autointerp.ui.shared.expected import expected_above_floor
from autointerp.ui.shared.score_text import order

GOALS_MS = {100_000: 100.0, 1_000_000: 300.0}
"""By the number of latents, at most."""
MEANING_GOAL_MS = 500.0


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
        **{
            f"by {column}, with explanations": lambda i, column=column: page(i, at(i, kind=kind, sort=column))
            for column in sorts()
            if column not in (*get_args(ScoreValue), "density", "relevance", "rank")
        },
        "by score": lambda i: page(i, at(i, kind=kind, sort="score")),
        "by expected score above floor": lambda i: page(
            i, at(i, kind=kind, sort="rank", ranks={name: expected_above_floor(kept.coder(name), kind)})
        ),
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
        some = [str(texts[place]) for place in rng.integers(0, len(texts), 2000)]
        wall, cpu = timed(lambda: embedder.embed(some))
        found = {
            "embedded_per_s": 2e6 / wall,
            "embed_all_s": len(texts) * wall / 2e6,
            "embed_cpu_ms": cpu / 2000,
        }
        kept = TextVectors(store.path, embedder.name, embedder.fingerprint, embedder.dim)
        for at in range(0, len(texts), 10_000):
            part = texts[at : at + 10_000]
            vectors = rng.standard_normal((len(part), embedder.dim), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            kept.put(dict(zip(part, vectors.astype(np.float16), strict=True)))

        def search(known: StoreEmbedder, query: str) -> None:
            coverage(annotations, known, [name])  # as a page does
            search_explanations(
                annotations, known, [name], query, limit=500, mode="semantic", embed_missing=False
            )

        def measured(part: str, known: StoreEmbedder, queries: list[str]) -> None:
            times = np.array([timed(lambda query=query: search(known, query)) for query in queries])
            for name, column in (("", times[:, 0]), (", CPU", times[:, 1])):
                found[f"{part}{name}"] = float(np.median(column))
            found[f"{part}, p95"] = float(np.percentile(times[:, 0], 95))

        measured("first search, from SQLite", StoreEmbedder(store, embedder), ["brackets near quotes"])
        wait_for_copies()
        whole = StoreEmbedder(store, embedder)
        measured("first search, from a copy", whole, ["brackets near quotes"])
        measured("warm", whole, [f"{WORDS[i % len(WORDS)]} and {i}" for i in range(20)])
        found["vectors_mb"] = len(texts) * embedder.dim * 4 / 1e6
    return found


def wait_for_copies() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("copy "):
            thread.join()


_VISIT = """
import json, resource, sys, time
from autointerp.store import LatentQuery, Store, annotated_store, list_latents
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.score_text import order

begin, cpu = time.perf_counter(), time.process_time()
store, annotations = Store.open(sys.argv[1]), Annotations(sys.argv[1])
kept = annotated_store(annotations)
kinds = kept.kinds([sys.argv[2]], order)
kept.explainers([sys.argv[2]])
list_latents(store, [sys.argv[2]], LatentQuery(kind=next(iter(kinds))), annotations=annotations)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps([1e3 * (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu), memory]))
annotations.close()
"""


def first_visit(path: Path, name: str) -> tuple[float, float, float]:
    """Of a new process, until its first list is read: wall and CPU milliseconds, megabytes in memory, mapped pages among them.
    Where there was no copy of the annotations, there is one afterwards."""
    command = [sys.executable, "-c", _VISIT, str(path), name]
    wall, cpu, memory = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return wall, cpu, memory


def refresh(path: Path, name: str, latents: range) -> tuple[float, float]:
    """After these latents got an explanation and scores."""
    with Annotations(path) as annotations:
        kept = annotated_store(annotations)
        kept.coder(name)
        annotate(annotations, name, latents, np.random.default_rng(1))
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
        visits = {}
        if folder is not None:
            visits["first visit, all from SQLite"] = first_visit(path, info.coder)
            visits["first visit, with copies"] = first_visit(path, info.coder)
        with Annotations(path, read_only=True) as annotations:
            found = measure(store, annotations, args.pages)
        for part, (wall, cpu, _) in visits.items():
            found[part] = {"p50": wall, "p95": wall, "cpu_p50": cpu}
        by_meaning = {}
        if folder is not None:
            n = info.n_latents
            for part, latents in (
                ("1,000 latents all over brought up to date", range(0, n, max(1, n // 1000))),
                ("1,000 latents in a row brought up to date", range(n // 2, min(n, n // 2 + 1000))),
            ):
                wall, cpu = refresh(path, info.coder, latents)
                found[part] = {"p50": wall, "p95": wall, "cpu_p50": cpu}
            if not args.no_meaning:
                by_meaning = meaning(store, path, info.coder, np.random.default_rng(2))
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    pages = {part: figures for part, figures in found.items() if "ratio" in figures}
    worst = max(figures["p95"] for figures in pages.values())
    goal = next((goal for n, goal in GOALS_MS.items() if info.n_latents <= n), max(GOALS_MS.values()))
    met = worst <= goal
    memory = {part: megabytes for part, (_, _, megabytes) in visits.items()}
    if args.json:
        document = {"latents": info.n_latents, "parts": found, "memory_mb": memory, "goal_ms": goal}
        print(json.dumps({**document, "worst_p95_ms": worst, "met": met, "meaning": by_meaning}))
        return 0
    print(f"{info.n_latents:,} latents; a page is 25 rows with previews")
    print(f"{'milliseconds':44}{'p50':>9}{'p95':>9}{'CPU p50':>9}{'ratio':>8}{'CPU':>7}")
    for part, figures in found.items():
        ratios = f"{figures['ratio']:8.2f}{figures['cpu_ratio']:7.2f}" if "ratio" in figures else ""
        print(f"{part:44}{figures['p50']:9.1f}{figures['p95']:9.1f}{figures['cpu_p50']:9.1f}{ratios}")
    for part, megabytes in memory.items():
        print(f"memory after {part}: {megabytes:.0f} MB, mapped pages included")
    if by_meaning:
        rate, minutes = by_meaning["embedded_per_s"], by_meaning["embed_all_s"] / 60
        print(
            f"search by meaning: {rate:.0f} explanations embedded per second, all of them in {minutes:.1f} min, once;"
        )
        for part, value in by_meaning.items():
            if part.startswith(("first", "warm")):
                print(f"  {part}: {value:.0f} ms")
        slowest = by_meaning["warm, p95"]
        said = "met" if slowest <= MEANING_GOAL_MS else f"MISSED, {slowest:.0f} ms"
        print(f"  {by_meaning['vectors_mb']:.0f} MB of vectors; goal: {MEANING_GOAL_MS:.0f} ms (p95): {said}")
    print(f"goal: every page within {goal:.0f} ms (p95): {'met' if met else f'MISSED, {worst:.0f} ms'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
