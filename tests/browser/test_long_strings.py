"""A store, a server or a person may hold a megabyte without a blank where a sentence is expected: a page draws its beginning.

A browser lays such a string out for seconds to minutes. What is drawn is counted, in every shadow tree, on every page.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from autointerp.errors import Failure
from autointerp.records import new_id
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Outcome
from tests.browser.conftest import Open, Server, start_server
from tests.explained import explain

SIZES = {3: 100_000, 4: 1_000_000}
"""Characters of whatever is said of this latent of `sae`."""
MOST_OF_A_NODE, MOST_OF_A_PAGE = 16_001, 300_000
PAGES = (
    "/",
    "/features",
    "/features?coder=sae&show=explained",
    "/features?collection=long",
    "/feature?coder=sae&latent=0&show=judged",
    "/feature?coder=sae&latent=3",
    "/feature?coder=sae&latent=4",
    "/feature?coder=sae&latent=4&versions=1",
    "/compare",
    "/compare?view=pair&a=sae:3&b=sae:4",
    "/audit",
    "/probe",
    "/jobs",
    "/settings",
)
DRAWN = """() => {
  let total = 0;
  const long = new Set();
  const count = (length, where, most) => {
    total += length;
    if (length > most) long.add(`${where}: ${length}`);
  };
  const walk = (root) => {
    for (const node of root.childNodes) {
      const name = `${root.nodeName}.${root.className ?? ''}`;
      if (node.nodeType === Node.TEXT_NODE && !['SCRIPT', 'STYLE'].includes(root.nodeName)) count(node.length, name, %d);
      for (const each of node.attributes ?? []) count(each.value.length, `${node.nodeName} ${each.name}`, %d);
      if (node.nodeName === 'INPUT' || node.nodeName === 'TEXTAREA') count(node.value.length, node.nodeName, %d);
      if (node.shadowRoot) walk(node.shadowRoot);
      walk(node);
    }
  };
  walk(document.body);
  return [total, [...long].slice(0, 5)];
}"""


def fill(path: Path) -> str:
    """Endless strings wherever a store holds text; the id of a job with some."""
    with duckdb.connect(str(path / "corpus" / "corpus.duckdb")) as corpus:
        corpus.execute("UPDATE vocabulary SET bytes = CAST(repeat('t', 1000000) AS BLOB) WHERE token = 1")
        corpus.execute("UPDATE vocabulary SET bytes = CAST(repeat('t', 100000) AS BLOB) WHERE token = 2")
        corpus.execute("UPDATE documents SET name = repeat('d', 1000000)")
    made = explain(Store.open(path))
    job_id = ""
    with Annotations(path) as annotations:
        for latent, size in SIZES.items():
            long = "x" * size
            annotations.replies.put(
                f"long-{size}",
                {"model": long, "messages": [{"role": "user", "content": long}]},
                {"text": long, "usage": {"tokens_in": 1, "tokens_out": 1}},
                tokens_in=1, tokens_out=1, cost=None,
            )  # fmt: skip
            for name in ("plain", "second"):
                row = replace(
                    made.explanations[name],
                    id=new_id(),
                    latent=latent,
                    text=long,
                    model=long,
                    author=long,
                    reply_ref=f"long-{size}",
                )
                annotations.add(replace(row, created=f"2026-11-2{latent}T00:00:00.000Z"))
            annotations.collections.add("long", [("sae", latent)], author="a")
            job, _ = annotations.jobs.submit(
                "toy", {"coder": long, long: long}, [long], label=long, owner="nobody 1 2 3"
            )
            claim = annotations.jobs.claim_of(job.id, "nobody 1 2 3")
            assert claim is not None
            annotations.jobs.complete(claim, [(0, Outcome(failure=Failure(long, "error")))])
            annotations.jobs.finish(claim)
            job_id = job.id
    with closing(sqlite3.connect(path / "annotations.sqlite")) as stranger, stranger:
        for latent, size in SIZES.items():
            stranger.execute(
                "UPDATE members SET note = ?, author = ? WHERE latent = ?", ("n" * size, "n" * size, latent)
            )
        stranger.execute("UPDATE collections SET note = ?, author = ?", ("n" * 1_000_000, "n" * 1_000_000))
    manifest = path / "store.json"
    meta = json.loads(manifest.read_text())
    for part, name in (("model", "name"), ("model", "source"), ("model", "architecture"), ("corpus", "name")):
        meta[part][name] = "m" * 1_000_000
    manifest.write_text(json.dumps(meta))
    return job_id


@pytest.fixture(scope="module")
def long_server(
    tiny_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("long")
    store = Path(shutil.copytree(tiny_template, folder / "store"))
    job_id = fill(store)
    for server in start_server([str(store)], folder):
        yield server, job_id


def test_every_page_draws_the_beginning_of_endless_strings(long_server: tuple[Server, str], visit: Open):
    server, job_id = long_server
    at = visit(server)
    too_much = {}
    for path in (*PAGES, f"/jobs?job={job_id}"):
        at.goto(path)
        total, long = at.page.evaluate(DRAWN % (3 * (MOST_OF_A_NODE,)))
        if long or total > MOST_OF_A_PAGE:
            too_much[path] = (total, long)
    assert not too_much, "\n".join(f"{path} {found}" for path, found in too_much.items())
