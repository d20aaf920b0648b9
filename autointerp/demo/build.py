"""Builds the demo store: the shipped model and coders, run over docstrings that the coders were not trained on."""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from autointerp import settings
from autointerp.errors import ModelLoadError, StoreError, StoreIncomplete, StoreMissing, UserError
from autointerp.types import ProgressCallback, no_progress

N_TOKENS = 520_000
"""More than half a million count once beginning-of-sequence positions are masked."""
CTX_LEN = 128
MODEL_NAME = "docstrings-neox"
CORPUS_NAME = "held-out docstrings of installed libraries"
HOOKPOINT = "layers.2.mlp"
N_LATENTS, K = 1536, 24
CONTROL_SEED = 9
"""Of the random control: no coder was trained from it. Training leaves traces of the initial weights."""
MARK = "demo.json"
"""File that says `autointerp demo` made the folder, and from what; only such a folder is ever replaced."""


@dataclass(frozen=True)
class DemoBuild:
    """What `build_demo` did; `built` is false when the store was already complete."""

    path: Path
    built: bool
    seconds: float
    coders: list[str]


def demo_coders(weights: Path) -> dict[str, str]:
    """Names and sources of the demo's coders: the shipped ones, the MLP's own neurons, and a random control."""
    folders = sorted(path for path in (weights / "coders").glob("*") if path.is_dir())
    coders = {folder.name: str(folder) for folder in folders}
    coders["neurons"] = f"neurons:{HOOKPOINT}:{K}"
    coders["random"] = f"random:{HOOKPOINT}:{N_LATENTS}:{K}:{CONTROL_SEED}"
    return coders


def build_demo(
    path: Path,
    *,
    force: bool = False,
    weights: Path | None = None,
    n_tokens: int = N_TOKENS,
    progress: ProgressCallback = no_progress,
) -> DemoBuild:
    """Build the demo store at `path`, unless it is complete.

    An interrupted build is continued. With `force`, or when the store is damaged, of an older format, or made from other
    weights, a new one is built beside it and replaces it at the end. Explanations and scores are kept if weights and text are
    the same, except with `force`.

    Raises:
        UserError: `path` is not empty and not a demo store; nothing is touched.
        ModelLoadError: The shipped weights are missing.
    """
    start = time.monotonic()
    weights = weights or settings.demo_weights()
    if not (weights / "model" / "config.json").is_file():
        raise ModelLoadError(
            f"the demo's weights are missing from {weights}: run this from a checkout of the repository."
        )
    coders = demo_coders(weights)
    mark = fingerprint(weights, coders, n_tokens)
    old_mark = _read_mark(path)
    if old_mark == mark and not force:
        state = _state(path, set(coders))
        if state == "complete":
            return DemoBuild(path, False, time.monotonic() - start, list(coders))
        if state == "unfinished":
            _cache(path, weights, coders, n_tokens, progress)
            return DemoBuild(path, True, time.monotonic() - start, list(coders))
    if old_mark is None:
        _begin(path, mark)
        _cache(path, weights, coders, n_tokens, progress)
    else:
        same = old_mark == mark and not force
        _replace(path, mark, weights, coders, n_tokens, progress, keep_written=same)
    return DemoBuild(path, True, time.monotonic() - start, list(coders))


def fingerprint(weights: Path, coders: dict[str, str], n_tokens: int) -> str:
    """Changes with the weights, the coders and the number of tokens."""
    digest = hashlib.sha256(f"{sorted(coders)} {n_tokens} {CTX_LEN}".encode())
    for folder in ("model", "coders"):
        for file in sorted((weights / folder).rglob("*")):
            if file.suffix in {".json", ".safetensors"}:
                digest.update(file.relative_to(weights).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _state(path: Path, coders: set[str]) -> str:
    """Of a folder with the right mark: "complete", "unfinished" or "damaged"."""
    from autointerp.store import Store

    try:
        store = Store.open(path)
        if store.problems():
            return "damaged"
        return "complete" if coders <= {info.coder for info in store.coders()} else "unfinished"
    except (StoreMissing, StoreIncomplete):
        return "unfinished"
    except StoreError:
        return "damaged"


def _read_mark(path: Path) -> str | None:
    """The fingerprint of the demo store at `path`; `None` when nothing is there."""
    try:
        mark = json.loads((path / MARK).read_text(encoding="utf-8"))
        return str(mark["fingerprint"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable"
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"{path} is not empty, and `autointerp demo` did not make it. Name an empty or new folder with --store."
        )
    return None


def _begin(path: Path, mark: str) -> None:
    from autointerp.store.files import write_atomically, writing

    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / MARK, json.dumps({"fingerprint": mark}) + "\n")


def _replace(
    path: Path,
    mark: str,
    weights: Path,
    coders: dict[str, str],
    n_tokens: int,
    progress: ProgressCallback,
    keep_written: bool,
) -> None:
    """Build in a hidden folder beside `path`, then swap the two; the old store can be read until then. `keep_written`: copy
    explanations and scores, if the text is the same."""
    from autointerp.store.annotations.copying import copy_annotations
    from autointerp.store.files import Workspace

    workspace = Workspace(path.parent, path.name)
    try:
        fresh = workspace.path / "new"
        _begin(fresh, mark)
        _cache(fresh, weights, coders, n_tokens, progress)
        if keep_written:
            copy_annotations(path, fresh)
        os.replace(path, workspace.path / "old")
        os.replace(fresh, path)
    finally:
        workspace.close()


def _cache(
    path: Path, weights: Path, coders: dict[str, str], n_tokens: int, progress: ProgressCallback
) -> None:
    from autointerp.caching import cache
    from autointerp.demo.corpus import iter_documents
    from autointerp.models.subject import load_subject

    subject = load_subject(str(weights / "model"))
    subject.name = MODEL_NAME
    cache(
        path,
        model=subject,
        coders=coders,
        documents=((document.name, document.text) for document in iter_documents("heldout")),
        corpus_name=CORPUS_NAME,
        n_tokens=n_tokens,
        ctx_len=CTX_LEN,
        progress=progress,
    )
