"""Where things are, and the environment variables that say otherwise. Nothing here reads or creates a file.

AUTOINTERP_STORE       the store that the app opens first
AUTOINTERP_STORES      other stores that visitors may open, with `os.pathsep` between them
AUTOINTERP_ALL_STORES  "1" lets visitors open every store in the stores folder, too
AUTOINTERP_READ_ONLY   "1" makes a visitor of everybody: reading, and nothing else
AUTOINTERP_RATERS      "1" lets visitors rate audits
AUTOINTERP_WEIGHTS     where to look for models and coders that are no longer where a store was made from them
"""

import ipaddress
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from autointerp.reading import expanded

ENV_STORE = "AUTOINTERP_STORE"
ENV_STORES = "AUTOINTERP_STORES"
ENV_ALL_STORES = "AUTOINTERP_ALL_STORES"
ENV_READ_ONLY = "AUTOINTERP_READ_ONLY"
ENV_RATERS = "AUTOINTERP_RATERS"
ENV_WEIGHTS = "AUTOINTERP_WEIGHTS"
ENV_CONFIG = "AUTOINTERP_CONFIG"

DEFAULT_PORT = 8501
DEFAULT_WINDOW = 32
"""Tokens in a window, unless someone asks for more or less."""
DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"


def checkout() -> Path | None:
    """The repository that this package runs from; `None` when it was installed without its `app.py`."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "app.py").is_file() else None


def project_root() -> Path:
    """The checkout, else the working directory: what `data/` is relative to."""
    return checkout() or Path.cwd()


def stores_folder() -> Path:
    """Where stores are looked for when none is named."""
    return project_root() / "data" / "stores"


def demo_store(subject: str = "docstrings") -> Path:
    """Where `autointerp demo` builds its store of a subject model."""
    return stores_folder() / ("demo" if subject == "docstrings" else subject)


def demo_weights() -> Path:
    """The shipped weights: `model/` and `coders/<coder>/<hookpoint>/`; a subject that is not the default has a folder of its
    own here."""
    return project_root() / "data" / "demo"


def configured_store() -> Path:
    """The store that the app opens first: `AUTOINTERP_STORE`, else the demo's (which may not exist yet)."""
    named = os.environ.get(ENV_STORE)
    return expanded(named) if named else demo_store()


def config_file() -> Path:
    """Where the user's settings are kept: `AUTOINTERP_CONFIG`, else in the user's configuration folder."""
    named = os.environ.get(ENV_CONFIG)
    if named:
        return expanded(named)
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if folder.startswith(os.sep) else expanded("~/.config")
    return base / "autointerp" / "settings.json"


def cache_folder() -> Path:
    """Where what can be made again is kept, in the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(folder) if folder.startswith(os.sep) else expanded("~/.cache")
    return base / "autointerp"


def weights_folder() -> Path | None:
    """The folder named by `AUTOINTERP_WEIGHTS`, if any."""
    named = os.environ.get(ENV_WEIGHTS)
    return expanded(named) if named else None


def other_stores() -> list[Path]:
    """Those of `AUTOINTERP_STORES`."""
    return [Path(named) for named in os.environ.get(ENV_STORES, "").split(os.pathsep) if named]


visiting: ContextVar[bool] = ContextVar("visiting", default=False)
"""Whether this thread works for a visitor; where all do, the environment says so."""


def is_read_only() -> bool:
    """Whether who looks at the app is a visitor: nothing is written, and nothing fetched."""
    return is_set(ENV_READ_ONLY) or visiting.get()


_stores_word: ContextVar[bool] = ContextVar("stores_word", default=False)


@contextmanager
def on_a_stores_word() -> Iterator[None]:
    """Around the loading of what a store names: its maker may be anybody, so nothing is fetched for it."""
    before = _stores_word.set(True)
    try:
        yield
    finally:
        _stores_word.reset(before)


def may_fetch() -> bool:
    """Whether models and coders may come from a hub: as the owner named them."""
    return not is_read_only() and not _stores_word.get()


def have_visitors(env: MutableMapping[str, str]) -> None:
    """Make a visitor of everybody in the process of this environment."""
    env[ENV_READ_ONLY] = env["HF_HUB_OFFLINE"] = "1"


def is_set(variable: str) -> bool:
    """Whether this environment variable says yes."""
    return os.environ.get(variable, "").lower() in {"1", "true", "yes"}


def is_this_machine(host: str | None) -> bool:
    """Whether only this machine reaches a server that listens on `host`; an empty one stands for every address."""
    try:
        return host == "localhost" or ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
