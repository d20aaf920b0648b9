"""`autointerp export delphi`: the folder of a run, with the caches, explanations and scores that delphi reads."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.formats.delphi.run import FILE as RUN_FILE
from autointerp.formats.delphi.tensors import write_tensors
from autointerp.formats.delphi.write_results import write_results
from autointerp.formats.requests import ExportRequest
from autointerp.formats.summary import Summary
from autointerp.store import CoderStore, Store
from autointerp.store.files import Workspace, writing
from autointerp.types import CoderInfo, Progress, ProgressCallback

MOST_ROWS = 1 << 24
"""Activations in one shard, at most, unless a single latent has more: they are sorted in memory."""
_TOKENS_AT_ONCE = 1 << 22
_CANNOT = {
    "weights": "delphi's files hold none",
    "statistics, neighbours, promoted tokens and fidelity": "delphi's files hold none; it computes its own",
    "documents": "delphi's text has no document boundaries",
}


def run(request: ExportRequest, progress: ProgressCallback) -> Summary:
    """Writes a new folder, or nothing. Raises UserError."""
    target, store = request.to.absolute(), request.store
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{str(request.to)!r} already exists. Choose a new or empty folder.")
    coders = [store.coder(name) for name in request.selection]
    for coder in coders:
        if coder.info.selected:
            raise UserError(
                f"The coder {coder.name!r} holds contexts that another tool selected, but a delphi cache covers a whole "
                "text. Leave it out."
            )
    folders = _folders([coder.info for coder in coders])
    summary = Summary("delphi", str(request.to))
    workspace = Workspace(target.parent, target.name)
    try:
        with writing(target):
            root = workspace.path / "run"
            windows: set[int] = set()
            for coder in coders:
                latents = request.selection[coder.name]
                folder = root / "latents" / folders[coder.name]
                _write_cache(store, coder, latents, folder, request.options.get("splits"), summary, progress)
                windows |= write_results(
                    store, request.annotations, coder, latents, root, folders[coder.name], summary
                )
                summary.take("coders")
            (root / RUN_FILE).write_text(
                json.dumps(_run_config(store, coders, folders, windows), indent=4), encoding="utf-8"
            )
            workspace.publish("run", target)
    finally:
        workspace.close()
    for what, reason in _CANNOT.items():
        summary.leave(what, reason)
    return summary


def _folders(infos: Sequence[CoderInfo]) -> dict[str, str]:
    """What each coder is called in delphi: its hookpoint, or where several coders share one, its own name."""
    hookpoints = [info.hookpoint for info in infos]
    names = {
        info.coder: info.hookpoint if hookpoints.count(info.hookpoint) == 1 else info.coder for info in infos
    }
    return {coder: re.sub(r"[^\w.+-]", "_", name).lstrip(".") or coder for coder, name in names.items()}


def _write_cache(
    store: Store,
    coder: CoderStore,
    latents: Sequence[int] | None,
    folder: Path,
    splits: int | None,
    summary: Summary,
    progress: ProgressCallback,
) -> None:
    info = coder.info
    counts = np.asarray(coder.table().columns["n_activations"]).astype(np.int64)
    wanted = np.ones(info.n_latents, dtype=bool)
    if latents is not None:
        wanted[:] = False
        wanted[list(latents)] = True
        left = int(counts[~wanted].sum())
        summary.leave(
            f"activations of {coder.name}",
            "of latents that were not asked for; these count as silent",
            left,
        )
    counts = np.where(wanted, counts, 0)
    if info.scale != 1.0:
        summary.notes.append(
            f"The activations of {coder.name} are divided by {info.scale:g}, so that they fit into float16; delphi only "
            "uses them relative to the largest."
        )
    folder.mkdir(parents=True)
    done = 0
    bounds = _bounds(counts, splits)
    for first, stop in pairwise(bounds):
        token, latent, bits = _by_token(coder, first, stop, wanted)
        row, position = np.divmod(token, info.ctx_len)
        small = max(int(row.max(initial=0)), int(latent.max(initial=0))) < 1 << 16
        locations = np.stack([row, position, latent], axis=1).astype("<u2" if small else "<u4")
        shape = (store.n_contexts, store.ctx_len)
        tensors = {
            "locations": (locations.dtype, locations.shape, iter([locations])),
            "activations": (np.dtype("<f2"), bits.shape, iter([bits.view("<f2")])),
            "tokens": (np.dtype("<i4"), shape, _tokens(store)),
        }
        write_tensors(folder / f"{first}_{stop - 1}.safetensors", tensors)
        done += len(bits)
        progress(Progress(f"write {coder.name}", done, int(counts.sum()), "activations"))
    summary.take("activations", done)
    config = _cache_config(store, info, len(bounds) - 1)
    (folder / "config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")


def _bounds(counts: NDArray[np.int64], splits: int | None) -> list[int]:
    """Where shards begin, and the end: `splits` of equal width, 5 as in delphi unless given, more where one would be too
    large to sort."""
    n = len(counts)
    ends = np.concatenate([[0], np.cumsum(counts)])
    parts = min(splits or 5, n)
    while True:
        bounds = [part * n // parts for part in range(parts + 1)]
        if splits is not None or parts == n or np.diff(ends[bounds]).max() <= MOST_ROWS:
            return bounds
        parts = min(2 * parts, n)


def _by_token(
    coder: CoderStore, first: int, stop: int, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Token index, latent - `first` and float16 bits of what fires, by token, then latent."""
    nothing = np.zeros(0, np.int64)
    parts = [(nothing, nothing, np.zeros(0, np.uint16))]
    for block in coder.blocks(first=first, stop=stop):
        latent = block.local + block.first
        keep = wanted[latent]
        parts.append((block.token[keep].astype(np.int64), latent[keep] - first, block.bits[keep]))
    token, latent, bits = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((latent, token))
    return token[order], latent[order], bits[order]


def _tokens(store: Store) -> Iterator[NDArray]:
    step = max(1, _TOKENS_AT_ONCE // store.ctx_len)
    for start in range(0, store.n_contexts, step):
        yield np.asarray(store.tokens[start : start + step]).astype("<i4")


def _cache_config(store: Store, info: CoderInfo, n_splits: int) -> dict[str, Any]:
    """delphi's `config.json`, as it was where the coder came from delphi."""
    kept = info.config.get("cache")
    corpus = store.meta["corpus"]
    config = {
        "dataset_repo": corpus.get("name", ""),
        "dataset_split": "",
        "dataset_name": "",
        "dataset_column": "text",
        "batch_size": 1,
        "cache_ctx_len": store.ctx_len,
        "n_tokens": store.n_contexts * store.ctx_len,
        "n_splits": n_splits,
        "model_name": store.meta["tokenizer"].get("source") or store.meta["model"].get("name", ""),
    }
    return config | (kept if isinstance(kept, dict) else {}) | {"n_splits": n_splits}


def _run_config(
    store: Store, coders: Sequence[CoderStore], folders: dict[str, str], windows: set[int]
) -> dict[str, Any]:
    """What is known of the run: all of it where the first coder came from delphi."""
    kept = coders[0].info.config.get("run")
    config: dict[str, Any] = {"model": store.meta["model"].get("name", "")}
    if len(windows) == 1:
        config["constructor_cfg"] = {"example_ctx_len": next(iter(windows))}
    return config | (kept if isinstance(kept, dict) else {}) | {"hookpoints": list(folders.values())}
