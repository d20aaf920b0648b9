"""Builds a demo store: a subject model and the shipped coders, run over docstrings that the coders were not trained on."""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from autointerp.demo.subjects import DOCSTRINGS, DemoSubject
from autointerp.errors import StoreError, StoreIncomplete, StoreMissing, UserError
from autointerp.types import ProgressCallback, no_progress

CTX_LEN = 128
CORPUS_NAME = "held-out docstrings of installed libraries"
MARK = "demo.json"
"""File that says `autointerp demo` made the folder, and from what; only such a folder is ever replaced."""


@dataclass(frozen=True)
class Contents:
    """What a demo store is made of: the subject's name, the model's shown name and folder, names and sources of coders, tokens
    of text."""

    subject: str
    model_name: str
    model: Path
    coders: dict[str, str]
    n_tokens: int


@dataclass(frozen=True)
class DemoBuild:
    """What `build_demo` did; `built` is false when the store was already complete."""

    path: Path
    built: bool
    seconds: float
    coders: list[str]


def build_demo(
    path: Path,
    *,
    subject: DemoSubject = DOCSTRINGS,
    force: bool = False,
    weights: Path | None = None,
    n_tokens: int | None = None,
    progress: ProgressCallback = no_progress,
) -> DemoBuild:
    """Build the demo store of `subject` at `path`, unless it is complete; over `n_tokens` of text, by default the subject's own
    number.

    An interrupted build is continued. With `force`, or when the store is damaged, of an older format, or made from other
    weights, a new one is built beside it and replaces it at the end. Explanations and scores are kept if weights and text are
    the same, except with `force`.

    Raises:
        UserError: `path` is not empty and not a demo store; nothing is touched.
        ModelLoadError: Weights are missing, or not those expected.
    """
    start = time.monotonic()
    weights = weights or subject.weights()
    model = subject.find_model(weights)
    coders = subject.coders(weights)
    n_tokens = subject.n_tokens if n_tokens is None else n_tokens
    contents = Contents(subject.name, subject.model_name, model, coders, n_tokens)
    mark = fingerprint(weights, contents, subject.model_sha256)
    old_mark = _read_mark(path, subject.name)
    if old_mark == mark and not force:
        state = _state(path, set(coders))
        if state == "complete":
            return DemoBuild(path, False, time.monotonic() - start, list(coders))
        if state == "unfinished":
            _cache(path, contents, progress)
            return DemoBuild(path, True, time.monotonic() - start, list(coders))
    if old_mark is None:
        _begin(path, contents, mark)
        _cache(path, contents, progress)
    else:
        same = old_mark == mark and not force
        _replace(path, mark, contents, progress, keep_written=same)
    return DemoBuild(path, True, time.monotonic() - start, list(coders))


def fingerprint(weights: Path, contents: Contents, model_sha256: str) -> str:
    """Changes with the weights, the coders and the number of tokens. `model_sha256`: of a model that is not among `weights`."""
    digest = hashlib.sha256(f"{sorted(contents.coders)} {contents.n_tokens} {CTX_LEN}{model_sha256}".encode())
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


def _read_mark(path: Path, subject: str) -> str | None:
    """The fingerprint of the demo store at `path`; `None` when nothing is there. UserError where it is of another subject."""
    try:
        mark = json.loads((path / MARK).read_text(encoding="utf-8"))
        fingerprint, made_for = str(mark["fingerprint"]), mark.get("subject", DOCSTRINGS.name)
        if made_for != subject:
            raise UserError(
                f"{path} is the demo store of another model ({made_for}). Choose another folder with --store."
            )
        return fingerprint
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable"
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"{path} is not empty, and `autointerp demo` did not make it. Choose an empty or new folder with --store."
        )
    return None


def _begin(path: Path, contents: Contents, mark: str) -> None:
    from autointerp.store.files import write_atomically, writing

    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / MARK, json.dumps({"subject": contents.subject, "fingerprint": mark}) + "\n")


def _replace(
    path: Path,
    mark: str,
    contents: Contents,
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
        _begin(fresh, contents, mark)
        _cache(fresh, contents, progress)
        if keep_written:
            copy_annotations(path, fresh)
        os.replace(path, workspace.path / "old")
        os.replace(fresh, path)
    finally:
        workspace.close()


def _cache(path: Path, contents: Contents, progress: ProgressCallback) -> None:
    from autointerp.caching import cache
    from autointerp.demo.corpus import iter_documents
    from autointerp.models.subject import load_subject

    subject = load_subject(str(contents.model))
    subject.name = contents.model_name
    cache(
        path,
        model=subject,
        coders=contents.coders,
        documents=((document.name, document.text) for document in iter_documents("heldout")),
        corpus_name=CORPUS_NAME,
        n_tokens=contents.n_tokens,
        ctx_len=CTX_LEN,
        progress=progress,
    )
