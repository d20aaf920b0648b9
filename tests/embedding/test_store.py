"""Window embeddings on disk: complete or not there, resumed after any death, shared by processes."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.embedding import StoreEmbedder, embed_store, window_texts
from autointerp.errors import BadActivations, StoreReadOnly, UserError
from autointerp.sampling import make_windows
from autointerp.sampling.windows import cut
from autointerp.store import Store
from autointerp.store.embeddings.reader import Places, file_stem, list_embeddings
from autointerp.store.embeddings.texts import TextVectors
from autointerp.store.embeddings.writer import EmbeddingWriter
from autointerp.types import Progress
from tests.conftest import StoreFactory
from tests.embedding.conftest import HashEmbedder


def embedded(store: Store, embedder: HashEmbedder, **options: Any) -> Any:
    return embed_store(store, embedder, **options)


def test_every_window_gets_the_vector_of_its_text(tiny_store: Store, hashed: HashEmbedder):
    found = embedded(tiny_store, hashed, window=16, block=10)
    assert found.vectors.dtype == np.float16
    assert found.vectors.shape == (24 * 4, 16)
    for context in range(tiny_store.n_contexts):
        for start in range(0, 64, 16):
            row = int(found.places.rows(*np.array([[context], [start], [16]]))[0])
            text = "".join(tiny_store.decode(tiny_store.tokens[context, start : start + 16]))
            assert np.allclose(found.vectors[row], hashed.embed([text])[0], atol=1e-3)
            assert found.places.place(row) == (context, start, start + 16)


@pytest.mark.parametrize(("window", "stride"), [(16, 16), (20, 20), (32, 8), (100, 64), (64, 1)])
def test_places(window: int, stride: int):
    places = Places(n_contexts=3, ctx_len=64, window=min(window, 64), stride=stride)
    expected = [(c, s, min(s + places.window, 64)) for c in range(3) for s in range(0, 64, stride)]
    assert [places.place(row) for row in range(places.n_windows)] == expected
    context, start, end = np.array(expected).T
    assert places.rows(context, start, end - start).tolist() == list(range(places.n_windows))
    length = places.window
    nowhere = np.array([(3, 0, length), (-1, 0, length), (0, 64, length), (0, -stride, length), (0, 0, 7)])
    assert places.rows(*nowhere.T).tolist() == [-1] * 5


def test_done_once(tiny_store: Store, hashed: HashEmbedder):
    first = embedded(tiny_store, hashed)
    asked = len(hashed.asked)
    assert embedded(tiny_store, hashed) is first
    assert len(hashed.asked) == asked
    assert list_embeddings(tiny_store.path) == [("hash", 32, 32)]
    assert not list((tiny_store.path / "embeddings").glob(".*"))
    assert Store.open(tiny_store.path).embeddings("hash") is not None


def test_there_is_nothing_before_the_manifest(tiny_store: Store, hashed: HashEmbedder):
    assert tiny_store.embeddings("hash") is None
    (tiny_store.path / "embeddings" / "hash").mkdir(parents=True)
    assert tiny_store.embeddings("hash") is None
    embedded(tiny_store, hashed)
    manifest = tiny_store.path / "embeddings" / "hash.w32.s32.json"
    text = manifest.read_text()
    for broken in ("", "[]", "{}", text[: len(text) // 2], text.replace("hash.w32", "../hash.w32")):
        manifest.write_text(broken)
        assert tiny_store.embeddings("hash") is None
    manifest.write_text(text)
    assert tiny_store.embeddings("hash") is not None


@pytest.mark.parametrize("damage", ["cut", "gone", "other corpus"])
def test_damage_is_noticed_and_mended(damage: str, tiny_store: Store, hashed: HashEmbedder):
    before = np.array(embedded(tiny_store, hashed).vectors)
    folder = tiny_store.path / "embeddings"
    file, manifest = next(folder.glob("*.npy")), next(folder.glob("*.json"))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "gone":
        file.unlink()
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "corpus_sha256": "0"}))
    store = Store.open(tiny_store.path)
    assert store.embeddings("hash") is None
    assert np.array_equal(embedded(store, hashed).vectors, before)


def test_other_weights_are_embedded_again_and_replace_the_old(tiny_store: Store, hashed: HashEmbedder):
    embedded(tiny_store, hashed)
    other = HashEmbedder(fingerprint="hash-2", dim=8)
    assert StoreEmbedder(tiny_store, other).windows(32) is None
    assert embedded(tiny_store, other).dim == 8
    assert len(list((tiny_store.path / "embeddings").glob("*.npy"))) == 1


def stop_at_20(step: Progress) -> None:
    if step.done >= 20:
        raise KeyboardInterrupt


def test_a_stopped_run_goes_on(tiny_store: Store, hashed: HashEmbedder):
    with pytest.raises(KeyboardInterrupt):
        embed_store(tiny_store, hashed, window=16, block=10, progress=stop_at_20)
    assert tiny_store.embeddings("hash", window=16) is None
    hashed.asked.clear()
    seen: list[Progress] = []
    found = embedded(tiny_store, hashed, window=16, block=10, progress=seen.append)
    assert len(hashed.asked) == 24 * 4 - 10
    assert seen[0].done == 10
    assert seen[-1].done == seen[-1].total == 24 * 4
    fresh = HashEmbedder().embed(window_texts(tiny_store, found.places, range(len(found))))
    assert np.array_equal(found.vectors, fresh.astype(np.float16))


@pytest.mark.parametrize("damage", ["plan", "blocks", "vectors.npy"])
def test_a_damaged_partial_is_no_obstacle(damage: str, tiny_store: Store, hashed: HashEmbedder):
    expected = np.array(embedded(tiny_store, hashed, window=16, block=10).vectors)
    shutil.rmtree(tiny_store.path / "embeddings")
    with pytest.raises(KeyboardInterrupt):
        embed_store(tiny_store, hashed, window=16, block=10, progress=stop_at_20)
    partial = next((tiny_store.path / "embeddings").glob(".*"))
    with open(partial / damage, "r+b") as file:
        file.seek(0, os.SEEK_END)
        if damage == "blocks":
            file.write(b"7")  # a line torn off
        else:
            file.truncate(file.tell() // 2)
    assert np.array_equal(embedded(tiny_store, hashed, window=16, block=10).vectors, expected)


def test_nothing_that_is_no_number_is_stored(tiny_store: Store):
    class Broken(HashEmbedder):
        def embed(self, texts: Any, progress: Any = None) -> Any:
            return np.full((len(texts), 16), np.nan, dtype=np.float32)

    with pytest.raises(BadActivations):
        embed_store(tiny_store, Broken())
    assert tiny_store.embeddings("hash") is None


@pytest.mark.parametrize(("window", "stride"), [(0, None), (-3, None), (8, 9), (8, 0)])
def test_impossible_windows(window: int, stride: int | None, tiny_store: Store, hashed: HashEmbedder):
    with pytest.raises(UserError, match="impossible; accepted: 1 to"):
        embed_store(tiny_store, hashed, window=window, stride=stride)


def test_a_window_longer_than_a_context_is_the_context(tiny_store: Store, hashed: HashEmbedder):
    found = embedded(tiny_store, hashed, window=1000)
    assert len(found) == tiny_store.n_contexts
    assert tiny_store.embeddings("hash", window=64) is found


def test_a_folder_that_cannot_be_written(
    tiny_store: Store, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreReadOnly):
        embed_store(tiny_store, hashed)
    assert len(StoreEmbedder(tiny_store, hashed).embed_queries(["a"])) == 1


class Slow(HashEmbedder):
    def embed(self, texts: Any, progress: Any = lambda _: None) -> Any:
        time.sleep(0.02)
        return super().embed(texts, progress)


def _embed(path: Path) -> None:
    embed_store(Store.open(path), Slow(), window=8, block=4)


def test_killed_at_random_times_it_completes(tiny_store: Store):
    spawn = multiprocessing.get_context("spawn")
    rng = random.Random(0)
    kills = 0
    for _ in range(6):
        process = spawn.Process(target=_embed, args=(tiny_store.path,))
        process.start()
        partial = tiny_store.path / "embeddings" / ".hash.w8.s8.partial"
        deadline = time.monotonic() + 60
        while not partial.exists() and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills
    found = embedded(tiny_store, Slow(), window=8, block=4)
    texts = window_texts(tiny_store, found.places, range(len(found)))
    assert np.array_equal(found.vectors, HashEmbedder().embed(texts).astype(np.float16))
    assert not list((tiny_store.path / "embeddings").glob(".*"))


def test_two_processes_share_the_work_of_one(tiny_store: Store):
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_embed, args=(tiny_store.path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    assert tiny_store.embeddings("hash", window=8) is not None
    assert len(list((tiny_store.path / "embeddings").glob("*.npy"))) == 1


# Looking up --------------------------------------------------------------------------------------


class Item:
    def __init__(self, window: Any):
        self.window = window


def test_stored_windows_are_looked_up_and_others_embedded(tiny_store: Store, hashed: HashEmbedder):
    embedded(tiny_store, hashed, window=16)
    hashed.asked.clear()
    acts = tiny_store.coder("sae").activations(4)
    places = [(0, 0, 16), (3, 16, 32), (3, 17, 33), (5, 0, 32), (23, 48, 64)]
    windows = make_windows([cut(acts, tiny_store.tokens, *place) for place in places], tiny_store.decode)
    known = StoreEmbedder(tiny_store, hashed)
    vectors = known.embed_windows([Item(window) for window in windows])
    assert hashed.asked == [windows[2].text, windows[3].text]
    assert np.allclose(vectors, HashEmbedder().embed([window.text for window in windows]), atol=1e-3)
    assert known.embed_windows([]).shape == (0, 16)


def test_a_query_is_embedded_once_for_all_processes(tiny_store: Store, hashed: HashEmbedder):
    texts = ["b", "a", "b", "\ud800", "a\x00", ""]
    first = StoreEmbedder(tiny_store, hashed).embed_queries(texts)
    assert hashed.asked == ["b", "a", "\ud800", "a\x00", ""]
    hashed.asked.clear()
    again = StoreEmbedder(tiny_store, hashed).embed_queries(texts)
    assert hashed.asked == []
    assert np.array_equal(first, again)
    assert StoreEmbedder(tiny_store, hashed).embed_queries([]).shape == (0, 16)
    other = HashEmbedder(fingerprint="hash-2")
    StoreEmbedder(tiny_store, other).embed_queries(["b"])
    assert other.asked == ["b"]


def test_a_damaged_cache_of_texts_is_only_a_loss_of_time(tmp_path: Path):
    kept = TextVectors(tmp_path, "hash", "1", 4)
    vector = np.ones(4, dtype=np.float16)
    assert kept.put({"a": vector})
    assert np.array_equal(kept.get(["a", "b"])["a"], vector)
    many = {str(i): vector for i in range(1234)}
    assert kept.put(many)
    assert len(kept.get(list(many))) == 1234
    for end in ("", "-wal", "-shm"):
        Path(f"{kept.path}{end}").write_bytes(b"no database at all" * 100)
    assert kept.get(["a"]) == {}
    assert not kept.put({"a": vector})


def test_file_names_are_safe_and_never_shared():
    names = [
        "all-MiniLM-L6-v2",
        "org/model",
        "org-model",
        "../../etc",
        "",
        "é",
        "a" * 500,
        "a" * 501,
        "a.b",
        "a b",
    ]
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all("/" not in stem and not stem.startswith(".") and len(stem) < 100 for stem in stems)


def test_contexts_that_do_not_divide(store_factory: StoreFactory, hashed: HashEmbedder):
    store = store_factory(np.arange(50).reshape(2, 25) % 7)
    found = embedded(store, hashed, window=10)
    assert len(found) == 6
    text = "".join(store.decode(store.tokens[1, 20:25]))
    row = found.places.rows(*np.array([[1], [20], [5]]))[0]
    assert row == 5
    assert np.allclose(found.vectors[row], hashed.embed([text])[0], atol=1e-3)


def _writer(root: Path, n_contexts: int = 64) -> EmbeddingWriter:
    places = Places(n_contexts, 128, 32, 32)
    return EmbeddingWriter(
        root, embedder="e", fingerprint="f", precision="p", dim=64, places=places, corpus_sha256="c", block=16
    )


def test_all_room_is_taken_before_the_first_vector(tmp_path: Path):
    with _writer(tmp_path) as writer:
        status = (writer.partial / "vectors.npy").stat()
    assert status.st_blocks * 512 >= status.st_size > 64 * 4 * 64 * 2


def _limited(root: Path) -> None:
    """In a process of its own: files may grow to a page, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        with _writer(root) as writer:
            writer.put(0, np.ones((16, 64), np.float32))
    except StoreReadOnly as error:
        os._exit(7 if "full" in str(error) else 1)
    os._exit(0)


def test_a_full_disk_is_told_and_not_the_death_of_the_process(tmp_path: Path):
    process = multiprocessing.get_context("spawn").Process(target=_limited, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 7
    with _writer(tmp_path) as writer:  # once there is room
        for number, first, stop in writer.todo():
            writer.put(number, np.full((stop - first, 64), number, np.float32))
        writer.finish()
