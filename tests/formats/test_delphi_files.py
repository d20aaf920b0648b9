"""delphi's caches of every shape, there and back, and files that are none."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from autointerp.caching.neighbours import Cofiring
from autointerp.errors import UserError
from autointerp.formats.delphi import read, write
from autointerp.formats.delphi.cache import open_cache
from autointerp.formats.delphi.tensors import open_tensors, write_tensors
from autointerp.formats.requests import ExportRequest, ImportRequest
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import no_progress
from tests.cli.conftest import RunError
from tests.conftest import CoderSpec, StoreFactory
from tests.formats.delphi_files import CONFIG, Rows, write_cache
from tests.formats.test_delphi_golden import TOKENIZER
from tests.formats.test_frame import files

TOKENS = np.arange(32).reshape(4, 8)
ROWS = [(0, 1, 0, 1.5), (0, 1, 4, 2.0), (0, 3, 0, 0.25), (2, 7, 0, 0.5), (3, 0, 5, 65504.0), (3, 0, 1, 6e-8)]
RANGES = [(0, 2), (3, 5)]


def imported(source: Path, store: Path, **options: Any) -> Store:
    read.run(ImportRequest(sources=(source,), store=store, options=options), no_progress)
    return Store.open(store)


@st.composite
def caches(draw: Callable[..., Any]) -> dict[str, Any]:
    n_rows, ctx_len, width = draw(st.integers(1, 6)), draw(st.integers(1, 8)), draw(st.integers(1, 9))
    ids = st.lists(st.integers(0, 40), min_size=n_rows * ctx_len, max_size=n_rows * ctx_len)
    tokens = np.array(draw(ids)).reshape(n_rows, ctx_len)
    place = st.tuples(st.integers(0, n_rows - 1), st.integers(0, ctx_len - 1), st.integers(0, width - 1))
    value = st.floats(-2, 65504, width=16, allow_nan=False)
    rows = [
        (*place, value) for place, value in sorted(draw(st.dictionaries(place, value, max_size=40)).items())
    ]
    cuts = sorted(draw(st.sets(st.integers(1, max(width - 1, 1)), max_size=3)) - {width})
    starts = [0, *cuts]
    return {
        "tokens": tokens.astype(draw(st.sampled_from([np.int32, np.int64, np.uint16]))),
        "rows": rows,
        "ranges": [(first, stop - 1) for first, stop in zip(starts, [*cuts, width], strict=True)],
        "locations": draw(st.sampled_from([np.uint16, np.uint32, np.int64])),
        "tokens_in_all": draw(st.booleans()),
        "config": draw(st.sampled_from([CONFIG, None])),
    }


@given(caches())
@settings(max_examples=10)
def test_every_cache_comes_in_to_the_bit_and_goes_out_again(cache: dict[str, Any]):
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_cache(root / "in" / "latents" / "layers.0", **cache)
        store = imported(root / "in", root / "store")
        width = cache["ranges"][-1][1] + 1
        assert np.array_equal(store.tokens, cache["tokens"])
        coder = store.coder("layers.0")
        assert coder.info.n_latents == width
        for latent in range(width):
            acts = coder.activations(latent)
            own = [(r * store.ctx_len + p, v) for r, p, this, v in cache["rows"] if this == latent and v > 0]
            assert acts.token.tolist() == [token for token, _ in own]
            assert acts.activation.tolist() == [value for _, value in own]
        with Annotations(store.path) as annotations:
            request = ExportRequest(
                store=store,
                annotations=annotations,
                selection={"layers.0": None},
                to=root / "out",
                options={},
            )
            write.run(request, no_progress)
        assert places(root / "out") == [row for row in cache["rows"] if row[3] > 0]
        again = imported(root / "out", root / "again")
        assert again.meta["corpus"]["sha256"] == store.meta["corpus"]["sha256"]
        assert [again.coder("layers.0").activations(i).activation.tolist() for i in range(width)] == [
            coder.activations(i).activation.tolist() for i in range(width)
        ]


def places(run: Path) -> list[tuple[int, int, int, float]]:
    """All entries of a cache, as delphi's loader adds the shard's first latent."""
    entries = []
    for path in (run / "latents" / "layers.0").glob("*.safetensors"):
        shard = load_file(path)
        for (row, position, local), value in zip(
            shard["locations"].tolist(), shard["activations"].tolist(), strict=True
        ):
            entries.append((row, position, local + int(path.stem.split("_")[0]), value))
    return sorted(entries)


ARRAYS = st.dictionaries(
    st.text("abcz_", min_size=1, max_size=4),
    st.tuples(
        st.sampled_from(["<u2", "<f2", "<i4", "<u4", "<i8", "<f4"]),
        st.lists(st.integers(0, 3), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=4,
)


@given(ARRAYS)
def test_files_are_laid_out_as_by_the_library_and_read_by_slices(described: dict[str, tuple[str, list[int]]]):
    arrays = {
        name: np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
        for name, (dtype, shape) in described.items()
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.safetensors"
        write_tensors(path, {name: (a.dtype, a.shape, iter([a])) for name, a in arrays.items()})
        assert path.read_bytes() == save(arrays)
        with path.open("rb") as file:
            for name, tensor in open_tensors(path).items():
                n = tensor.shape[0]
                assert np.array_equal(tensor.rows(file, n // 2, n), arrays[name][n // 2 :])


def annotated(store: Store) -> None:
    """Explanations of latents 0 (shown, with scores), 1 (failed) and 2, and an older one."""
    old = Explanation(coder="sae", latent=0, text="old", explainer="pattern")
    shown = Explanation(coder="sae", latent=0, text='Words like "é"\n</b>', explainer="default", model="m")
    judged = tuple(
        JudgedExample(i, i, 4 * (i % 2), 4, i < 4, [True, False, None][i % 3], None, 3 if i < 4 else None,
                      "activating" if i < 4 else "random")
        for i in range(8)
    )  # fmt: skip
    similar = tuple(example._replace(answer=None, value=0.125 * example.i) for example in judged)
    predicted = tuple(
        example._replace(answer=None, truth=None, predicted=(0.0, 1.5, float(example.i), 10.0))
        for example in judged
    )
    common = {"explanation_id": shown.id, "judge": "llm", "n_pos": 4, "n_neg": 4}
    with Annotations(store.path) as annotations:
        annotations.add(
            old,
            shown,
            Explanation(
                coder="sae",
                latent=1,
                text="",
                explainer="default",
                status="failed",
                error="no",
                error_kind="unparsed",
            ),
            Explanation(coder="sae", latent=2, text="x", explainer="person"),
            Score(scorer="detection", value=0.5, judged=judged, **common),
            Score(scorer="fuzzing", value=0.5, judged=judged, **common),
            Score(scorer="embedding", value=0.5, metric="auroc", judged=similar, **common),
            Score(scorer="simulation", value=0.1, metric="correlation", judged=predicted, **common),
            Score(scorer="surprisal", value=0.5, metric="auroc", judged=similar, **common),
        )


def test_explanations_and_scores_there_and_back(store_factory: StoreFactory, tmp_path: Path):
    tokens = np.random.default_rng(0).permutation(64).reshape(8, 8)
    # Latent 0 fires in the windows of examples 0 to 3, and in none of those of 4 to 7.
    fires = {0: [(token, 1.0 + token / 8) for token in (0, 1, 13, 17, 30)], 2: [(5, 1.0)]}
    pieces = [f" word{i}".encode() for i in range(64)]
    store = store_factory(tokens, {"sae": CoderSpec(fires, 4, hookpoint="layers.0")}, pieces=pieces)
    annotated(store)
    with Annotations(store.path) as annotations:
        judged = {
            score.scorer: annotations.judged(score.id) for score in annotations.scores_of_latent("sae", 0)
        }
        request = ExportRequest(
            store=store, annotations=annotations, selection={"sae": None}, to=tmp_path / "out", options={}
        )
        summary = write.run(request, no_progress)
    assert summary.taken["explanations"] == 2
    assert summary.taken["failed explanations"] == 1
    assert {left.what: left.n for left in summary.left_out if left.n} == {"explanations": 1, "scores": 1}
    back = store_factory(tokens, pieces=pieces)
    summary = read.run(
        ImportRequest(sources=(tmp_path / "out",), store=back.path, name="sae", options={}), no_progress
    )
    assert not [left for left in summary.left_out if left.what == "judged examples"]
    with Annotations(back.path) as annotations:
        texts = {latent: annotations.explanations("sae", latent)[0] for latent in range(3)}
        assert [texts[latent].text for latent in range(3)] == ['Words like "é"\n</b>', "", "x"]
        assert [texts[latent].status for latent in range(3)] == ["ok", "failed", "ok"]
        came = {
            score.scorer: annotations.judged(score.id) for score in annotations.scores_of_latent("sae", 0)
        }
        assert came.keys() == judged.keys() - {"surprisal"}
        for scorer, examples in came.items():
            kept = [facts(example, scorer) for example in judged[scorer]]
            assert sorted(facts(example, scorer) for example in examples) == sorted(kept), scorer


def facts(example: JudgedExample, scorer: str) -> str:
    """What delphi's format holds of one."""
    e = example
    return str((e.context, e.start, e.window, e.truth, e.answer, e.value, e.quantile, e.source, e.predicted))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A small run: a cache, an explanation and a score."""
    root = tmp_path / "in"
    write_cache(root / "latents" / "layers.0", TOKENS, ROWS, RANGES)
    (root / "explanations").mkdir()
    (root / "explanations" / "layers.0_latent0.txt").write_text('"a word"')
    (root / "scores" / "detection").mkdir(parents=True)
    row = {"str_tokens": ["[0]", "[1]", "[2]", "[3]"], "activations": [0.0, 1.5, 0.0, 0.25], "distance": 0, "activating": True,
           "prediction": True, "probability": None, "correct": True}  # fmt: skip
    (root / "scores" / "detection" / "layers.0_latent0.txt").write_text(json.dumps([row]))
    (root / "run_config.json").write_text(json.dumps({"constructor_cfg": {"example_ctx_len": 4}}))
    return root


def test_a_cache_may_have_more_shards_than_a_process_may_open_files(tmp_path: Path):
    n = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = len(os.listdir("/proc/self/fd")) + 40  # what this process has open, and some
    width = 80
    tokens = np.arange(8).reshape(1, 8)
    rows = [(0, latent % 8, latent, 1.0) for latent in range(width)]
    write_cache(
        tmp_path / "in",
        tokens,
        sorted(rows),
        [(latent, latent) for latent in range(width)],
        tokens_in_all=False,
    )
    cache = open_cache(tmp_path / "in")
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        read_back = [latent for firings in cache.activations() for latent in firings.latent.tolist()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert sorted(read_back) == list(range(width))


def test_what_fails_on_the_second_thread_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Cofiring, "add", no_memory)
    write_cache(tmp_path / "in", TOKENS, ROWS, RANGES)
    with pytest.raises(MemoryError):
        imported(tmp_path / "in", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def shard(root: Path, name: str = "0_2") -> Path:
    return root / "latents" / "layers.0" / f"{name}.safetensors"


def rewrite(rows: Rows, **options: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        shutil.rmtree(root / "latents")
        given = {"tokens": TOKENS, "ranges": RANGES, **options}
        write_cache(root / "latents" / "layers.0", rows=rows, **given)

    return change


def put(path: str, content: str | bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def move(path: str, to: str) -> Callable[[Path], object]:
    return lambda root: shutil.move(root / path, root / to)


def truncate(root: Path) -> None:
    shard(root).write_bytes(shard(root).read_bytes()[:-7])


def other_text(root: Path) -> None:
    write_cache(root / "other", TOKENS + 1, ROWS, RANGES)
    shutil.copy(root / "other" / "3_5.safetensors", shard(root, "3_5"))


def without_tokens(root: Path) -> None:
    for path in (root / "latents" / "layers.0").glob("*.safetensors"):
        arrays = load_file(path)
        del arrays["tokens"]
        path.write_bytes(save(arrays))


SCORE = "scores/detection/layers.0_latent0.txt"
CACHE = "latents/layers.0"
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing shard": (lambda root: shard(root).unlink(), "latents 0 to 2 is missing"),
    "overlapping shards": (move(f"{CACHE}/3_5.safetensors", f"{CACHE}/2_5.safetensors"), "overlaps the shard before it"),
    "gap": (move(f"{CACHE}/3_5.safetensors", f"{CACHE}/4_6.safetensors"), "latents 3 to 3 is missing"),
    "truncated": (truncate, "truncated"),
    "empty file": (put(f"{CACHE}/0_2.safetensors", b""), "no safetensors header"),
    "no safetensors": (put(f"{CACHE}/0_2.safetensors", b"PK\x03\x04" * 50), "no safetensors header"),
    "other name": (move(f"{CACHE}/0_2.safetensors", f"{CACHE}/model.safetensors"), "not a delphi shard"),
    "backwards": (move(f"{CACHE}/3_5.safetensors", f"{CACHE}/5_3.safetensors"), "before its first"),
    "mixed texts": (other_text, "a different text"),
    "no tokens": (without_tokens, "before February 2025"),
    "latent beyond the shard": (rewrite([(0, 0, 1, 1.0)], ranges=[(0, 0), (1, 1)]), ""),
    "row beyond the text": (rewrite([(4, 0, 1, 1.0)]), "row 4, and only 0 to 3 exist"),
    "position beyond the text": (rewrite([(0, 8, 1, 1.0)]), "position 8, and only 0 to 7 exist"),
    "unsorted": (rewrite([(1, 0, 1, 1.0), (0, 0, 1, 1.0)]), "not in ascending order"),
    "twice": (rewrite([(1, 0, 1, 1.0), (1, 0, 1, 1.0)]), "are repeated"),
    "NaN": (rewrite([(1, 0, 1, float("nan"))]), "NaN or infinity"),
    "infinity": (rewrite([(1, 0, 1, float("inf"))]), "NaN or infinity"),
    "float32": (rewrite(ROWS, activations=np.float32), "activations of float32"),
    "places as numbers": (rewrite(ROWS, locations=np.float32), "locations of float32"),
    "negative ids": (rewrite(ROWS, tokens=TOKENS - 5), "ids count from 0"),
    "huge ids": (rewrite(ROWS, tokens=TOKENS + (1 << 30)), "no tokenizer has more than"),
    "config no JSON": (put(f"{CACHE}/config.json", "{"), "cannot be read"),
    "run config a list": (put("run_config.json", "[1]"), "is not a JSON object"),
    "explanation no text": (put("explanations/layers.0_latent0.txt", '{"a": 1}'), "is not a JSON string"),
    "explanation no JSON": (put("explanations/layers.0_latent0.txt", "a word"), "is not JSON"),
    "explanation beyond the width": (put("explanations/layers.0_latent9.txt", '"x"'), "about latent 9"),
    "score an object": (put(SCORE, "{}"), "not a list of examples"),
    "score of texts": (put(SCORE, '["a"]'), "not a JSON object"),
    "score uneven": (put(SCORE, '[{"str_tokens": ["a"], "activations": [1, 2]}]'), "one example"),
    "score NaN": (put(SCORE, '[{"str_tokens": ["a"], "activations": [NaN]}]'), "NaN, infinity"),
    "score deep": (put(SCORE, "[" * 100_000), "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_and_nothing_is_made(
    name: str, run_folder: Path, tmp_path: Path, run_error: RunError
):
    damage, said = BAD[name]
    damage(run_folder)
    if name == "latent beyond the shard":
        arrays = load_file(shard(run_folder, "1_1"))
        arrays["locations"][:, 2] = 1
        shard(run_folder, "1_1").write_bytes(save(arrays))
        said = "latent 1, and only 0 to 0 exist"
    before = files(tmp_path)
    message = run_error("import", "delphi", run_folder, "--store", tmp_path / "store")
    assert said in message
    assert not (tmp_path / "store").exists()
    assert files(tmp_path) == before, "not even a hidden folder is left"


def test_ids_beyond_the_vocabulary_name_the_tokenizer(run_folder: Path, tmp_path: Path, run_error: RunError):
    rewrite(ROWS, tokens=TOKENS + 5000)(run_folder)
    message = run_error(
        "import", "delphi", run_folder, "--store", tmp_path / "store", "--tokenizer", TOKENIZER
    )
    assert "token id 5031 is outside the vocabulary" in message
    assert not (tmp_path / "store").exists()


def test_without_a_tokenizer_ids_are_shown_and_nothing_is_fetched(run_folder: Path, tmp_path: Path):
    request = ImportRequest(sources=(run_folder,), store=tmp_path / "store", options={})
    summary = read.run(request, no_progress)
    assert (
        summary.notes == [note for note in summary.notes if note.startswith("Tokens are shown as ids")] != []
    )
    assert Store.open(tmp_path / "store").decode(TOKENS[0])[:2] == ["[0]", "[1]"]


def test_an_export_overwrites_nothing_and_leaves_nothing(
    tiny_store: Store, tmp_path: Path, run_error: RunError
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    command = ("export", "delphi", "--store", tiny_store.path, "--to", tmp_path / "out")
    assert "already exists" in run_error(*command)
    assert "need" in run_error(*command, "--latents", "0-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny"]


LIMITED = """
import resource, signal, sys
from autointerp.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
code = main(["import", "delphi", sys.argv[2], "--store", sys.argv[3]])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.exit(code)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_at_any_moment_leaves_the_store_as_it_was(
    run_folder: Path, tmp_path: Path, existing: bool
):
    store = tmp_path / "store"
    if existing:
        imported(run_folder / "latents", store)
        write_cache(run_folder / "latents" / "layers.1", TOKENS, ROWS, RANGES)
    before = files(tmp_path)
    for limit in (60, 5_000, 300_000):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(limit), str(run_folder), str(store)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "disk is full" in done.stderr or "cannot be written" in done.stderr, done.stderr
        assert {name: content for name, content in files(tmp_path).items() if "-wal" not in name} == before


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut off, repeated or put in; of texts also words that a parser may trip over."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at:]
            case 2:
                del data[at : at + rng.randrange(1, 9)]
            case 3:
                data[at:at] = data[max(0, at - 20) : at]
            case 4:
                data[at:at] = rng.choice(
                    [b"NaN", b"1e999", b"-1", b"null", b"{", b"]", b'"', b"\xff", b"9" * 21]
                )
            case _:
                data[at : at + 8] = rng.randbytes(8)
    return bytes(data)


def mutations(root: Path, pattern: str, n: int, seed: int) -> Iterator[Path]:
    """The files of this pattern, one of them mutated, `n` times; whole again afterwards."""
    originals = {path: path.read_bytes() for path in sorted(root.rglob(pattern))}
    rng = random.Random(seed)
    for _ in range(n):
        path = rng.choice(list(originals))
        path.write_bytes(mutated(originals[path], rng))
        yield path
        path.write_bytes(originals[path])


def test_hundreds_of_mutated_shards_are_refused_or_read(run_folder: Path):
    rewrite(ROWS, tokens_in_all=False)(run_folder)
    outcomes = {True: 0, False: 0}
    for _ in mutations(run_folder, "*.safetensors", 400, 14):
        try:
            cache = open_cache(run_folder / "latents" / "layers.0")
            cache.check_tokens()
            for firings in cache.activations():
                assert firings.token.max(initial=0) < cache.n_contexts * cache.ctx_len
                assert firings.latent.max(initial=0) < cache.n_latents
            outcomes[True] += 1
        except UserError:
            outcomes[False] += 1
    assert min(outcomes.values()) >= 20, outcomes


def test_hundreds_of_mutated_results_are_refused_or_read(run_folder: Path, tmp_path: Path):
    """Into a store that has the coder: what is refused adds nothing."""
    store = imported(run_folder / "latents", tmp_path / "store")
    outcomes = {True: 0, False: 0}
    with Annotations(store.path) as annotations:
        for path in mutations(run_folder, "*.[tj]*", 250, 15):
            before = annotations.version("layers.0")
            try:
                imported(run_folder, store.path)
                outcomes[True] += 1
            except UserError as error:
                outcomes[False] += 1
                if path.name not in str(error):
                    raise AssertionError(f"{error} does not name {path}") from error
                if annotations.version("layers.0") != before:
                    raise AssertionError("something was added") from error
    assert min(outcomes.values()) >= 20, outcomes


def test_mutated_files_make_no_store(run_folder: Path, tmp_path: Path):
    before = {path.name for path in tmp_path.iterdir()}
    for _ in mutations(run_folder, "*.*s", 12, 16):
        try:
            imported(run_folder, tmp_path / "store")
            shutil.rmtree(tmp_path / "store")
        except UserError:
            pass
        if {path.name for path in tmp_path.iterdir()} != before:
            raise AssertionError("something is left")
