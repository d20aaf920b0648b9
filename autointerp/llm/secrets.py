"""API keys: where they come from, and how they stay out of everything that is written down."""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

from autointerp.llm.errors import AuthError

# A key is only ever sent to the host it was issued for; AUTOINTERP_API_KEY is for the server that its owner names.
_HOST_KEYS = {"api.openai.com": "OPENAI_API_KEY", "openrouter.ai": "OPENROUTER_API_KEY"}
_ANY_HOST_KEY = "AUTOINTERP_API_KEY"
_VARIABLES = (*_HOST_KEYS.values(), _ANY_HOST_KEY, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

_MASK = "[hidden]"
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}  # str.lower can change a text's length
_FRAGMENT = 8  # characters of a key that may not appear in a row
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|xai)[-_][\w*.-]{6,}"
    r"|(?<=bearer )[\w*.+/=~-]{6,}"
    r"|(?<=basic )[\w+/=-]{6,}"
    r"|(?<=://)[^\s/@]+(?=@)",
    re.IGNORECASE,
)


class Secret:
    """A key that does not show itself: not in `repr`, formatting, pickles or copies. Empty means "send no key"."""

    __slots__ = ("__value",)

    def __init__(self, value: str | None = None):
        """`value` is stripped of surrounding white space; `AuthError` when it cannot be an HTTP header."""
        text = (value or "").strip()
        if not all("!" <= character <= "~" for character in text):
            raise AuthError(
                "The API key contains spaces, line breaks or other characters that no key has. Copy it again, without "
                "quotes or surrounding text."
            )
        self.__value = text

    def reveal(self) -> str:
        """The key itself, for the request header and nothing else."""
        return self.__value

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __repr__(self) -> str:
        return "Secret(***)" if self.__value else "Secret(none)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Secret is never pickled or copied to another process; pass the key through the environment"
        )


def find_key(
    base_url: str,
    api_key: str | Secret | None = None,
    env: Mapping[str, str] = os.environ,
    *,
    named: bool = True,
) -> Secret:
    """The key for `base_url`: the one given, else AUTOINTERP_API_KEY, else the variable of that very host, else none. `named`:
    whether who set the variables named this address; to any other AUTOINTERP_API_KEY is not sent."""
    if isinstance(api_key, Secret):
        return api_key
    if api_key is not None:
        return Secret(api_key)
    variable = key_variable(base_url, env, named=named)
    return Secret(env[variable]) if variable else Secret()


def key_variable(base_url: str, env: Mapping[str, str] = os.environ, *, named: bool = True) -> str | None:
    """The environment variable with the key for `base_url`, if one is set; `named` as in `find_key`."""
    host = urlsplit(base_url).hostname or ""
    names = [_ANY_HOST_KEY] if named else []
    names += [name for owner, name in _HOST_KEYS.items() if host == owner or host.endswith("." + owner)]
    return next((name for name in names if env.get(name, "").strip()), None)


def drop_keys(env: MutableMapping[str, str]) -> None:
    """Take a person's keys, of language models and of the hub, out of an environment."""
    for variable in _VARIABLES:
        env.pop(variable, None)


@contextmanager
def keys_hidden() -> Iterator[None]:
    """Keys of language models are not in this process's environment, nor in that of processes that start meanwhile."""
    kept = {
        name: os.environ.pop(name) for name in (*_HOST_KEYS.values(), _ANY_HOST_KEY) if name in os.environ
    }
    try:
        yield
    finally:
        os.environ.update(kept)


def redact(text: str, secret: Secret | None = None) -> str:
    """`text` without the key, without any 8 characters of it in a row, and without anything that looks like a key."""
    return _KEY_LIKE.sub(_MASK, _without(text, secret.reveal()) if secret else text)


def _without(text: str, key: str) -> str:
    if len(key) < 4:
        return text
    text = text.replace(key, _MASK)
    if len(key) < _FRAGMENT:
        return text
    folded, wanted = text.translate(_LOWER), key.translate(_LOWER)
    fragments = {wanted[i : i + _FRAGMENT] for i in range(len(wanted) - _FRAGMENT + 1)}
    pieces, position, start = [], 0, 0
    while position <= len(folded) - _FRAGMENT:
        if folded[position : position + _FRAGMENT] not in fragments:
            position += 1
            continue
        pieces += [text[start:position], _MASK]
        end = position + _FRAGMENT
        while end < len(folded) and folded[end - _FRAGMENT + 1 : end + 1] in fragments:
            end += 1
        position = start = end
    return "".join(pieces) + text[start:]
