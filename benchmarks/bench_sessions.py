"""People who click at the same time: what each waits for, what the server spends, and what memory it keeps.

    python benchmarks/bench_sessions.py STORE [--sessions 20] [--clicks 100] [--think 2 3] [--rush 2000] [--json]

The people are WebSocket clients of one server (`autointerp serve`) that say what a browser says (compared with Chromium's
messages, its cache of elements too) and draw nothing: Chromiums on the same cores would measure themselves. Each sorts the
list, opens a feature, goes on to the next ones, changes the window, draws a random one and returns to the list. A click is
over when its last `script_finished` has come; one that leads to another page is two runs, as in the browser.

First one person, then all of them with a person's pauses, drawn evenly between the two numbers of `--think`. Then, as the worst
case, all without any pause until `--rush` clicks are made: the machine is full then, and the waiting is theirs who wait in a
queue; what counts there are errors, and memory as the clicks go on. At the end all leave, and the server forgets them.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_page import ROOT, free_port
from person import Person, Samples
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

GOAL = 3.0
FORGETS_SECONDS = 5
"""How long this server keeps the state of a closed session; Streamlit's own two minutes would only be waited for."""


@dataclass
class Server:
    """A running app. `address` without the scheme."""

    address: str
    process: psutil.Process
    peak: int = 0

    def processor_seconds(self) -> float:
        used = self.process.cpu_times()
        return used.user + used.system

    def memory(self) -> int:
        """Resident bytes, file pages that the system may drop left out."""
        memory = self.process.memory_full_info().uss
        self.peak = max(self.peak, memory)
        return memory

    def sessions(self) -> int:
        """How many the server holds, those left but not yet forgotten too."""
        with urllib.request.urlopen(f"http://{self.address}/_stcore/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return int(
            float((re.findall(r"^active_sessions(?:{[^}]*})? (\S+)", text, re.MULTILINE) or ["-1"])[0])
        )


@contextmanager
def served(store: Path) -> Iterator[Server]:
    """`autointerp serve` on the store, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "autointerp", "serve", str(store), "--port", str(port)]
    variables = {"STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": str(FORGETS_SECONDS)}
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            address, deadline = f"localhost:{port}", time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=1).close()
                    break
                except (urllib.error.URLError, OSError):
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise SystemExit("the server did not start") from None
                    time.sleep(0.05)
            yield Server(address, psutil.Process(process.pid))
        finally:
            process.terminate()


@asynccontextmanager
async def people(server: Server, n: int, pause: float) -> AsyncIterator[list[Person]]:
    """`n` of them, each on the list, come one after another over `pause` seconds."""
    sockets: list[ClientConnection] = []

    async def come(number: int) -> Person:
        await asyncio.sleep(pause * number / n)
        socket = await connect(
            f"ws://{server.address}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        )
        sockets.append(socket)
        person = Person(socket, number, Samples())
        await person.arrive()
        return person

    try:
        yield list(await asyncio.gather(*(come(number) for number in range(n))))
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def click(
    server: Server, crowd: list[Person], total: int, think: tuple[float, float]
) -> dict[str, Any]:
    """All of them click, `total` times together; what came of it."""
    samples = Samples(errors=[error for person in crowd for error in person.samples.errors])
    made = 0
    memory = [server.memory()]
    used, own, started = server.processor_seconds(), time.process_time(), time.monotonic()

    async def go_on(person: Person) -> None:
        nonlocal made
        person.samples = samples
        draw = random.Random(person.number)
        await asyncio.sleep(draw.uniform(0, think[1]))
        try:
            async for _ in person.way:
                made += 1
                if made * 4 // total >= len(memory):
                    memory.append(server.memory())
                if made > total - len(crowd):
                    return
                await asyncio.sleep(draw.uniform(*think))
        except (ConnectionClosed, TimeoutError, LookupError) as error:
            samples.errors.append(f"{type(error).__name__}: {error}")

    await asyncio.gather(*(go_on(person) for person in crowd))
    seconds = time.monotonic() - started
    spent, n = server.processor_seconds() - used, max(len(samples.clicks), 1)
    return {
        "sessions": len(crowd),
        "clicks": len(samples.clicks),
        "runs": samples.runs,
        "clicks_per_s": round(n / seconds, 1),
        "click_ms": milliseconds(samples.clicks),
        "by_click": {name: milliseconds(each) for name, each in sorted(samples.seconds.items())},
        "server_ms_per_click": round(1000 * spent / n, 1),
        "clients_ms_per_click": round(1000 * (time.process_time() - own) / n, 1),
        "kb_per_click": round(samples.received / n / 1000),
        "memory_mb": [round(bytes_ / 1e6) for bytes_ in memory],
        "errors": samples.errors,
    }


def milliseconds(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds or [0.0], (50, 95)) * 1000
    return {"p50": round(float(p50)), "p95": round(float(p95)), "n": len(seconds)}


async def measure(store: Path, options: argparse.Namespace) -> dict[str, Any]:
    think: tuple[float, float] = tuple(options.think)
    n = options.sessions
    with served(store) as server:
        async with people(server, 1, 0) as crowd:
            await click(server, crowd, 2 * 14, (0, 0))  # what a server does once
            one = await click(server, crowd, options.clicks, (0.2, 0.5))
        async with people(server, n, think[1]) as crowd:
            await click(server, crowd, n, (0, think[1]))
            all_ = await click(server, crowd, n * options.clicks, think)
            phases = {"one": one, "all": all_}
            if options.rush:
                phases["rush"] = await click(server, crowd, options.rush, (0, 0))
            held = server.sessions()
        for _ in range(60):  # left, and then forgotten
            await asyncio.sleep(1)
            if server.sessions() == 0:
                break
        await asyncio.sleep(FORGETS_SECONDS + 1)
        return {
            "store": store.name,
            "load_average": round(os.getloadavg()[0], 1),
            "phases": phases,
            "ratio_p95": round(all_["click_ms"]["p95"] / one["click_ms"]["p95"], 2),
            "sessions": [held, server.sessions()],
            "memory_mb_left": round(server.memory() / 1e6),
            "memory_mb_peak": round(server.peak / 1e6),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="a copy: the app writes into it")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--clicks", type=int, default=100, help="of each person")
    parser.add_argument(
        "--think", type=float, nargs=2, default=(2.0, 3.0), metavar=("MIN", "MAX"), help="seconds"
    )
    parser.add_argument(
        "--rush", type=int, default=2000, help="clicks without any pause, all people together"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(measure(options.store.absolute(), options))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['store']}; load average {result['load_average']}")
    names = {
        "one": "one person",
        "all": f"{options.sessions} people",
        "rush": f"{options.sessions} without pause",
    }
    print(
        f"{'ms, p50 / p95':20}{'a click':>16}{'clicks':>9}{'a second':>10}{'server':>9}{'clients':>9}{'errors':>8}"
    )
    for name, row in result["phases"].items():
        shown = "{p50:.0f} / {p95:.0f}".format(**row["click_ms"])
        print(
            f"{names[name]:20}{shown:>16}{row['clicks']:>9}{row['clicks_per_s']:>10}{row['server_ms_per_click']:>9}"
            f"{row['clients_ms_per_click']:>9}{len(row['errors']):>8}"
        )
    print("  server, clients: ms of processor time a click")
    for name, row in result["phases"].items():
        each = ", ".join(
            "{0} {p50:.0f} / {p95:.0f}".format(what, **ms) for what, ms in row["by_click"].items()
        )
        print(f"{names[name]}: {each}; {row['kb_per_click']} kB a click; MB of the server {row['memory_mb']}")
        for error in row["errors"][:5]:
            print(f"  {error[:300]}")
    print(
        f"p95 of {options.sessions} people is {result['ratio_p95']} times that of one; goal: at most {GOAL}"
    )
    print(
        f"sessions held {result['sessions'][0]}, after all left {result['sessions'][1]}; MB then "
        f"{result['memory_mb_left']}, at most {result['memory_mb_peak']}"
    )


if __name__ == "__main__":
    main()
