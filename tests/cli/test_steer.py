"""`autointerp steer`."""

from pathlib import Path
from typing import Any

import pytest

from autointerp.store import Store
from tests.caching.conftest import Lab, lab, store, subject
from tests.cli.conftest import RunError, RunJson, RunText
from tests.steering.test_steerer import PROMPT, firing

__all__ = ["Lab", "lab", "store", "subject"]


def test_the_document_and_its_text(store: Store, run_json: RunJson, run_text: RunText) -> None:
    latent = firing(store, "sae")
    words = ("steer", store.path, "sae", latent, "--prompt", PROMPT, "--multiple", 2, "-1", "--tokens", 3)
    document = run_json(*words)
    assert document["options"]["strengths"] == [2.0, -1.0]
    assert len(document["clean"][0]["token_ids"]) <= 3
    _, text, _ = run_text(*words)
    assert "as it is: " in text
    for steered in document["steered"]:
        assert f"{steered['asked']:g} times the maximum: {steered['added'][0]:+.4g}" in text
        assert f"KL {steered['kl']:.3g} nats" in text
        assert steered["raised"][0]["steered"] > steered["raised"][0]["clean"]
    [direct] = document["direct"]
    first = direct["raised"][0]
    assert f"direct effect ({document['logit_unit']})" in text
    assert f"raises: {first['text']!r} {first['value']:+.3f}" in text
    _, held, _ = run_text(
        "steer", store.path, "sae", latent, "--prompt", PROMPT, "--zero", "--from", "prompt"
    )
    assert "held at zero" in held


def test_the_prompt_may_come_on_standard_input(store: Store, run_json: RunJson, monkeypatch: Any) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(PROMPT))
    document = run_json("steer", store.path, "sae", firing(store, "sae"), "--kl", 0.1, 1e6, "--tokens", 1)
    assert "".join(document["prompt_texts"][document["n_added"] :]) == PROMPT
    low, beyond = document["steered"]
    assert low["kl"] == pytest.approx(0.1, rel=0.1)
    assert "Choose a smaller KL" in beyond["failed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x",), "give a number, or several"),
        (("1,1",), "latent 1 is given twice"),
        (("1", "--kl", "-1"), "positive"),
        (("1", "--strength", "0"), "other than 0"),
        (("9999",), "0 to 63"),
        (("1", "--prompt", ""), "prompt is empty"),
        (("1", "--tokens", "0"), "new tokens"),
    ],
)
def test_bad_input(words: tuple[str, ...], message: str, store: Store, run_error: RunError) -> None:
    given = words if "--prompt" in words else (*words, "--prompt", PROMPT)
    assert message in run_error("steer", store.path, "sae", *given)


def test_a_store_without_its_model(tiny_store: Store, run_error: RunError, tmp_path: Path) -> None:
    assert "subject model" in run_error("steer", tiny_store.path, "sae", 1, "--prompt", PROMPT)
