"""The copy of the vectors of a coder's explanations: searches find the same with it, without it, and with a damaged one."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.embedding import StoreEmbedder, embed_explanations, search_explanations
from autointerp.embedding.search import ExplanationHit
from autointerp.records import Explanation
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store, copies
from autointerp.store.annotations import Annotations
from tests.embedding.conftest import HashEmbedder

WORDS = ["brackets", "numbers", "quotes", "names", "cats"]


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MIN_ROWS", 1)


@pytest.fixture
def annotations(tiny_store: Store) -> Annotations:
    written = Annotations(tiny_store.path)
    write(written, range(6))
    return written


def write(annotations: Annotations, latents: range, more: str = "") -> None:
    """Some texts are there twice."""
    for latent in latents:
        text = f"Fires on {WORDS[latent % 5]}{more}."
        annotations.add(Explanation(coder="sae", latent=latent, text=text, explainer="pattern"))


def search(annotations: Annotations, known: StoreEmbedder, mode: str = "semantic") -> list[ExplanationHit]:
    """Scores without their last digits: a product of matrices rounds by where a row stands."""
    hits = search_explanations(annotations, known, ["sae"], "Fires on quotes.", mode=mode)  # type: ignore[arg-type]
    for thread in threading.enumerate():
        if thread.name == "copy vectors":
            thread.join()
    return [replace(hit, score=round(hit.score, 5)) for hit in hits]


def copy_of(store: Store) -> Path | None:
    return next((store.path / "derived").glob("vectors-1.sae.*.arrow"), None)


def test_a_copy_is_searched_and_sqlite_is_not(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder
):
    first = search(annotations, StoreEmbedder(tiny_store, hashed))
    assert [hit.latent for hit in first][:1] == [2]
    later = StoreEmbedder(tiny_store, hashed)
    later.texts.path.unlink()
    hashed.asked.clear()
    assert search(annotations, later) == first
    assert set(hashed.asked) <= {"Fires on quotes."}
    both = search(annotations, StoreEmbedder(tiny_store, hashed), "hybrid")
    assert both[0].latent == 2


@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_came_since_is_found_too(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, step: int
):
    known = StoreEmbedder(tiny_store, hashed)
    for number in range(4):
        search(annotations, known)
        write(annotations, range(number, 9, step), f", time {number}")
        if number % 2:
            embed_explanations(annotations, known, ["sae"])
        found = search(annotations, StoreEmbedder(tiny_store, hashed))
        copy = copy_of(tiny_store)
        assert copy is not None
        copy.unlink()
        assert search(annotations, StoreEmbedder(tiny_store, hashed)) == found
        assert search(annotations, known) == found


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_bytes(path.read_bytes().replace(b"quotes", b"quotas")),
    ],
)
def test_a_damaged_copy_is_made_anew(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, damage: Callable[[Path], object]
):
    found = search(annotations, StoreEmbedder(tiny_store, hashed))
    copy = copy_of(tiny_store)
    assert copy is not None
    whole = copy.read_bytes()
    damage(copy)
    assert copy.read_bytes() != whole
    assert search(annotations, StoreEmbedder(tiny_store, hashed)) == found
    later = StoreEmbedder(tiny_store, hashed)
    later.texts.path.unlink()
    hashed.asked.clear()
    assert search(annotations, later) == found
    assert set(hashed.asked) <= {"Fires on quotes."}


def test_a_copy_of_other_weights_is_not_used(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    search(annotations, StoreEmbedder(tiny_store, hashed))
    monkeypatch.setattr(hashed, "fingerprint", "other")
    hashed.asked.clear()
    search(annotations, StoreEmbedder(tiny_store, hashed))
    assert {f"Fires on {word}." for word in WORDS} <= set(hashed.asked)


def test_visitors_write_none(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    found = search(annotations, StoreEmbedder(tiny_store, hashed))
    assert len(found) == 6
    assert copy_of(tiny_store) is None


def test_where_none_can_be_written_it_works_without(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder
):
    shutil.rmtree(tiny_store.path / "derived", ignore_errors=True)
    (tiny_store.path / "derived").write_text("in the way")
    known = StoreEmbedder(tiny_store, hashed)
    assert len(search(annotations, known)) == 6
    cosines = [hit.score for hit in search(annotations, known)]
    assert np.all(np.diff(cosines) <= 0)
