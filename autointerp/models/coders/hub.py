"""Coders from the Hugging Face hub: `owner/name`, or `owner/name@revision`."""

import re
from pathlib import Path
from typing import Any

from autointerp import settings
from autointerp.errors import CoderLoadError

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
FILES = ("cfg.json", ".safetensors", ".npz")


def is_hub_name(source: str) -> bool:
    """Whether `source` is written like a repository of the hub and is no path here."""
    return _NAME.fullmatch(source) is not None and not Path(source).expanduser().exists()


def download(source: str, hookpoint: str | None = None) -> Path:
    """The folder in the hub's local cache, downloaded as far as it is missing; with a hookpoint, only what is for it, if the
    repository has a folder of that name. Raises CoderLoadError where the hub does not give it."""
    from huggingface_hub import snapshot_download

    match = _NAME.fullmatch(source)
    assert match is not None
    everything = [f"*{name}" for name in FILES]
    here: dict[str, Any] = {"revision": match[2], "local_files_only": not settings.may_fetch()}
    parts = (hookpoint or "").split(".")
    ends = {".".join(parts[-n:]) for n in (2, 3, len(parts))}
    own = [f"*{end}/*{name}" for end in sorted(ends) for name in FILES]
    try:
        if hookpoint is not None:
            folder = Path(snapshot_download(match[1], allow_patterns=own, **here))
            if any(folder.rglob("cfg.json")):
                return folder
        return Path(snapshot_download(match[1], allow_patterns=everything, **here))
    except Exception as error:  # the hub's own errors, httpx's, and OSError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CoderLoadError(
            f"no coder at {source}: no such folder, and the hub did not give it ({reason})"
        ) from error
