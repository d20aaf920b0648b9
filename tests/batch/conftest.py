"""A small whole coder, a scripted server, and the commands run on both."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from autointerp.cli.main import main
from autointerp.llm.limits import RetryPolicy
from autointerp.store import Store
from tests.batch.served import ScriptedServer
from tests.conftest import CoderSpec, StoreFactory

KEY = "test-key-0123456789abcdef"
N_LATENTS = 40
CTX_LEN, N_CONTEXTS, N_WORDS = 64, 100, 90


def make_store(factory: StoreFactory, n_latents: int = N_LATENTS, path: Path | None = None) -> Store:
    """Random text; latent i fires on word i, in about half of the contexts."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, N_WORDS, size=(N_CONTEXTS, CTX_LEN))
    flat = tokens.reshape(-1)
    firings = {
        latent: [
            (int(i), float(0.5 + rng.random())) for i in np.flatnonzero(flat == 1 + latent % (N_WORDS - 1))
        ]
        for latent in range(n_latents)
    }
    pieces = [b"<|end|>", *(f" word{i}".encode() for i in range(1, N_WORDS))]
    return factory(tokens, {"sae": CoderSpec(firings, n_latents)}, pieces=pieces, path=path)


@pytest.fixture(scope="session")
def shared_http() -> Iterator[HTTPServer]:
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_http: HTTPServer) -> Iterator[ScriptedServer]:
    yield ScriptedServer(shared_http)
    shared_http.clear()


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "no-settings.json"))
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTOINTERP_API_KEY", KEY)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off of milliseconds."""
    monkeypatch.setattr(
        "autointerp.llm.client.RetryPolicy", lambda: RetryPolicy(base=0.005, cap=0.02, patience=5.0)
    )


@dataclass
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


Command = Callable[..., Ran]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], server: ScriptedServer) -> Command:
    """`command("explain", path, "sae", "--explainer", "default")`: run it with --json; `MODEL` in it stands for the server's
    options."""

    import openai  # noqa: F401  half a second that would count as the first request's

    def run(*argv: object) -> Ran:
        model = ["--llm", "m", "--base-url", server.url, "--max-in-flight", "16", "--timeout", "30"]
        words = [word for one in argv for word in (model if one == "MODEL" else [str(one)])]
        capfd.readouterr()
        code = main([*words, "--json"])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
