"""From a click to the contexts on the Feature page, in Chromium, beside an otherwise empty Streamlit page's rerun.

    python benchmarks/bench_page.py STORE [--coder NAME] [--clicks 60] [--json]

Both pages run on servers of their own and are clicked in turn, in blocks, by one browser, so that the machine's mood hits
both alike. Time runs from the DOM click event to the change that shows the next feature (all of its tokens in the
document), and to the frame after it ("paint"). A second table has the cold start: from starting the server to the
Overview's table of coders in a new browser.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from autointerp.settings import ENV_STORE
from autointerp.store import Store

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
GOAL = 2.5
BLOCK = 10
VIEWS = {"all groups": {}, "40 top windows": {"group": "top"}}

EMPTY_PAGE = """
import streamlit as st
st.session_state.setdefault("n", 0)
def step():
    st.session_state["n"] += 1
st.button("Next", on_click=step)
st.html(f"<p id='shown'>{st.session_state['n']}</p>")
"""

# Finds the element (inside the shadow root where there is one), clicks, and waits until the watched text changes.
MEASURE = """
async (kind) => {
  const root = () => kind === "empty" ? document.querySelector("#shown")
    : [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')]
        .map((host) => host.shadowRoot && host.shadowRoot.querySelector(".root[data-coder]")).find(Boolean);
  const read = (node) => (kind === "empty" ? node.textContent : node.dataset.latent);
  const state = () => { const node = root(); return node ? read(node) : null; };
  const button = [...document.querySelectorAll("button")].find((b) => b.textContent.includes("Next"));
  const before = state();
  const scope = kind === "empty" ? document.body : root().getRootNode();
  return await new Promise((resolve, reject) => {
    let started = 0;
    const timer = setTimeout(() => reject(new Error("nothing changed in 30 s")), 30000);
    const seen = new MutationObserver(() => {
      const now = state();
      if (now === null || now === before) return;
      const dom = performance.now() - started;
      seen.disconnect();
      clearTimeout(timer);
      const tokens = kind === "empty" ? 0 : root().querySelectorAll(".t").length;
      requestAnimationFrame(() => setTimeout(() => resolve([dom, performance.now() - started, tokens])));
    });
    seen.observe(scope, { subtree: true, childList: true, characterData: true, attributes: true });
    button.addEventListener("click", () => { started = performance.now(); }, { capture: true, once: true });
    button.click();
  });
}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@contextmanager
def server(script: Path, store: Path | None, cwd: Path, **variables: str) -> Iterator[str]:
    """A Streamlit server on `script`, with `variables` in its environment; yields its address once it is healthy."""
    port = free_port()
    env = dict(os.environ) | ({ENV_STORE: str(store)} if store else {}) | variables
    command = [
        sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.address", "localhost",
        "--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://localhost:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"the server for {script} did not start") from None
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def percentiles(values: list[float]) -> dict[str, float]:
    return {
        "p50": round(float(np.percentile(values, 50)), 1),
        "p95": round(float(np.percentile(values, 95)), 1),
    }


def clicks(pages: dict[str, Page], n: int) -> dict[str, list[list[float]]]:
    """`n` measured clicks on each page (whole blocks of them), in turn; the first block of each is thrown away."""
    samples: dict[str, list[list[float]]] = {name: [] for name in pages}
    for block in range(-(-n // BLOCK) + 1):
        for name, page in pages.items():
            page.bring_to_front()
            for _ in range(BLOCK):
                sample = page.evaluate(MEASURE, "empty" if name == "empty page" else "feature")
                page.wait_for_timeout(120)  # the rest of the page, and a person's shortest pause
                if block:
                    samples[name].append(sample)
    return samples


def cold_start(store: Path, chromium: str, runs: int) -> list[float]:
    """Seconds from starting the server to the Overview's table in a browser that has seen nothing."""
    seconds = []
    for _ in range(runs):
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            started = time.monotonic()
            with server(ROOT / "app.py", store, ROOT) as address:
                page.goto(address, wait_until="commit")
                page.locator("table.list tbody tr").first.wait_for(timeout=60000)
                seconds.append(time.monotonic() - started)
            browser.close()
    return seconds


def measure(store: Path, coder: str, n: int, chromium: str) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "empty.py").write_text(EMPTY_PAGE)
        empty = stack.enter_context(server(folder / "empty.py", None, folder))
        app = stack.enter_context(server(ROOT / "app.py", store, ROOT))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        pages = {"empty page": browser.new_page(viewport={"width": 1440, "height": 900})}
        pages["empty page"].goto(empty)
        pages["empty page"].locator("#shown").wait_for()
        for name, params in VIEWS.items():
            page = pages[name] = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{app}/feature?" + "&".join(f"{k}={v}" for k, v in {"coder": coder, **params}.items()))
            page.locator(".root[data-coder] .row").first.wait_for(timeout=60000)
            page.locator(".near, .note").first.wait_for(timeout=60000)
        samples = clicks(pages, n)
        browser.close()
    views: dict[str, Any] = {}
    for name, rows in samples.items():
        views[name] = {
            "dom_ms": percentiles([row[0] for row in rows]),
            "paint_ms": percentiles([row[1] for row in rows]),
            "tokens": round(float(np.mean([row[2] for row in rows]))),
            "clicks": len(rows),
        }
    base = views["empty page"]["dom_ms"]["p95"]
    for name in VIEWS:
        views[name]["ratio_p95"] = round(views[name]["dom_ms"]["p95"] / base, 2)
    return views


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--coder", help="default: the one with most activations")
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--starts", type=int, default=3, help="cold starts to time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on the PATH; install the package `chromium`.")
    infos = {info.coder: info for info in Store.open(options.store).coders()}
    coder = options.coder or max(infos, key=lambda name: infos[name].n_activations)
    result = {
        "store": options.store.name,
        "coder": coder,
        "n_activations": infos[coder].n_activations,
        "load_average": round(os.getloadavg()[0], 1),
        "click_to_contexts": measure(options.store.absolute(), coder, options.clicks, chromium),
        "cold_overview_s": [
            round(s, 2) for s in cold_start(options.store.absolute(), chromium, options.starts)
        ],
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{coder}: {infos[coder].n_activations:,} activations; load average {result['load_average']}")
    print(f"{'ms, p50 / p95':18}{'DOM':>16}{'paint':>16}{'tokens':>9}{'p95 ratio':>11}")
    for name, row in result["click_to_contexts"].items():
        dom, paint = ("{p50:.0f} / {p95:.0f}".format(**row[key]) for key in ("dom_ms", "paint_ms"))
        ratio = f"{row['ratio_p95']:.2f}" if "ratio_p95" in row else ""
        print(f"{name:18}{dom:>16}{paint:>16}{row['tokens']:>9}{ratio:>11}")
    print(f"goal: at most {GOAL} times the empty page's p95")
    print("cold start to the Overview's table, s:", ", ".join(f"{s:.2f}" for s in result["cold_overview_s"]))


if __name__ == "__main__":
    main()
