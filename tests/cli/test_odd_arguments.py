"""Whatever stands where an argument should: told by name with exit code 2, or used; never a bug, a hang or a file elsewhere."""

import errno
import os
import random
import re
import shutil
import signal
from argparse import ArgumentParser, _SubParsersAction  # pyright: ignore[reportPrivateUsage]
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autointerp.cli.main import build_parser, main
from autointerp.demo import build
from autointerp.errors import UserError
from autointerp.store import Store
from tests.explained import explain
from tests.models.tiny import TEXT, save_coder, save_neox

TRIES = int(os.environ.get("AUTOINTERP_MUTATIONS", "4"))
"""Of each command; `make soak` tries hundreds."""
SECONDS = 60

ODD: dict[str, str] = {
    "NUL": "a\0b",
    "half a character": "a\udcff",
    "long": "x" * 5000,
    "long path": "/".join(["x" * 200] * 30),
    "nobody's home": "~nosuchuser/x",
    "home": "~",
    "empty": "",
    "blank": " ",
    "pipe": "PIPE",
    "endless": "/dev/zero",
    "nowhere": "/dev/null",
    "loop": "LOOP",
    "folder": "FOLDER",
    "below a file": "FILE/x.parquet",
    "file": "FILE",
    "forbidden": "/proc/1/mem",
    "not writable": "/proc/x.jsonl",
    "kernel": "/sys/x.csv",
    "huge": "9" * 30,
    "more than 64 bits": str(2**63),
    "32 bits": str(2**31),
    "very long number": "9" * 5000,
    "negative": "-1",
    "much less than nothing": "-" + "9" * 30,
    "zero": "0",
    "exponent": "1e400",
    "tiny": "1e-400",
    "none": "nan",
    "infinite": "inf",
    "range": "0-" + "9" * 30,
    "backwards": "9-0",
    "list": ",".join(["0-7"] * 2000),
    "other digits": "٣",
    "superscript": "²",
    "controls": "\x1b[31m\x9b\u202e",
    "markup": "<script>alert(1)</script>",
    "quote": "'; DROP TABLE x; --",
    "braces": "{0.__class__}%s%n",
    "url": "http://[::1",
    "port": "http://127.0.0.1:99999/v1",
    "scheme": "file:///etc/passwd",
    "equals": "a=b=c",
    "equals nothing": "=",
    "named nothing": "sae=",
    "name of a folder": "../../x",
    "at": "a/b@c@d",
    "star": "*",
    "dash": "-",
    "double dash": "--",
    "surrogate pair": "\ud83d\ude00",
    "newline": "a\nb",
}

NO_SERVER = ("--llm", "m", "--base-url", "http://127.0.0.1:9/v1", "--timeout", "1")
LINES: dict[str, tuple[str, ...]] = {
    "demo": ("demo", "--store", "NEW", "--no-scores"),
    "serve": ("serve", "STORE"),
    "cache": (
        *("cache", "NEW", "--model", "MODEL", "--coder", "sae=CODER"),
        *("--ctx-len", "24", "--text", "TEXT", "--device", "cpu"),
    ),
    "info": ("info", "STORE"),
    "latent": ("latent", "STORE", "sae", "3"),
    "explain": ("explain", "STORE", "sae", "--latents", "0", "--explainer", "pattern"),
    "explain, LLM": ("explain", "STORE", "sae", "--latents", "0", "--dry-run", *NO_SERVER),
    "score": ("score", "STORE", "sae", "--latents", "1", "--scorer", "detection"),
    "compare": ("compare", "STORE"),
    "match": ("match", "STORE", "sae", "transcoder"),
    "audit create": ("audit", "create", "STORE", "sae", "--n", "2", "--dry-run"),
    "audit list": ("audit", "list", "STORE"),
    "audit export": ("audit", "export", "STORE", "an audit", "OUT.jsonl"),
    "audit import": ("audit", "import", "STORE", "audit.jsonl"),
    "audit report": ("audit", "report", "STORE", "an audit"),
    "audit cite": ("audit", "cite", "STORE", "an audit"),
    "collections list": ("collections", "STORE"),
    "collections show": ("collections", "STORE", "show", "mine"),
    "collections add": ("collections", "STORE", "add", "mine", "sae", "0"),
    "collections remove": ("collections", "STORE", "remove", "mine", "sae", "9"),
    "collections note": ("collections", "STORE", "note", "mine", "a note"),
    "collections rename": ("collections", "STORE", "rename", "mine", "mine"),
    "collections export": ("collections", "STORE", "export", "OUT.csv", "mine"),
    "collections import": ("collections", "STORE", "import", "c.csv"),
    "import": ("import", "auto", "FOLDER", "--store", "NEW"),
    **{
        f"import {name}": ("import", name, "FOLDER", "--store", "NEW")
        for name in ("delphi", "neuronpedia", "saedashboard", "circuit-tracer")
    },
    **{
        f"export {name}": ("export", name, "--store", "STORE", "--coder", "sae", "--to", "OUT")
        for name in ("delphi", "neuronpedia", "html")
    },
    "jobs": ("jobs", "STORE"),
    "jobs show": ("jobs", "STORE", "show", "x"),
    "jobs retry": ("jobs", "STORE", "retry", "x"),
    "sql": ("sql", "STORE", "SELECT 1"),
    "sql --to": ("sql", "STORE", "SELECT latent FROM latents", "--to", "OUT.parquet"),
}
"""A whole command of each kind. Each of its words, and each option that its parser knows, gets the odd values."""


def parser_of(words: tuple[str, ...]) -> ArgumentParser:
    parser = build_parser()
    for word in words:
        below = [action for action in parser._actions if isinstance(action, _SubParsersAction)]  # pyright: ignore[reportPrivateUsage]
        if not below or word not in below[0].choices:
            break
        parser = below[0].choices[word]
    return parser


def places(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The command with one place left open, `None` standing for the odd value: each word, then each option with a value."""
    names = {"demo", "serve"}
    start = next(
        (at for at, word in enumerate(words) if at and not word.isalpha()), 1
    )  # the command and its action stay
    start = 1 if words[0] in names else min(start, 2) if words[0] == "audit" else 1
    made = [
        (*words[:at], "ODD", *words[at + 1 :])
        for at in range(start, len(words))
        if not words[at].startswith("--")
    ]
    for action in parser_of(words)._actions:  # pyright: ignore[reportPrivateUsage]
        if action.option_strings and action.nargs != 0:
            made.append((*words, f"{action.option_strings[-1]}=ODD"))
    return made


def sweep() -> list[tuple[str, str, tuple[str, ...]]]:
    """(command, odd value, words), drawn with a seed."""
    made: list[tuple[str, str, tuple[str, ...]]] = []
    for name, words in LINES.items():
        of_command = [(name, value, place) for place in places(words) for value in ODD]
        random.Random(name).shuffle(of_command)
        made += of_command[:TRIES]
    return made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, tiny_template: Path) -> Path:
    folder = tmp_path_factory.mktemp("given")
    store = explain(Store.open(shutil.copytree(tiny_template, folder / "store"))).path
    save_neox(folder / "model")
    save_coder(folder / "coder" / "layers.1.mlp", seed=1)
    (folder / "text.txt").write_text(TEXT * 4, encoding="utf-8")
    assert main(["audit", "create", str(store), "sae", "--n", "2", "--name", "an audit"]) == 0
    assert main(["collections", str(store), "add", "mine", "sae", "0-3"]) == 0
    assert main(["audit", "export", str(store), str(folder / "audit.jsonl")]) == 0
    assert main(["collections", str(store), "export", str(folder / "c.csv")]) == 0
    return folder


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise BaseExceptionGroup("it hangs", [KeyboardInterrupt()])

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def _given(folder: Path) -> dict[str, str]:
    (folder / "folder").mkdir()
    (folder / "file").write_text("a file", encoding="utf-8")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    return {
        "STORE": "store", "NEW": "new", "MODEL": "model", "sae=CODER": "sae=coder", "TEXT": "text.txt", "OUT": "out",
        "FOLDER": "folder", "FILE": "file", "PIPE": "pipe", "LOOP": "loop",
    }  # fmt: skip


def run(words: tuple[str, ...], odd: str, given: dict[str, str]) -> int | str:
    """The exit code, or what escaped from `main`."""
    argv = [word.replace("ODD", odd) for word in words]
    argv = [
        re.sub(r"(?<![A-Za-z])(PIPE|LOOP|FOLDER|FILE|NEW|STORE|MODEL|TEXT|OUT)(?![A-Za-z])", lambda m: given[m[1]], word)
        if word != "sae=CODER" else given[word] for word in argv
    ]  # fmt: skip
    try:
        with no_longer_than(SECONDS):
            return main(argv)
    except SystemExit as end:  # of argparse
        return end.code if isinstance(end.code, int) else 1
    except BaseException as escaped:
        return f"{type(escaped).__name__}: {escaped}"[:300]


@pytest.fixture
def given(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the words in capitals stand for, in the working directory. Nothing is served, and no demo built."""

    def no_build(path: Path, **_: Any) -> None:
        path.exists()
        raise UserError("not here")

    monkeypatch.setattr(os, "execve", lambda *_: None)
    monkeypatch.setattr(build, "build_demo", no_build)
    folder = Path(shutil.copytree(template, tmp_path / "work"))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    return _given(folder)


def test_odd_arguments_are_told_or_used(given: dict[str, str], capfd: pytest.CaptureFixture[str]):
    wrong: list[tuple[object, ...]] = []
    for name, value, words in sweep():
        capfd.readouterr()
        code = run(words, ODD[value], given)
        told = capfd.readouterr()
        if code not in (0, 2) or "Traceback" in told.err or "\x1b[31m" in told.err + told.out:
            wrong.append((name, value, words, code, told.err[-1500:]))
        for new in ("new", "out"):
            shutil.rmtree(new, ignore_errors=True)
    assert not wrong, "\n\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("~nosuchuser", ("sql", "STORE", "SELECT 1", "--to", "~nosuchuser/x.csv")),
        ("~nosuchuser", ("import", "delphi", "~nosuchuser/x", "--store", "NEW")),
        ("~nosuchuser", ("cache", "NEW", "--model", "MODEL", "--text", "TEXT", "--coder", "~nosuchuser/x")),
        ("--host", ("serve", "STORE", "--host", "x" * 300)),
        ("--least=--", ("audit", "create", "STORE", "--least=--")),
        ("/proc/x.csv", ("sql", "STORE", "SELECT 1", "--to", "/proc/x.csv")),
        ("/proc/x.csv", ("audit", "export", "STORE", "an audit", "/proc/x.csv")),
        ("/proc/x.csv", ("collections", "STORE", "export", "/proc/x.csv")),
        ("no folder 'file'", ("audit", "export", "STORE", "an audit", "FILE/x.csv")),
        ("no folder 'file'", ("collections", "STORE", "export", "FILE/x.csv")),
    ],
)
def test_what_cannot_be_is_told_by_name(
    said: str, words: tuple[str, ...], given: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    code = run(words, "", given)
    told = capfd.readouterr()
    assert code == 2, told.err
    assert said in told.err


@pytest.mark.parametrize(
    "words", [("audit", "export", "STORE", "an audit"), ("collections", "STORE", "export")]
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_keeps_the_export_of_before(
    words: tuple[str, ...],
    number: int,
    given: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    kept = Path("kept.jsonl")
    kept.write_text("of before", encoding="utf-8")

    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    code = run((*words, str(kept)), "", given)
    told = capfd.readouterr()
    assert code == 2, told.err
    assert str(kept) in told.err
    assert kept.read_text(encoding="utf-8") == "of before"
    assert not list(Path().glob(".kept*"))
