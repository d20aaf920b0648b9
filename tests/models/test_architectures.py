"""Every architecture does what docs/models.md says of it, and what it shows is what a plain run of the model measures."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from autointerp.caching import cache
from autointerp.errors import ModelLoadError
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import load_subject
from tests.models import architectures, zoo
from tests.models.tiny import TEXT, save_tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_architecture(name: str, tokenizer: Path, tmp_path: Path) -> None:
    found = architectures.examine(name, tmp_path, tokenizer)
    assert architectures.row(name, found) in architectures.DOCUMENT.read_text(encoding="utf-8").splitlines()
    if found.refused:
        assert name in zoo.REFUSED
        return
    assert found.works["opens again"] == "yes"
    assert found.works["padding"] == "yes" or name in zoo.RECURRENT
    for part in ("block", "mlp"):
        assert found.works.get(f"activations {part}", "yes") == "yes"
        if name not in zoo.ENCODERS:
            assert found.works.get(f"promoted {part}", "yes") == "yes"
    for hookpoint in found.agreement:
        assert found.agreement[hookpoint] >= 0.9
        assert found.slope[hookpoint] == pytest.approx(1, abs=0.1)
    assert bool(found.agreement) == (name not in zoo.ENCODERS)


def test_neurons_of_a_mixture_of_experts(tmp_path: Path) -> None:
    """Expert by expert, from the stacked weights: what the router chooses, times its weight."""
    subject = load_subject(str(zoo.save("Mixtral", tmp_path / "m")))
    coder = load_coder("neurons:layers.1.mlp:96", subject=subject)
    mlp: Any = subject.base.get_submodule("layers.1.mlp")
    n = coder.n_latents // 4
    assert coder.n_latents == mlp.experts.down_proj.shape[0] * mlp.experts.down_proj.shape[2]
    x = torch.randn(5, zoo.D)
    probabilities = torch.softmax(x @ mlp.gate.weight.T, dim=1)
    wanted = torch.zeros(5, coder.n_latents)
    for token in range(5):
        best = probabilities[token].topk(2)
        for weight, expert in zip(best.values / best.values.sum(), best.indices.tolist(), strict=True):
            gate, up = (mlp.experts.gate_up_proj[expert] @ x[token]).chunk(2)
            wanted[token, expert * n : (expert + 1) * n] = weight * torch.nn.functional.silu(gate) * up
    assert coder.W_dec is not None
    torch.testing.assert_close(wanted @ coder.W_dec, mlp(x[None])[0], rtol=1e-4, atol=1e-4)
    acts = coder.encode(x)
    dense = torch.zeros(5, coder.n_latents).scatter_(1, acts.latents, acts.values)
    kept = wanted.topk(96, dim=1)
    torch.testing.assert_close(
        dense, torch.zeros_like(wanted).scatter_(1, kept.indices, kept.values.clamp(min=0))
    )


def test_signed_neurons_say_that_negative_ones_are_silent(tmp_path: Path) -> None:
    llama = load_subject(str(zoo.save("Llama", tmp_path / "llama")))
    opt = load_subject(str(zoo.save("OPT", tmp_path / "opt")))  # its non-linearity is a ReLU
    for subject, hookpoint, signed in ((llama, "layers.1.mlp", True), (opt, "decoder.layers.1", False)):
        store = tmp_path / f"s{signed}"
        [info] = cache(
            store,
            model=subject,
            coders={"n": f"neurons:{hookpoint}"},
            documents=[("d", TEXT * 3)],
            ctx_len=16,
        )
        assert bool(info.notes) == signed
        assert not signed or "a negative activation counts as silent" in info.notes[0]


def test_a_module_that_layers_share_is_refused(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(
        vocab_size=zoo.ROWS, hidden_size=zoo.D, embedding_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=zoo.CTX,
    )  # fmt: skip
    transformers.AlbertForMaskedLM(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    subject = load_subject(str(tmp_path))
    with pytest.raises(ModelLoadError, match=r"called 3 times.*layers share it"):
        load_coder("random:encoder.albert_layer_groups.0.albert_layers.0:24:4", subject=subject)


def test_the_page_has_a_line_for_each_architecture_and_no_other() -> None:
    page = architectures.DOCUMENT.read_text(encoding="utf-8")
    named = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")][2:]
    assert named == list(zoo.ARCHITECTURES)
    assert page.startswith(architectures.INTRODUCTION)
    assert page.splitlines()[-len(architectures.NOTES) :] == architectures.notes()
