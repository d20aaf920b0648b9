"""Compare's first view in Chromium: from the address to its plots, and from a control to its effect, beside the rerun of an
otherwise empty Streamlit page.

    python benchmarks/bench_compare.py STORE [--clicks 12] [--loads 5] [--json]

The server is warm: somebody has looked at the page before. The first view is timed from the menu of the open app, and as a
new tab, which first loads Streamlit itself. A control's time runs from the DOM event (click, or a key on a slider) to the
change of the text or of the table that the control is for; the plots follow. Streamlit itself waits for 200 ms after a slider's
last move. Goals: first paint under 1 s, a slider under 300 ms.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench_page import CHROMIUM_FLAGS, EMPTY_PAGE, ROOT, percentiles, server
from playwright.sync_api import Page, sync_playwright

CONTROLS = {"mean or median": ("Median", "Mean"), "match density": ("Match density", "Match density")}
"""What is clicked in turn, by its text."""
SLIDER = "cosine (slider)"
"""Of what two coders share, moved by an arrow key."""

# All text that a click may change, that of the elements too, which have shadow roots of their own.
STATE = """() => [...document.querySelectorAll('[data-testid="stMarkdown"], [data-testid="stCaptionContainer"], #shown')]
  .map((node) => node.textContent).join()
  + [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')]
    .map((host) => host.shadowRoot?.textContent).join()"""
PAINTED = """() => ['picture', 'distributions', 'densities'].every(
    (name) => document.querySelector(`.st-key-price_${name} .main-svg`))
  && [...document.querySelectorAll('.st-key-price_coders *')].some((node) => node.shadowRoot?.querySelector('tbody tr'))"""
"""Three plots that every comparison of scored coders has, and the table of coders."""


def first_paint(page: Page, address: str) -> float:
    """Seconds from asking for the address to the sentence, the table and the plots."""
    started = time.monotonic()
    page.goto(address, wait_until="commit")
    _painted(page)
    return time.monotonic() - started


def from_menu(page: Page, app: str) -> float:
    """Seconds from a click on the page's name, with the Overview open, to the same."""
    page.goto(app, wait_until="commit")
    page.locator(".js-plotly-plot").first.wait_for(timeout=60000)
    page.wait_for_timeout(1500)  # whatever the Overview still does is not Compare's
    link = page.get_by_role("link", name="Compare", exact=True).first
    started = time.monotonic()
    link.click()
    page.get_by_role("heading", name="Compare", exact=True).wait_for(timeout=60000)
    _painted(page)
    return time.monotonic() - started


def _painted(page: Page) -> None:
    page.wait_for_function(PAINTED, timeout=60000, polling=10)


def effect(page: Page, act: Callable[[], None]) -> float:
    """Milliseconds from the DOM event of what `act` does to a change of what the page says."""
    before = page.evaluate(
        f"""() => {{
          for (const kind of ['click', 'keydown'])
            document.addEventListener(kind, () => {{ window.acted = performance.now(); }}, {{capture: true, once: true}});
          return ({STATE})();
        }}"""
    )
    act()
    changed = f"(before) => ({STATE})() !== before && performance.now() - window.acted"
    return page.wait_for_function(changed, arg=before, timeout=30000, polling=4).json_value()


def click(page: Page, label: str) -> Callable[[], None]:
    return lambda: page.get_by_text(label, exact=True).first.click()


def measure(store: Path, clicks: int, loads: int, chromium: str) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "empty.py").write_text(EMPTY_PAGE)
        empty = stack.enter_context(server(folder / "empty.py", None, folder))
        app = stack.enter_context(server(ROOT / "app.py", store, ROOT))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        base = browser.new_page(viewport={"width": 1440, "height": 900})
        base.goto(empty)
        base.locator("#shown").wait_for()
        first_paint(tab, f"{app}/compare")  # the cold one: imports
        paints = [first_paint(tab, f"{app}/compare?seed={seed}") for seed in range(1, loads + 1)]
        menu = [from_menu(tab, app) for _ in range(loads)]
        tab.goto(f"{app}/compare?seed=1", wait_until="commit")
        _painted(tab)
        shared = browser.new_page(viewport={"width": 1440, "height": 900})
        shared.goto(f"{app}/compare?view=shared", wait_until="commit")
        shared.get_by_role("slider").wait_for(timeout=60000)
        shared.wait_for_timeout(1500)
        samples: dict[str, list[float]] = {"empty page": []}
        for turn in range(clicks + 1):
            base.bring_to_front()
            milliseconds = [("empty page", effect(base, click(base, "Next")))]
            tab.bring_to_front()
            for name, labels in CONTROLS.items():
                milliseconds.append((name, effect(tab, click(tab, labels[turn % 2]))))
                tab.wait_for_timeout(600)  # the plots after the text
            shared.bring_to_front()
            key = ("ArrowRight", "ArrowLeft")[turn % 2]
            milliseconds.append(
                (SLIDER, effect(shared, lambda key=key: shared.get_by_role("slider").press(key)))
            )
            shared.wait_for_timeout(600)
            if turn:  # the first of each is thrown away
                for name, value in milliseconds:
                    samples.setdefault(name, []).append(value)
        browser.close()
    controls: dict[str, Any] = {name: percentiles(values) for name, values in samples.items()}
    for name in (*CONTROLS, SLIDER):
        controls[name]["ratio_p50"] = round(controls[name]["p50"] / controls["empty page"]["p50"], 2)
    return {
        "first_paint_s": {
            "from the menu": [round(paint, 2) for paint in menu],
            "a new tab": [round(paint, 2) for paint in paints],
        },
        "controls_ms": controls,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--clicks", type=int, default=12)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on the PATH; install the package `chromium`.")
    result = measure(options.store.absolute(), options.clicks, options.loads, chromium)
    result = {"store": options.store.name, "load_average": round(os.getloadavg()[0], 1), **result}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"load average {result['load_average']}")
    for way, paints in result["first_paint_s"].items():
        print(f"first paint of Compare, warm, {way}, s:", ", ".join(f"{s:.2f}" for s in paints))
    for name, row in result["controls_ms"].items():
        ratio = f", {row['ratio_p50']:.2f} of the empty page's" if "ratio_p50" in row else ""
        print(f"{name:18}{row['p50']:>7.0f} / {row['p95']:.0f} ms (p50 / p95){ratio}")
    print("goals: first paint under 1 s, a slider under 300 ms")


if __name__ == "__main__":
    main()
