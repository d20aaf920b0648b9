"""Picking a port."""

import socket

import pytest

from autointerp import settings
from autointerp.cli import serve
from autointerp.errors import UserError


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
