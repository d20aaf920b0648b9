"""Computed statistics: against plain Python, in `derived/`, in stores that cannot be written, in several processes."""

import math
import shutil
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from autointerp.settings import ENV_READ_ONLY
from autointerp.store import STATISTICS, LatentQuery, Statistic, Store, list_latents
from autointerp.store.coders.computed import compute
from autointerp.store.coders.spool import LatentBlock
from autointerp.store.coders.statistics import Grid, block_statistics
from autointerp.store.derived import Derivation
from tests.conftest import CoderSpec, StoreFactory, write_coder


def p95(block: LatentBlock, grid: Grid) -> np.ndarray:
    rows = np.split(block.activation, block.offsets[1:-1])
    return np.array([np.percentile(row, 95) for row in rows])


TOY = Statistic(
    "p95", "95th percentile", "Of its activations", "activation", compute=p95, in_list=True, filters=("min",)
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Statistic:
    monkeypatch.setitem(STATISTICS, TOY.name, TOY)
    return TOY


def expected(store: Store, coder: str) -> dict[int, float]:
    found = {
        latent: store.coder(coder).activations(latent) for latent in range(store.coder(coder).info.n_latents)
    }
    return {
        latent: float(np.percentile(acts.activation, 95)) for latent, acts in found.items() if len(acts.token)
    }


def test_token_entropy_agrees_with_plain_python(tiny_store: Store) -> None:
    for info in tiny_store.coders():
        for latent in range(info.n_latents):
            acts = tiny_store.coder(info.coder).activations(latent)
            counts = Counter(tiny_store.tokens.reshape(-1)[acts.token].tolist())
            n = sum(counts.values())
            value = tiny_store.coder(info.coder).all_stats(latent)["token_entropy"]
            if not n:
                assert value is None
                continue
            assert value == pytest.approx(-sum(c / n * math.log2(c / n) for c in counts.values()), abs=1e-9)


def test_dead_latents_between_others_change_nothing() -> None:
    grid = Grid(np.array([5, 7, 7, 5, 6, 6, 6, 5], dtype=np.uint16), ctx_len=4, vocab_size=10)
    offsets, token = np.array([0, 0, 3, 3, 7, 7]), np.array([0, 1, 2, 3, 4, 5, 7], dtype=np.uint32)
    block = LatentBlock(3, offsets, token, np.ones(7, dtype=np.uint16), 1.0)
    latents = block_statistics(block, grid, np.full(4, 2)).latents
    assert latents["top_token"].tolist() == [0, 7, 0, 5, 0]  # of two equally often, the smaller
    assert latents["top_count"].tolist() == [0, 2, 0, 2, 0]
    entropy = compute(block, grid, ["token_entropy"])["token_entropy"]
    np.testing.assert_allclose(entropy, [np.nan, np.log2(3) - 2 / 3, np.nan, 1.0, np.nan])


def test_entropy_of_one_token_and_of_four(store_factory: StoreFactory) -> None:
    tokens = np.array([[0, 1, 2, 3, 4, 1, 1, 1]])
    spec = CoderSpec(
        {0: [(1, 1.0), (5, 2.0), (6, 0.5)], 1: [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]}, n_latents=3
    )
    coder = store_factory(tokens, {"c": spec}).coder("c")
    assert [coder.all_stats(i)["token_entropy"] for i in range(3)] == [0.0, 2.0, None]


def test_a_new_statistic_sorts_filters_and_is_in_sql(tiny_store: Store, toy: Statistic) -> None:
    for name in ("sae", "transcoder"):
        values = expected(tiny_store, name)
        query = LatentQuery(sort="p95", limit=99)
        rows = list_latents(tiny_store, [name], query).rows
        assert {row.stats.latent: row.stats["p95"] for row in rows} == pytest.approx(values)
        assert [row.stats["p95"] for row in rows] == sorted(values.values(), reverse=True)
        bound = float(np.median(list(values.values())))
        page = list_latents(tiny_store, [name], LatentQuery(bounds={"p95": (bound, None)}))
        assert page.total == sum(value >= bound for value in values.values())
        sql = tiny_store.sql(f"SELECT latent, p95 FROM {name}.latents WHERE p95 IS NOT NULL").to_pylist()
        assert {row["latent"]: row["p95"] for row in sql} == pytest.approx(values)
        for latent, value in values.items():
            assert tiny_store.coder(name).all_stats(latent)["p95"] == pytest.approx(value)


def test_it_is_worked_out_once_for_all_processes(
    tiny_store: Store, toy: Statistic, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_latents(tiny_store, ["sae"])
    (kept,) = (tiny_store.path / "derived").glob("p95-1.sae.*.arrow")
    copy = tiny_store.path.with_name("copy")
    shutil.copytree(tiny_store.path, copy)

    def never(block: LatentBlock, grid: Grid) -> np.ndarray:
        raise AssertionError("worked out again")

    monkeypatch.setitem(
        STATISTICS, "p95", Statistic("p95", "", "", "activation", compute=never, in_list=True)
    )
    first, again = list_latents(tiny_store, ["sae"]), list_latents(Store.open(copy), ["sae"])
    assert first.rows == again.rows
    newer = Statistic("p95", "", "", "activation", compute=p95, version=2, in_list=True)
    monkeypatch.setitem(STATISTICS, "p95", newer)
    list_latents(Store.open(copy), ["sae"])
    assert (copy / "derived" / kept.name).exists()
    assert list((copy / "derived").glob("p95-2.sae.*.arrow"))


def test_a_replaced_coder_has_values_of_its_own(store_factory: StoreFactory, toy: Statistic) -> None:
    store = store_factory(np.zeros((2, 4), dtype=int), {"c": CoderSpec({0: [(1, 1.0)]}, n_latents=1)})
    assert list_latents(store).rows[0].stats["p95"] == 1.0
    store.layout.coder("c").unlink()
    write_coder(store, "c", CoderSpec({0: [(1, 3.0)], 1: [(2, 2.0)]}, n_latents=2))
    assert sorted(row.stats["p95"] for row in list_latents(store).rows) == [2.0, 3.0]
    assert len(list((store.path / "derived").glob("p95-1.c.*.arrow"))) == 1


@pytest.mark.parametrize("content", [b"", b"ARROW1", None])
def test_a_broken_result_is_made_again(tiny_store: Store, toy: Statistic, content: bytes | None) -> None:
    derivation = Derivation("p95", 1, {"sae": tiny_store.generation().coder("sae").identity})
    path = derivation.path(tiny_store.path)
    path.parent.mkdir(exist_ok=True)
    if content is None:  # another result under this name
        Derivation("other", 1, {}).save(tiny_store.path, pa.table({"value": [1.0]}))
        (other,) = path.parent.glob("other-1.*.arrow")
        other.rename(path)
    else:
        path.write_bytes(content)
    values = expected(tiny_store, "sae")
    rows = list_latents(tiny_store, ["sae"], LatentQuery(limit=99)).rows
    assert {row.stats.latent: row.stats["p95"] for row in rows} == pytest.approx(values)
    assert derivation.load(tiny_store.path) is not None


def test_a_read_only_store_computes_in_memory(
    tiny_store: Store, toy: Statistic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    before = sorted(tiny_store.path.rglob("*"))
    rows = list_latents(tiny_store, ["sae"], LatentQuery(sort="p95")).rows
    assert rows[0].stats["p95"] == pytest.approx(max(expected(tiny_store, "sae").values()))
    assert sorted(tiny_store.path.rglob("*")) == before


def test_where_derived_cannot_be_a_folder(tiny_store: Store, toy: Statistic) -> None:
    shutil.rmtree(tiny_store.path / "derived")
    (tiny_store.path / "derived").write_text("in the way")
    rows = list_latents(tiny_store, ["sae"], LatentQuery(sort="p95")).rows
    assert rows[0].stats["p95"] == pytest.approx(max(expected(tiny_store, "sae").values()))


def test_threads_share_one_computation(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(block: LatentBlock, grid: Grid) -> np.ndarray:
        calls.append(block.first)
        return p95(block, grid)

    monkeypatch.setitem(STATISTICS, "p95", Statistic("p95", "", "", "activation", compute=counted))
    query = LatentQuery(sort="p95")
    pages = []
    threads = [
        threading.Thread(target=lambda: pages.append(list_latents(tiny_store, ["sae"], query)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pages) == 4
    assert all(page == pages[0] for page in pages)
    assert calls == [0]


def test_processes_at_the_same_time_agree(tiny_store: Store) -> None:
    shutil.rmtree(tiny_store.path / "derived")
    code = (
        "import sys; from autointerp.store import *; s = Store.open(sys.argv[1]); "
        "print([r.stats['token_entropy'] for r in list_latents(s, query=LatentQuery(sort='token_entropy')).rows])"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tiny_store.path)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert len(answers) == 1
    assert sorted(path.suffix for path in (tiny_store.path / "derived").iterdir()) == [".arrow"] * 2


def test_a_coder_file_brings_its_computed_statistics(tiny_store: Store) -> None:
    """They are worked out as it is written, while its activations are in memory."""
    names = {
        path.name.split(".")[0] + "." + path.name.split(".")[1]
        for path in (tiny_store.path / "derived").iterdir()
    }
    assert names == {"token_entropy-1.sae", "token_entropy-1.transcoder"}


@pytest.mark.parametrize("source", [{}, {"stored": "FLOAT", "compute": p95}])
def test_a_definition_has_one_source(source: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Statistic("x", "X", "", "decimal", **source)
