"""Run the app on a store and print its address. Without STORE, the app opens $AUTOINTERP_STORE, else the demo store.

On this machine alone, who looks owns the app and does everything. Where others reach it, they are visitors (docs/serving.md):
their server holds no key, fetches nothing and opens the named stores alone.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from autointerp import settings
from autointerp.cli.shared.output import say, write_result
from autointerp.errors import UserError
from autointerp.llm.secrets import drop_keys
from autointerp.reading import expanded, reason

NAME = "serve"
HELP = "run the app on a store"

PORTS_TRIED = 100
MAX_FILE_MB = 32
"""Of a file that the owner hands to the app, an exported audit; visitors hand none."""
VISITORS = "  Visitors can read but change nothing{but}; see docs/serving.md."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stores",
        nargs="*",
        type=Path,
        metavar="STORE",
        help="folder of the store; with several, the app opens the first, and visitors choose among them",
    )
    parser.add_argument(
        "--port",
        type=int,
        help=f"port to listen on, an error if it is in use (default: {settings.DEFAULT_PORT}, or the next free one)",
    )
    parser.add_argument(
        "--host",
        default="localhost",
        help="address to listen on; 0.0.0.0 opens the app to the network: to visitors, who can only read (default: localhost)",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="treat everyone as a visitor, who can only read"
    )
    parser.add_argument("--raters", action="store_true", help="let visitors rate audits")
    parser.add_argument(
        "--all-stores", action="store_true", help="let visitors open every store in data/stores, too"
    )


def run(args: argparse.Namespace) -> None:
    """Replace this process by the Streamlit server, so that signals and exit codes are its own."""
    root = settings.checkout()
    if root is None:
        raise UserError(
            "app.py is not next to the package. Run this from a checkout (git clone, then make setup)."
        )
    store, *others = [expanded(path).absolute() for path in args.stores or [settings.configured_store()]]
    if args.stores:
        from autointerp.store import Store

        for path in (store, *others):
            Store.open(path)
    elif not store.exists():
        say(f"No store at {store} yet; the app says how to build one.")
    port = choose_port(args.host, args.port)
    url = f"http://{'localhost' if args.host == '0.0.0.0' else args.host}:{port}"
    read_only = args.read_only or settings.is_read_only() or not settings.is_this_machine(args.host)
    environment = served_environment(
        store, others, read_only=read_only, raters=args.raters, all_stores=args.all_stores
    )
    document = {"url": url, "port": port, "store": str(store), "read_only": read_only, "raters": args.raters}
    lines = [f"autointerp on {store}", f"  {url}", "  Stop it with Ctrl-C."]
    if read_only:
        lines.append(VISITORS.format(but=" except their answers to audits" if args.raters else ""))
    write_result(document, "\n".join(lines), as_json=args.json)
    if args.json:
        os.dup2(2, 1)  # keeps Streamlit's greeting out of the document
    options = {
        "server.address": args.host,
        "server.port": port,
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
    }
    if not read_only:
        options["server.maxUploadSize"] = MAX_FILE_MB
    flags = [f"--{name}={value}" for name, value in options.items()]
    os.execve(
        sys.executable,
        [sys.executable, "-m", "streamlit", "run", str(root / "app.py"), *flags],
        environment,
    )


def served_environment(
    store: Path, others: Sequence[Path], *, read_only: bool, raters: bool, all_stores: bool
) -> dict[str, str]:
    """What the server is told. One with visitors has no key that could be sent, and no way to a hub."""
    environment = {
        **os.environ,
        settings.ENV_STORE: str(store),
        settings.ENV_STORES: os.pathsep.join(map(str, others)),
    }
    for variable, on in ((settings.ENV_RATERS, raters), (settings.ENV_ALL_STORES, all_stores)):
        if on:
            environment[variable] = "1"
    if read_only:
        settings.have_visitors(environment)
        drop_keys(environment)
    return environment


def choose_port(host: str, wanted: int | None) -> int:
    """The wanted port, or the first free one from the default on.

    Raises:
        UserError: The wanted port is taken or out of range, none of the next hundred is free, or the host is not this machine.
    """
    if wanted is not None:
        if not 1 <= wanted <= 65535:
            raise UserError(f"--port {wanted}: a port is a number from 1 to 65535.")
        if not is_free(host, wanted):
            raise UserError(f"port {wanted} is in use. Leave --port out to take a free one.")
        return wanted
    first = settings.DEFAULT_PORT
    for port in range(first, first + PORTS_TRIED):
        if is_free(host, port):
            if port != first:
                say(f"Port {first} is in use; taking {port}.")
            return port
    raise UserError(
        f"ports {first} to {first + PORTS_TRIED - 1} are all in use; choose a free one with --port."
    )


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on this port now.

    Raises:
        UserError: The host is not an address of this machine.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host[:200]!r}: {reason(error)}.") from error
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except PermissionError as error:
            raise UserError(f"no permission to use port {port}; choose one above 1023.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if error.errno == errno.EADDRNOTAVAIL and len(addresses) > 1:
                continue  # localhost also names ::1, even where IPv6 is off
            raise UserError(f"--host {host!r}: {error.strerror}.") from error
    return True
