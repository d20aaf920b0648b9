"""How a test acts on a page: only on one that is at rest, so that nothing depends on how fast the machine is.

A page is at rest when the server has answered everything that it was asked, what the browser needs has been loaded, and
nothing moves. Before that, a popup that has just opened closes again, because the list scrolls under it; a field that is
being drawn anew forgets what was typed; a key is pressed before anybody listens. Only what leaves no trace is ever repeated
(opening a menu, typing into a field); what a test is about stays in its own `expect`, and fails when the app is wrong.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Error, Locator, Page, Request, TimeoutError, WebSocket, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

TIMEOUT_MS = 60_000
"""Patience with one step: several times what the slowest step takes on two busy cores."""
REST_MS = 180_000
"""Patience with a page: it may load a model first."""
LOOK_MS = 20
"""Between two looks at the page; at rest, both find the same."""
REPEATS_MS = (2_000, 6_000, TIMEOUT_MS)
"""How long each try of something repeatable may take."""

_SIGHT = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();  // the browser tells of scrolling before this, once a frame
  await frame();
  const app = document.querySelector('[data-testid="stApp"]');
  const main = document.querySelector('[data-testid="stMain"]');
  const waiting = ['stSkeleton', 'stAppSkeleton', 'stSkeletonElement'].map((id) => `[data-testid="${id}"]`).join(',');
  return {
    connection: app?.dataset.testConnectionState ?? 'none',
    script: app?.dataset.testScriptState ?? 'none',
    skeletons: document.querySelectorAll(waiting).length,
    place: main ? [main.scrollTop, main.scrollHeight, main.scrollWidth, main.querySelectorAll('*').length] : [],
  };
}"""


@dataclass
class Wire:
    """What browser and server tell each other. `asked` counts the reruns the page asked for since it was loaded."""

    asked: int = 0
    answered: bool = False
    loading: set[Request] = field(default_factory=set)

    def listen(self, page: Page) -> None:
        def requested(request: Request) -> None:
            if request.is_navigation_request() and request.frame == page.main_frame:
                self.asked, self.answered = 0, False
                self.loading.clear()
            self.loading.add(request)

        page.on("request", requested)
        page.on("requestfinished", lambda request: self.loading.discard(request))
        page.on("requestfailed", lambda request: self.loading.discard(request))
        page.on("websocket", lambda socket: self._connected(socket))

    def _connected(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self._sent(frame))
        socket.on("framereceived", lambda frame: self._received(frame))

    def _sent(self, frame: Any) -> None:
        if isinstance(frame, bytes) and BackMsg.FromString(frame).WhichOneof("type") == "rerun_script":
            self.asked += 1
            self.answered = False

    def _received(self, frame: Any) -> None:
        if not isinstance(frame, bytes):
            return
        message = ForwardMsg.FromString(frame)
        if message.WhichOneof("type") == "new_session":
            self.answered = False
        elif message.WhichOneof("type") == "script_finished":
            self.answered = message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN


@dataclass
class Hands:
    """Acts on `page`, which `wire` listens to."""

    page: Page
    wire: Wire
    held: bool = field(default=False, kw_only=True)
    """Some request is held back on purpose, so being at rest does not include that everything is loaded."""

    def settled(self) -> dict[str, Any]:
        """Wait until the page is at rest: whatever it asked for is answered, loaded and drawn. How it looks then."""
        deadline = time.monotonic() + REST_MS / 1000
        before: dict[str, Any] = {}
        while True:
            assert time.monotonic() < deadline, f"the page does not come to rest: {before}, {self.wire}"
            self.page.wait_for_timeout(LOOK_MS)  # which also lets the wire be heard
            now = self._sight()
            quiet = self.wire.answered and (self.held or not self.wire.loading)
            drawn = now.get("connection") == "CONNECTED" and now["script"] == "notRunning"
            if quiet and drawn and (self.held or not now["skeletons"]) and now == before:
                return now
            before = now

    def _sight(self) -> dict[str, Any]:
        try:
            return self.page.evaluate(_SIGHT)
        except Error as error:
            if "context" not in str(error):  # "Execution context was destroyed": the page is being loaded
                raise
            return {}

    def reach(self, target: Locator) -> Locator:
        """Bring `target` into view and let the page come to rest again."""
        before = self.settled()
        target.scroll_into_view_if_needed()
        if self._sight() != before:
            self.settled()
        return target

    def click(self, target: Locator) -> None:
        self.reach(target).click()

    def hover(self, target: Locator) -> None:
        self.reach(target).hover()

    def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        self.settled()
        self.page.keyboard.press(key)

    def fill(self, target: Locator, text: str) -> Locator:
        """Type over what stands in a field, without leaving it."""
        self.reach(target).fill(text)
        expect(target).to_have_value(text)
        return target

    def enter(self, target: Locator, text: str, key: str = "Enter") -> None:
        """Type over what stands in a field and confirm it, which must ask the server for something."""
        asked = self.wire.asked
        self.fill(target, text).press(key)
        self._until_asked(asked, TIMEOUT_MS)
        self.settled()

    def _until_asked(self, before: int, patience_ms: float) -> None:
        deadline = time.monotonic() + patience_ms / 1000
        while self.wire.asked <= before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing was asked of the server within {patience_ms:g} ms")
            self.page.wait_for_timeout(LOOK_MS)

    def choose(self, label: str, option: str) -> None:
        """One option of a select box. Its menu closes whenever the page scrolls below it."""
        box = self.page.get_by_role("combobox", name=label, exact=True)
        wanted = self.page.get_by_role("option", name=option, exact=True)
        for patience in REPEATS_MS:
            self.reach(box).click()
            try:
                wanted.click(timeout=patience)
                break
            except TimeoutError:
                if patience == REPEATS_MS[-1]:
                    raise
        expect(box).to_have_value(option)
        self.settled()

    def choose_new(self, label: str, text: str) -> None:
        """Text of one's own in a select box that takes it; it must be another than before."""
        box = self.page.get_by_role("combobox", name=label, exact=True)
        for patience in REPEATS_MS:
            asked = self.wire.asked
            self.fill(box, text)
            try:
                expect(self.page.get_by_role("option").first).to_be_visible(timeout=patience)
                box.press("Enter")
                self._until_asked(asked, patience)
                break
            except (TimeoutError, AssertionError):
                if patience == REPEATS_MS[-1]:
                    raise
        self.settled()
