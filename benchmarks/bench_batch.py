"""Memory and speed of batches: explain and score every latent of a coder, at N and at 10 N latents.

    python benchmarks/bench_batch.py [--latents 100000] [--json]

The commands a person runs (`autointerp explain`, `autointerp score`), each in a process of its own whose peak memory the
operating system tells. The store is generated, with about 100 activations a latent; the explainer is `pattern`, the scorer
detection by the offline judge, so that no language model is needed and every row is really written. Goals: at most
half a gigabyte at 10^5 latents, and less than 2 kB for each latent more (the ids of the items, and the tables of what is
explained and scored, are held at once; activations, examples, judged examples and rows are not); every latent ends explained
and scored, or as a recorded failure.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GENERATOR = Path(__file__).with_name("make_store.py")
BYTES_A_LATENT = 2000
PEAK_AT_100_000 = 512e6


@dataclass(frozen=True)
class Run:
    """One command: `peak` bytes of resident memory, wall and processor seconds, what became of the items."""

    command: str
    latents: int
    peak: int
    wall: float
    cpu: float
    succeeded: int
    failed: int


def run(command: str, store: Path, latents: int, *options: str) -> Run:
    arguments = [
        sys.executable,
        "-m",
        "autointerp",
        command,
        str(store),
        "generated",
        "--latents",
        f"0-{latents - 1}",
    ]
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen([*arguments, *options, "--json"], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode:
        raise SystemExit(f"autointerp {command} ended with {process.returncode}: {text[:500]}")
    document = json.loads(text)
    parts: list[dict[str, Any]] = document.get("scorers") or [document]
    return Run(
        command=" ".join([command, *options]),
        latents=latents,
        peak=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        succeeded=sum(part["succeeded"] for part in parts),
        failed=sum(part["failed"] for part in parts),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--latents", type=int, default=100_000, help="10 N")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-batch-"))
    try:
        stores = [folder / "tenth", folder / "whole"]
        # In a process of its own too: a child's peak is at least what its parent holds when it starts it.
        sizes = ["--activations", str(100 * args.latents), "--latents", str(args.latents)]
        subprocess.run(
            [sys.executable, str(GENERATOR), str(stores[1]), *sizes], check=True, stdout=subprocess.DEVNULL
        )
        shutil.copytree(stores[1], stores[0])
        runs: list[tuple[Run, Run]] = []
        for command, options in (
            ("explain", ("--explainer", "pattern")),
            ("score", ("--scorer", "detection")),
        ):
            pair = [
                run(command, store, n, *options)
                for store, n in zip(stores, (args.latents // 10, args.latents), strict=True)
            ]
            runs.append((pair[0], pair[1]))
            if not args.json:
                print_pair(*runs[-1])
        size = (stores[1] / "annotations.sqlite").stat().st_size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    met = all(
        whole.peak - tenth.peak <= BYTES_A_LATENT * (whole.latents - tenth.latents)
        and (whole.latents > 100_000 or whole.peak <= PEAK_AT_100_000)
        for tenth, whole in runs
    )
    if args.json:
        print(
            json.dumps(
                {"runs": [[asdict(one) for one in pair] for pair in runs], "annotations": size, "met": met}
            )
        )
    else:
        print(f"annotations: {size / 1e6:,.0f} MB, {size / args.latents / 1e3:.1f} kB a latent")
        print(f"goal: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def print_pair(tenth: Run, whole: Run) -> None:
    grown = whole.peak - tenth.peak
    print(whole.command)
    for one in (tenth, whole):
        print(
            f"  {one.latents:>9,} latents: peak {one.peak / 1e6:,.0f} MB, {one.wall:,.1f} s, {one.latents / one.wall:,.0f} "
            f"latents/s ({one.latents / one.cpu:,.0f} a second of processor time), {one.succeeded:,} done, {one.failed:,} "
            "failed"
        )
    print(
        f"  ten times the latents: {grown / tenth.peak:+.1%} of the peak, "
        f"{grown / (whole.latents - tenth.latents):,.0f} bytes for each latent more",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
