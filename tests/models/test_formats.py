"""Coders of other libraries' formats against those libraries: `golden/make.py` says which versions wrote the files and computed
what is expected of them."""

import json
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


def saelens(folder: Path, name: str = "standard", **changes: Any) -> str:
    """A copy of a SAELens coder with settings changed; `None` removes one."""
    shutil.copytree(GOLDEN / "saelens" / name, folder)
    config = json.loads((folder / "cfg.json").read_text())
    metadata = config.get("metadata", {})
    for key, value in changes.items():
        holder = metadata if key in metadata or key.startswith(("hook", "model", "hf")) else config
        holder[key] = value
    (folder / "cfg.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture": "abstopk"}, "'abstopk' cannot be read: its activations may be negative"),
        ({"architecture": "temporal"}, "its encoder reads earlier tokens"),
        ({"architecture": "new"}, "'new' is unknown. Supported: standard, gated"),
        ({"activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu' is not one of"),
        ({"normalize_activations": "other"}, "normalize_activations 'other' is not one of none"),
        ({"hook_head_index": 3}, r"reads head 3 of blocks\.1\.hook_mlp_out alone"),
        ({"hook_name": ""}, "does not say which hook the coder reads"),
        ({"hook_name": "blocks.40.hook_mlp_out"}, "has 3 layers: it belongs to another model"),
        ({"d_sae": 21}, "d_in 16 and d_sae 21"),
        ({"d_in": "16"}, "'d_in' must be a positive whole number"),
    ],
)
def test_what_saelens_settings_cannot_be_read(
    changes: dict[str, Any], says: str, tmp_path: Path, subject: SubjectModel
) -> None:
    with pytest.raises(CoderLoadError, match=says):
        load_coder(saelens(tmp_path / "coder", **changes), subject=subject)


def test_a_coder_of_centred_weights_reads_without_the_mean(tmp_path: Path, subject: SubjectModel) -> None:
    """As stated in its configuration, or known of its repository; against the coder of the plain stream."""
    plain = load_coder(saelens(tmp_path / "plain", hook_name="blocks.1.hook_resid_post"), subject=subject)
    centred = load_coder(
        saelens(
            tmp_path / "centred", hook_name="blocks.1.hook_resid_post",
            model_from_pretrained_kwargs={"center_writing_weights": True},
        ),
        subject=subject,
    )  # fmt: skip
    known = tmp_path / "models--jbloom--GPT2-Small-SAEs-Reformatted" / "blocks.1"
    by_name = load_coder(saelens(known, "old_standard"), subject=subject)
    assert not by_name.config.get("notes")
    x = torch.randn(6, 16) + 2
    mean = x.mean(1, keepdim=True)
    acts, expected = centred.encode(x), plain.encode(x - mean)
    torch.testing.assert_close(dense(acts, 20), dense(expected, 20))
    torch.testing.assert_close(centred.decode(acts, x), plain.decode(expected, x - mean) + mean)
    old = load_coder(str(GOLDEN / "saelens" / "old_standard"), subject=subject)
    torch.testing.assert_close(dense(by_name.encode(x), 20), dense(old.encode(x - mean), 20))


@pytest.mark.parametrize(
    ("submodule", "io", "tap", "target"),
    [
        ("resid_post_layer_2", "out", Tap("layers.2", "output"), Tap("layers.2", "output")),
        ("mlp_out_layer_0", "out", Tap("layers.0.mlp", "output"), Tap("layers.0.mlp", "output")),
        ("attention_layer_1", "out", Tap(ATTENTION, "output"), Tap(ATTENTION, "output")),
        ("gpt_neox.layers.0.mlp", "in", Tap("layers.0.mlp", "input"), Tap("layers.0.mlp", "input")),
        ("mlp_layer_1", "in_and_out", Tap(MLP, "input"), Tap(MLP, "output")),
        (None, "out", Tap("layers.1", "output"), Tap("layers.1", "output")),
    ],
)
def test_submodules_of_dictionary_learning(
    submodule: str | None, io: str, tap: Tap, target: Tap, tmp_path: Path, subject: SubjectModel
) -> None:
    shutil.copytree(GOLDEN / "dictionary_learning" / "AutoEncoderNew", tmp_path / "coder")
    config = json.loads((tmp_path / "coder" / "config.json").read_text())
    config["trainer"]["submodule_name"], config["buffer"]["io"] = submodule, io
    (tmp_path / "coder" / "config.json").write_text(json.dumps(config))
    coder = load_coder(str(tmp_path / "coder"), subject=subject)
    assert (coder.tap, coder.target) == (tap, target)
    assert coder.kind == ("transcoder" if io == "in_and_out" else "sae")
    assert bool(coder.config.get("notes")) is (submodule is None)


@pytest.mark.parametrize(
    "name", ["AutoEncoder", "GatedAutoEncoder", "MatryoshkaBatchTopKSAE", "BatchTopKSAE"]
)
def test_dictionary_learning_without_a_configuration(
    name: str, tmp_path: Path, subject: SubjectModel
) -> None:
    """The names of the weights tell the class, but for the top-k ones."""
    folder = tmp_path / "coder"
    shutil.copytree(GOLDEN / "dictionary_learning" / name, folder)
    (folder / "config.json").unlink()
    with pytest.raises(CoderLoadError, match="give --hookpoint"):
        load_coder(str(folder), subject=subject)
    if name == "BatchTopKSAE":
        with pytest.raises(CoderLoadError, match="the weights alone do not show it"):
            load_coder(str(folder), subject=subject, hookpoint="layers.1")
    else:
        check(load_coder(str(folder), subject=subject, hookpoint="layers.1"), folder)


def test_gemma_scope_of_the_embedding(gemmas: dict[int, SubjectModel], tmp_path: Path) -> None:
    """It knows the embedding before the factor sqrt(d); against that formula."""
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    source = GOLDEN / "gemma_scope/gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_71"
    shutil.copytree(source, folder)
    coder, plain = load_coder(str(folder), subject=gemmas[2]), load_coder(str(source), subject=gemmas[2])
    assert coder.tap == Tap("layers.0", "input")
    x = torch.randn(5, 16)
    acts = coder.encode(x * 4)
    torch.testing.assert_close(dense(acts, 20), dense(plain.encode(x), 20))
    torch.testing.assert_close(coder.decode(acts, x * 4), plain.decode(acts, x) * 4)


def test_the_encoder_of_gemma_scope_2s_cross_layer_transcoder(
    gemmas: dict[int, SubjectModel], tmp_path: Path
) -> None:
    folder = tmp_path / "clt" / "width_16k_l0_small"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = {
        "w_enc": torch.randn(16, 20) / 4, "b_enc": torch.randn(20) / 4, "threshold": torch.rand(20), "b_dec": torch.zeros(16),
        "w_dec": torch.randn(20, 2, 16),
    }  # fmt: skip
    for layer in (0, 1):
        save_file(weights, folder / f"params_layer_{layer}.safetensors")
    coder = load_coder(str(tmp_path), subject=gemmas[3], hookpoint="layers.1.mlp")
    assert (coder.kind, coder.target, coder.tap) == (
        "cross_layer_transcoder",
        None,
        Tap("layers.1.mlp", "input"),
    )
    assert "no FVU" in coder.config["notes"][0]
    x = torch.randn(5, 16)
    pre = x @ weights["w_enc"] + weights["b_enc"]
    torch.testing.assert_close(dense(coder.encode(x), 20), pre * (pre > weights["threshold"]))


def test_an_sae_on_a_norm_before_its_gain(tmp_path: Path, gemmas: dict[int, SubjectModel]) -> None:
    """Against the same weights on a tensor that is read as it is."""
    named = load_coder(
        saelens(tmp_path / "norm", hook_name="blocks.1.ln2.hook_normalized"), subject=gemmas[2]
    )
    plain = load_coder(saelens(tmp_path / "plain", hook_name="blocks.1.hook_resid_post"), subject=gemmas[2])
    norm = gemmas[2].modules["layers.1.pre_feedforward_layernorm"]
    assert isinstance(norm.weight, torch.Tensor)
    assert named.tap == named.target == Tap("layers.1.pre_feedforward_layernorm", "output")
    x, gain = torch.randn(5, 16), 1 + norm.weight
    acts, expected = named.encode(x * gain), plain.encode(x)
    torch.testing.assert_close(dense(acts, 20), dense(expected, 20), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        named.decode(acts, x * gain), plain.decode(expected, x) * gain, rtol=1e-4, atol=1e-5
    )
    both = saelens(
        tmp_path / "both", hook_name="blocks.1.ln2.hook_normalized", normalize_activations="layer_norm"
    )
    with pytest.raises(CoderLoadError, match="normalizes its input, and reads a norm's output"):
        load_coder(both, subject=gemmas[2])
