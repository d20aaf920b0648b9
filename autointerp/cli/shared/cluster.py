"""`--ray`: batches on a cluster."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.jobs.on_ray.workers import Spread

_MOST = 1000
"""Workers of one command, each of which it listens to on a thread."""


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--ray", metavar="ADDRESS",
        help="work on this Ray cluster, or on all cores of this machine (local)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=int, metavar="N",
        help="processes on the cluster, each with --max-in-flight requests at once (default: one per core, and one per server)",
    )  # fmt: skip


@contextmanager
def cluster(args: argparse.Namespace) -> "Iterator[Spread | None]":
    """What `--ray`, `--workers` and `--base-url` ask for; `None` for this process. Raises UserError."""
    urls: list[str] = args.base_url or []
    if args.ray is None:
        if args.workers is not None:
            raise UserError("--workers is for work on a cluster: give --ray too, or leave it out.")
        if len(urls) > 1:
            raise UserError(
                "several servers need several workers: give --ray too (local: this machine), or only one --base-url."
            )
        yield None
        return
    if args.workers is not None and args.workers < max(1, len(urls)):
        raise UserError(f"--workers {args.workers}: give at least {max(1, len(urls))}, one for each server.")
    if args.workers is not None and args.workers > _MOST:
        raise UserError(f"--workers {args.workers}: at most {_MOST:,}; each is a process of its own.")
    from autointerp import preferences
    from autointerp.cluster import connected
    from autointerp.jobs.on_ray.workers import Spread

    for url in urls:
        preferences.name_server(url)
    with connected(args.ray) as joined:
        n_workers = args.workers or max(len(urls), joined.n_workers(on_gpu=False))
        yield Spread(joined, n_workers, urls)
