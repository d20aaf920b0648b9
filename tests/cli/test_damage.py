"""Damaged files: told by name with a way out, never a bug, and `info --check` finds what opening leaves unread."""

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from autointerp.errors import StoreError
from autointerp.store import Store
from autointerp.store.checking import check
from tests.cli.conftest import RunJson, RunText
from tests.explained import explain

FILES = {
    "manifest": "store.json",
    "tokens": "corpus/tokens.npy",
    "corpus": "corpus/corpus.duckdb",
    "coder": "coders/sae.duckdb",
    "annotations": "annotations.sqlite",
}
MUTATIONS = int(os.environ.get("AUTOINTERP_MUTATIONS", "4"))
"""Of each file; hundreds find what four do not."""
COMMANDS = (
    ("info",),
    ("latent", "sae", "3"),
    ("sql", "SELECT count(*), sum(activation), (SELECT count(text) FROM explanations) FROM activations"),
)
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


@pytest.mark.parametrize("what", FILES)
def test_whatever_a_file_holds_is_no_bug(what: str, whole: Path, tmp_path: Path, run_text: RunText):
    original = (whole / FILES[what]).read_bytes()
    rng = random.Random(what)
    for number in range(MUTATIONS):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(whole, copy)
        (copy / FILES[what]).write_bytes(mutated(original, rng))
        for command, *rest in COMMANDS:
            code, _, err = run_text(command, copy, *rest)
            assert code in (0, 2), (number, command, err)
            assert "Traceback" not in err
            assert code == 0 or str(copy) in err or "sae" in err or "--check" in err
        shutil.rmtree(copy)


def test_a_whole_store_is_whole(whole: Path, run_json: RunJson, run_text: RunText):
    assert check(Store.open(whole)) == []
    document = run_json("info", whole, "--check")
    assert (document["complete"], document["checked"], document["problems"]) == (True, True, [])
    assert run_json("info", whole)["checked"] is False
    assert "Everything was read, and is whole." in run_text("info", whole, "--check")[1]


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
    assert "1 latents have other activations" in problems
    assert "names latent 99" in problems


def test_other_tokens_and_loose_rows_are_found(whole: Path):
    tokens = bytearray((whole / FILES["tokens"]).read_bytes())
    tokens[-2] ^= 1
    (whole / FILES["tokens"]).write_bytes(bytes(tokens))
    with closing(sqlite3.connect(whole / FILES["annotations"])) as connection, connection:
        connection.execute("INSERT INTO pins VALUES ('sae', 7, 99999, 'a', 'b')")
    problems = " ".join(check(Store.open(whole)))
    assert "not those that were written" in problems
    assert "names a row of explanations that is not there" in problems
