"""pytest plugin: no test reaches a network beyond this machine, and no hub is asked for anything.

Loaded by the root conftest.py, before any library reads the environment. Subprocesses inherit the environment but not the
guard; those that tests start are this package and Chromium, which is told to stay at home.
"""

import ipaddress
import os
import socket
import tempfile
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
# Nobody's own settings: a file that is not there unless a test saves some.
os.environ["AUTOINTERP_CONFIG"] = os.path.join(
    tempfile.gettempdir(), f"autointerp-tests-{os.getpid()}", "settings.json"
)
os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"


class NetworkAccess(RuntimeError):
    """A test tried to leave the machine. Not an OSError, so that no retry logic swallows it."""


def is_local(address: object) -> bool:
    """Whether a socket address is on this machine: a Unix socket path, `localhost` or a loopback IP."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in {"localhost", ""}:
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(name: str) -> None:
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, address: Any) -> Any:
        if not is_local(address):
            raise NetworkAccess(f"a test tried to connect to {address!r}; tests stay on localhost")
        return original(self, address)

    setattr(socket.socket, name, guarded)


_guard("connect")
_guard("connect_ex")
