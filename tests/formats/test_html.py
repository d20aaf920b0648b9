"""`autointerp export html`: a page that says what the store says, runs nothing and asks for nothing."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from autointerp.formats.html.markup import tokens
from autointerp.formats.html.write import page
from autointerp.pipeline.described import example_groups
from autointerp.plain import escaped
from autointerp.records import Explanation, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.cli.conftest import RunError, RunJson

HOSTILE = '<script>alert(1)</script> & "quoted" \x1b[31m \u202e\n\'; --'


class Read(HTMLParser):
    """A page as its elements: name, attributes, and the text directly in them."""

    def __init__(self, document: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag != "meta":
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open[-1]][0] == tag, "an element that another one cuts"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for place in self._open:
            self.elements[place][2].append(data)

    def all(self, tag: str, cls: str | None = None) -> Iterator[tuple[dict[str, str | None], str]]:
        for name, attributes, data in self.elements:
            if name == tag and (cls is None or cls in (attributes.get("class") or "").split()):
                yield attributes, "".join(data)


@pytest.fixture
def annotations(tiny_store: Store) -> Iterator[Annotations]:
    with Annotations(tiny_store.path) as annotations:
        yield annotations


def add(annotations: Annotations, latent: int, text: str) -> Explanation:
    explanation = Explanation(coder="sae", latent=latent, text=text, explainer="person", author="<b>me</b>")
    annotations.add(explanation)
    return explanation


def test_hostile_texts_stay_text_and_nothing_is_asked_for(
    tiny_store: Store, annotations: Annotations
) -> None:
    explained = add(annotations, 0, HOSTILE)
    annotations.collections.create("list", author="<u>")
    annotations.collections.add("list", [("sae", 0)], author="<u>", note="<i>note</i>")
    read = Read(page(tiny_store, annotations, [("sae", latent) for latent in range(8)], title=HOSTILE))
    allowed = {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "a", "nav", "article", "table", "thead",
        "tbody", "tr", "th", "td", "dl", "div", "dt", "dd", "figure", "figcaption", "svg", "rect", "span", "ul", "li", "mark",
        "details", "summary", "footer",
    }  # fmt: skip
    assert {name for name, _, _ in read.elements} <= allowed
    for name, attributes, _ in read.elements:
        assert not any(key.startswith("on") or key in ("src", "srcset", "style") for key in attributes), name
        if "href" in attributes:
            assert (attributes["href"] or "").startswith("#")
    policy = next(attributes for attributes, _ in read.all("meta") if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    shown = next(text for _, text in read.all("p", "shown"))
    assert shown == escaped(HOSTILE.replace("\n", "↵")) == escaped(explained.text.replace("\n", "↵"))
    for name in ("p", "span", "td", "mark", "footer"):
        assert all(text.isprintable() for _, text in read.all(name))


def test_the_page_shows_what_the_store_holds(tiny_store: Store, annotations: Annotations) -> None:
    read = Read(page(tiny_store, annotations, [("sae", 4)], n=30))
    coder = tiny_store.coder("sae")
    stored = coder.activations(4)
    listed = [text for _, text in read.all("span", "tokens")]
    assert len(listed) > 30
    marks = [float(attributes["title"] or "nan") for attributes, _ in read.all("mark")]
    drawn = example_groups(tiny_store, coder, 4, window=32, n=30, distinct=True)
    shown = [value for group in drawn.values() for each in group for value in each.activations.tolist()]
    assert sorted(marks) == sorted(float(f"{value:.4g}") for value in shown if value > 0)
    assert max(marks) == float(f"{stored.activation.max():.4g}")
    facts = dict(zip((text for _, text in read.all("dt")), (text for _, text in read.all("dd")), strict=True))
    assert facts["active tokens"] == f"{len(stored.token):,}"
    bars = sum(
        int(text.replace(",", "")) for name, _, data in read.elements if name == "rect" for text in data
    )
    assert bars == len(stored.token)
    assert "Feature 4 of sae" in next(text for _, text in read.all("footer"))


def test_scores_stand_with_interval_floor_and_n(tiny_store: Store, annotations: Annotations) -> None:
    old, new = add(annotations, 0, "old"), add(annotations, 0, "new")
    annotations.add(
        Score(
            explanation_id=old.id, scorer="detection", judge="offline", value=0.8125, ci_low=0.7,
            ci_high=0.9, floor=0.51, n_floor=40, n_pos=20, n_neg=20,
        ),
        Score(
            explanation_id=old.id, scorer="generation", judge="llm", metric="hit_rate", value=0.7, ci_low=0.4,
            ci_high=0.9, floor=0.1, n_floor=9, n_pos=10, n_neg=9, unparsed=2, negatives="none",
        ),
    )  # fmt: skip
    read = Read(page(tiny_store, annotations, [("sae", 0)]))
    cells = [text for _, text in read.all("td")]
    assert cells[:5] == ["Detection", "0.812", "0.70 to 0.90", "0.510", "40"]
    assert cells[8:13] == ["Generation", "0.700", "0.40 to 0.90", "0.100", "10 (2 not counted)"], (
        "n of the value"
    )
    assert next(text for _, text in read.all("p", "shown")) == annotations.shown("sae", 0).text  # type: ignore[union-attr]
    assert {old.text, new.text} <= {text for _, text in read.all("p")}
    assert "1 other version" in [text for _, text in read.all("summary")]


def test_a_dead_feature_and_one_without_explanation_say_so(
    tiny_store: Store, annotations: Annotations
) -> None:
    read = Read(page(tiny_store, annotations, [("sae", 5)]))
    said = [text for _, text in read.all("p")]
    assert "No explanation." in said
    assert "Dead: it never fires in this corpus." in said


def test_tokens_of_a_window() -> None:
    shown = tokens(["a", "<b>", " c", "\n"], np.array([0, 2, 0, 4], np.float32), 4)
    assert shown == ('a<mark class="a9" title="2">&lt;b&gt;</mark> c<mark class="a12 p" title="4">↵</mark>')


def test_the_command_writes_one_file(tiny_store: Store, run_json: RunJson, tmp_path: Path) -> None:
    to = tmp_path / "page.html"
    done = run_json(
        "export",
        "html",
        "--store",
        tiny_store.path,
        "--to",
        to,
        "--coder",
        "sae",
        "--latents",
        "0-3",
        "--title",
        "Mine",
    )
    assert done["taken"] == {"features": 4}
    read = Read(to.read_text(encoding="utf-8"))
    assert [text for _, text in read.all("h1")] == ["Mine"]
    assert [text for _, text in read.all("h2")] == [f"sae / {latent}" for latent in range(4)]
    assert to.stat().st_size < 300_000 * 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "page.pdf"], "ends in .html"),
        (["--to", "none/page.html"], "there is no folder"),
        (["--to", "page.html", "--coder", "sae", "--latents", "99"], "99"),
        (["--to", "page.html", "--n-contexts", "0"], "n_contexts"),
        (["--to", "page.html", "--window", "99999"], "windows in this store"),
        (["--to", "page.html", "--collection", "none"], "none"),
    ],
)
def test_what_cannot_be_written_is_said(
    arguments: list[str],
    reason: str,
    tiny_store: Store,
    run_error: RunError,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert reason in run_error("export", "html", "--store", tiny_store.path, *arguments)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_page_has_an_end(
    tiny_store: Store, run_error: RunError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autointerp.formats.html.write.MOST", 3)
    said = run_error("export", "html", "--store", tiny_store.path, "--to", tmp_path / "page.html")
    assert "14 features are too many" in said
