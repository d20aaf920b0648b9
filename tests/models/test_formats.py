"""Coders of other libraries' formats against those libraries: `golden/make.py` says which versions wrote the files and computed
what is expected of them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import CoderSpec, SparseActivations, SparseCoder
from autointerp.models.coders.loading import load_coder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel, load_subject
from tests.models.tiny import VOCAB, save_neox, save_tokenizer

GOLDEN = Path(__file__).parent / "golden"
GEMMA = {
    "vocab_size": VOCAB, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 8, "intermediate_size": 40, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 0,
    "pad_token_id": None, "initializer_range": 0.3,
}  # fmt: skip


def golden(library: str) -> list[str]:
    """Folders of coders with what is expected of them."""
    found = sorted(each.parent for each in (GOLDEN / library).rglob("expected.safetensors"))
    return [str(each.relative_to(GOLDEN / library)) for each in found]


def dense(acts: SparseActivations, n_latents: int) -> torch.Tensor:
    values, latents = acts.values, acts.latents
    if acts.offsets is None:
        return torch.zeros(len(values), n_latents).scatter_(1, latents, values)
    out = torch.zeros(len(acts.offsets) - 1, n_latents)
    out[torch.repeat_interleave(torch.arange(len(out)), acts.offsets.diff()), latents] = values
    return out


def check(coder: SparseCoder, folder: Path) -> None:
    """What the coder computes is what its library did."""
    expected = load_file(folder / "expected.safetensors")
    acts = coder.encode(expected["x"])
    torch.testing.assert_close(dense(acts, coder.n_latents), expected["acts"], rtol=1e-5, atol=1e-5)
    if "out" in expected:
        torch.testing.assert_close(coder.decode(acts, expected["x"]), expected["out"], rtol=1e-5, atol=1e-5)
    else:
        assert coder.target is None


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return load_subject(str(save_neox(tmp_path_factory.mktemp("neox"))))


@pytest.fixture(scope="module")
def gemmas(tmp_path_factory: pytest.TempPathFactory) -> dict[int, SubjectModel]:
    """A Gemma 2 and a Gemma 3, with gains of norms away from 1."""
    loaded = {}
    library: Any = transformers
    for number, config, model in (
        (2, library.Gemma2Config, library.Gemma2ForCausalLM),
        (3, library.Gemma3TextConfig, library.Gemma3ForCausalLM),
    ):
        folder = tmp_path_factory.mktemp(f"gemma{number}")
        torch.manual_seed(number)
        made = model(config(**GEMMA))
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if "norm" in name:
                    weight.copy_(torch.randn(weight.shape) * 0.3)
        made.save_pretrained(folder)
        save_tokenizer(folder, bos="<s>")
        loaded[number] = load_subject(str(folder))
    return loaded


MLP, ATTENTION = "layers.1.mlp", "layers.1.attention"
TAPS = {
    "standard": ("sae", Tap(MLP, "output")),
    "standard_plain_input": ("sae", Tap("layers.1", "output")),
    "gated": ("sae", Tap(ATTENTION, "output")),
    "jumprelu": ("sae", Tap("layers.0", "input")),
    "topk": ("sae", Tap(f"{ATTENTION}.dense", "input")),
    "transcoder": ("transcoder", Tap(MLP, "input")),
    "jumprelu_skip_transcoder": ("skip_transcoder", Tap(MLP, "input")),
    "old_standard": ("sae", Tap(MLP, "output")),
}


@pytest.mark.parametrize("name", golden("saelens"))
def test_agrees_with_saelens(name: str, subject: SubjectModel) -> None:
    folder = GOLDEN / "saelens" / name
    coder = load_coder(str(folder), subject=subject)
    check(coder, folder)
    assert coder.config["format"] == "saelens"
    if name in TAPS:
        assert (coder.kind, coder.tap) == TAPS[name]
    if coder.kind != "sae":
        assert coder.target == Tap(MLP, "output")
    assert (coder.k == 4) is ("topk" in name and "batchtopk" not in name)
    notes = " ".join(coder.config.get("notes", []))
    assert ("no file" in notes) is (name == "standard_unscaled")
    assert ("center_writing_weights" in notes) is (name == "old_standard")


@pytest.mark.parametrize("name", golden("dictionary_learning"))
def test_agrees_with_dictionary_learning(name: str, subject: SubjectModel) -> None:
    folder = GOLDEN / "dictionary_learning" / name
    coder = load_coder(str(folder), subject=subject)
    check(coder, folder)
    assert (coder.config["format"], coder.kind) == ("dictionary_learning", "sae")


@pytest.mark.parametrize("name", golden("circuit_tracer"))
def test_agrees_with_circuit_tracer(name: str, subject: SubjectModel) -> None:
    folder = GOLDEN / "circuit_tracer" / name
    coder = load_coder(str(folder), subject=subject, hookpoint=MLP)
    check(coder, folder)
    file = next(folder.glob("*_1.safetensors")) if name != "clt" else folder / "W_enc_1.safetensors"
    by_file = load_coder(str(file), subject=subject)
    assert by_file.checksum() == coder.checksum()
    assert (coder.hookpoint, coder.tap) == (MLP, Tap(MLP, "input"))
    with pytest.raises(CoderLoadError, match=r"several coders: .*_0\.safetensors.*_2\.safetensors"):
        load_coder(str(folder), subject=subject)


def without_gain(name: str) -> bool:
    return "gemma-scope-2b-pt-transcoders" in name


@pytest.mark.parametrize("name", golden("gemma_scope"))
def test_agrees_with_the_readers_of_gemma_scope(
    name: str, gemmas: dict[int, SubjectModel], tmp_path: Path
) -> None:
    """SAELens' and circuit-tracer's. Transcoders of Gemma Scope 1 read the norm's output before its gain."""
    subject = gemmas[3 if "scope-2-" in name else 2]
    folder = GOLDEN / "gemma_scope" / name
    coder = load_coder(str(folder), subject=subject)
    assert coder.config["format"] == "gemma_scope"
    if without_gain(name):
        norm = subject.modules["layers.1.pre_feedforward_layernorm"]
        assert isinstance(norm.weight, torch.Tensor)
        expected = load_file(folder / "expected.safetensors")
        expected["x"] = expected["x"] * (1 + norm.weight)
        save_file(expected, tmp_path / "expected.safetensors")
        check(coder, tmp_path)
    else:
        check(coder, folder)
    site = next(site for site in ("res", "mlp", "att", "transcoder") if site in name.partition("pt")[2])
    norm = "layers.1.post_feedforward_layernorm"
    assert coder.tap == {
        "res": Tap("layers.1", "output"), "mlp": Tap(norm, "output"), "att": Tap("layers.1.self_attn.o_proj", "input"),
        "transcoder": Tap("layers.1.pre_feedforward_layernorm" if without_gain(name) or "scope-2" in name else "", "output"),
    }[site]  # fmt: skip
    if site == "transcoder":
        assert (coder.target, coder.hookpoint) == (Tap(norm, "output"), "layers.1.mlp")
        assert coder.kind == ("skip_transcoder" if name.endswith("affine") else "transcoder")


@pytest.mark.parametrize(
    "name", ["saelens/transcoder", "saelens/topk", "circuit_tracer/clt/W_enc_1.safetensors"]
)
def test_a_coder_is_found_again_by_what_the_store_records(name: str, subject: SubjectModel) -> None:
    """Its folder, hookpoint, kind and side, as Probe gives them."""
    first = load_coder(str(GOLDEN / name), subject=subject)
    spec = CoderSpec(first.source, first.hookpoint, first.kind, first.tap.side)
    assert load_coder(spec, subject=subject).checksum() == first.checksum()


def test_a_given_hookpoint_goes_before_what_the_files_say(subject: SubjectModel) -> None:
    folder = str(GOLDEN / "saelens" / "standard")
    coder = load_coder(CoderSpec(folder, "layers.2.mlp", side="input"), subject=subject)
    assert (coder.hookpoint, coder.tap, coder.target) == (
        "layers.2.mlp",
        Tap("layers.2.mlp", "input"),
        Tap("layers.2.mlp", "input"),
    )


def test_a_folder_without_its_names_needs_a_hookpoint(
    gemmas: dict[int, SubjectModel], tmp_path: Path
) -> None:
    source = GOLDEN / "gemma_scope/gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_71"
    shutil.copytree(source, tmp_path / "mine")
    with pytest.raises(CoderLoadError, match=r"do not say the layer .*--hookpoint"):
        load_coder(str(tmp_path / "mine"), subject=gemmas[2])
    coder = load_coder(str(tmp_path / "mine"), subject=gemmas[2], hookpoint="layers.0")
    assert coder.tap == Tap("layers.0", "output")


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path: Path, subject: SubjectModel) -> None:
    (tmp_path / "README.md").write_text("weights")
    with pytest.raises(
        CoderLoadError, match=r"sae_weights\.safetensors \(SAELens\).*params\.npz.*ae\.pt.*layer_N"
    ):
        load_coder(str(tmp_path), subject=subject)
