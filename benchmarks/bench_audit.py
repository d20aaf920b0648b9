"""Rating in Chromium: from the key that gives a verdict to the next explanation with its contexts, the verdict stored, beside
the rerun of an otherwise empty Streamlit page.

    python benchmarks/bench_audit.py STORE [--items 60] [--pause 1.0] [--json]

An audit of the store is made in a copy of its annotations; the activations are not copied. Time runs from the key's event to
the change that shows the next item, bar and all contexts in the document, and to the frame after it ("paint"). `--pause`: how
many seconds between a step and the next key, in which the item after that is read ahead; 0 shows a step without it. Goal:
under 300 ms.
"""

import argparse
import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench_page import CHROMIUM_FLAGS, EMPTY_PAGE, MEASURE, ROOT, percentiles, server
from playwright.sync_api import sync_playwright

from autointerp.audit.draw import create
from autointerp.audit.options import AuditOptions
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations

GOAL_MS = 300
WARM_UP = 3

STEP = """
async (key) => {
  const roots = () => [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')].map((host) => host.shadowRoot);
  const bar = () => roots().map((root) => root && root.querySelector(".root[data-entry]")).find(Boolean);
  const first = () => roots().map((root) => root && root.querySelector(".row .text")).find(Boolean);
  const before = [bar().dataset.place, first()];
  return await new Promise((resolve, reject) => {
    let started = 0;
    const timer = setTimeout(() => reject(new Error("nothing changed in 30 s")), 30000);
    const look = () => {
      const now = [bar() && bar().dataset.place, first()];
      if (!now[0] || now[0] === before[0] || !now[1] || now[1] === before[1]) return;
      const dom = performance.now() - started;
      for (const each of seen) each.disconnect();
      clearTimeout(timer);
      requestAnimationFrame(() => setTimeout(() => resolve([dom, performance.now() - started])));
    };
    const seen = roots().filter(Boolean).map((root) => {
      const observer = new MutationObserver(look);
      observer.observe(root, { subtree: true, childList: true, attributes: true });
      return observer;
    });
    started = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true }));
  });
}
"""


def audited(store: Path, folder: Path, n: int) -> tuple[Path, str]:
    """The store with annotations of its own, and an audit in them: its folder, and the audit's id."""
    copy = folder / store.name
    copy.mkdir()
    for part in store.iterdir():
        if part.name.startswith("annotations"):
            shutil.copy2(part, copy)
        else:
            (copy / part.name).symlink_to(part)
    opened = Store.open(copy)
    coders = tuple(info.coder for info in opened.coders())
    with Annotations(copy) as annotations:
        audit = create(
            Resources(opened, annotations), AuditOptions(coders=coders, n=n), name="Bench", author="bench"
        )
        annotations.audits.create(audit)
    return copy, audit.id


def measure(store: Path, items: int, pause: float, chromium: str) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copy, audit_id = audited(store, folder, items + WARM_UP)
        (folder / "empty.py").write_text(EMPTY_PAGE)
        empty = stack.enter_context(server(folder / "empty.py", None, folder))
        app = stack.enter_context(server(ROOT / "app.py", copy, ROOT))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        base = browser.new_page(viewport={"width": 1440, "height": 900})
        base.goto(empty)
        base.locator("#shown").wait_for()
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(f"{app}/audit?audit={audit_id}")
        tab.get_by_label("Your name").fill("bench")
        tab.keyboard.press("Enter")
        tab.locator(".root[data-entry]").wait_for(timeout=60000)
        tab.wait_for_timeout(2000)
        samples: dict[str, list[list[float]]] = {"next item": [], "empty page": []}
        for turn in range(items + WARM_UP - 1):
            tab.bring_to_front()
            step = tab.evaluate(STEP, str(1 + turn % 9))
            tab.wait_for_timeout(1000 * pause)
            base.bring_to_front()
            bare = base.evaluate(MEASURE, "empty")
            if turn >= WARM_UP:
                samples["next item"].append(step)
                samples["empty page"].append(bare)
        browser.close()
        with Annotations(copy) as annotations:
            stored = len(annotations.audits.ratings(audit_id))
    assert stored == items + WARM_UP - 1, f"{stored} verdicts were stored"
    return {
        name: {
            "dom_ms": percentiles([row[0] for row in rows]),
            "paint_ms": percentiles([row[1] for row in rows]),
            "n": len(rows),
        }
        for name, rows in samples.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on the PATH; install the package `chromium`.")
    result = measure(options.store.resolve(), options.items, options.pause, chromium)
    result = {"store": options.store.name, "load_average": round(os.getloadavg()[0], 1), **result}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"load average {result['load_average']}")
    for name in ("next item", "empty page"):
        dom, paint = result[name]["dom_ms"], result[name]["paint_ms"]
        print(
            f"{name:12}{dom['p50']:>6.0f} / {dom['p95']:.0f} ms, painted {paint['p50']:.0f} / {paint['p95']:.0f} (p50 / p95)"
        )
    print(f"goal: the next item under {GOAL_MS} ms")


if __name__ == "__main__":
    main()
