"""What the store's own model was run for is kept under everything that determines it: another latent, coder, weights, text or
model is run again."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autointerp.errors import StoreDamaged
from autointerp.llm.messages import ChatReply
from autointerp.models.effect import Continued, Effect
from autointerp.pipeline.effects import KeptEffects
from autointerp.pipeline.firings import KeptFirings
from autointerp.store import Store

TEXTS = ("a fox", "a dog")


class Kept(dict[str, ChatReply]):
    def put(self, key: str, request: Any, reply: ChatReply) -> None:
        self[key] = reply


class Counts:
    """Of effects and of texts that were run."""

    n = 0

    def effect(self, coder: str, latent: int, prompts: Any, **_: Any) -> Effect:
        self.n += 1
        return Effect(1.0, 0.3, tuple(Continued("a", "b", "c", 0.1) for _ in prompts))

    def ready(self, coders: Any) -> bool:
        return True

    def run(self, text: str, coders: Any) -> Any:
        self.n += 1
        return SimpleNamespace(token_ids=np.array([0, 1, 2]), n_added=1, ctx_len=8)

    def latent(self, *_: Any) -> Any:
        return np.array([0.0, 1.0, 0.5], dtype=np.float32)


class Seen:
    """A store whose model or coder can be changed."""

    def __init__(self, store: Store, model: dict[str, Any] | None = None, **info: Any):
        self.meta = {**store.meta, "model": {**store.meta["model"], **(model or {})}}
        self._store, self._info = store, info

    def coder(self, name: str) -> Any:
        return SimpleNamespace(info=replace(self._store.coder("sae").info, coder=name, **self._info))


ASKED = {"coder": "sae", "latent": 1, "prompts": [[5, 6], [7]], "kl": 0.3, "n_new": 8, "seed": 3}


@pytest.mark.parametrize(
    "changed",
    [{"coder": "b"}, {"latent": 2}, {"prompts": [[5, 6], [8]]}, {"kl": 1.0}, {"n_new": 9}, {"seed": 4}],
)
def test_an_effect_is_kept_under_all_that_determines_it(changed: dict[str, Any], tiny_store: Store) -> None:
    counts = Counts()
    kept = KeptEffects(Seen(tiny_store), counts, Kept())  # type: ignore[arg-type]
    first = kept.effect(**ASKED)
    assert kept.effect(**ASKED) == first
    assert counts.n == 1
    assert kept.effect(**ASKED | changed)[1] != first[1]
    assert counts.n == 2


@pytest.mark.parametrize(
    "changed", [{"coder": "b"}, {"latent": 2}, {"texts": ("a fox", "a cat")}, {"written_by": "another"}]
)
def test_firings_are_kept_under_all_that_determines_them(changed: dict[str, Any], tiny_store: Store) -> None:
    counts, asked = Counts(), {"coder": "sae", "latent": 1, "texts": TEXTS, "written_by": "reply"}
    kept = KeptFirings(Seen(tiny_store), counts, Kept())  # type: ignore[arg-type]
    first = kept.on(**asked)
    assert kept.on(**asked) == first
    assert counts.n == len(TEXTS)
    assert kept.on(**asked | changed)[1] != first[1]
    assert counts.n == 2 * len(TEXTS)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"fingerprint": "others"}},
        {"source": "elsewhere"},
        {"created": "later"},
        {"config": {"weights": "x"}},
    ],
)
def test_other_weights_are_run_again(changed: dict[str, Any], tiny_store: Store) -> None:
    counts, replies = Counts(), Kept()
    for n, store in enumerate((Seen(tiny_store), Seen(tiny_store, **changed)), 1):
        KeptEffects(store, counts, replies).effect(**ASKED)  # type: ignore[arg-type]
        KeptFirings(store, counts, replies).on("sae", 1, TEXTS, written_by="r")  # type: ignore[arg-type]
        assert counts.n == n * (1 + len(TEXTS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "no JSON",
        '{"texts": [], "written_by": "r", "prompts": [], "rises": [], "strength": 1, "kl": 1}',
    ],
)
def test_nonsense_that_a_store_keeps_is_an_error_with_its_kind(text: str, tiny_store: Store) -> None:
    """A store may be from anybody."""
    replies = Kept()
    effects = KeptEffects(Seen(tiny_store), Counts(), replies)  # type: ignore[arg-type]
    firings = KeptFirings(Seen(tiny_store), Counts(), replies)  # type: ignore[arg-type]
    effects.effect(**ASKED)
    firings.on("sae", 1, TEXTS, written_by="r")
    for key in replies:
        replies[key] = ChatReply(text, "m")
    with pytest.raises(StoreDamaged, match="cannot be read"):
        effects.effect(**ASKED)
    with pytest.raises(StoreDamaged, match="cannot be read"):
        firings.on("sae", 1, TEXTS, written_by="r")
