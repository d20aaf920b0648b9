"""What a person sets once: which language model to ask, what it costs, how much to spend, which embedder.

A store is shared and travels; an endpoint and a budget are personal. So they live beside the person, in
`$XDG_CONFIG_HOME/autointerp/settings.json` (`~/.config` by default; `AUTOINTERP_CONFIG` names another file), for the app and
the command line alike. API keys are never in it: they come from the environment, Streamlit's secrets, or are typed for a
session and stay in memory.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from autointerp.errors import UserError
from autointerp.llm.costs import PriceTable
from autointerp.llm.endpoints import base_url as full_url
from autointerp.llm.secrets import redact
from autointerp.settings import DEFAULT_EMBEDDER, ENV_CONFIG, config_file

ENV_BASE_URL = "AUTOINTERP_BASE_URL"
"""The server that AUTOINTERP_API_KEY is for; the settings' own, where they name none."""
MAX_IN_FLIGHT = 1024
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """Defaults for work that asks a language model or an embedder.

    `model` empty: no language model is chosen. `base_url`: a name in `autointerp.llm.ENDPOINTS` or an address. `timeout` in
    seconds for one request. `max_tokens`, `max_cost`: the budget of one job, `None` for no limit. `prices`: model name or
    pattern -> `{"prompt", "completion", "cached"?}` per million tokens, see `PriceTable.parse`.
    """

    model: str = ""
    base_url: str = "openai"
    max_in_flight: int = 16
    timeout: float = 120.0
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    embedder: str = DEFAULT_EMBEDDER

    def check(self) -> Self:
        """Raises UserError."""
        for name, text in (("model", self.model), ("server", self.base_url)):
            if redact(text) != text:
                raise UserError(
                    f"The {name} looks like an API key. Keys are never stored: put it into the environment, or type it into "
                    "the field for the key."
                )
        full_url(self.base_url)
        if not 1 <= self.max_in_flight <= MAX_IN_FLIGHT:
            raise UserError(f"{self.max_in_flight} requests at once: choose 1 to {MAX_IN_FLIGHT:,}.")
        if not 0 < self.timeout <= 86_400:
            raise UserError(f"A timeout of {self.timeout} s: choose more than 0 and at most 86,400 s.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UserError(f"A budget of {self.max_tokens} tokens: give at least 1, or leave it open.")
        if self.max_cost is not None and not 0 <= self.max_cost < float("inf"):
            raise UserError(f"A budget of {self.max_cost}: give 0 or more, or leave it open.")
        PriceTable.parse(self.prices)
        return self

    def llm_fields(self) -> dict[str, Any]:
        """What makes `autointerp.pipeline.LLMOptions`: everything but the embedder, and no key."""
        return {name: value for name, value in asdict(self).items() if name != "embedder"}


def load(path: Path | None = None) -> Preferences:
    """The stored preferences; defaults where none are stored. Raises UserError for a file that cannot be used."""
    path = path or config_file()
    data = _read(path)
    values = {field.name: data[field.name] for field in fields(Preferences) if field.name in data}
    if server := os.environ.get(ENV_BASE_URL, "").strip():
        values.setdefault("base_url", server)
    try:
        _check_types(values)
        return Preferences(**values).check()
    except (UserError, TypeError, ValueError) as error:
        raise UserError(
            f"The settings in {path} cannot be used: {error} Correct or remove the file."
        ) from None


named_servers: set[str] = set()
"""Those that the owner of this process named beside the settings and the environment."""


def name_server(base_url: str) -> None:
    """The owner of this process named this server, on a command line or in a page: keys of the environment may go there. Raises
    WrongURL."""
    named_servers.add(full_url(base_url))


def is_named(base_url: str) -> bool:
    """Whether the owner of this process named this server: so, in the settings, or in `AUTOINTERP_BASE_URL`. Others come from a
    store's jobs, or are typed and not saved. Raises WrongURL."""
    known = set(named_servers)
    for name in (os.environ.get(ENV_BASE_URL, ""), _server_of_settings()):
        with suppress(UserError):
            known.add(full_url(name))
    return full_url(base_url) in known


def _server_of_settings() -> str:
    try:
        return load().base_url
    except UserError:
        return ""


def save(preferences: Preferences, path: Path | None = None) -> Path:
    """Store them; whole or not at all. What else the file holds (of another version) stays. Raises UserError."""
    preferences.check()
    path = path or config_file()
    try:
        others = _read(path)
    except UserError:  # damaged: put aside, never thrown away
        others = {}
        with suppress(OSError):
            path.replace(path.with_name(f"{path.name}.damaged"))
    text = json.dumps({**others, **asdict(preferences)}, indent=2, ensure_ascii=False) + "\n"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise UserError(
            f"The settings cannot be written to {path} ({error.strerror or error}). Choose another file with {ENV_CONFIG}."
        ) from None
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"The settings in {path} cannot be read ({error.strerror or error}).") from None
    try:
        data = json.loads(content) if len(content) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UserError(f"The settings in {path} are not a JSON object. Correct or remove the file.")
    return data


def _check_types(values: Mapping[str, Any]) -> None:
    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def whole(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    accepted = {
        "model": ("a string", lambda v: isinstance(v, str)),
        "base_url": ("a string", lambda v: isinstance(v, str)),
        "embedder": ("a string", lambda v: isinstance(v, str)),
        "max_in_flight": ("a whole number", whole),
        "timeout": ("a number", number),
        "max_tokens": ("a whole number or null", lambda v: v is None or whole(v)),
        "max_cost": ("a number or null", lambda v: v is None or number(v)),
        "prices": ("an object", lambda v: isinstance(v, dict)),
    }
    for name, value in values.items():
        wanted, fits = accepted[name]
        if not fits(value):
            raise UserError(f"`{name}` must be {wanted}.")
