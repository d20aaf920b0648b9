"""Damaged files: told by name with a way out, never a bug, and `info --check` finds what opening leaves unread."""

import json
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import duckdb
import numpy as np
import pytest

from autointerp.errors import StoreError
from autointerp.store import Store
from autointerp.store.checking import check
from tests.cli.conftest import RunJson, RunText
from tests.explained import explain
from tests.models.tiny import TEXT, save_coder, save_neox

ENDINGS = ("jsonl", "csv", "parquet")
FILES = {
    "manifest": "store.json",
    "tokens": "corpus/tokens.npy",
    "corpus": "corpus/corpus.duckdb",
    "coder": "coders/sae.duckdb",
    "annotations": "annotations.sqlite",
}
MUTATIONS = int(os.environ.get("AUTOINTERP_MUTATIONS", "4"))
"""Of each file; `make soak` tries hundreds."""
SECONDS, MEGABYTES = 60, 600
"""That a command may take, and the process may grow by, whatever a file holds."""
COMMANDS = (
    ("info", "STORE"),
    ("latent", "STORE", "sae", "3"),
    (
        "sql",
        "STORE",
        "SELECT count(*), sum(activation), (SELECT count(text) FROM explanations) FROM activations",
    ),
)
CACHE = ("cache", "NEW", "--model", "MODEL", "--coder", "sae=CODER", "--ctx-len", "24")
INPUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "settings of a coder": ("coder/layers.1.mlp/cfg.json", (*CACHE, "--text", "text.txt")),
    "weights of a coder": ("coder/layers.1.mlp/sae.safetensors", (*CACHE, "--text", "text.txt")),
    "settings of a model": ("model/config.json", (*CACHE, "--text", "text.txt")),
    "weights of a model": ("model/model.safetensors", (*CACHE, "--text", "text.txt")),
    "tokenizer": ("model/tokenizer.json", (*CACHE, "--text", "text.txt")),
    "text": ("text.txt", (*CACHE, "--text", "text.txt")),
    "documents": ("text.jsonl", (*CACHE, "--text", "text.jsonl")),
    "token ids": ("ids.npy", (*CACHE, "--token-ids", "ids.npy")),
    **{f"audit, {end}": (f"audit.{end}", ("audit", "import", "STORE", f"audit.{end}")) for end in ENDINGS},
    **{
        f"collections, {end}": (f"c.{end}", ("collections", "STORE", "import", f"c.{end}")) for end in ENDINGS
    },
}
"""What is given to commands: the file, and a command that reads it."""
PIECES = (b"-1", b"1e999", b"null", b"[]", b"\xff", b"\x00", b'"\\ud800"', b"9" * 30, b"true", b"NaN")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, gone, more or cut off; half of the time near the beginning, where the structure is."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(changed) if rng.random() < 0.5 else min(len(changed), 4096))
        match rng.randrange(6):
            case 0 | 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                del changed[at : at + rng.choice([1, 8, 100])]
            case 3:
                changed[at:at] = rng.randbytes(rng.choice([1, 16]))
            case 4:
                piece = rng.choice(PIECES)
                changed[at : at + len(piece)] = piece
            case _:
                del changed[max(at, 1) :]
        if not changed:
            return b""
    return bytes(changed)


@pytest.fixture
def whole(tiny_store: Store) -> Path:
    return explain(tiny_store).path


@contextmanager
def bounded() -> Iterator[None]:
    """Fails where what is within takes too long or too much memory."""

    def late(number: int, frame: object) -> None:
        raise BaseExceptionGroup("it hangs", [KeyboardInterrupt()])

    before, handler = getrusage(RUSAGE_SELF).ru_maxrss, signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < MEGABYTES << 10


@pytest.mark.parametrize("what", FILES)
def test_whatever_a_file_of_a_store_holds_is_no_bug(
    what: str, whole: Path, tmp_path: Path, run_text: RunText
):
    original = (whole / FILES[what]).read_bytes()
    rng = random.Random(what)
    for number in range(MUTATIONS):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(whole, copy)
        (copy / FILES[what]).write_bytes(mutated(original, rng))
        for command, _, *rest in COMMANDS:
            with bounded():
                code, _, err = run_text(command, copy, *rest)
            assert code in (0, 2), (number, command, err)
            assert "Traceback" not in err
            assert code == 0 or str(copy) in err or "sae" in err or "--check" in err
        shutil.rmtree(copy)


_made: dict[str, Path] = {}


@pytest.fixture
def given(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    run_text: RunText,
) -> Path:
    """A folder with a whole store and everything that `INPUTS` names, made once and copied."""
    if "given" not in _made:
        folder = tmp_path_factory.mktemp("made")
        store = Path(shutil.copytree(request.getfixturevalue("whole"), folder / "store"))
        save_neox(folder / "model")
        save_coder(folder / "coder" / "layers.1.mlp", seed=1)
        (folder / "text.txt").write_text(TEXT * 4, encoding="utf-8")
        rows = [{"text": TEXT, "n": 1}, {"text": TEXT[::-1], "more": [1, None]}]
        (folder / "text.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        np.save(folder / "ids.npy", np.random.default_rng(0).integers(1, 90, (8, 24)).astype(np.int32))
        assert run_text("audit", "create", store, "sae", "--n", 2)[0] == 0
        assert run_text("collections", store, "add", "mine", "sae", "0-3")[0] == 0
        for end in ENDINGS:
            assert run_text("audit", "export", store, folder / f"audit.{end}")[0] == 0
            assert run_text("collections", store, "export", folder / f"c.{end}")[0] == 0
        _made["given"] = folder
    return Path(shutil.copytree(_made["given"], tmp_path / "given"))


def told(folder: Path, words: tuple[str, ...]) -> list[str]:
    """The command on the files of this folder."""
    places = {"STORE": "store", "NEW": "new", "MODEL": "model"} | {
        path.name: path.name for path in folder.iterdir()
    }
    return [
        f"sae={folder / 'coder'}"
        if word == "sae=CODER"
        else str(folder / places[word])
        if word in places
        else word
        for word in words
    ]


@pytest.mark.parametrize("what", INPUTS)
def test_whatever_a_file_that_is_given_holds_is_no_bug(what: str, given: Path, run_text: RunText):
    name, words = INPUTS[what]
    original, rng = (given / name).read_bytes(), random.Random(what)
    assert run_text(*told(given, words))[0] == 0, "the whole file is read"
    for number in range(MUTATIONS):
        shutil.rmtree(given / "new", ignore_errors=True)
        (given / name).write_bytes(mutated(original, rng))
        with bounded():
            code, _, err = run_text(*told(given, words))
        assert code in (0, 2), (number, err)
        assert "Traceback" not in err


@pytest.mark.parametrize("what", INPUTS)
def test_what_is_no_file_is_told(what: str, given: Path, run_text: RunText):
    """A pipe would never end; neither would /dev/zero."""
    name, words = INPUTS[what]
    for kind in ("pipe", "device", "loop", "empty", "folder"):
        (given / name).unlink(missing_ok=True)
        match kind:
            case "pipe":
                os.mkfifo(given / name)
            case "device":
                (given / name).symlink_to("/dev/zero")
            case "loop":
                (given / name).symlink_to(given / name)
            case "empty":
                (given / name).touch()
            case _:
                (given / name).mkdir()
        with bounded():
            code, _, err = run_text(*told(given, words))
        assert code == 2 or (code, kind) == (0, "empty"), (kind, err)
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"text": "half a character: \ud83d and more of the same text, again and again" * 9}),
        '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"input_ids": [1, 2, 99999999999999999999999999]}',
        '{"input_ids": [1, true, -5]}',
        '{"n": ' + "9" * 10_000 + ', "text": "a"}',
        '{"text": NaN}',
        '{"messages": [{"role": "\\ud800", "content": "\\udc00"}]}',
        '{"messages": [{"role": {}, "content": [[]]}]}',
        "null",
        "\x00" * 100,
    ],
    ids=range(10),
)
def test_lines_of_real_corpora(line: str, given: Path, run_text: RunText):
    (given / "text.jsonl").write_text(line + "\n", encoding="utf-8")
    with bounded():
        code, out, err = run_text(*told(given, INPUTS["documents"][1]))
    assert code == (0 if "half a character" in line else 2), (out, err)


@pytest.mark.parametrize(
    "device", ["meta", "cuda:99", "mps", "xpu", "hpu", "cpu:7", "lazy", "vulkan", "", "\u202e"]
)
def test_odd_devices_are_told_or_used(device: str, given: Path, run_text: RunText):
    code, _, err = run_text(*told(given, INPUTS["text"][1]), "--device", device)
    assert code == 2 or device == "cpu:7", err


def test_a_whole_store_is_whole(whole: Path, run_json: RunJson, run_text: RunText):
    assert check(Store.open(whole)) == []
    document = run_json("info", whole, "--check")
    assert (document["complete"], document["checked"], document["problems"]) == (True, True, [])
    assert run_json("info", whole)["checked"] is False
    assert "Everything was read and is intact." in run_text("info", whole, "--check")[1]


@pytest.mark.parametrize("what", ["tokens", "corpus", "coder"])
def test_no_flipped_bit_goes_unseen(what: str, whole: Path, tmp_path: Path):
    """Found by opening or by the check, or without any effect on what is read: DuckDB leaves bytes of its blocks unused."""
    original = (whole / FILES[what]).read_bytes()
    query = "SELECT bit_xor(hash(t)) FROM {} AS t"
    tables = (
        "vocabulary",
        "contexts",
        "latents",
        "activations",
        "logits",
        "neighbours",
        "explanations",
        "scores",
    )
    expected = [Store.open(whole).sql(query.format(table)).to_pylist() for table in tables]
    rng = random.Random(0)
    found = 0
    for number in range(2 * MUTATIONS):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(whole, copy)
        changed = bytearray(original)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        (copy / FILES[what]).write_bytes(bytes(changed))
        try:
            problems = check(Store.open(copy))
        except StoreError:
            problems = ["refused"]
        if problems:
            found += 1
        else:
            assert [Store.open(copy).sql(query.format(table)).to_pylist() for table in tables] == expected
        shutil.rmtree(copy)
    assert found


def test_numbers_that_contradict_each_other_are_found(whole: Path, tmp_path: Path):
    """A file can be as its maker wrote it and still say what cannot be."""
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    with duckdb.connect(str(copy / FILES["coder"])) as connection:
        connection.execute("UPDATE latents SET n_activations = n_activations + 1 WHERE latent = 3")
        connection.execute("UPDATE peaks SET latent = 99 WHERE latent = (SELECT max(latent) FROM peaks)")
    problems = " ".join(check(Store.open(copy)))
    assert "1 latents have activations that differ" in problems
    assert "names latent 99" in problems


def test_other_tokens_and_loose_rows_are_found(whole: Path):
    tokens = bytearray((whole / FILES["tokens"]).read_bytes())
    tokens[-2] ^= 1
    (whole / FILES["tokens"]).write_bytes(bytes(tokens))
    with closing(sqlite3.connect(whole / FILES["annotations"])) as connection, connection:
        connection.execute("INSERT INTO pins VALUES ('sae', 7, 99999, 'a', 'b')")
    problems = " ".join(check(Store.open(whole)))
    assert "not those that were written" in problems
    assert "names a row of explanations that does not exist" in problems
