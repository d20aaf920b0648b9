"""Coders from the Hugging Face hub: `owner/name`, `owner/name/folder`, either with `@revision`.

Repositories of coders hold hundreds of gigabytes, so only one coder's files are fetched: those in the named folder, or what is
for the given hookpoint. A repository of several is listed, and nothing fetched, until it is said which one is meant.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autointerp import settings
from autointerp.errors import CoderLoadError
from autointerp.reading import expanded

_NAME = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?P<folder>(?:/[\w.+=-]+)*)(?:@(?P<revision>[\w./-]+))?"
)
FILES = ("cfg.json", "config.json", "config.yaml", ".safetensors", ".npz", "ae.pt")
_CODER = re.compile(
    r"(sae|sae_weights|params|(?P<layer>(params_)?layer_\d+|W_enc_\d+))\.(safetensors|npz)|ae\.pt"
)


class HubName(NamedTuple):
    """A repository, a folder (or file) in it, "" for all of it, and a revision."""

    repository: str
    folder: str
    revision: str | None


def parse(source: str) -> HubName | None:
    """What `source` names on the hub; `None` where it is written otherwise."""
    match = _NAME.fullmatch(source)
    if match is None or {".", ".."} & set(match["folder"].split("/")):
        return None
    return HubName(match["repository"], match["folder"].strip("/"), match["revision"])


def is_hub_name(source: str) -> bool:
    """Whether `source` is written like a repository of the hub, or a folder in one, and is no path here."""
    return parse(source) is not None and not expanded(source).exists()


def is_cached(name: HubName) -> bool:
    """Whether anything of the repository is in the hub's local cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE, f"models--{name.repository.replace('/', '--')}").is_dir()


def download(source: str, hookpoint: str | None = None) -> Path:
    """The coder's folder (or file) in the hub's local cache, downloaded as far as it is missing.

    Raises CoderLoadError where the hub does not give it, or holds several coders and neither folder nor hookpoint says which.
    """
    from huggingface_hub import snapshot_download

    name = parse(source)
    assert name is not None
    fetch = settings.may_fetch()
    patterns = (
        _within(name.folder) if name.folder else _chosen(name, hookpoint, _listing(name) if fetch else [])
    )
    try:
        snapshot = snapshot_download(
            name.repository, revision=name.revision, allow_patterns=patterns, local_files_only=not fetch
        )
    except Exception as error:  # the hub's own errors, httpx's, and OSError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CoderLoadError(
            f"no coder at {source}: no such folder, and the hub did not provide it ({reason})"
        ) from error
    path = Path(snapshot, name.folder)
    if not path.exists():
        raise CoderLoadError(f"no coder at {source}: {name.repository} of the hub has no {name.folder}")
    return path


def _within(folder: str) -> list[str]:
    """Patterns of the files in a folder; of a file, itself and the configuration beside it."""
    beside = PurePosixPath(folder).parent
    return [
        folder,
        *(f"{folder}/*{name}" for name in FILES),
        *(str(beside / name) for name in FILES if name[0] != "."),
    ]


def _listing(name: HubName) -> list[str]:
    """The files of a repository; none where the hub cannot be asked, and the local cache has to do."""
    from huggingface_hub import HfApi

    try:
        return HfApi().list_repo_files(name.repository, revision=name.revision)
    except Exception:  # as above; the download that follows says what is wrong
        return []


def _chosen(name: HubName, hookpoint: str | None, listing: Sequence[str]) -> list[str]:
    """Patterns of the files of the one coder in a repository, or of the one for a hookpoint."""
    everything = [f"*{each}" for each in FILES]
    files = [(file, match) for file in listing if (match := _CODER.fullmatch(PurePosixPath(file).name))]
    by_layer = [file for file, match in files if match["layer"]]
    folders = list(
        dict.fromkeys(str(PurePosixPath(file).parent) for file, match in files if not match["layer"])
    )
    if len(by_layer) + len(folders) <= 1:
        return everything
    if hookpoint is not None:
        own = [folder for folder in folders if _is_for(folder, hookpoint)]
        layer = next((part for part in hookpoint.split(".") if part.isdecimal()), "")
        own_files = (
            [file for file in by_layer if re.search(rf"_{layer}\.safetensors$", file)] if layer else []
        )
        if own or own_files:
            return [pattern for each in [*own, *own_files] for pattern in _within(each)]
    coders = [*folders, *by_layer]
    listed = ", ".join(coders[:8]) + (f" and {len(coders) - 8:,} more" if len(coders) > 8 else "")
    at = f"@{name.revision}" if name.revision else ""
    raise CoderLoadError(
        f"{name.repository} of the hub holds {len(coders):,} coders: {listed}. Give one of them, such as "
        f"{name.repository}/{coders[0]}{at}"
    )


def _is_for(folder: str, hookpoint: str) -> bool:
    """Whether a folder on the path is called as the hookpoint, or as its end."""
    parts = hookpoint.split(".")
    ends = {".".join(parts[-n:]) for n in (2, 3, len(parts))}
    return any(part in ends or part.endswith(f".{hookpoint}") for part in folder.split("/"))
