"""The rest of the demo: window embeddings, an explanation by `pattern` of every live latent, and its scores without any LLM.

The work goes through the library's ordinary jobs, with the default options of `autointerp explain` and `autointerp score`, so a
batch run later finds it done. Two processes share it, coder by coder, because most of it is plain Python. Whatever is killed,
the next run, or an app that has the store open, goes on where it stopped.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.demo.crew import EMBEDDER, EXPLAIN, SCORES, Task, workers
from autointerp.errors import AutointerpError, UserError
from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.pending import live_latents
from autointerp.records import Explanation, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress, ProgressCallback, no_progress

PART = 800
"""Explanations in one job of scoring: two processes come to their end at about the same time."""

LOCK = ".complete.lock"


@dataclass(frozen=True)
class Missing:
    """What a demo store lacks: latents without an attempt at an explanation, explanations without an attempt at a score.

    What failed once fails again, without a language model: attempts count, not successes.
    """

    embed: bool
    explain: dict[str, list[int]]
    score: dict[str, list[str]]

    def __bool__(self) -> bool:
        return self.embed or bool(self.explain) or bool(self.score)


@dataclass(frozen=True)
class Completion:
    """What `complete_demo` did: latents explained and explanations scored now, of which failed, and seconds."""

    explained: int = 0
    scored: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def worked(self) -> bool:
        return bool(self.explained or self.scored)


def missing(store: Store, annotations: Annotations) -> Missing:
    """What is still to be done; a second for the demo."""
    explain_hash = config_hash(EXPLAIN.identity())
    explain: dict[str, list[int]] = {}
    score: dict[str, list[str]] = {}
    for info in store.coders():
        tried: set[int] = set()
        ours: dict[int, Explanation] = {}
        for one in annotations.iter_explanations(info.coder, explainer=EXPLAIN.explainer, failed=True):
            if one.config_hash == explain_hash:
                tried.add(one.latent)
                if one.status == "ok":
                    ours.setdefault(one.latent, one)
        left = [latent for latent in live_latents(store, info.coder) if latent not in tried]
        scored = [
            annotations.scored(
                info.coder,
                scorer=options.scorer,
                judge=options.judge_name,
                config_hash=config_hash(options.identity()),
                failed=True,
            )
            for options in SCORES
        ]
        unscored = [one.id for one in ours.values() if not all(one.id in some for some in scored)]
        if left:
            explain[info.coder] = left
        if unscored:
            score[info.coder] = unscored
    return Missing(store.embeddings(EMBEDDER) is None, explain, score)


def missing_in(path: Path) -> Missing:
    """`missing` of the store at `path`."""
    with Annotations(path) as annotations:
        return missing(Store.open(path), annotations)


def complete_demo(
    path: Path, *, n_processes: int | None = None, progress: ProgressCallback = no_progress
) -> Completion:
    """Do what is `missing`. Another run of this on the same store is waited for.

    `n_processes`: two at most where there are two cores; 1 does it all in this process. KeyboardInterrupt leaves the jobs under
    way for the next run. Raises StoreError, UserError when a process was killed.
    """
    started = time.monotonic()
    n = n_processes or min(2, os.cpu_count() or 1)
    with _alone(path, progress), Annotations(path) as annotations:
        store = Store.open(path)
        annotations.jobs.recover()
        left_behind = _left_behind(annotations)
        if not left_behind and not missing(store, annotations):
            return Completion(seconds=time.monotonic() - started)
        with workers(path, n) as work:
            work(left_behind, progress)
            first = missing(store, annotations)
            work(_explaining(store, first), progress)
            second = missing(store, annotations)
            work(_scoring(second), progress)
        last = missing(store, annotations)
        if last:
            raise UserError(
                "the demo's explanations and scores are not complete: a job was cancelled or failed. The Jobs page tells why; "
                "`autointerp demo` again does the rest."
            )
        return Completion(
            explained=sum(map(len, first.explain.values())),
            scored=sum(map(len, second.score.values())),
            failed=sum(
                number
                for counted in annotations.counts().values()
                for name, number in counted.items()
                if name.startswith("failed")
            ),
            seconds=time.monotonic() - started,
        )


@contextmanager
def _alone(path: Path, progress: ProgressCallback) -> Iterator[None]:
    with open(path / LOCK, "wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                progress(Progress("waiting for another run", 0, 1, "runs"))
                time.sleep(0.5)
        yield


def _left_behind(annotations: Annotations) -> list[Task]:
    """Jobs of an earlier run that wait or are being done elsewhere."""
    found = []
    for job in reversed(annotations.jobs.active()):
        stage = _stage_of(job.kind, job.payload)
        if stage is not None and job.state != "preparing":
            found.append(Task(stage, items=(job.id,), left_behind=True))
    return found


def _stage_of(kind: str, payload: Any) -> str | None:
    """The stage of which a job may be a part; `None` for a person's own jobs."""
    try:
        if kind == "embed":
            return kind if payload["embedder"] == EMBEDDER else None
        if kind == "explain":
            same = ExplainOptions.from_dict(payload["explain"]) == EXPLAIN and not payload["then"]
            return kind if same else None
        if kind == "score":
            same = tuple(ScoreOptions.from_dict(one) for one in payload["score"]) == SCORES
            return kind if same else None
    except (AutointerpError, KeyError, TypeError):
        pass
    return None


def _explaining(store: Store, left: Missing) -> list[Task]:
    windows = range(store.window_places(SCORES[2].window).n_windows)
    tasks = [Task("embed", items=windows)] if left.embed else []
    by_size = sorted(left.explain.items(), key=lambda entry: -len(entry[1]))
    return tasks + [Task("explain", coder, latents) for coder, latents in by_size]


def _scoring(left: Missing) -> list[Task]:
    """Only now: the floor of a score is another explanation's."""
    parts = []
    for coder, ids in left.score.items():
        n_parts = -(-len(ids) // PART)
        parts += [Task("score", coder, ids[at::n_parts]) for at in range(n_parts)]
    return sorted(parts, key=lambda task: -len(task.items))
