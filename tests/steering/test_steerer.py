"""Steering over a store: what is raised by how much, against the model run by hand; and what cannot be steered."""

import math
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from autointerp.caching import cache
from autointerp.errors import CoderLoadError, CorpusError, ModelLoadError, UnknownName, UserError
from autointerp.models.continuations import Continuer
from autointerp.probe import Prober
from autointerp.probe.recorded import load_coder, load_subject
from autointerp.steering import SteeringOptions
from autointerp.steering.steerer import Steerer
from autointerp.store import Store
from autointerp.types import Progress
from tests.caching.conftest import Lab, lab, store, subject
from tests.models.test_continuations import positions_run
from tests.models.tiny import TEXT, save_bert

__all__ = ["lab", "store", "subject"]

PROMPT = "The quick brown fox"


@pytest.fixture(scope="session")
def steerer(store: Store) -> Steerer:
    return Steerer(store, Prober(store))


def firing(store: Store, coder: str) -> int:
    """A latent that fires, with a maximum of its own."""
    return int(np.argmax(store.coder(coder).table().columns["max_activation"]))


def next_token(
    store: Store, coder: str, ids: tuple[int, ...], change: torch.Tensor | float, start: int
) -> Any:
    """Probabilities of the token after `ids`, with `change` added to the module's output from `start` on, by hand."""
    info = store.coder(coder).info
    subject = load_subject(store)
    loaded = load_coder(info, subject)
    assert loaded.target is not None

    def add(_m: Any, _a: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        y = x.clone()
        y[:, start:] += change
        return (y, *output[1:]) if isinstance(output, tuple) else y

    handle = subject.base.get_submodule(loaded.target.module).register_forward_hook(add)
    with torch.no_grad():
        logits = subject.model(input_ids=torch.tensor([ids])).logits[0, -1]
    handle.remove()
    return torch.softmax(logits.double(), -1).numpy()


def direction(store: Store, coder: str, latent: int) -> torch.Tensor:
    loaded = load_coder(store.coder(coder).info, load_subject(store))
    assert loaded.W_dec is not None
    return loaded.W_dec[latent]


@pytest.mark.parametrize("coder", ["sae", "skip", "residual", "neurons"])
@pytest.mark.parametrize("start", ["last", "prompt"])
def test_every_figure_equals_the_model_run_by_hand(
    coder: str, start: Any, store: Store, steerer: Steerer
) -> None:
    latent = firing(store, coder)
    top = float(store.coder(coder).table().columns["max_activation"][latent])
    result = steerer.steer(coder, PROMPT, SteeringOptions((latent,), (2.0, -1.0), start=start, n_new=4))
    assert result.maxima == (pytest.approx(top),)
    assert "".join(result.prompt_texts[result.n_added :]) == PROMPT
    first = len(result.prompt_ids) - 1 if start == "last" else result.n_added
    clean = next_token(store, coder, result.prompt_ids, 0.0, first)
    for multiple, steered in zip((2.0, -1.0), result.steered, strict=True):
        assert steered.added == (pytest.approx(multiple * top),)
        by_hand = next_token(
            store, coder, result.prompt_ids, multiple * top * direction(store, coder, latent), first
        )
        assert steered.kl == pytest.approx(entropy(clean, by_hand), rel=1e-3, abs=1e-6)
        change = by_hand - clean
        assert steered.raised[0].change == pytest.approx(change.max(), rel=1e-2, abs=1e-6)
        assert steered.lowered[0].change == pytest.approx(change.min(), rel=1e-2, abs=1e-6)
        for token in (*steered.raised, *steered.lowered):
            assert token.clean == pytest.approx(clean[token.token_id], rel=1e-3, abs=1e-7)
            assert token.text == store.vocabulary().text(token.token_id)
        [text] = steered.continuations
        assert text.log_probs[0] == pytest.approx(np.log(by_hand[text.token_ids[0]]), abs=1e-3)
        as_is, ids = [], list(result.prompt_ids)
        for token in text.token_ids:
            as_is.append(np.log(next_token(store, coder, tuple(ids), 0.0, 0)[token]))
            ids.append(token)
        np.testing.assert_allclose(np.array(text.log_probs) - text.changes, as_is, atol=2e-3)
    assert all(change == 0 for text in result.clean for change in text.changes)


def test_targets_of_kl_are_met_and_those_out_of_reach_say_so(store: Store, steerer: Steerer) -> None:
    latent = firing(store, "residual")
    options = SteeringOptions((latent,), (0.1, 0.33, 1e4), "kl", n_new=2)
    low, more, beyond = steerer.steer("residual", PROMPT, options).steered
    assert low.kl == pytest.approx(0.1, rel=0.1)
    assert more.kl == pytest.approx(0.33, rel=0.1)
    assert more.added[0] > low.added[0] > 0
    assert beyond.failed is not None
    assert "Choose a smaller KL" in beyond.failed
    assert not beyond.continuations


@pytest.mark.parametrize("coder", ["sae", "residual"])
def test_no_layer_before_the_edit_reads_the_prompt_twice(coder: str, store: Store, steerer: Steerer) -> None:
    latent = firing(store, coder)
    options = SteeringOptions((latent,), (0.1, 0.33), "kl", start="prompt", n_new=1)
    prompt = "The quick brown fox jumps over the lazy dog"
    steerer.steer(coder, prompt, options)  # what is tried once is tried
    counted: list[int] = []
    with steerer._prober.loaded(coder) as (_, subject, _):
        handle = positions_run(subject.base.get_submodule("layers.0.mlp"), subject.d_model, counted)
    try:
        result = steerer.steer(coder, prompt, options)
    finally:
        handle.remove()
    assert [steered.kl for steered in result.steered] == pytest.approx([0.1, 0.33], rel=0.1)
    assert sum(counted) == len(result.prompt_ids) > 5


def test_several_latents_are_raised_together_and_held_at_zero(store: Store, steerer: Steerer) -> None:
    tops = store.coder("sae").table().columns["max_activation"]
    a, b = map(int, np.argsort(-tops)[:2])
    [steered] = steerer.steer("sae", PROMPT, SteeringOptions((a, b), (1.5,), "activation", n_new=1)).steered
    ids = steerer.steer("sae", PROMPT, SteeringOptions((a, b), n_new=1)).prompt_ids
    clean = next_token(store, "sae", ids, 0.0, 0)
    both = 1.5 * (direction(store, "sae", a) + direction(store, "sae", b))
    by_hand = next_token(store, "sae", ids, both, len(ids) - 1)
    assert steered.kl == pytest.approx(entropy(clean, by_hand), rel=1e-3)
    result = steerer.steer("sae", PROMPT, SteeringOptions((a,), zero=True, start="prompt", n_new=1))
    [held] = result.steered
    assert held.asked is None
    assert held.added == ()
    assert held.kl is not None
    assert held.kl >= 0


def test_what_takes_too_much_memory_at_once_is_written_one_after_the_other(
    store: Store, steerer: Steerer, monkeypatch: Any
) -> None:
    latent, at_once = firing(store, "residual"), []
    run = Continuer.run

    def noted(self: Continuer, prompts: Any, edit: Any, factors: Any, sampling: Any, **more: Any) -> Any:
        at_once.append(
            len(prompts.rows) * len(factors) * sampling.n_samples * (prompts.width + sampling.n_new)
        )
        return run(self, prompts, edit, factors, sampling, **more)

    options = SteeringOptions((latent,), (0.1, 0.3, 0.5), "kl", n_new=5, n_samples=3)
    whole = steerer.steer("residual", PROMPT, options)
    monkeypatch.setattr(Continuer, "run", noted)
    monkeypatch.setattr("autointerp.steering.steerer.MAX_POSITIONS", 100)
    parts = steerer.steer("residual", PROMPT, options)
    assert max(at_once) <= 100
    assert [text.text for text in parts.clean] == [text.text for text in whole.clean]
    for part, steered in zip(parts.steered, whole.steered, strict=True):
        assert part.kl == pytest.approx(steered.kl, rel=1e-3)
        assert [text.text for text in part.continuations] == [text.text for text in steered.continuations]
        for one, other in zip(part.continuations, steered.continuations, strict=True):
            np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-3)
            np.testing.assert_allclose(one.changes, other.changes, atol=1e-3)


def test_a_strength_that_makes_nan_fails_alone(store: Store, steerer: Steerer, monkeypatch: Any) -> None:
    monkeypatch.setattr("autointerp.steering.options.MAX_STRENGTH", 1e39)
    latent = firing(store, "sae")
    options = SteeringOptions((latent,), (1.0, 1e38), "activation", n_new=2)
    fine, broken = steerer.steer("sae", PROMPT, options).steered
    assert fine.continuations
    assert fine.failed is None
    assert broken.failed is not None
    assert "NaN or infinity" in broken.failed


def test_what_progress_raises_ends_it_and_the_next_one_runs(store: Store, steerer: Steerer) -> None:
    class Stopped(BaseException):
        pass

    def stop(progress: Progress) -> None:
        if progress.stage == "continue" and progress.done == 2:
            raise Stopped

    latent = firing(store, "sae")
    options = SteeringOptions((latent,), n_new=5)
    with pytest.raises(Stopped):
        steerer.steer("sae", PROMPT, options, progress=stop)
    assert steerer.steer("sae", PROMPT, options).clean[0].token_ids


def test_threads_take_turns(store: Store, steerer: Steerer) -> None:
    latent = firing(store, "sae")
    options = SteeringOptions((latent,), n_new=5)
    wanted = steerer.steer("sae", PROMPT, options)
    got: list[Any] = []
    threads = [
        threading.Thread(target=lambda: got.append(steerer.steer("sae", PROMPT, options))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 3


def test_what_cannot_be_steered(
    store: Store, steerer: Steerer, lab: Lab, tmp_path: Path, monkeypatch: Any
) -> None:
    dead = int(np.argmin(store.coder("sae").table().columns["max_activation"]))
    assert store.coder("sae").table().columns["max_activation"][dead] == 0
    with pytest.raises(UserError, match=f"Feature {dead} never fires"):
        steerer.steer("sae", PROMPT, SteeringOptions((dead,)))
    assert steerer.steer("sae", PROMPT, SteeringOptions((dead,), (3.0,), "activation", n_new=1)).steered[0].kl
    with pytest.raises(UserError, match="prompt is empty"):
        steerer.steer("sae", "", SteeringOptions((1,)))
    with pytest.raises(CorpusError, match="more than the 64"):
        steerer.steer("sae", "word " * 100, SteeringOptions((1,), (1.0,), "activation"))
    with pytest.raises(UnknownName):
        steerer.steer("sae", PROMPT, SteeringOptions((64,)))
    with pytest.raises(UnknownName):
        steerer.steer("other", PROMPT, SteeringOptions((1,)))
    bert = cache(
        tmp_path / "bert", model=str(save_bert(tmp_path / "m")), coders={"r": "random:encoder.layer.1:24:4"},
        documents=[("d", TEXT * 4)], ctx_len=16,
    )  # fmt: skip
    encoder = Store.open(tmp_path / "bert")
    with pytest.raises(UserError, match="no language-model head"):
        Steerer(encoder, Prober(encoder)).steer(bert[0].coder, PROMPT, SteeringOptions((1,)))
    moved = Store.open(shutil.copytree(store.path, tmp_path / "moved"))
    monkeypatch.setattr("autointerp.probe.sources.find", lambda source: None)
    with pytest.raises(ModelLoadError):
        Steerer(moved, Prober(moved)).steer("sae", PROMPT, SteeringOptions((1,)))


def test_a_direction_of_zero_says_that_it_changes_nothing(store: Store) -> None:
    prober = Prober(store)
    latent = firing(store, "sae")
    with prober.loaded("sae") as (_, _, coder):
        assert coder.W_dec is not None
        coder.W_dec[latent] = 0
    with pytest.raises(UserError, match="does not change what the model predicts"):
        Steerer(store, prober).steer("sae", PROMPT, SteeringOptions((latent,), n_new=1))
    [tuned] = (
        Steerer(store, prober).steer("sae", PROMPT, SteeringOptions((latent,), unit="kl", n_new=1)).steered
    )
    assert "at all" in (tuned.failed or "")
    assert "smaller" not in (tuned.failed or "")


def test_a_prober_that_probed_first_has_the_decoder_again(store: Store) -> None:
    prober = Prober(store)
    before = prober.run(PROMPT, ["sae"])
    latent = firing(store, "sae")
    assert Steerer(store, prober).steer("sae", PROMPT, SteeringOptions((latent,), n_new=1)).steered
    after = prober.run(PROMPT, ["sae"])
    np.testing.assert_array_equal(before.coders["sae"].activation, after.coders["sae"].activation)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latents": ()}, "0 latents"),
        ({"latents": (1, 1)}, "latent 1 is given twice"),
        ({"strengths": ()}, "0 strengths"),
        ({"strengths": (0.0,)}, "other than 0"),
        ({"strengths": (math.nan,)}, "other than 0"),
        ({"strengths": (math.inf,)}, "other than 0"),
        ({"strengths": (-1.0,), "unit": "kl"}, "positive"),
        ({"strengths": tuple(range(1, 20))}, "19 strengths"),
        ({"unit": "volts"}, "activation, maximum, kl"),
        ({"start": "middle"}, "last, prompt"),
        ({"n_new": 0}, "new tokens"),
        ({"n_samples": 99}, "samples"),
        ({"seed": -1}, "seed"),
        ({"temperature": math.nan}, "temperature"),
    ],
)
def test_options_that_are_not_accepted(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SteeringOptions(**{"latents": (1,), **wrong})


def test_a_coder_without_a_decoder(store: Store, monkeypatch: Any) -> None:
    prober = Prober(store)
    real = load_coder

    def without(*args: Any) -> Any:
        coder = real(*args)
        coder.W_dec = coder.target = None
        return coder

    monkeypatch.setattr("autointerp.probe.recorded.load_coder", without)
    with pytest.raises(CoderLoadError, match="no decoder"):
        Steerer(store, prober).steer("sae", PROMPT, SteeringOptions((1,), (1.0,), "activation"))
