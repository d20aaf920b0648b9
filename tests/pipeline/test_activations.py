"""Activations read ahead are the activations."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from autointerp.pipeline import activations
from autointerp.pipeline.activations import ActivationCache
from autointerp.store import CoderStore, Store
from autointerp.types import LatentActivations


def same(found: LatentActivations, expected: LatentActivations) -> bool:
    return np.array_equal(found.token, expected.token) and np.array_equal(
        found.activation, expected.activation
    )


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First and last latent of every read of more than one, and of one."""
    seen: list[tuple[int, int]] = []
    between = CoderStore.activations_between

    def watched(self: CoderStore, first: int, last: int) -> list[LatentActivations]:
        seen.append((first, last))
        return between(self, first, last)

    monkeypatch.setattr(CoderStore, "activations_between", watched)
    return seen


def test_ranges_are_the_single_latents(tiny_store: Store) -> None:
    for info in tiny_store.coders():
        coder = tiny_store.coder(info.coder)
        for first in range(info.n_latents):
            for last in range(first, info.n_latents):
                found = coder.activations_between(first, last)
                assert len(found) == last - first + 1
                assert all(same(one, coder.activations(first + i)) for i, one in enumerate(found))


@pytest.mark.parametrize(
    "order", [range(8), [7, 6, 5, 4, 3, 2, 1, 0], [0, 1, 2, 7, 0, 1, 3, 4], [5, 5, 4, 6]]
)
@pytest.mark.parametrize("rows", [1, 40, 1 << 20])
def test_every_order_gets_what_is_stored(
    order: Sequence[int], rows: int, tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "MAX_ROWS", rows)
    ahead = ActivationCache(tiny_store)
    for latent in order:
        for name in ("sae", "transcoder"):
            coder = tiny_store.coder(name)
            if latent < coder.info.n_latents:
                assert same(ahead.get(coder, latent), coder.activations(latent))


def test_a_walk_in_order_reads_ahead_and_a_jump_does_not(
    tiny_store: Store, queries: list[tuple[int, int]]
) -> None:
    coder, ahead = tiny_store.coder("sae"), ActivationCache(tiny_store)
    for latent in coder.table().live.tolist():  # 0 1 2 3 4 6 7
        ahead.get(coder, latent)
    assert queries == [(0, 1), (2, 6), (7, 7)]
    queries.clear()
    other = ActivationCache(tiny_store)
    for latent in (6, 2, 4):
        other.get(coder, latent)
    assert queries == [(6, 6), (2, 2), (4, 4)]


def test_memory_is_bounded(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "MAX_ROWS", 250)
    read: list[weakref.ref[LatentActivations]] = []
    between = CoderStore.activations_between

    def watched(self: CoderStore, first: int, last: int) -> list[LatentActivations]:
        acts = between(self, first, last)
        read.extend(map(weakref.ref, acts))
        return acts

    monkeypatch.setattr(CoderStore, "activations_between", watched)
    coder, ahead = tiny_store.coder("sae"), ActivationCache(tiny_store)
    counts = coder.table().columns["n_activations"]
    for latent in coder.table().live.tolist() * 2:
        wanted = ahead.get(coder, latent)
        kept = [acts for reference in read if (acts := reference()) is not None]
        assert sum(len(acts.token) for acts in kept) <= max(250, len(wanted.token))
        assert all(len(acts.token) for acts in kept)  # the dead are not kept beside the live
        del kept
    assert counts.sum() > 250  # or the test says nothing


def test_a_coder_made_anew_is_read_anew(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    coder, ahead = tiny_store.coder("sae"), ActivationCache(tiny_store)
    known = ahead.get(coder, 3)
    assert ahead.get(coder, 3) is known
    monkeypatch.setattr(CoderStore, "info", replace(coder.info, created="another time"))
    assert ahead.get(coder, 3) is not known
    assert same(ahead.get(coder, 3), coder.activations(3))
