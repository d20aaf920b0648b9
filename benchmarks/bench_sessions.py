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
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import psutil
from bench_page import ROOT, free_port
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

GOAL = 3.0
PATIENCE_SECONDS = 120
FORGETS_SECONDS = 5
"""How long this server keeps the state of a closed session; Streamlit's own two minutes would only be waited for."""
SORTS = ("density", "max", "mean", "positional")
CACHED_RUNS = 2
"""A browser forgets an element that it has not seen for so many runs."""


@dataclass
class Samples:
    """`seconds`: of each click, by what was clicked. `errors`: what went wrong, in words."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    runs: int = 0
    received: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def clicks(self) -> list[float]:
        return [seconds for each in self.seconds.values() for seconds in each]


class Person:
    """One browser: what it knows of the page it shows, and how it answers."""

    def __init__(self, socket: ClientConnection, number: int, samples: Samples):
        self.samples = samples
        self.number = number
        self._socket = socket
        self._drawn = random.Random(number)
        self._page, self._query = "", ""
        self._pages: dict[str, str] = {}
        self._elements: dict[str, tuple[str, str]] = {}  # by key: id and fragment
        self._chosen: dict[str, WidgetState] = {}
        self._rows: list[dict[str, Any]] = []
        self._go: dict[str, Any] | None = None
        self._cache: dict[str, tuple[ForwardMsg, int]] = {}
        self._run = 0
        self.way = self._clicks()

    async def arrive(self) -> None:
        """The list, as a browser opens it."""
        await self._ask(page_name="features")
        await self._follow()

    async def _clicks(self) -> AsyncIterator[str]:
        """One click after the other, without end; what it was."""
        turn = self.number
        while True:
            for _ in range(2):
                turn += 1
                yield await self._click("sort", "features", "sort", SORTS[turn % len(SORTS)])
            yield await self._click("open", "features", "open", self._drawn.choice(self._rows)["go"])
            for step in ("next",) * 4 + ("full", "next", "next", "medium", "random", "next"):
                yield await (
                    self._choose_window(step) if step in ("full", "medium") else self._click(step, step)
                )
            yield await self._to_list()

    async def _click(self, name: str, key: str, event: str = "", value: Any = None) -> str:
        id_, fragment = self._elements[key]
        if event:
            trigger = WidgetState(
                id=f"$$STREAMLIT_INTERNAL_KEY_{id_}__events",
                json_trigger_value=json.dumps([{"event": event, "value": value}]),
            )
        else:
            trigger = WidgetState(id=id_, trigger_value=True)
        return await self._timed(name, fragment=fragment, trigger=trigger)

    async def _choose_window(self, length: str) -> str:
        id_, fragment = self._elements["url_window"]
        state = self._chosen["url_window"] = WidgetState(id=id_)
        state.string_array_value.data.append(length.capitalize())
        return await self._timed("window", fragment=fragment)

    async def _to_list(self) -> str:
        self._query = ""
        return await self._timed("list", page=self._pages["features"])

    async def _timed(self, name: str, **ask: Any) -> str:
        started = time.perf_counter()
        await self._ask(**ask)
        await self._follow()
        self.samples.seconds[name].append(time.perf_counter() - started)
        return name

    async def _follow(self) -> None:
        """What the page's own element for it does: to another address."""
        while self._go is not None:
            go, self._go = self._go, None
            self._query = urlencode(go["params"])
            await self._ask(page=self._pages[go["page"]], is_history_navigation=True)

    async def _ask(
        self, *, page: str = "", fragment: str = "", trigger: WidgetState | None = None, **more: Any
    ) -> None:
        """One run of the page, or of a part of it, to its end."""
        if not fragment:  # everything is drawn anew
            self._elements.clear()
            self._chosen.clear()
        self._page = page or self._page
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string = self._query
        asked.widget_states.widgets.extend([*self._chosen.values(), *([trigger] if trigger else [])])
        asked.page_script_hash, asked.fragment_id = self._page, fragment
        asked.cached_message_hashes.extend(self._cache)
        asked.context_info.timezone, asked.context_info.locale = "UTC", "en-US"
        for name, value in more.items():
            setattr(asked, name, value)
        await self._socket.send(message.SerializeToString())
        self._run += 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._hear(await self._socket.recv()):
                pass
        self.samples.runs += 1
        self._cache = {key: kept for key, kept in self._cache.items() if kept[1] > self._run - CACHED_RUNS}

    def _hear(self, content: str | bytes) -> bool:
        """One message; whether it ends a run."""
        assert isinstance(content, bytes)
        self.samples.received += len(content)
        message = ForwardMsg.FromString(content)
        if message.WhichOneof("type") == "ref_hash":
            message = self._cache[message.ref_hash][0]
        if message.metadata.cacheable:
            self._cache[message.hash] = (message, self._run)
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._see(message.delta)
        elif kind == "navigation":
            self._page = message.navigation.page_script_hash
            self._pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "script_finished":
            return message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        return False

    def _see(self, delta: Delta) -> None:
        kind = delta.new_element.WhichOneof("type") or ""
        element: Any = getattr(delta.new_element, kind, None)
        if kind == "exception":
            self.samples.errors.append(f"{element.type}: {element.message}")
        elif kind == "alert" and element.format == element.ERROR:
            self.samples.errors.append(element.body)
        id_ = getattr(element, "id", "")
        if not id_.startswith("$$ID-"):
            return
        key = id_.split("-", 2)[2]
        self._elements[key] = (id_, delta.fragment_id)
        if kind == "bidi_component" and key in ("features", "go"):
            data = json.loads(element.json or element.mixed.json)
            if key == "go":
                self._go = data
            else:
                self._rows = data["rows"]


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
