"""Picking a port."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from autointerp import settings
from autointerp.cli import main, serve
from autointerp.errors import UserError
from autointerp.store import Store


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_named_and_taken_is_refused(taken: int):
    with pytest.raises(UserError, match=f"port {taken} is in use"):
        serve.choose_port("localhost", taken)


def test_the_next_free_port_is_taken_and_said(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(settings, "DEFAULT_PORT", taken)
    port = serve.choose_port("localhost", None)
    assert port > taken
    assert capsys.readouterr().err == f"Port {taken} is in use; taking {port}.\n"


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port(port: int):
    with pytest.raises(UserError, match="from 1 to 65535"):
        serve.choose_port("localhost", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours(host: str):
    with pytest.raises(UserError, match="--host"):
        serve.choose_port(host, None)


Told = Callable[..., tuple[dict[str, str], list[str]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """The environment and the arguments of the server that these arguments start."""
    started: list[tuple[dict[str, str], list[str]]] = []
    monkeypatch.setattr(os, "execve", lambda path, argv, env: started.append((env, argv)))
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "a key")
    for name in (settings.ENV_READ_ONLY, settings.ENV_RATERS, settings.ENV_ALL_STORES, "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)

    def serve_with(*arguments: object) -> tuple[dict[str, str], list[str]]:
        assert main.main(["serve", *map(str, arguments)]) == 0
        return started[-1]

    return serve_with


KEYS = {"OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY", "HF_TOKEN"}


@pytest.mark.parametrize("more", [(), ("--host", "127.0.0.1"), ("--raters",), ("--all-stores",)])
def test_on_this_machine_alone_the_owner_is_served(told: Told, tiny_store: Store, more: tuple[str, ...]):
    env, flags = told(tiny_store.path, *more)
    assert f"--server.maxUploadSize={serve.MAX_FILE_MB}" in flags, "for files of audits"
    assert settings.ENV_READ_ONLY not in env
    assert set(env) >= KEYS
    assert "HF_HUB_OFFLINE" not in env


@pytest.mark.parametrize("more", [("--read-only",), ("--host", "0.0.0.0"), ("--host", "::")])
def test_others_are_visitors_of_a_server_without_keys(
    told: Told, tiny_store: Store, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    env, flags = told(tiny_store.path, *more)
    assert not [flag for flag in flags if "maxUploadSize" in flag]
    assert env[settings.ENV_READ_ONLY] == env["HF_HUB_OFFLINE"] == "1"
    assert not set(env) & KEYS
    assert settings.ENV_RATERS not in env
    assert "Visitors can read" in capsys.readouterr().out
    env, _ = told(tiny_store.path, *more, "--raters")
    assert env[settings.ENV_RATERS] == "1"
    assert "answers to audits" in capsys.readouterr().out


def test_several_stores_are_served(told: Told, tiny_store: Store, tmp_path: Path):
    other = Path(shutil.copytree(tiny_store.path, tmp_path / "other"))
    env, _ = told(tiny_store.path, other, "--read-only", "--all-stores")
    assert env[settings.ENV_STORE] == str(tiny_store.path)
    assert env[settings.ENV_STORES] == str(other)
    assert env[settings.ENV_ALL_STORES] == "1"


def test_each_of_them_has_to_be_one(tiny_store: Store, tmp_path: Path):
    assert main.main(["serve", str(tiny_store.path), str(tmp_path / "none")]) == 2
