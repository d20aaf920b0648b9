"""How a batch against language model servers grows with the workers of a Ray cluster on this machine.

    python benchmarks/bench_ray.py [--latents 200] [--latency 0.05] [--in-flight 16] [--workers 1 2 4] [--json]

Detection scores of `pattern` explanations in a generated store, 20 questions an item: by one process, then by so many workers
with a server each, that answers after a fixed time. Every command is timed from the first question that a server gets to the
last answer, so without the start of Ray, which is given beside it. Servers, workers and the command share the cores of this
machine: where these are the limit, workers cannot help.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def server(stack: ExitStack, latency: float) -> str:
    command = [sys.executable, str(HERE / "bench_llm.py"), "--serve", "--latency", str(latency)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    return f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"


def autointerp(*argv: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "autointerp", *map(str, argv), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}: {result.stderr[-500:]}")
    return json.loads(result.stdout)


def seconds_of_questions(store: Path) -> float:
    """From the first reply that was stored to the last."""
    query = "SELECT min(created) AS first, max(created) AS last FROM replies"
    import sqlite3
    from datetime import datetime

    with sqlite3.connect(store / "annotations.sqlite") as connection:
        first, last = (datetime.fromisoformat(text) for text in connection.execute(query).fetchone())
    return (last - first).total_seconds()


def score(store: Path, args: argparse.Namespace, n_workers: int | None, urls: list[str]) -> dict[str, Any]:
    where = [] if n_workers is None else ["--ray", "local", "--workers", n_workers]
    model = [
        "--llm",
        "bench",
        "--max-in-flight",
        args.in_flight,
        *(w for u in urls for w in ("--base-url", u)),
    ]
    options = ["--n-examples", 25, "--n-negatives", 25, "--batch", 5, "--scorer", "detection"]
    started = time.perf_counter()
    document = autointerp("score", store, "generated", *options, *model, *where)
    wall = time.perf_counter() - started
    done, seconds = document["scorers"][0]["succeeded"], seconds_of_questions(store)
    return {
        "workers": n_workers or 0,
        "items": done,
        "items_per_second": round(done / seconds, 2),
        "seconds": round(seconds, 1),
        "wall": round(wall, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a server takes")
    parser.add_argument("--in-flight", type=int, default=16, help="requests at once, of each worker")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-ray-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        urls = [server(stack, args.latency) for _ in range(max(args.workers))]
        sizes = ["--activations", "2000000", "--latents", "20000"]
        subprocess.run(
            [sys.executable, str(HERE / "make_store.py"), str(folder / "store"), *sizes],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        autointerp("explain", folder / "store", "generated", "--latents", f"0-{args.latents - 1}")
        for n_workers in (None, *args.workers):
            store = folder / f"with-{n_workers}"
            shutil.copytree(folder / "store", store)
            result = score(store, args, n_workers, urls[: n_workers or 1])
            if args.json:
                print(json.dumps(result), flush=True)
            else:
                name = "one process" if n_workers is None else f"workers: {n_workers}"
                print(
                    f"{name:12} {result['items']:,} items, {result['items_per_second']:,} a second, {result['seconds']} s "
                    f"({result['wall']} s with the start)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
