"""Server addresses: the usual ones by name, typed ones normalised."""

import ipaddress
from urllib.parse import urlsplit

from autointerp.llm.errors import WrongURL

ENDPOINTS = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "vllm": "http://localhost:8000/v1",
    "transformers": "http://localhost:8000/v1",
    "ollama": "http://localhost:11434/v1",
    "llama.cpp": "http://localhost:8080/v1",
}


def base_url(text: str) -> str:
    """A full base URL from a name in `ENDPOINTS` or what a person types: scheme added, `/chat/completions` cut off.

    Raises `WrongURL`, also for an address with a password or a query in it, since addresses are shown and stored.
    """
    text = text.strip()
    if text.lower() in ENDPOINTS:
        return ENDPOINTS[text.lower()]
    if not text:
        raise WrongURL(
            f"No server given. Give a base URL such as {ENDPOINTS['vllm']}, or one of {', '.join(ENDPOINTS)}."
        )
    if "://" not in text:
        host = text.split("/")[0].rsplit(":", 1)[0]
        text = ("http://" if is_local(host) else "https://") + text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise WrongURL("The base URL is malformed. It should look like https://host:port/v1.") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise WrongURL(
            "The base URL must not contain a user name, password, query or fragment. Give the key as an API key instead."
        )
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in text):
        raise WrongURL(
            f"The base URL {text!r} is not an http(s) address. It should look like https://host:port/v1."
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions").rstrip("/")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def identity(url: str) -> str:
    """Host and path: what tells one server from another in keys and records."""
    parts = urlsplit(url)
    return parts.netloc + parts.path


def is_local(host: str) -> bool:
    """Whether `host` is this machine or an address of a private network."""
    if host in ("localhost", "") or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_private
