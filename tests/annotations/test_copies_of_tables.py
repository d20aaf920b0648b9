"""Copies in columns of the tables of whole coders: whatever becomes of them, the tables are what SQLite says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from autointerp.records import Explanation, Score
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import copies
from autointerp.store.annotations import Annotations

TABLES = ("summary", "score_summary", "failure_summary")


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MIN_ROWS", 1)


def explanation(latent: int, text: str = "text", **more: object) -> Explanation:
    return Explanation(coder="sae", latent=latent, text=text, explainer="pattern", **more)  # type: ignore[arg-type]


def scored(made: Explanation, value: float) -> Score:
    return Score(explanation_id=made.id, scorer="detection", judge="offline", value=value, ci_low=value - 0.1)


def fill(annotations: Annotations, n: int = 40) -> list[Explanation]:
    made = [explanation(latent, f"text {latent}") for latent in range(n)]
    failed = explanation(n, "", status="failed", error="no answer")
    annotations.add(*made, failed, *(scored(each, 0.5) for each in made))
    return made


def tables(annotations: Annotations) -> list[list[dict]]:
    found = [getattr(annotations, name)("sae").to_pylist() for name in TABLES]
    return [sorted(rows, key=lambda row: (row["latent"], row.get("score_id", ""))) for rows in found]


def from_sqlite(store: Path) -> list[list[dict]]:
    """Without any copy."""
    alone = store.with_name(f"{store.name}-alone")
    shutil.rmtree(alone, ignore_errors=True)
    shutil.copytree(store, alone, ignore=shutil.ignore_patterns("derived"))
    with Annotations(alone) as annotations:
        return tables(annotations)


def kept(store: Path) -> list[Path]:
    return sorted((store / "derived").iterdir()) if (store / "derived").exists() else []


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """With copies."""
    path = tmp_path / "store"
    path.mkdir()
    with Annotations(path) as annotations:
        fill(annotations)
        tables(annotations)
    assert [file.name.split(".")[2] for file in kept(path)] == ["explanations", "failures", "scores"]
    return path


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A store whose copy says of every text that it is copied, as no copy should: to see what comes from it."""
    save = copies.save

    def marking(path: Path, identity: str, told: object, table: pa.Table) -> bool:
        if "text" in table.column_names:
            at = table.column_names.index("text")
            texts = pa.array(["copied"] * table.num_rows, pa.string())
            table = table.set_column(at, "text", texts)
        return save(path, identity, told, table)

    path = tmp_path / "marked"
    path.mkdir()
    with monkeypatch.context() as patch, Annotations(path) as annotations:
        patch.setattr(copies, "save", marking)
        fill(annotations)
        tables(annotations)
        annotations.close()
    return path


def texts(store: Path) -> list[str]:
    with Annotations(store) as annotations:
        return annotations.summary("sae")["text"].to_pylist()


@pytest.mark.parametrize("seed", range(3))
def test_tables_are_as_without_copies_after_any_change(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    store = tmp_path / "store"
    store.mkdir()
    with Annotations(store) as writer:
        known = fill(writer)
        for step in range(12):
            for _ in range(int(rng.integers(1, 5))):
                latent, draw = int(rng.integers(0, 50)), rng.random()
                if draw < 0.3:
                    known.append(explanation(latent, f"new {step}"))
                    writer.add(known[-1])
                elif draw < 0.4:
                    writer.add(explanation(latent, "", status="failed", error=f"failed {step}"))
                elif draw < 0.7:
                    writer.add(scored(known[rng.integers(len(known))], float(rng.random())))
                elif draw < 0.8:
                    writer.pin(known[rng.integers(len(known))].id, author="ada")
                elif draw < 0.9:
                    writer.unpin("sae", latent)
                else:
                    writer.show_by(str(rng.choice(["newest", "detection"])))
            with Annotations(store) as reader:
                assert tables(reader) == from_sqlite(store)
    assert len(kept(store)) == 3


def test_only_what_changed_since_is_read_from_sqlite(marked: Path):
    assert texts(marked) == ["copied"] * 40
    with Annotations(marked) as writer:
        writer.add(explanation(7, "fresh"), explanation(99, "added"))
    expected = ["copied"] * 40 + ["added"]
    expected[7] = "text 7"  # read again: the version with a score is shown
    assert texts(marked) == expected
    with Annotations(marked, read_only=True) as reader:
        assert reader.summary("sae")["text"].to_pylist() == expected


def test_another_rule_of_what_is_shown_does_without(marked: Path):
    with Annotations(marked) as writer:
        writer.show_by("newest")
    assert texts(marked) == [f"text {latent}" for latent in range(40)]


def test_a_file_put_in_the_place_of_another_does_without(marked: Path, tmp_path: Path):
    """Though it holds as many rows."""
    other = tmp_path / "other"
    other.mkdir()
    with Annotations(other) as annotations:
        fill(annotations)
    shutil.copy(other / "annotations.sqlite", marked / "annotations.sqlite")
    assert texts(marked) == [f"text {latent}" for latent in range(40)]


def flipped(at: float) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(at * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def cut(share: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


@pytest.mark.parametrize(
    "damage",
    [
        *map(flipped, np.linspace(0, 1, 9)), cut(0), cut(0.01), cut(0.5), cut(0.999),
        lambda path: path.write_bytes(b"not a copy at all"), lambda path: path.unlink(),
        lambda path: shutil.copy(path, path.with_name(path.name.replace("explanations", "scores"))),
    ],
)  # fmt: skip
def test_a_damaged_copy_is_made_anew(store: Path, damage: Callable[[Path], object]):
    whole = {path: path.read_bytes() for path in kept(store)}
    damage(next(iter(whole)))
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)
    assert {path: path.read_bytes() for path in kept(store)} == whole


def test_a_copy_that_would_be_read_beyond_its_end_is_not_used(store: Path, monkeypatch: pytest.MonkeyPatch):
    """Whole, but its maker's numbers point outside its words."""
    save = copies.save

    def pointing_outside(path: Path, identity: str, told: object, table: pa.Table) -> bool:
        if "explainer" in table.column_names:
            places = pa.array([1 << 30] * table.num_rows, pa.int32())
            column = pa.DictionaryArray.from_arrays(places, pa.array(["x"]), safe=False)
            table = table.set_column(table.column_names.index("explainer"), "explainer", column)
        return save(path, identity, told, table)

    for path in kept(store):
        path.unlink()
    with monkeypatch.context() as patch, Annotations(store) as annotations:
        patch.setattr(copies, "save", pointing_outside)
        tables(annotations)
        annotations.close()
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)


def forge(path: Path, told: object = None, table: pa.Table | None = None, **options: object) -> None:
    """The copy with something else in it, and whole as far as its checksum says. `told`: JSON where it is a text."""
    holds = table_in(path) if table is None else table
    metadata = json.loads(holds.schema.metadata[b"autointerp"])
    text = told if isinstance(told, str) else json.dumps(metadata["told"] if told is None else told)
    metadata = f'{{"identity": {json.dumps(metadata["identity"])}, "told": {text}}}'
    sink = pa.BufferOutputStream()
    schema = holds.schema.with_metadata({"autointerp": metadata})
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(holds)
    seal(path, sink.getvalue().to_pybytes())


def seal(path: Path, content: bytes) -> None:
    path.write_bytes(content + zlib.crc32(content).to_bytes(4, "little"))


def table_in(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.py_buffer(path.read_bytes()[:-4])).read_all()


def nothing_in(name: str) -> Callable[[Path], None]:
    def forgery(path: Path) -> None:
        table = table_in(path)
        at = table.column_names.index(name)
        forge(
            path, table=table.set_column(at, table.field(at), pa.nulls(table.num_rows, table.field(at).type))
        )

    return forgery


LAST = [[1, "id"], [0, ""], [], "detection"]


@pytest.mark.parametrize(
    "forgery",
    [
        lambda path: forge(path, told=[[float("inf"), "id"], *LAST[1:]]),
        lambda path: forge(path, told=[[10**30, "id"], *LAST[1:]]),
        lambda path: forge(path, told=[*LAST[:2], [[float("inf"), 1]], "detection"]),
        lambda path: forge(path, told=[*LAST[:2], [[-1, 1]], "detection"]),
        lambda path: forge(path, told="[" * 99_999),
        nothing_in("latent"), nothing_in("text"), nothing_in("explainer"), nothing_in("pinned"),
        lambda path: forge(path, table=table_in(path).sort_by([("latent", "descending")])),
        lambda path: forge(path, table=pa.concat_tables([table_in(path).slice(0, 1), table_in(path)])),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)  # fmt: skip
def test_a_forged_copy_is_no_bug(store: Path, forgery: Callable[[Path], object]):
    forgery(kept(store)[0])
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)


def test_what_a_copy_holds_takes_no_more_memory_than_its_file(store: Path):
    """Some kilobytes hold gigabytes, packed."""
    path = kept(store)[0]
    table, size = table_in(path), path.stat().st_size
    texts = table.set_column(2, "text", pa.array(["x" * 100_000] * table.num_rows))
    before = pa.total_allocated_bytes()
    forge(path, table=texts, compression="zstd")
    assert path.stat().st_size < 2 * size
    with Annotations(store) as annotations:
        assert set(annotations.summary("sae")["text"].to_pylist()) == {f"text {i}" for i in range(40)}
        assert pa.total_allocated_bytes() - before < 1 << 20


def test_who_may_only_read_writes_none(store: Path, monkeypatch: pytest.MonkeyPatch):
    for path in kept(store):
        path.unlink()
    with Annotations(store, read_only=True) as annotations:
        assert tables(annotations) == from_sqlite(store)
    assert not kept(store)
    with monkeypatch.context() as patch, Annotations(store) as annotations:
        patch.setenv(ENV_READ_ONLY, "1")
        assert tables(annotations) == from_sqlite(store)
    assert not kept(store)


def test_where_none_can_be_written_it_works_without(store: Path):
    shutil.rmtree(store / "derived")
    (store / "derived").write_text("in the way")
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)
        fill(annotations)
        assert tables(annotations) == from_sqlite(store)


def test_a_coder_that_names_no_file_has_none(store: Path):
    before = kept(store)
    with Annotations(store) as annotations:
        made = Explanation(coder="../sae", latent=3, text="elsewhere", explainer="pattern")
        annotations.add(made)
        assert annotations.summary("../sae")["text"].to_pylist() == ["elsewhere"]
    assert kept(store) == before


def test_few_changes_are_no_reason_to_write_a_copy_anew(store: Path):
    before = [path.stat().st_ino for path in kept(store)]
    with Annotations(store) as annotations:
        tables(annotations)
    assert [path.stat().st_ino for path in kept(store)] == before
    with Annotations(store) as annotations:
        annotations.add(*(explanation(latent, "again") for latent in range(5)))
        tables(annotations)
    assert [path.stat().st_ino for path in kept(store)] != before


_KILLED = """
import os, signal, sys
from autointerp.store import files
from autointerp.store import copies
from autointerp.store.annotations import Annotations

copies.MIN_ROWS = 1
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
Annotations(sys.argv[1]).summary("sae")
"""


def test_a_kill_while_a_copy_is_written_leaves_the_one_before(store: Path):
    before = {path: path.read_bytes() for path in kept(store)}
    with Annotations(store) as annotations:
        annotations.add(*(explanation(latent, "again") for latent in range(5)))
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(store)], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [path for path in kept(store) if path not in before]
    assert len(left) == 1, "what it was writing"
    assert all(path.read_bytes() == content for path, content in before.items())
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)
    assert not left[0].exists()


def test_two_processes_may_write_at_once(store: Path):
    for path in kept(store):
        path.unlink()
    script = _KILLED.replace("os.fsync =", "not_used =") + "\n"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(store)]) for _ in range(3)]
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(kept(store)) == 3
    with Annotations(store) as annotations:
        assert tables(annotations) == from_sqlite(store)
