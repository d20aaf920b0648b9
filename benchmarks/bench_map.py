"""How long the map of explanations takes to compute, and how much of it goes to the browser.

    python benchmarks/bench_map.py [--points 10000 100000] [--browser]

Points of 384 dimensions around 500 centres. Beside the whole, the bare products that its neighbours need: nothing exact can do
with less. Trustworthiness: how far neighbours on the map are neighbours in meaning, 1 at best, 0.5 by chance, on 500 of them.
What goes to the browser is the figure as JSON; without explanations on hover from 20,000 points on. `--browser` draws it in
Chromium by software, the slowest case: until the points stand, and until a box around a quarter of them is marked.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from autointerp.compare.map import BLOCK_BYTES, Map, arrange
from autointerp.types import no_progress
from autointerp.ui.compare import map_charts
from autointerp.ui.compare.map import MAX_HOVER
from autointerp.ui.shared import charts

CHROMIUM = "/usr/bin/chromium"
WIDTH, CENTRES, N_CODERS = 384, 500, 4


def vectors(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CENTRES, WIDTH))
    made = centres[rng.integers(CENTRES, size=n)] + 0.7 * rng.normal(size=(n, WIDTH))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def products(points: np.ndarray) -> None:
    rows = torch.from_numpy(points)
    size = max(16, BLOCK_BYTES // (4 * len(rows)))
    for start in range(0, len(rows), size):
        _ = rows[start : start + size] @ rows.T


def trust(points: np.ndarray, places: np.ndarray, k: int = 10) -> float:
    n = len(points)
    excess = []
    for i in np.random.default_rng(1).choice(n, 500, replace=False).tolist():
        distance = ((places - places[i]) ** 2).sum(1)
        distance[i] = np.inf
        cosine = points @ points[i]
        cosine[i] = -9
        ranks = [int((cosine > cosine[j]).sum()) + 1 for j in np.argpartition(distance, k)[:k]]
        excess.append(sum(max(0, rank - k) for rank in ranks))
    return 1 - 2 / (k * (2 * n - 3 * k - 1)) * float(np.mean(excess))


def figure(places: np.ndarray) -> str:
    n = len(places)
    found = Map(
        tuple(f"coder-{i}" for i in range(N_CODERS)), np.arange(n) % N_CODERS, np.arange(n) // N_CODERS,
        places[:, 0].copy(), places[:, 1].copy(),
    )  # fmt: skip
    texts = ["Often the words of an explanation of some length, as in many others."] * n
    colours = {name: charts.colour(i) for i, name in enumerate(found.coders)}
    drawn = map_charts.layers(found, colours, None)
    from plotly.graph_objects import Figure

    made = map_charts.scatter(found, drawn, None, "", texts if n <= MAX_HOVER else None, [])
    return str(Figure(**made).to_json())


def in_browser(spec: str) -> tuple[float, float]:
    """Seconds until drawn, and until a box is marked."""
    from playwright.sync_api import sync_playwright
    from plotly.offline import get_plotlyjs

    script = (
        "const spec = SPEC; const node = document.getElementById('plot'); const start = performance.now();"
        "Plotly.newPlot(node, spec.data, {...spec.layout, width: 1280, height: 620}).then(() =>"
        " requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now() - start; })));"
        "node.on && node.on('plotly_selected', () => { window.marked = performance.now(); });"
    ).replace("SPEC", json.dumps(json.loads(spec)))
    page_text = f"<div id='plot'></div><script>{get_plotlyjs()}</script><script>{script}</script>"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "map.html"
        path.write_text(page_text, encoding="utf-8")
        flags = ["--no-sandbox", "--use-gl=swiftshader"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1320, "height": 700})
        page.goto(path.as_uri())
        page.wait_for_function("window.drawn", timeout=120_000)
        drawn = float(page.evaluate("window.drawn")) / 1000
        page.evaluate(
            "document.getElementById('plot').on('plotly_selected', () => { window.marked = true; })"
        )
        page.mouse.move(400, 200)
        page.mouse.down()
        page.mouse.move(650, 400, steps=3)
        start = time.perf_counter()
        page.mouse.up()
        page.wait_for_function("window.marked", timeout=120_000)
        marked = time.perf_counter() - start
        browser.close()
    return drawn, marked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--browser", action="store_true", help="also draw it")
    parser.add_argument("--only-draw", action="store_true", help="random places in place of computed ones")
    args = parser.parse_args()
    for n in args.points:
        if args.only_draw:
            places = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
        else:
            points = vectors(n)
            wall, cpu = time.perf_counter(), time.process_time()
            products(points)
            bare = time.process_time() - cpu
            wall, cpu = time.perf_counter(), time.process_time()
            places = arrange(points, no_progress)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
                2**30 if sys.platform == "darwin" else 2**20
            )
            print(
                f"{n:,} points: {wall:.0f} s, {cpu:.0f} s of processor time ({bare:.0f} s for bare products), peak "
                f"{peak:.1f} GiB, trustworthiness {trust(points, places):.3f}"
            )
        start = time.perf_counter()
        spec = figure(places)
        print(f"{n:,} points: figure of {len(spec) / 1e6:.1f} MB in {time.perf_counter() - start:.2f} s")
        if args.browser:
            drawn, marked = in_browser(spec)
            print(f"{n:,} points: drawn in {drawn:.2f} s, a region marked in {marked:.2f} s")


if __name__ == "__main__":
    main()
