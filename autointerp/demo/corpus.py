"""Demo text: the docstrings of the installed libraries and of the standard library.

Nothing is imported: files are found on disk and parsed. Modules are split into a training and a held-out part by a stable hash
of their relative path, so the held-out part can be read alone, in seconds, and is the same on every machine with the same
packages.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.util
import inspect
import os
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autointerp.errors import CorpusError

Split = Literal["train", "heldout"]

#: Packages read, besides the standard library. One that is not installed is skipped.
PACKAGES: tuple[str, ...] = (
    "PIL",
    "accelerate",
    "datasets",
    "duckdb",
    "fsspec",
    "httpx2",
    "huggingface_hub",
    "joblib",
    "jsonschema",
    "mpmath",
    "narwhals",
    "networkx",
    "numpy",
    "pandas",
    "plotly",
    "pyarrow",
    "pydantic",
    "pydeck",
    "pygments",
    "rich",
    "safetensors",
    "scipy",
    "simple_parsing",
    "sklearn",
    "sparsify",
    "streamlit",
    "sympy",
    "tokenizers",
    "torch",
    "torchgen",
    "transformers",
    "typer",
)

#: Share of modules (not of text) that is held out: 1 module in `HELDOUT_ONE_IN`.
HELDOUT_ONE_IN = 12

#: Shorter docstrings (in characters, after cleaning) are skipped.
MIN_CHARS = 80

#: Less held-out text than this many characters means that the packages are not installed.
MIN_TOTAL_CHARS = 500_000

_STDLIB = "stdlib"
_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "_vendor", "graph_objs", "idlelib", "lib2to3", "site-packages", "test"}
    | {"tests", "turtledemo", "validators"}
)


@dataclass(frozen=True, slots=True)
class Document:
    """One docstring, cleaned. `name`: `package.module:qualname`; the part after the colon is empty for a module."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file of the corpus. `relative`: Posix path that begins with the package's name; the split hashes this."""

    path: Path
    relative: str

    @property
    def module(self) -> str:
        """Dotted module name, without `.__init__`."""
        parts = self.relative.removesuffix(".py").split("/")
        if parts[0] == _STDLIB:
            parts = parts[1:]
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def split_of(relative: str) -> Split:
    """The split of a module, from the SHA-1 of its relative path alone."""
    return "heldout" if _hash(relative) % HELDOUT_ONE_IN == 0 else "train"


def iter_files() -> Iterator[SourceFile]:
    """All files of the corpus, in a fixed order; packages that are missing are skipped."""
    roots = [(name, root) for name in PACKAGES if (root := _package_root(name)) is not None]
    roots.append((_STDLIB, Path(sysconfig.get_paths()["stdlib"])))
    for name, root in roots:
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = sorted(set(subfolders) - _SKIPPED_FOLDERS)
            for path in sorted(Path(folder, n) for n in names if n.endswith(".py")):
                yield SourceFile(path, "/".join((name, *path.relative_to(root).parts)))


def parse_docstrings(source: str, module: str) -> Iterator[Document]:
    """Docstrings of a module, its classes and functions, in source order, of at least `MIN_CHARS` characters. A source that
    does not parse has none. `module`: its dotted name, which prefixes the documents' names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, qualname = stack.pop()
        text = _docstring(node)
        if text is not None and len(text) >= MIN_CHARS:
            yield Document(f"{module}:{qualname}", text)
        children = [
            (child, f"{qualname}.{child.name}" if qualname else child.name) for child in _definitions(node)
        ]
        stack.extend(reversed(children))


def iter_documents(split: Split) -> Iterator[Document]:
    """Documents of one split, each distinct text once, by a hash of their names, so that any prefix is a mix of packages.

    Training documents whose text also occurs in the held-out part are left out; "heldout" parses only held-out files. Raises
    CorpusError for less than `MIN_TOTAL_CHARS` characters.
    """
    if split not in ("train", "heldout"):
        raise ValueError(f"unknown split {split!r}: use 'train' or 'heldout'")
    files = list(iter_files())
    seen: set[str] = set()
    if split == "train":
        seen.update(doc.text for doc in _read(_of_split(files, "heldout")))
    documents = sorted(_read(_of_split(files, split)), key=lambda doc: (_hash(doc.name), doc.name))
    kept: list[Document] = []
    for document in documents:
        if document.text not in seen:
            seen.add(document.text)
            kept.append(document)
    total = sum(len(document.text) for document in kept)
    if total < MIN_TOTAL_CHARS:
        raise CorpusError(
            f"The demo reads the docstrings of the installed packages, but only {total:,} "
            f"characters of {split} text were found (at least {MIN_TOTAL_CHARS:,} are needed). "
            "Install the pinned dependencies (make setup), and do not run Python with -OO or "
            "from an installation stripped of its .py files."
        )
    yield from kept


def _of_split(files: Iterable[SourceFile], split: Split) -> Iterator[SourceFile]:
    return (file for file in files if split_of(file.relative) == split)


def _read(files: Iterable[SourceFile]) -> list[Document]:
    """Without looking for cycles, of which syntax trees have none: with torch loaded, that is half the time."""
    looked = gc.isenabled()
    gc.disable()
    try:
        return list(_parsed(files))
    finally:
        if looked:
            gc.enable()


def _parsed(files: Iterable[SourceFile]) -> Iterator[Document]:
    for file in files:
        try:
            source = file.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if '"""' in source or "'''" in source:
            yield from parse_docstrings(source, file.module)


def _package_root(name: str) -> Path | None:
    """Folder of an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent if spec.origin.endswith("__init__.py") else None


def _definitions(
    node: ast.AST,
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions directly below a node, also inside its `if` and `try` blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _definitions(child)


def _docstring(node: ast.AST) -> str | None:
    body = getattr(node, "body", None)
    if not body or not isinstance(body[0], ast.Expr):
        return None
    value = body[0].value
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return None
    text = inspect.cleandoc(value.value).strip()
    return text.encode("utf-8", "ignore").decode("utf-8")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha1(text.encode()).digest()[:8], "big")
