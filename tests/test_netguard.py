"""The guard that keeps the tests on this machine."""

import os
import socket

import pytest

from tests.netguard import NetworkAccess, is_local


def test_a_connection_off_this_machine_is_refused():
    with socket.socket() as connection, pytest.raises(NetworkAccess, match="stay on localhost"):
        connection.connect(("192.0.2.1", 80))


def test_localhost_is_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


@pytest.mark.parametrize("address", [("::1", 80, 0, 0), ("127.9.9.9", 1), ("localhost", 1), "/tmp/a.sock"])
def test_local_addresses(address: object):
    assert is_local(address)


@pytest.mark.parametrize("address", [("huggingface.co", 443), ("10.0.0.1", 80), ("2001:db8::1", 80, 0, 0)])
def test_other_addresses(address: object):
    assert not is_local(address)


def test_no_hub_is_asked():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
