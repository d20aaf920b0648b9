"""Where the weights are that a store was made from.

A store records the folders as they were given. When it or the checkout has moved since, the end of that path is looked for
below `AUTOINTERP_WEIGHTS` and in the checkout (the demo's weights come with it); what is found is checked by its
fingerprint before it is used.
"""

import os
import re
from pathlib import Path

from autointerp import settings
from autointerp.models.coders import hub
from autointerp.reading import expanded

_HUB = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def find(recorded: str) -> str | None:
    """The folder that `recorded` means here and now, a hub name as it is, `None` where there is no such folder."""
    path = expanded(recorded)
    if path.exists():
        return str(path)
    named = settings.weights_folder()
    roots = [(named, 1)] if named else []
    roots.append((settings.project_root(), 2))
    parts = [part for part in path.parts if part not in (path.anchor, os.curdir, os.pardir)]
    for root, shortest in roots:
        for first in range(len(parts) - shortest + 1):
            folder = root.joinpath(*parts[first:])
            if folder.is_dir() or (folder.suffix in (".safetensors", ".npz") and folder.is_file()):
                return str(folder)
    return recorded if _is_hub_name(recorded) else None


def _is_hub_name(recorded: str) -> bool:
    """One part or two are a repository; more are a folder here, unless such a repository is in the hub's local cache."""
    path, name = Path(recorded), hub.parse(recorded)
    if name is not None and name.folder:
        return hub.is_cached(name)
    return not path.is_absolute() and len(path.parts) <= 2 and not recorded.startswith((".", "~"))


def missing(what: str, recorded: str) -> str:
    """What to tell the user when `find` finds nothing, or nothing usable."""
    if find(recorded) == recorded and _HUB.fullmatch(recorded) and not Path(recorded).exists():
        return (
            f"the weights of {what} are not on this machine. If {recorded} is a name on the Hugging Face hub, run: hf download "
            f"{recorded} (nothing is fetched just because a store names it). If it was a folder, set "
            f"{settings.ENV_WEIGHTS} to the "
            "folder that holds it and start again."
        )
    return (
        f"the weights of {what} are not at {recorded}, where they were when it was cached. Put them back there, or set "
        f"{settings.ENV_WEIGHTS} to the folder that holds {Path(recorded).name!r} and start again."
    )
