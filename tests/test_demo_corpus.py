"""The demo's text: what is read, how it is split, and that enough of it is held out."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from autointerp.demo import corpus
from autointerp.demo.corpus import Document, SourceFile, iter_documents, parse_docstrings, split_of
from autointerp.errors import CorpusError, UserError

MODEL = Path(__file__).parents[1] / "data" / "demo" / "model"
LONG = "A sentence that is long enough to be kept, about the thing number {} and what it does. "


@pytest.fixture(scope="module")
def heldout() -> list[Document]:
    return list(iter_documents("heldout"))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SourceFile]:
    """Sixty modules of two packages; every module also carries one docstring they all share."""
    files = []
    for number in range(60):
        relative = f"{'alpha' if number % 2 else 'beta'}/module{number}.py"
        path = tmp_path / relative
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'"""{LONG.format(number)}"""\ndef f():\n    """{LONG.format("shared")}"""\n', encoding="utf-8"
        )
        files.append(SourceFile(path, relative))
    monkeypatch.setattr(corpus, "iter_files", lambda: iter(files))
    monkeypatch.setattr(corpus, "MIN_TOTAL_CHARS", 1)
    return files


def test_parse_takes_module_class_and_function_docstrings_in_order():
    text = LONG.format(1)
    source = (
        f'"""{text}"""\n'
        f'class A:\n    """{text}"""\n    def f(self):\n        """Short."""\n'
        f'    async def g(self):\n        """{text}\n\n        Then:\n            indented\n        """\n'
        f'if True:\n    def h():\n        """{text}"""\n'
    )
    documents = list(parse_docstrings(source, "pkg.mod"))
    assert [d.name for d in documents] == ["pkg.mod:", "pkg.mod:A", "pkg.mod:A.g", "pkg.mod:h"]
    assert documents[2].text == f"{text}\n\nThen:\n    indented"


def test_parse_survives_a_source_that_is_not_python():
    assert list(parse_docstrings("def (:", "broken")) == []


def test_module_names():
    def module(relative: str) -> str:
        return SourceFile(Path(), relative).module

    assert module("torch/nn/__init__.py") == "torch.nn"
    assert module("stdlib/json/decoder.py") == "json.decoder"
    assert module("stdlib/ast.py") == "ast"


def test_split_depends_on_the_relative_path_alone():
    splits = [split_of(f"pkg/module{n}.py") for n in range(6000)]
    assert splits == [split_of(f"pkg/module{n}.py") for n in range(6000)]
    assert splits.count("heldout") == pytest.approx(6000 / corpus.HELDOUT_ONE_IN, rel=0.2)


def test_splits_share_neither_module_nor_text(library: list[SourceFile]):
    train, held = list(iter_documents("train")), list(iter_documents("heldout"))
    modules = [{d.name.split(":")[0] for d in part} for part in (train, held)]
    assert modules[0]
    assert modules[1]
    assert not modules[0] & modules[1]
    assert len(modules[0] | modules[1]) == len(library)
    texts = [d.text for d in train + held]
    assert len(texts) == len(set(texts)), "a text that both parts hold stays in the held-out one only"
    assert any(d.name.endswith(":f") for d in held)


def test_too_little_text_is_a_user_error(library: list[SourceFile], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corpus, "MIN_TOTAL_CHARS", 10_000_000)
    with pytest.raises(CorpusError, match="Install the pinned dependencies") as raised:
        next(iter_documents("train"))
    assert isinstance(raised.value, UserError)


def test_unknown_split():
    with pytest.raises(ValueError, match="use 'train' or 'heldout'"):
        next(iter_documents("test"))  # pyright: ignore[reportArgumentType]


def test_missing_packages_are_skipped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corpus, "PACKAGES", ("no_such_package_at_all", "tokenizers"))
    roots = {file.relative.split("/")[0] for file in corpus.iter_files()}
    assert roots == {"tokenizers", "stdlib"}


def test_the_order_is_deterministic(library: list[SourceFile]):
    assert list(iter_documents("train")) == list(iter_documents("train"))


def test_heldout_documents_are_unique_and_not_tiny(heldout: list[Document]):
    assert len({d.text for d in heldout}) == len(heldout)
    assert min(len(d.text) for d in heldout) >= corpus.MIN_CHARS


def test_any_prefix_is_a_mix_of_packages(heldout: list[Document]):
    for start in (0, 500):
        packages = [d.name.split(".")[0] for d in heldout[start : start + 200]]
        assert len(set(packages)) >= 10
        assert max(packages.count(p) for p in set(packages)) < 100


def test_heldout_has_enough_tokens(heldout: list[Document]):
    if not (MODEL / "tokenizer.json").exists():
        pytest.skip("the demo's tokenizer is not there: run data/demo/train.py tokenizer")
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    encodings = tokenizer.encode_batch([d.text for d in heldout])
    assert sum(len(e.ids) + 1 for e in encodings) >= 550_000
