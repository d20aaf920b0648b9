"""`autointerp import delphi`: the folder of a run, its `latents/`, or one hookpoint's cache."""

from pathlib import Path

from autointerp.errors import StoreError, UnknownName, UserError
from autointerp.formats.delphi.activations import check_corpus, make_corpus, write_coder
from autointerp.formats.delphi.cache import Cache, is_cache, open_cache
from autointerp.formats.delphi.results import Files, find_results, records
from autointerp.formats.delphi.run import Run, read_run
from autointerp.formats.requests import ImportRequest
from autointerp.formats.staging import Staged, staged
from autointerp.formats.summary import Summary
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.files import check_name, natural_key
from autointerp.types import ProgressCallback


def claims(path: Path) -> bool:
    """Whether the path is a folder of delphi."""
    return path.is_dir() and any(is_cache(folder) for folder in _cache_folders(path))


def run(request: ImportRequest, progress: ProgressCallback) -> Summary:
    """Imports what the request names. Raises UserError, and then leaves the store as it was."""
    if len(request.sources) != 1:
        raise UserError("delphi: give one folder, that of a run; import several runs one at a time.")
    (root,) = request.sources
    if not root.is_dir():
        raise UserError(f"{str(root)!r} is not a folder. Give the folder of a delphi run, or of its cache.")
    caches = _chosen(root, request)
    source = read_run(root)
    summary = Summary("delphi", str(request.store))
    for cache in caches.values():
        cache.check_tokens()
    with staged(request.store) as into:
        store = _open_or_make(into, caches, request, summary, progress)
        there = {info.coder for info in store.coders()}
        for name, cache in caches.items():
            if name in there:
                _check_same(store, name, cache)
                summary.take("coders", 1, known=1)
                continue
            config = {"imported": "delphi", "cache": cache.config, "run": dict(source.config)}
            kind = request.options.get("kind") or source.kind
            write_coder(store, name, cache, kind=kind, config=config, summary=summary, progress=progress)
            into.coders.append(name)
            summary.take("coders")
        _write_results(
            store,
            {name: find_results(root, cache.hookpoint) for name, cache in caches.items()},
            source,
            summary,
        )
    note = store.meta["tokenizer"].get("note")
    summary.notes += [note] if note else []
    return summary


def _open_or_make(
    into: Staged,
    caches: dict[str, Cache],
    request: ImportRequest,
    summary: Summary,
    progress: ProgressCallback,
) -> Store:
    """A store of the caches' text. Raises UserError."""
    if into.is_new:
        first = next(iter(caches.values()))
        store = make_corpus(into.path, first, tokenizer=request.options.get("tokenizer"), progress=progress)
        summary.take("contexts", store.n_contexts)
    else:
        store = Store.open(into.path)
    for cache in caches.values():
        check_corpus(store, cache)
    return store


def _write_results(store: Store, files: dict[str, Files], source: Run, summary: Summary) -> None:
    """Explanations and scores of the coders, in one transaction."""
    if not any(each.explanations or each.scores for each in files.values()):
        return
    with Annotations(store.path) as annotations:
        parts = (
            part
            for name, each in files.items()
            for part in records(store, store.coder(name), each, source, summary)
        )
        known = annotations.add_new(parts)
    for what, n in known.items():
        summary.known[what] = summary.known.get(what, 0) + n


def _chosen(root: Path, request: ImportRequest) -> dict[str, Cache]:
    """The caches to import by the names that the coders get. Raises UserError."""
    folders = {folder.name: folder for folder in _cache_folders(root) if is_cache(folder)}
    if not folders:
        raise UserError(
            f"{str(root)!r} holds no delphi cache: neither it nor its latents/ has a folder with shards such as "
            "0_6552.safetensors."
        )
    wanted: dict[str, str] = {}
    for given in request.options.get("hookpoint") or sorted(folders, key=natural_key):
        name, _, hookpoint = str(given).rpartition("=")
        if hookpoint not in folders:
            raise UnknownName("hookpoint of the cache", hookpoint, sorted(folders))
        wanted[name or hookpoint] = hookpoint
    if request.name is not None:
        if len(wanted) > 1:
            raise UserError(
                f"--name names one coder, and there are {len(wanted)}. Choose one with --hookpoint, or name each: --hookpoint "
                "NAME=HOOKPOINT."
            )
        wanted = {request.name: next(iter(wanted.values()))}
    return {check_name(name): open_cache(folders[hookpoint]) for name, hookpoint in wanted.items()}


def _cache_folders(root: Path) -> list[Path]:
    if is_cache(root):
        return [root]
    latents = root / "latents" if (root / "latents").is_dir() else root
    return sorted(folder for folder in latents.iterdir() if folder.is_dir())


def _check_same(store: Store, name: str, cache: Cache) -> None:
    """Raises StoreError where the store has another coder of this name."""
    info = store.coder(name).info
    if (info.hookpoint, info.n_latents) != (
        cache.hookpoint,
        cache.n_latents,
    ) or info.n_activations != cache.n_activations:
        raise StoreError(
            f"the store already has another coder called {name!r} (from {info.source}). Give this one another name: "
            f"--hookpoint NAME={cache.hookpoint}."
        )
