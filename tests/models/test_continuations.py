"""Continuing prompts under an edit equals the plain way: one whole pass a token, with one hook that adds the direction."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from autointerp.errors import BadActivations, CoderLoadError, CorpusError, UserError
from autointerp.models.coders.coder import SparseActivations, SparseCoder
from autointerp.models.coders.loading import load_coder
from autointerp.models.continuations import Continuer
from autointerp.models.edits import Edit
from autointerp.models.sampler import Sampling
from autointerp.models.strength import HIGHEST, KLNotReached, find_strength, kl_divergence, mean_kl
from autointerp.models.subject import SubjectModel, load_subject
from tests.models import zoo
from tests.models.tiny import save_bert, save_coder, save_neox

torch.set_num_threads(1)
ROWS = [[5, 9, 40, 7, 22, 31], [8, 3, 12]]
GREEDY = Sampling(5, temperature=0.0)


def plain(
    subject: SubjectModel, coder: SparseCoder, row: Sequence[int], change: torch.Tensor, start: int, n: int
) -> tuple[list[int], list[float]]:
    """The likeliest tokens and their log probabilities, with `change` [d_out] added at the target from `start` on."""
    assert coder.target is not None

    def add(_m: Any, _a: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        y = x.clone().reshape(1, -1, x.shape[-1])
        y[:, start:] += change
        y = y.reshape(x.shape)
        return (y, *output[1:]) if isinstance(output, tuple) else y

    ids, log_probs = list(row), []
    handle = subject.base.get_submodule(coder.target.module).register_forward_hook(add)
    try:
        for _ in range(n):
            with torch.no_grad():
                logits = subject.model(input_ids=torch.tensor([ids])).logits[0, -1].float()
            values = torch.log_softmax(logits, -1)
            ids.append(int(values.argmax()))
            log_probs.append(float(values.max()))
            if ids[-1] == 0:
                break
    finally:
        handle.remove()
    return ids[len(row) :], log_probs


# Its cache can be copied; is flat within a layer; adds in place; has a recurrent state; one that mixes the rows of a batch.
@pytest.mark.parametrize("name", ["GPT-2", "OPT", "Falcon", "Gemma-2", "Mixtral", "Mamba", "RWKV"])
def test_continuations_equal_whole_passes(name: str, tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save(name, tmp_path / "m")))
    coder = load_coder(f"random:{zoo.ARCHITECTURES[name].block}:24:4", subject=subject)
    assert coder.W_dec is not None
    continuer = Continuer(subject, coder)
    edit = Edit((3, 7), (1.0, 2.0))
    groups = continuer.prompts(ROWS, GREEDY.n_new)
    assert sorted(row for group in groups for row in group.rows) == sorted(ROWS)
    for group in groups:
        for start in (None, 1, 0):
            made = continuer.run(group, edit, [0.0, 3.0], GREEDY, start=start)
            for at, row in enumerate(group.rows):
                for f, factor in enumerate([0.0, 3.0]):
                    change = factor * (coder.W_dec[3] + 2 * coder.W_dec[7])
                    ids, log_probs = plain(
                        subject, coder, row, change, len(row) - 1 if start is None else start, GREEDY.n_new
                    )
                    got = made.ids[at, f, 0]
                    assert got[got >= 0].tolist() == ids
                    np.testing.assert_allclose(made.log_probs[at, f, 0][: len(ids)], log_probs, atol=2e-4)
                    assert float(made.first[at, f].max()) == pytest.approx(log_probs[0], abs=2e-4)


def positions_run(module: torch.nn.Module, width: int, counted: list[int]) -> Any:
    """A hook that notes how many tokens, over all rows, each call of the module reads, each of `width` numbers."""

    def note(_m: Any, args: tuple, kwargs: dict) -> None:
        x = next(x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor))
        counted.append(x.numel() // width)

    return module.register_forward_pre_hook(note, with_kwargs=True)


LONG = [[5, 9, 40, 7, 22, 31, 8, 3, 12, 6, 11, 2], [8, 3, 12, 4, 9]]


# Plain; rotary; flat within a layer; adds in place; sliding windows, shorter than the text; recurrent states in between.
@pytest.mark.parametrize(
    ("name", "part"),
    [
        (name, part)
        for name in ("GPT-2", "GPT-NeoX", "Llama", "OPT", "Falcon", "Gemma-2", "Gemma-3", "LFM2")
        for part in ("block", "mlp")
        if part == "block" or zoo.ARCHITECTURES[name].mlp is not None
    ],
)
def test_what_the_edit_does_not_change_is_run_once(name: str, part: str, tmp_path: Path) -> None:
    architecture = zoo.ARCHITECTURES[name]
    point = architecture.block if part == "block" else architecture.mlp
    assert point is not None
    saved = zoo.save(name, tmp_path / "m")
    if "Gemma" in name:
        config = json.loads((saved / "config.json").read_text())
        (saved / "config.json").write_text(json.dumps(config | {"sliding_window": 4}))
    subject = load_subject(str(saved))
    resumed, whole = (
        Continuer(subject, load_coder(f"random:{point}:24:4", subject=subject)) for _ in range(2)
    )
    assert len(resumed._unchanged) == (2 if part == "block" else 1)
    whole._unchanged = []
    first_layer = subject.base.get_submodule(resumed._unchanged[0])
    inside = next(each for each in first_layer.modules() if "Norm" in type(each).__name__)
    edit, sampling = Edit((3, 7), (4.0, 2.0)), Sampling(4, temperature=0.0)
    for start in (0, 2, None):
        for rows in ([LONG[0]], LONG):
            groups = resumed.prompts(rows, sampling.n_new)
            for group in groups:
                wanted = whole.run(group, edit, [0.0, 1.0, 3.0], sampling, start=start)
                got = resumed.run(group, edit, [0.0, 1.0, 3.0], sampling, start=start)
                assert torch.equal(got.ids, wanted.ids)
                torch.testing.assert_close(got.log_probs, wanted.log_probs, atol=2e-4, rtol=0)
                torch.testing.assert_close(got.first, wanted.first, atol=2e-4, rtol=0)
                assert float((got.first[:, 0] - got.first[:, 2]).abs().max()) > 1e-2
        counted: list[int] = []
        [group] = resumed.prompts([LONG[0]], 4)
        handle = positions_run(inside, subject.d_model, counted)
        try:
            for factors in ([0.0], [1.0, 2.0, 3.0], [0.5]):
                resumed.run(group, edit, factors, Sampling(1), start=start)
        finally:
            handle.remove()
        if name == "LFM2":
            assert sum(counted) > len(LONG[0])  # whole passes
        else:
            assert sum(counted) == len(LONG[0])
    assert set(resumed._can_resume.values()) == {name != "LFM2"}


@pytest.mark.parametrize("start", [0, 2, None])
def test_recurrent_layers_behind_the_edited_one(
    start: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers up to the edit can be resumed from, and the cache of all of them cannot be copied."""
    hybrid = replace(zoo.ARCHITECTURES["LFM2"], changes={"layer_types": ["full_attention", "conv"]})
    monkeypatch.setitem(zoo.ARCHITECTURES, "LFM2", hybrid)
    subject = load_subject(str(zoo.save("LFM2", tmp_path / "m")))
    resumed, whole = (
        Continuer(subject, load_coder("random:layers.0:24:4", subject=subject)) for _ in range(2)
    )
    whole._unchanged = []
    edit, sampling = Edit((3, 7), (4.0, 2.0)), Sampling(4, temperature=0.0)
    [got], [wanted] = (each.prompts([LONG[0]], 4) for each in (resumed, whole))
    made = resumed.run(got, edit, [0.0, 3.0], sampling, start=start)
    plainly = whole.run(wanted, edit, [0.0, 3.0], sampling, start=start)
    assert torch.equal(made.ids, plainly.ids)
    clean = resumed.clean_log_probs(got, made.ids[0, 1])
    torch.testing.assert_close(clean, whole.clean_log_probs(wanted, made.ids[0, 1]), atol=2e-4, rtol=0)


def test_layers_that_pass_on_more_than_they_return_are_run_again(
    neox: SubjectModel, sae: SparseCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    continuer, edit = Continuer(neox, sae), Edit((5,), (2.0,))
    [prompts] = continuer.prompts([ROWS[0]], 5)
    monkeypatch.setattr(continuer, "_unchanged", [])
    wanted = continuer.run(prompts, edit, [0.0, 3.0], GREEDY, start=1)
    # The edited layer is said to be unchanged, so the edit inside it would be lost.
    monkeypatch.setattr(continuer, "_unchanged", ["layers.0", "layers.1"])
    got = continuer.run(prompts, edit, [0.0, 3.0], GREEDY, start=1)
    assert continuer._can_resume == {True: False}
    torch.testing.assert_close(got.first, wanted.first)
    assert all("forward" not in module.__dict__ for module in neox.model.modules())


def test_the_log_probabilities_of_the_model_as_it_is_do_not_depend_on_what_ran_before(
    neox: SubjectModel, sae: SparseCoder
) -> None:
    continuer, edit = Continuer(neox, sae), Edit((5,), (2.0,))
    [prompts] = continuer.prompts([ROWS[0]], 5)
    made = continuer.run(prompts, edit, [3.0], Sampling(5, n_samples=2), start=1).ids[0, 0]
    [fresh] = continuer.prompts([ROWS[0]], 5)
    assert prompts._clean
    assert not fresh._clean
    torch.testing.assert_close(
        continuer.clean_log_probs(prompts, made), continuer.clean_log_probs(fresh, made), atol=1e-4, rtol=0
    )


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return load_subject(str(save_neox(tmp_path_factory.mktemp("neox"))))


@pytest.fixture(scope="module")
def sae(neox: SubjectModel, tmp_path_factory: pytest.TempPathFactory) -> SparseCoder:
    return load_coder(str(save_coder(tmp_path_factory.mktemp("sae") / "layers.1.mlp")), subject=neox)


@pytest.mark.parametrize("kind", ["sae", "transcoder", "skip", "neurons"])
def test_an_edit_adds_the_direction_and_keeps_the_error(
    kind: str, neox: SubjectModel, tmp_path: Path
) -> None:
    """`h + s W_dec[f]` from the first edited position on, nothing before it, whatever the coder rebuilds of h."""
    source = "neurons:layers.1.mlp" if kind == "neurons" else str(
        save_coder(tmp_path / "layers.1.mlp", transcode=kind != "sae", skip=kind == "skip")
    )  # fmt: skip
    coder = load_coder(source, subject=neox)
    assert coder.target is not None
    assert coder.W_dec is not None
    continuer = Continuer(neox, coder)
    seen: list[torch.Tensor] = []
    following = neox.base.get_submodule(coder.target.module)
    [prompts] = continuer.prompts([ROWS[0]], 1)
    continuer.run(prompts, Edit((5,), (1.0,)), [0.0], Sampling(1))  # what is tried once is tried
    handle = following.register_forward_hook(lambda _m, _a, output: seen.append(output.clone()))
    try:
        continuer.run(prompts, Edit((5,), (1.5,)), [0.0, 2.0], Sampling(1), start=2)
        clean, edited = seen[-1]
    finally:
        handle.remove()
    # This hook was registered first, so it saw the output before the edit; the logits tell what came after it.
    torch.testing.assert_close(clean, edited)
    layer = torch.cat([clean[:0], clean])
    assert len(layer) == len(ROWS[0]) - 2  # the first two positions came from the cache
    made = continuer.run(prompts, Edit((5,), (1.5,)), [2.0], Sampling(1, temperature=0.0), start=2)
    ids, log_probs = plain(neox, coder, ROWS[0], 3.0 * coder.W_dec[5], 2, 1)
    assert made.ids[0, 0, 0].tolist() == ids
    assert float(made.log_probs[0, 0, 0, 0]) == pytest.approx(log_probs[0], abs=1e-4)


def test_holding_at_zero_takes_away_what_the_latent_does(neox: SubjectModel, sae: SparseCoder) -> None:
    assert sae.W_dec is not None
    continuer = Continuer(neox, sae)
    with torch.no_grad():
        acts = sae.encode(neox.read([sae.tap], torch.tensor([ROWS[0]]))[sae.tap][0])
    last = acts.values[-1]
    latent, value = int(acts.latents[-1][last.argmax()]), float(last.max())
    assert float(acts.of(latent)[-1]) == pytest.approx(value)
    [prompts] = continuer.prompts([ROWS[0]], 1)
    made = continuer.run(prompts, Edit((latent,), None), [1.0, 0.5], Sampling(1, temperature=0.0))
    for f, share in enumerate([1.0, 0.5]):
        _, log_probs = plain(neox, sae, ROWS[0], -share * value * sae.W_dec[latent], len(ROWS[0]) - 1, 1)
        assert float(made.log_probs[0, f, 0, 0]) == pytest.approx(log_probs[0], abs=1e-4)
    silent = next(x for x in range(64) if not float(acts.of(x)[-1]))
    unchanged = continuer.run(prompts, Edit((silent,), None), [0.0, 1.0], Sampling(1))
    torch.testing.assert_close(unchanged.first[0, 0], unchanged.first[0, 1])


def test_one_latents_values_whatever_the_layout() -> None:
    flat = SparseActivations(
        torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([7, 3, 7, 7]), torch.tensor([0, 2, 2, 4])
    )
    assert flat.of(7).tolist() == [1.0, 0.0, 7.0]
    square = SparseActivations(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[7, 3], [3, 7]]))
    assert square.of(3).tolist() == [2.0, 3.0]


def test_samples_depend_on_seed_and_number_alone(neox: SubjectModel, sae: SparseCoder) -> None:
    continuer = Continuer(neox, sae)
    edit = Edit((5,), (1.0,))
    [prompts] = continuer.prompts([ROWS[0]], 6)

    def texts(factors: list[float], n_samples: int, seed: int = 0) -> list[list[list[int]]]:
        return continuer.run(prompts, edit, factors, Sampling(6, 1.0, seed, n_samples)).ids[0].tolist()

    alone, many = texts([0.0], 1), texts([4.0, 0.0, 9.0], 3)
    assert many[1][0] == alone[0][0]
    assert many[1][0] != many[1][1]
    assert texts([0.0], 1, seed=1) != alone
    clean = torch.tensor(many[1])
    got = continuer.run(prompts, edit, [0.0], Sampling(6, 1.0, 0, 3)).log_probs[0, 0]
    torch.testing.assert_close(continuer.clean_log_probs(prompts, clean), got, atol=1e-4, rtol=0)


def test_samples_follow_the_models_distribution(neox: SubjectModel, sae: SparseCoder) -> None:
    """400 draws of the first token against its probabilities, at temperature 2."""
    continuer = Continuer(neox, sae)
    [prompts] = continuer.prompts([ROWS[1]], 1)
    made = continuer.run(prompts, Edit((5,), (1.0,)), [0.0], Sampling(1, 2.0, 0, 400))
    wanted = torch.softmax(made.first[0, 0] / 2, -1)
    tokens = made.ids[0, 0, :, 0]
    top = wanted.topk(5)
    shares = torch.stack([(tokens == token).float().mean() for token in top.indices])
    deviation = (wanted[top.indices] * (1 - wanted[top.indices]) / 400).sqrt()
    assert bool(((shares - top.values).abs() < 4 * deviation + 1e-3).all())


def test_what_cannot_be_steered_says_why(neox: SubjectModel, sae: SparseCoder, tmp_path: Path) -> None:
    bert = load_subject(str(save_bert(tmp_path / "bert")))
    with pytest.raises(UserError, match="no language-model head"):
        Continuer(bert, load_coder("random:encoder.layer.1:24:4", subject=bert))
    without = load_coder("random:layers.1.mlp:24:4", subject=neox)
    without.W_dec = None
    with pytest.raises(CoderLoadError, match="no decoder"):
        Continuer(neox, without)
    continuer = Continuer(neox, sae)
    for row, message in (([], "empty"), ([1, 10_000], "vocabulary"), ([1] * 60, "more than the 64")):
        with pytest.raises(CorpusError, match=message):
            continuer.prompts([row], 5)
    [prompts] = continuer.prompts([ROWS[0]], 1)
    with pytest.raises(BadActivations, match="strength of 1e\\+38"):
        continuer.run(prompts, Edit((5,), (1e30,)), [0.0, 1e38], Sampling(1))
    before = neox.model.generation_config

    def fail(n: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        continuer.run(prompts, Edit((5,), (1.0,)), [0.0], Sampling(1), on_token=fail)
    assert neox.model.generation_config is before
    assert not neox.base.get_submodule("layers.1.mlp")._forward_hooks


def test_the_models_own_generation_settings_change_nothing(neox: SubjectModel, sae: SparseCoder) -> None:
    from transformers.generation.configuration_utils import GenerationConfig

    continuer = Continuer(neox, sae)
    [prompts] = continuer.prompts([ROWS[0]], 5)
    wanted = continuer.run(prompts, Edit((5,), (1.0,)), [0.0], GREEDY).ids
    before = neox.model.generation_config
    model: Any = neox.model
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=1, repetition_penalty=5.0, suppress_tokens=wanted[0, 0, 0].tolist(), num_beams=2,
        eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    try:
        assert torch.equal(continuer.run(prompts, Edit((5,), (1.0,)), [0.0], GREEDY).ids, wanted)
    finally:
        model.generation_config = before


def test_kl_equals_scipys() -> None:
    torch.manual_seed(0)
    clean, edited = torch.log_softmax(torch.randn(3, 50), -1), torch.log_softmax(3 * torch.randn(3, 50), -1)
    wanted = [entropy(p, q) for p, q in zip(clean.exp().numpy(), edited.exp().numpy(), strict=True)]
    np.testing.assert_allclose(kl_divergence(clean, edited), wanted, rtol=1e-5)
    assert mean_kl(torch.stack([clean, edited], 1)) == pytest.approx([np.mean(wanted)])
    assert float(kl_divergence(clean, clean).max()) == 0


@settings(max_examples=60)
@given(st.floats(0.02, 5), st.floats(-2, 2), st.sampled_from(["bernoulli", "square", "steps"]))
def test_the_strength_is_the_smallest_that_gives_the_kl(target: float, log_scale: float, kind: str) -> None:
    """On models whose KL is known: a coin whose log odds move by the strength, a Gaussian whose mean does, one that jumps."""
    scale = 10.0**log_scale

    def kl(strength: float) -> float:
        s = strength / scale
        if kind == "square":
            return s * s / 2
        if kind == "steps":
            return 0.0 if s < 1 else 3.0 if s < 2 else 100.0
        p, q = 0.5, 1 / (1 + np.exp(-s))
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / max(1 - q, 1e-300))

    found = find_strength(lambda xs: [kl(x) for x in xs], target)
    assert found.kl == pytest.approx(kl(found.strength))
    if kind == "steps":
        assert found.kl >= target * 0.9
        return
    assert found.kl == pytest.approx(target, rel=0.1)
    assert kl(found.strength / 1.5) < target


def test_a_kl_that_no_strength_gives() -> None:
    with pytest.raises(KLNotReached, match="the most reached is 0\\.5 nats"):
        find_strength(lambda xs: [0.5 * min(x, 1.0) for x in xs], 1.0)
    with pytest.raises(KLNotReached, match="up to 10,000 changes the next token's distribution at all"):
        find_strength(lambda xs: [0.0 for _ in xs], 1.0)
    with pytest.raises(UserError, match="positive number"):
        find_strength(lambda xs: [0.0 for _ in xs], 0.0)

    def overflows(xs: Sequence[float]) -> list[float]:
        if max(xs) > 50:
            raise BadActivations("too large")
        return [x / 10 for x in xs]

    assert find_strength(overflows, 1.0).strength == pytest.approx(10, rel=0.1)
    assert HIGHEST == 1e4
