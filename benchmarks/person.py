"""A browser without a screen, for `bench_sessions.py`: it says what Chromium says to a Streamlit server (1.67), keeps the
elements that a browser keeps, follows where the page leads, and draws nothing."""

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection

PATIENCE_SECONDS = 120
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
            # How many, is drawn: people do not walk in step.
            first, then = self._drawn.randint(1, 7), self._drawn.randint(1, 3)
            for step in ["next"] * first + ["full"] + ["next"] * then + ["medium", "random", "next"]:
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
