"""Files that are missing, damaged, replaced, half-written or not writable; many readers at once."""

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import numpy as np
import pytest

from autointerp.errors import (
    CorpusError,
    StoreDamaged,
    StoreError,
    StoreIncomplete,
    StoreMissing,
    StoreReadOnly,
    StoreTooNew,
    StoreTooOld,
    UnknownName,
    UserError,
)
from autointerp.store import CoderWriter, CorpusWriter, Store, list_latents
from autointerp.store.coders import spool as spool_module
from autointerp.store.files import Workspace, write_atomically
from autointerp.store.migrations import FORMAT
from tests.conftest import CoderSpec, StoreFactory, write_coder

LITERAL = CoderSpec({0: [(1, 1.0), (6, 2.0)]}, n_latents=2)


def corpus_writer(path: Path, **changes) -> CorpusWriter:
    options = {"model": {}, "tokenizer": {}, "name": "t", "ctx_len": 4, "vocabulary": [("a", b"a", False)]}
    return CorpusWriter(path, **(options | changes))


def coder_writer(store: Store, name: str = "c", **changes) -> CoderWriter:
    options = {"kind": "sae", "hookpoint": "h", "n_latents": 2, "k": 1, "d_in": 4, "source": ""}
    return CoderWriter(store, name, **(options | changes))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"does not exist.*autointerp demo"):
        Store.open(tmp_path / "none")
    with pytest.raises(StoreMissing, match=r"no store\.json"):
        Store.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreMissing):
        Store.open(tmp_path / "file")


def test_interrupted_corpus_is_incomplete_then_rebuilt(tmp_path: Path) -> None:
    (tmp_path / "s" / "corpus").mkdir(parents=True)
    with pytest.raises(StoreIncomplete, match="again"):
        Store.open(tmp_path / "s")
    with corpus_writer(tmp_path / "s") as writer:
        writer.append(np.zeros((2, 4), dtype=int))
        assert writer.finish().n_contexts == 2


def test_newer_format(tiny_store: Store) -> None:
    meta = json.loads(tiny_store.layout.manifest.read_text())
    tiny_store.layout.manifest.write_text(json.dumps(meta | {"format": FORMAT + 1}))
    with pytest.raises(StoreTooNew, match=f"format {FORMAT + 1}"):
        Store.open(tiny_store.path)


def test_older_format(tiny_store: Store) -> None:
    meta = json.loads(tiny_store.layout.manifest.read_text())
    tiny_store.layout.manifest.write_text(json.dumps(meta | {"format": 1}))
    with pytest.raises(
        StoreTooOld, match=r"format 1,.*autointerp demo.*autointerp cache.*annotations\.sqlite"
    ):
        Store.open(tiny_store.path)


def test_a_coder_of_an_older_format_is_a_problem(tiny_store: Store) -> None:
    path, copy = tiny_store.layout.coder("sae"), tiny_store.path / "copy.duckdb"
    shutil.copy(path, copy)
    with duckdb.connect(str(copy)) as database:  # DuckDB opens a file once in a process
        database.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
    copy.replace(path)
    assert [info.coder for info in tiny_store.coders()] == ["transcoder"]
    assert "has format 1, which this version of autointerp no longer reads" in tiny_store.problems()[0]
    assert "cache this coder again" in tiny_store.problems()[0]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": "2"}', f'{{"format": {FORMAT}, "corpus": {{}}}}', "\0"]
)
def test_broken_manifest(tiny_store: Store, content: str) -> None:
    tiny_store.layout.manifest.write_text(content)
    with pytest.raises(StoreDamaged, match=r"store\.json"):
        Store.open(tiny_store.path)


@pytest.mark.parametrize("how", ["truncated", "shape", "foreign", "missing", "pickle", "signed"])
def test_broken_tokens(tiny_store: Store, how: str) -> None:
    path = tiny_store.layout.tokens
    if how == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    elif how == "shape":
        np.save(path, np.zeros((3, 64), dtype=np.uint16))
    elif how == "signed":
        np.save(path, np.zeros((24, 64), dtype=np.int64))
    elif how == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif how == "foreign":
        path.write_text("hello")
    else:
        path.unlink()
    with pytest.raises(StoreDamaged, match=r"tokens\.npy"):
        Store.open(tiny_store.path)


@pytest.mark.parametrize("how", ["truncated", "foreign", "missing", "other"])
def test_broken_corpus_database(tiny_store: Store, how: str) -> None:
    path = tiny_store.layout.corpus_database
    damage(path, how, tiny_store)
    with pytest.raises(StoreDamaged, match=r"corpus\.duckdb"):
        Store.open(tiny_store.path)


def damage(path: Path, how: str, store: Store) -> None:
    if how == "truncated":
        os.truncate(path, path.stat().st_size - 70_000)
    elif how == "foreign":
        path.write_bytes(b"SQLite format 3\0" * 5000)
    elif how == "other":
        shutil.copy(
            store.layout.coder("sae") if path != store.layout.coder("sae") else store.layout.corpus_database,
            path,
        )
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "foreign", "other", "empty"])
def test_a_broken_coder_is_a_problem_and_the_others_work(tiny_store: Store, how: str) -> None:
    damage(tiny_store.layout.coder("sae"), how, tiny_store)
    for store in (tiny_store, Store.open(tiny_store.path)):
        assert [info.coder for info in store.coders()] == ["transcoder"]
        (problem,) = store.problems()
        assert "sae.duckdb" in problem
        assert "again" in problem
        with pytest.raises(UnknownName, match="transcoder"):
            store.coder("sae")
        assert list_latents(store).total == 5


def read_all(store: Store, name: str) -> None:
    for latent in range(8):
        store.coder(name).activations(latent)


def test_garbage_inside_a_coder_file_is_damage_not_a_crash(tiny_store: Store) -> None:
    path = tiny_store.layout.coder("sae")
    data = bytearray(path.read_bytes())
    for at in range(3 * 4096 + 100, len(data), 4096):
        data[at : at + 64] = b"\xa5" * 64
    path.write_bytes(bytes(data))
    # Noticed when the file is opened, or when the damaged block is read.
    with pytest.raises((StoreDamaged, UnknownName)):
        read_all(tiny_store, "sae")
    assert tiny_store.coder("transcoder").activations(1).token.size == 40


def test_a_coder_of_another_corpus_is_a_problem(tiny_store: Store, store_factory: StoreFactory) -> None:
    other = store_factory(np.zeros((2, 4), dtype=int), {"guest": LITERAL})
    shutil.copy(other.layout.coder("guest"), tiny_store.layout.coder("guest"))
    assert "another corpus" in tiny_store.problems()[0]
    assert len(tiny_store.coders()) == 2


def test_new_and_replaced_files_are_noticed(tiny_store: Store) -> None:
    other = Store.open(tiny_store.path)
    before = other.coder("sae")
    assert before.stats(2).n_activations == 1
    write_coder(tiny_store, "added", LITERAL)
    assert [info.coder for info in other.coders()] == ["added", "sae", "transcoder"]
    with coder_writer(tiny_store, "sae", overwrite=True) as writer:
        writer.append(np.array([1]), np.array([9]), np.array([4.0], dtype=np.float32))
        writer.finish(n_tokens=24 * 64)
    assert before.info.n_latents == 2
    assert before.activations(1).token.tolist() == [9]
    assert before.stats(0).is_dead
    assert other.sql("SELECT count(*) AS n FROM sae.activations").to_pydict() == {"n": [1]}
    tiny_store.layout.coder("sae").unlink()
    with pytest.raises(UnknownName):
        before.stats(0)


def test_an_existing_coder_is_not_overwritten_unasked(tiny_store: Store) -> None:
    for name in ("sae", "SAE"):
        with pytest.raises(StoreError, match="already has a coder 'sae'"):
            coder_writer(tiny_store, name)
    assert tiny_store.problems() == []


@pytest.mark.parametrize("name", ["", ".x", "a/b", "..", "a b", "a\n", "main", "Temp", 'a"b', "x" * 101, "é"])
def test_unusable_coder_names(tiny_store: Store, name: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        coder_writer(tiny_store, name)


def test_scale_must_be_a_power_of_two(tiny_store: Store) -> None:
    for scale in (0.0, -1.0, 3.0, float("nan")):
        with pytest.raises(UserError, match="power of two"):
            coder_writer(tiny_store, scale=scale)


def test_a_second_corpus_is_refused(tiny_store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="already holds a store"):
        corpus_writer(tiny_store.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        corpus_writer(tmp_path / "file")


def test_bad_tokens_leave_nothing(tmp_path: Path) -> None:
    with corpus_writer(tmp_path / "s") as writer:
        with pytest.raises(CorpusError, match="token id 7 is outside the vocabulary of 1"):
            writer.append(np.full((1, 4), 7))
        with pytest.raises(CorpusError, match="token id -1"):
            writer.append(np.full((1, 4), -1))
        with pytest.raises(CorpusError, match="shape"):
            writer.append(np.zeros((1, 5), dtype=int))
        with pytest.raises(CorpusError, match="empty"):
            writer.finish()
    assert not (tmp_path / "s").exists()
    with pytest.raises(CorpusError, match="context length 0"):
        corpus_writer(tmp_path / "s", ctx_len=0)


def test_an_exception_leaves_no_temporary_files(tiny_store: Store) -> None:
    before = sorted(tiny_store.layout.coders.iterdir())
    with pytest.raises(ZeroDivisionError), coder_writer(tiny_store) as writer:
        writer.append(np.array([1]), np.array([9]), np.array([1.0 / 0], dtype=np.float32))
    assert sorted(tiny_store.layout.coders.iterdir()) == before


def test_a_killed_writer_leaves_nothing_for_the_next(tiny_store: Store) -> None:
    script = (
        "import os, sys, numpy as np\n"
        "from autointerp.store import CoderWriter, Store\n"
        "w = CoderWriter(Store.open(sys.argv[1]), 'killed', kind='sae', hookpoint='h', n_latents=2, k=1, d_in=4, source='')\n"
        "w.append(np.array([1]), np.array([9]), np.array([4.0], dtype=np.float32))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tiny_store.path)], check=False)
    assert done.returncode == -9
    left = [path for path in tiny_store.layout.coders.iterdir() if path.name.startswith(".killed")]
    assert len(left) == 1
    assert len(Store.open(tiny_store.path).coders()) == 2
    with coder_writer(tiny_store, "alive") as alive:  # its own workspace is locked and stays
        assert not left[0].exists()
        with coder_writer(tiny_store, "second"):
            pass
        alive.append(np.array([1]), np.array([9]), np.array([4.0], dtype=np.float32))
        alive.finish(n_tokens=24 * 64)
    assert tiny_store.coder("alive").info.n_activations == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_or_locked_disk(tiny_store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    before = sorted(tiny_store.layout.coders.iterdir())
    with coder_writer(tiny_store) as writer, monkeypatch.context() as patch:
        patch.setattr(spool_module, "write_array", refuse)
        writer.append(np.array([1]), np.array([9]), np.array([4.0], dtype=np.float32))
        with pytest.raises(StoreReadOnly, match=r"full|Make the folder writable"):
            writer.finish(n_tokens=24 * 64)
    assert sorted(tiny_store.layout.coders.iterdir()) == before


def test_a_real_full_disk(tiny_store: Store, tmp_path: Path) -> None:
    """A file size limit of the process: the system refuses the write as a full disk would."""
    script = (
        "import resource, signal, sys, numpy as np\n"
        "from autointerp.errors import StoreReadOnly\n"
        "from autointerp.store import CoderWriter, Store\n"
        "store = Store.open(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try:\n"
        "  with CoderWriter(store, 'big', kind='sae', hookpoint='h', n_latents=2, k=1, d_in=4, source='') as w:\n"
        "    w.append(np.zeros(1536, int), np.arange(1536), np.ones(1536, np.float32))\n"
        "    w.finish(n_tokens=1536)\n"
        "except StoreReadOnly as error:\n"
        "  print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_store.path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("refused"), done.stderr
    assert sorted(path.name for path in tiny_store.layout.coders.iterdir()) == [
        "sae.duckdb",
        "transcoder.duckdb",
    ]


def test_a_folder_that_is_no_folder_cannot_be_written(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(StoreReadOnly, match="locked"):
            corpus_writer(locked / "s")


def test_threads_read_at_the_same_time(tiny_store: Store) -> None:
    expected = [tiny_store.coder("sae").activations(latent).token.tolist() for latent in range(8)]
    failures: list[object] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for latent in rng.integers(0, 8, 30).tolist():
                coder = tiny_store.coder("sae")
                assert coder.activations(latent).token.tolist() == expected[latent]
                coder.histogram(latent)
                assert list_latents(tiny_store).total == 12
                tiny_store.sql("SELECT count(*) FROM latents")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    write_coder(tiny_store, "meanwhile", CoderSpec({}, n_latents=1))
    for thread in threads:
        thread.join()
    assert failures == []


def _count(path: str) -> int:
    store = Store.open(path)
    return sum(len(store.coder("sae").activations(latent).token) for latent in range(8))


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_read_at_the_same_time(tiny_store: Store, method: str) -> None:
    expected = _count(str(tiny_store.path))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_count, [str(tiny_store.path)] * 4) == [expected] * 4


def test_a_killed_writers_temporary_file_goes_with_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    left, writing = (tmp_path / f".store.json.tmp-{i}-abc" for i in range(2))
    for path in (left, writing):
        path.write_text("{")
    with open(writing, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_atomically(file, "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file.name, writing.name])


def test_an_endless_path_is_an_error_with_a_name() -> None:
    with pytest.raises(StoreMissing, match="too long"):
        Store.open("/tmp/" + "x" * 5_000)


def test_folders_made_for_nothing_go(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for folder in (tmp_path / "a" / "b", tmp_path / "kept"):
        Workspace(folder, "corpus").close()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
