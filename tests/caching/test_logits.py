"""Promoted tokens against changes of the logits measured by a plain run of the model, and where there are none."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.caching import cache
from autointerp.models import direct_path
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store
from tests.caching.conftest import Lab
from tests.models import zoo
from tests.models.tiny import VOCAB, save_bert

NOWHERE = {
    "Llama": [
        "layers.1.self_attn.q_proj",
        "layers.1.input_layernorm",
        "layers.1.mlp.gate_proj",
        "layers.0.self_attn.k_proj",
    ],
    "Gemma-2": ["layers.1.pre_feedforward_layernorm", "layers.1.self_attn.v_proj"],
    "GPT-NeoX": ["layers.1.post_attention_layernorm", "layers.1.mlp.dense_h_to_4h"],
    "Mixtral": ["layers.1.post_attention_layernorm"],
}
WRITES = {
    "Llama": ["layers.0.mlp.down_proj", "layers.1.self_attn.o_proj", "embed_tokens", "norm"],
    "Gemma-2": ["layers.1.mlp.down_proj", "layers.0.post_attention_layernorm"],
    "BLOOM": ["h.0.self_attention"],
}  # fmt: skip


@pytest.mark.parametrize("name", {**NOWHERE, **WRITES})
def test_only_what_writes_to_the_residual_stream_promotes_tokens(name: str, lab: Lab, tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save(name, tmp_path / "m")))
    none, some = NOWHERE.get(name, []), WRITES.get(name, [])
    coders = {point: f"random:{point}:24:4" for point in (*none, *some)}
    infos = cache(
        tmp_path / "s",
        model=subject,
        coders=coders,
        text=[lab.text],
        ctx_len=24,
        neighbours=False,
        fidelity_tokens=0,
    )
    for info in infos:
        assert info.has_logits == (info.coder in some)
        assert ("does not write to the residual stream" in info.absent.get("promoted_tokens", "")) == (
            info.coder in none
        )


def test_values_are_the_mean_slope_of_the_logits(store: Store, subject: SubjectModel) -> None:
    ids = torch.from_numpy(store.tokens.astype(np.int64))
    coder = store.coder("neurons")
    assert coder.info.logit_unit == "mean change of the logit per unit of activation"
    down = subject.base.get_submodule("layers.1.mlp.dense_4h_to_h").weight
    assert isinstance(down, torch.Tensor)
    for latent in (0, 17):
        logits = []
        for sign in (1, -1):
            change = sign * 0.02 * down[:, latent]
            # GPT-NeoX's last layer has index 2: this layer's direct effect is what the last one does not change.
            with (
                torch.no_grad(),
                _last_layer_held(subject, ids),
                hooked(subject.base, [Tap("layers.1.mlp", "output")], lambda _, x, change=change: x + change),
            ):
                logits.append(subject.model(input_ids=ids).logits[ids != 0])
        effect = (logits[0] - logits[1]).mean(0) / 0.04
        for token in (each for side in coder.logits(latent) for each in side):
            assert token.value == pytest.approx(float(effect[token.token]), rel=0.05, abs=1e-3)


def _last_layer_held(subject: SubjectModel, ids: torch.Tensor):
    taps = [Tap("layers.2.attention", "output"), Tap("layers.2.mlp", "output")]
    clean: dict[Tap, torch.Tensor] = {}
    with torch.no_grad(), hooked(subject.base, taps, clean.__setitem__):
        subject.base(input_ids=ids)
    return hooked(subject.base, taps, lambda tap, _: clean[tap])


def test_coders_that_write_to_one_module_share_the_search(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And have the tokens that each has when it is cached alone."""
    subject = load_subject(str(zoo.save("Llama", tmp_path / "m")))
    searched: list[str] = []
    search = direct_path._searched

    def noted(probe: direct_path._Probe, *more: torch.Tensor) -> direct_path._Route:
        searched.append(probe.target.module)
        return search(probe, *more)

    monkeypatch.setattr(direct_path, "_searched", noted)
    coders = {
        "block": "random:layers.0:24:4",
        "other": "random:layers.0:16:2",
        "queries": "random:layers.0.self_attn.q_proj:24:4",
        "more_queries": "random:layers.0.self_attn.q_proj:16:2",
    }

    def cached(folder: Path, names: Iterable[str]) -> Store:
        chosen = {name: coders[name] for name in names}
        cache(
            folder,
            model=subject,
            coders=chosen,
            text=[lab.text],
            ctx_len=24,
            neighbours=False,
            fidelity_tokens=0,
        )
        return Store.open(folder)

    together = cached(tmp_path / "s", coders)
    refused = ["layers.0.self_attn.q_proj"] * 2  # not kept: other directions may take a path
    assert sorted(searched) == ["layers.0", *refused]
    for name in coders:
        alone = cached(tmp_path / name, [name]).coder(name)
        coder = together.coder(name)
        assert coder.info.absent == alone.info.absent
        assert coder.info.has_logits == ("queries" not in name)
        for latent in range(16) if coder.info.has_logits else ():
            for found, expected in zip(coder.promoted(latent), alone.promoted(latent), strict=True):
                assert [each.token for each in found] == [each.token for each in expected]
                np.testing.assert_allclose(
                    [each.value for each in found], [each.value for each in expected], rtol=0.02
                )


def test_no_unused_id_and_no_wrong_sign(lab: Lab, tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save("Llama", tmp_path / "m")))
    assert subject.vocab_size > VOCAB
    with torch.no_grad():
        head = subject.unembedding
        assert head is not None
        head.weight[VOCAB:] *= 50  # type: ignore[operator]
    coders = {"block": "random:layers.1:24:4"}
    cache(tmp_path / "s", model=subject, coders=coders, text=[lab.text], ctx_len=24, neighbours=False)
    coder = Store.open(tmp_path / "s").coder("block")
    for latent in range(24):
        promoted, suppressed = coder.promoted(latent)
        assert promoted
        assert all(each.token < VOCAB for each in (*promoted, *suppressed))
        assert all(each.value > 0 for each in promoted)
        assert all(each.value < 0 for each in suppressed)


def test_direction_that_raises_every_logit_suppresses_nothing(lab: Lab, tmp_path: Path) -> None:
    """The unembedding has a large common part along the first neuron's direction."""
    subject = load_subject(str(zoo.save("Llama", tmp_path / "m")))
    with torch.no_grad():
        head, down = subject.unembedding, subject.base.get_submodule("layers.1.mlp.down_proj").weight
        gain = subject.base.get_submodule("norm").weight
        assert head is not None
        head.weight += 3 * down[:, 0] / gain  # type: ignore[operator]
    cache(tmp_path / "s", model=subject, coders={"n": "neurons:layers.1.mlp"}, text=[lab.text], ctx_len=24)
    store = Store.open(tmp_path / "s")
    promoted, suppressed = store.coder("n").promoted(0)
    assert len(promoted) == 10
    assert not suppressed


def test_no_head_no_promoted_tokens(lab: Lab, tmp_path: Path) -> None:
    bert = load_subject(str(save_bert(tmp_path / "bert")))
    headless = load_subject(str(lab.model), head=False)
    for subject, point in ((bert, "encoder.layer.1"), (headless, "layers.0")):
        info = cache(
            tmp_path / subject.name,
            model=subject,
            coders={"r": f"random:{point}:40:4"},
            text=[lab.text],
            ctx_len=24,
        )[0]
        assert not info.has_logits
        assert "no language-model head" in info.absent["promoted_tokens"]
