"""Stores for tests, made by the real writers: `store_factory` from literals, `tiny_store` full of hostile tokens."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from autointerp.store import CoderWriter, CorpusWriter, Store
from autointerp.types import Fidelity

# Property tests try the same examples every time and take as long as they take: none fails by chance or on a slow machine.
# `pytest --hypothesis-profile=explore` tries others.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **_PATIENT)
settings.register_profile("explore", max_examples=1000, **_PATIENT)
settings.load_profile("repeatable")


SLOWEST_FIRST = (
    "demo",
    "browser",
    "batch",
    "caching",
    "jobs",
    "embedding",
    "app",
    "cli",
    "llm",
    "store",
    "pipeline",
)
"""Folders in the order in which several processes should take up their files: a long one taken last would run alone."""

TESTS = Path(__file__).parent
SLOW = tuple((TESTS / "slow.txt").read_text(encoding="utf-8").split())
"""Folders and files that `make test` leaves out and `make test-all` runs: what takes a real Chromium, servers and workers of
others, the whole demo, killed processes or many damaged inputs, and files whose tests take about a second or more each
(`tests/slow.py` measures)."""


def is_slow(path: Path) -> bool:
    return path.relative_to(TESTS).as_posix().startswith(SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is not run is not imported either, which takes as long as many a test."""
    return True if config.option.markexpr == "not slow" and is_slow(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow, and hands files out in the order above; within a folder it stays as it is."""
    rank = {name: at for at, name in enumerate(SLOWEST_FIRST)}
    for item in items:
        if is_slow(item.path):
            item.add_marker("slow")
    items.sort(key=lambda item: rank.get(item.path.relative_to(TESTS).parts[0], len(rank)))


def pytest_configure() -> None:
    """A suite that a script started in the background ignores Ctrl-C, which some tests press."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _same_main_module() -> Iterator[None]:
    """AppTest leaves its script behind as `__main__`, which a process that a later test starts would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


HOSTILE_PIECES: list[bytes] = [
    b"<|endoftext|>",
    b" the",
    b" cat",
    b"<script>alert(1)</script>",
    b"</span>",
    b'"double"',
    b"'single'",
    b"$x$",
    b"`code`",
    "\u202eright to left\u202c".encode(),
    b"a\x00b",
    b"\xed\xa0\x80",  # a lone surrogate
    b"\n",
    b"\xf0\x9f",  # the first half of an emoji
    b"\x98\x80",  # the second half
    b"  ",
    b"\t",
    "\u00e9t\u00e9".encode(),
    b"&amp;",
    b"",
]
"""One token each; 13 and 14 together are one emoji, 11 is no character at all, 0 is special."""

Firings = Mapping[int, Sequence[tuple[int, float]]]
"""latent -> (token index, activation) pairs."""


@dataclass
class CoderSpec:
    """A coder for `store_factory`. `firings`: latent -> (token index, activation) pairs, any order."""

    firings: Firings
    n_latents: int
    kind: str = "sae"
    hookpoint: str = "layers.0.mlp"
    k: int | None = 4
    logits: tuple[NDArray, NDArray, NDArray, NDArray] | None = None
    neighbours: dict[Any, tuple[NDArray, NDArray]] = field(default_factory=dict)
    fidelity: Fidelity | None = None


StoreFactory = Callable[..., Store]


def write_coder(store: Store, name: str, spec: CoderSpec) -> None:
    """Writes `spec` through `CoderWriter`, in two batches."""
    rows = sorted((token, latent, value) for latent, pairs in spec.firings.items() for token, value in pairs)
    with CoderWriter(
        store,
        name,
        kind=spec.kind,
        hookpoint=spec.hookpoint,
        n_latents=spec.n_latents,
        k=spec.k,
        d_in=8,
        source="test",
    ) as writer:
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            writer.append(
                np.array([latent for _, latent, _ in part], dtype=np.int64),
                np.array([token for token, _, _ in part], dtype=np.int64),
                np.array([value for _, _, value in part], dtype=np.float32),
            )
        writer.finish(
            n_tokens=store.n_contexts * store.ctx_len,
            logits=spec.logits,
            neighbours=spec.neighbours,
            fidelity=spec.fidelity,
        )


@pytest.fixture
def store_factory(tmp_path: Path) -> StoreFactory:
    """Makes a store: `store_factory(tokens, coders={name: CoderSpec}, pieces=[bytes], documents=[(name, first, n)])`."""
    return _factory(tmp_path)


def _factory(folder: Path) -> StoreFactory:
    made = 0

    def make(
        tokens: Any,
        coders: Mapping[str, CoderSpec] | None = None,
        *,
        pieces: Sequence[bytes] | None = None,
        documents: Sequence[tuple[str, int, int]] | None = None,
        path: Path | None = None,
    ) -> Store:
        nonlocal made
        made += 1
        tokens = np.asarray(tokens)
        pieces = pieces if pieces is not None else [b" t%d" % i for i in range(int(tokens.max()) + 1)]
        with CorpusWriter(
            path or folder / f"store-{made}",
            model={"name": "tiny", "source": "test", "revision": None, "d_model": 8, "n_layers": 1,
                   "vocab_size": len(pieces), "architecture": "test"},
            tokenizer={"source": "test"},
            name="test",
            ctx_len=tokens.shape[1],
            vocabulary=[(piece.decode("utf-8", "replace"), piece, index == 0) for index, piece in enumerate(pieces)],
        ) as writer:  # fmt: skip
            writer.append(tokens)
            store = writer.finish(documents=documents)
        for name, spec in (coders or {}).items():
            write_coder(store, name, spec)
        return store

    return make


def tiny_tokens() -> NDArray[np.int64]:
    """24 rows of 64 hostile tokens; row 1 repeats row 0, and every row holds a split emoji."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, len(HOSTILE_PIECES), size=(24, 64))
    tokens[:, 0] = 0
    tokens[:, 10:12] = [13, 14]
    tokens[1] = tokens[0]
    return tokens


@pytest.fixture
def tiny_store(tiny_template: Path, tmp_path: Path) -> Store:
    """Two coders over hostile tokens, a copy of its own for each test; see `tiny_template`."""
    return Store.open(shutil.copytree(tiny_template, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two coders over hostile tokens: `sae` (8 latents; 5 is dead; logits, neighbours, fidelity) and `transcoder` (6
    latents; 0 is dead; no logits, no neighbours). Latent 0 of `sae` fires on every `<script>` token, latent 1 on every first
    half of an emoji, latent 2 once, the others at random."""
    tokens = tiny_tokens()
    flat = tokens.ravel()
    rng = np.random.default_rng(1)

    def scattered(n: int) -> list[tuple[int, float]]:
        where = rng.choice(flat.size, size=n, replace=False)
        return [(int(token), float(rng.uniform(0.1, 8.0))) for token in where]

    firings = {
        0: [(int(token), 1.0 + index % 7) for index, token in enumerate(np.flatnonzero(flat == 3))],
        1: [(int(token), 2.0) for token in np.flatnonzero(flat == 13)],
        2: [(70, 0.5)],
        3: scattered(60),
        4: scattered(200),
        6: scattered(11),
        7: scattered(30),
    }
    vocab = len(HOSTILE_PIECES)
    promoted = np.stack([rng.permutation(vocab)[:10] for _ in range(8)])
    suppressed = np.stack([rng.permutation(vocab)[:10] for _ in range(8)])
    values = np.sort(rng.uniform(0.1, 3.0, size=(8, 10)), axis=1)[:, ::-1].astype(np.float32)
    near = np.stack([np.array([other for other in range(8) if other != latent][:5]) for latent in range(8)])
    similar = np.sort(rng.uniform(-0.2, 0.9, size=(8, 5)), axis=1)[:, ::-1].astype(np.float32)
    cofiring = near.copy()
    cofiring[5] = -1
    make = _factory(tmp_path_factory.mktemp("template"))
    return make(
        tokens,
        {
            "sae": CoderSpec(
                firings,
                n_latents=8,
                logits=(promoted, values, suppressed, -values),
                neighbours={
                    "decoder": (near, similar),
                    "encoder": (near, similar),
                    "cofiring": (cofiring, similar),
                },
                fidelity=Fidelity(
                    fvu=0.25, l0=3.5, n_tokens=1024, ce_clean=2.5, ce_spliced=2.75, ce_zero=4.0
                ),
            ),
            "transcoder": CoderSpec(
                {
                    1: scattered(40),
                    2: scattered(5),
                    3: scattered(90),
                    4: [(64 * 23 + 63, 3.0)],
                    5: scattered(12),
                },
                n_latents=6,
                kind="transcoder",
                k=2,
            ),
        },
        pieces=HOSTILE_PIECES,
        documents=[("doc <b>one</b>", 0, 64 * 3), ("doc two", 64 * 3, 64 * 20)],
    ).path
