"""From the click on “Explain” to the new version with its scores on the Feature page, in Chromium; `pattern`, offline judge,
detection and fuzzing. Beside it the same work in the library, without page, queue and file.

    python benchmarks/bench_regenerate.py [STORE] [--coder NAME] [--clicks 20] [--json]

Works on a copy of the store that shares its immutable files, so nothing is written into the store itself. Time runs from the
DOM click event to the change that shows the new version with both of its scores. The first click of a server, which also makes
the offline judge read its sample of the corpus, is reported apart. STORE: the demo store when not given.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_page import server
from playwright.sync_api import Page, sync_playwright

from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.explain import explain
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.preferences import ENV_CONFIG
from autointerp.score.options import ScoreOptions
from autointerp.settings import demo_store
from autointerp.store import Store
from autointerp.store.annotations import Annotations

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
GOAL_MS = 1000.0
SCORES = (ScoreOptions(scorer="detection"), ScoreOptions(scorer="fuzzing"))

# Clicks, and waits until the element shows another version with as many scores as were asked for.
MEASURE = """
async (scores) => {
  const card = () => [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')]
    .map((host) => host.shadowRoot && host.shadowRoot.querySelector(".root[data-version]:not([data-only])")).find(Boolean);
  const before = card().dataset.version;
  const button = document.querySelector('[data-testid="stBaseButton-primary"]');
  return await new Promise((resolve, reject) => {
    let started = 0;
    const timer = setTimeout(() => reject(new Error("no new version in 60 s")), 60000);
    const look = () => {
      const root = card();
      const done = root && root.dataset.version !== before && root.querySelectorAll("a.score").length >= scores;
      if (!done) return requestAnimationFrame(look);
      clearTimeout(timer);
      resolve(performance.now() - started);
    };
    button.addEventListener("click", () => { started = performance.now(); look(); }, { capture: true, once: true });
    button.click();
  });
}
"""


@contextmanager
def copy_of(store: Path) -> Iterator[Path]:
    """The store with an annotations file of its own; bulk data is linked where the disk allows, else copied."""

    def link(source: str, target: str) -> str:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
        return target

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "store"
        shutil.copytree(
            store, target, copy_function=link, ignore=shutil.ignore_patterns("annotations.sqlite*")
        )
        yield target


def latents_of(store: Store, coder: str, n: int) -> list[int]:
    """Live latents, drawn with a fixed seed."""
    found: list[int] = []
    rng = np.random.default_rng(0)
    while len(found) < n:
        latent = store.coder(coder).random_live(rng)
        if latent not in found:
            found.append(latent)
    return found


def in_library(store: Path, coder: str, latents: list[int]) -> list[float]:
    """Milliseconds of the same work, one latent at a time; the first one prepares the judge and is left out. Fills the store,
    so that floors exist."""
    opened = Store.open(store)
    times = []
    with Annotations(store) as annotations, Session(Resources(opened, annotations)) as session:
        for latent in latents:
            started = time.perf_counter()
            explanation = explain(session, coder, latent, ExplainOptions())
            ok = explanation.status == "ok"
            scores = [score(session, explanation, options) for options in SCORES if ok]
            times.append(1000 * (time.perf_counter() - started))
            annotations.add(explanation, *scores)
    return times[1:]


def in_browser(address: str, coder: str, latents: list[int], chromium: str) -> list[float]:
    """Milliseconds from click to result, one feature after the other."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        times = [
            _click(page, f"{address}/feature?coder={coder}&latent={latent}&panel=regenerate")
            for latent in latents
        ]
        browser.close()
    return times


def _click(page: Page, address: str) -> float:
    page.goto(address)
    page.get_by_test_id("stBaseButton-primary").wait_for(timeout=60000)
    page.locator(".root[data-version]").first.wait_for(timeout=60000)
    page.locator(".root[data-coder] .row").first.wait_for(timeout=60000)
    page.wait_for_timeout(500)  # the rest of the page
    return float(page.evaluate(MEASURE, len(SCORES)))


def figures(times: list[float]) -> dict[str, Any]:
    p50, p95 = np.percentile(times, [50, 95])
    return {
        "p50_ms": round(float(p50)),
        "p95_ms": round(float(p95)),
        "max_ms": round(max(times)),
        "n": len(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, nargs="?", default=demo_store())
    parser.add_argument("--coder", help="default: the one with most activations")
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on the PATH; install the package `chromium`.")
    store = Store.open(options.store)
    infos = {info.coder: info for info in store.coders()}
    coder = options.coder or max(infos, key=lambda name: infos[name].n_activations)
    latents = latents_of(store, coder, options.clicks + 1)
    with copy_of(options.store.absolute()) as copied:
        library = in_library(copied, coder, latents)
        app = server(ROOT / "app.py", copied, ROOT, **{ENV_CONFIG: str(copied.parent / "settings.json")})
        with app as address:
            clicks = in_browser(address, coder, latents, chromium)
    result = {
        "store": options.store.name,
        "coder": coder,
        "load_average": round(os.getloadavg()[0], 1),
        "library": figures(library),
        "click_to_result": figures(clicks[1:]),
        "first_click_ms": round(clicks[0]),
        "goal_ms": GOAL_MS,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{coder}, pattern explainer, offline detection and fuzzing; load average {result['load_average']}")
    for name in ("library", "click_to_result"):
        row = result[name]
        print(
            f"{name:18} p50 {row['p50_ms']} ms, p95 {row['p95_ms']} ms, worst {row['max_ms']} ms, n {row['n']}"
        )
    print(f"first click of the server: {result['first_click_ms']} ms; goal: under {GOAL_MS:.0f} ms")


if __name__ == "__main__":
    main()
