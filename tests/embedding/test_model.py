"""The default embedder against plain numpy and against sentence-transformers."""

import hashlib
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from autointerp.embedding import TextEmbedder, load_embedder
from autointerp.embedding.load import SHA256, shipped_folder
from autointerp.embedding.minilm import MiniLM, Precision, in_batches
from autointerp.errors import ModelLoadError
from autointerp.types import Progress
from tests.embedding import plain

ORDINARY = [
    "Returns the number of items in the array, or None when it is empty.",
    ">>> np.arange(3)\narray([0, 1, 2])",
    "x",
    "The closing bracket of a gloss, right after a number.",
    "Parameters\n----------\nalpha : float, optional\n    The learning rate, by default 0.1.",
    " ".join(["word"] * 600),
]
HOSTILE = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfffb \ud800\udc00",
    "\u202e\u200b\ufeff",
    "🙂" * 300,
    "x" * 50_000,
]


def shipped(precision: Precision) -> MiniLM:
    return MiniLM(shipped_folder(), name="shipped", sha256=SHA256, precision=precision)


@pytest.fixture(scope="module")
def float32() -> TextEmbedder:
    return shipped("float32")


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    return SentenceTransformer(str(shipped_folder()), device="cpu")


@pytest.mark.parametrize("text", ORDINARY[:4])
def test_plain_numpy_agrees(text: str, float32: TextEmbedder):
    expected = plain.bert(shipped_folder(), text)
    assert np.allclose(float32.embed([text])[0], expected, atol=2e-6)


def test_sentence_transformers_agree_to_rounding(float32: TextEmbedder, reference: SentenceTransformer):
    expected = reference.encode(ORDINARY, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(float32.embed(ORDINARY), expected, atol=2e-6)


def test_bfloat16_has_a_cosine_above_9998_with_the_reference(reference: SentenceTransformer):
    expected = reference.encode(ORDINARY, normalize_embeddings=True, show_progress_bar=False)
    vectors = shipped("bfloat16").embed(ORDINARY)
    assert (vectors * expected).sum(axis=1).min() > 0.9998


def test_any_text_has_a_unit_vector(minilm: TextEmbedder):
    vectors = minilm.embed(HOSTILE)
    assert vectors.shape == (len(HOSTILE), minilm.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert minilm.embed([]).shape == (0, minilm.dim)


def test_a_lone_surrogate_is_read_as_the_replacement_character(float32: TextEmbedder):
    first, second = float32.embed(["a \ud800 b", "a \ufffd b"])
    assert np.allclose(first, second)


def test_a_text_has_one_vector_whatever_it_is_embedded_with(float32: TextEmbedder):
    alone = np.concatenate([float32.embed([text]) for text in ORDINARY])
    assert np.allclose(float32.embed(ORDINARY[::-1])[::-1], alone, atol=1e-5)


def test_progress_counts_texts_and_may_stop_the_work(float32: TextEmbedder):
    seen: list[Progress] = []
    float32.embed(ORDINARY * 5, seen.append)
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == seen[-1].total == 30

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        float32.embed(ORDINARY * 5, stop)


def test_torch_keeps_its_threads_elsewhere(minilm: TextEmbedder):
    before = torch.get_num_threads()
    minilm.embed(ORDINARY)
    inside: list[int] = []
    thread = threading.Thread(target=lambda: inside.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == before == inside[0]


def test_a_query_does_not_wait_for_a_corpus(minilm: TextEmbedder):
    begun, enough = threading.Event(), threading.Event()

    def look(_: Progress) -> None:
        begun.set()
        if enough.is_set():
            raise InterruptedError

    def embed_corpus() -> None:
        with suppress(InterruptedError):
            minilm.embed(ORDINARY * 200, look)

    corpus = threading.Thread(target=embed_corpus)
    corpus.start()
    assert begun.wait(60)
    minilm.embed(["a query"])
    assert corpus.is_alive()
    enough.set()
    corpus.join()


def test_the_first_text_waits_for_torch_alone():
    code = (
        "import sys; from autointerp.embedding import load_embedder; load_embedder().embed(['x']); "
        "print(*{'transformers', 'sentence_transformers', 'scipy', 'sympy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_other_weights_are_refused(tmp_path: Path):
    for file in shipped_folder().glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = b"other weights"
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelLoadError, match=r"not the published ones.*Install it again"):
        MiniLM(tmp_path, name="fake", sha256="0" * 64)
    with pytest.raises(ModelLoadError, match="cannot be used"):
        MiniLM(tmp_path, name="fake", sha256=hashlib.sha256(weights).hexdigest())
    with pytest.raises(ModelLoadError, match="cannot be read"):
        MiniLM(tmp_path / "nothing", name="fake", sha256=SHA256)


def test_any_sentence_transformers_folder_will_do(float32: TextEmbedder):
    other = load_embedder(str(shipped_folder()))
    assert np.allclose(other.embed(ORDINARY), float32.embed(ORDINARY), atol=2e-6)
    assert other.embed(["", "\ud800"]).shape == (2, other.dim)


def test_an_unknown_embedder_is_a_plain_message():
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_embedder("/no/such/folder")


def test_batches_hold_every_text_once_and_equal_lengths_together():
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(1, 50, size=300).tolist(), 900]
    batches = in_batches(lengths)
    assert batches[0].tolist() == [300]
    assert np.concatenate(batches).tolist() == sorted(range(301), key=lambda i: -lengths[i])
    assert all(len({lengths[i] for i in batch}) == 1 for batch in batches)
    assert max(len(in_batches([8] * 500)[0]), 64) == 64
    assert in_batches([]) == []
