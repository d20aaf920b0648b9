"""Sparse coders: sparsify's format against sparsify itself, neurons, random, and files that are wrong."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from autointerp.errors import CoderLoadError, ModelLoadError, UnknownName
from autointerp.models.coders.coder import CoderSpec, SparseActivations
from autointerp.models.coders.loading import load_coder
from autointerp.models.coders.registry import default_name
from autointerp.models.coders.topk import TopKEncoder, top_k
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel, load_subject
from tests.models.tiny import save_bert, save_coder, save_gpt2, save_llama, save_neox, save_opt


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return load_subject(str(save_neox(tmp_path_factory.mktemp("subject"))))


def dense(values: torch.Tensor, latents: torch.Tensor, n_latents: int) -> torch.Tensor:
    return torch.zeros(len(values), n_latents).scatter_(1, latents, values)


VARIANTS = {
    "sae": {},
    "transcoder": {"transcode": True},
    "skip_transcoder": {"transcode": True, "skip": True},
    "groupmax": {"activation": "groupmax"},
    "groupmax_transcoder": {"activation": "groupmax", "transcode": True},
    "wide": {"n_latents": 4096, "k": 32},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_sparsify(variant: str, tmp_path: Path, subject: SubjectModel) -> None:
    from sparsify import SparseCoder

    folder = save_coder(tmp_path / "coder" / "layers.1.mlp", **VARIANTS[variant])
    ours = load_coder(str(tmp_path / "coder"), subject=subject)
    theirs = SparseCoder.load_from_disk(folder)
    x = torch.randn(1300, 16)
    with torch.no_grad():
        wanted = theirs.encode(x)
        rebuilt = theirs(x).sae_out
    acts = ours.encode(x)
    n = theirs.num_latents
    torch.testing.assert_close(
        dense(acts.values, acts.latents, n),
        dense(wanted.top_acts, wanted.top_indices, n),
        rtol=1e-5,
        atol=1e-6,
    )
    torch.testing.assert_close(ours.decode(acts, x), rebuilt, rtol=1e-5, atol=1e-5)
    assert ours.kind == {"transcoder": "transcoder", "skip_transcoder": "skip_transcoder"}.get(
        variant, "transcoder" if "transcoder" in variant else "sae"
    )
    assert ours.tap == Tap("layers.1.mlp", "output" if ours.kind == "sae" else "input")
    assert ours.target == Tap("layers.1.mlp", "output")


@pytest.mark.parametrize("skip", [False, True])
def test_checkpoints_without_a_transcode_key_subtract_b_dec(
    skip: bool, tmp_path: Path, subject: SubjectModel
) -> None:
    from sparsify import SparseCoder

    folder = save_coder(tmp_path / "layers.1.mlp", skip=skip)
    config = json.loads((folder / "cfg.json").read_text())
    old = {key: config[key] for key in ("expansion_factor", "normalize_decoder", "num_latents", "k", "d_in")}
    (folder / "cfg.json").write_text(
        json.dumps(old | {"signed": False} | ({"skip_connection": True} if skip else {}))
    )
    x = torch.randn(40, 16)
    theirs = SparseCoder.load_from_disk(folder)
    with torch.no_grad():
        wanted = theirs.encode(x)
    plain = load_coder(str(folder), subject=subject)
    told = load_coder(
        CoderSpec(str(folder), kind="skip_transcoder" if skip else "transcoder"), subject=subject
    )
    for ours in (plain, told):
        acts = ours.encode(x)
        torch.testing.assert_close(
            dense(acts.values, acts.latents, 64), dense(wanted.top_acts, wanted.top_indices, 64)
        )
    assert (plain.kind, plain.tap.side) == (("skip_transcoder", "input") if skip else ("sae", "output"))
    assert told.tap.side == "input"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_compute_in_float32(dtype: torch.dtype, tmp_path: Path, subject: SubjectModel) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp", dtype=dtype)
    coder = load_coder(str(folder), subject=subject)
    x = torch.randn(8, 16)
    acts = coder.encode(x)
    weights = {name: w.float() for name, w in load_file(folder / "sae.safetensors").items()}
    pre = torch.relu((x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"])
    assert acts.values.dtype == torch.float32
    torch.testing.assert_close(acts.values, pre.gather(1, acts.latents), rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40),
    st.sampled_from([8, 48, 64, 512]),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 99),
)
def test_top_k_finds_the_k_largest(rows: int, width: int, k: int, groups: int, seed: int) -> None:
    pre = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    if width // groups < k:
        groups = 1
    values, columns = top_k(pre, k, groups)
    assert torch.equal(values.sort(dim=1, descending=True).values, pre.topk(k, dim=1).values)
    assert torch.equal(pre.gather(1, columns), values)


def test_blocks_of_rows_change_nothing() -> None:
    weight, bias, x = torch.randn(96, 8), torch.randn(96), torch.randn(1000, 8)
    encoder = TopKEncoder(weight, bias, 5)
    encoder.rows = 37
    acts = encoder.encode(x)
    wanted = torch.relu(x @ weight.T + bias).topk(5, dim=1).values
    torch.testing.assert_close(acts.values.sort(dim=1, descending=True).values, wanted)
    assert len({tuple(row) for row in acts.latents[:1].tolist()}) == 1


def test_random_is_reproducible_and_starts_as_sparsify_does(subject: SubjectModel) -> None:
    one = load_coder("random:layers.1.mlp:64:4:7", subject=subject)
    again = load_coder("random:layers.1.mlp:64:4:7", subject=subject)
    other = load_coder("random:layers.1.mlp:64:4", subject=subject)
    assert one.W_enc is not None
    assert one.W_dec is not None
    assert again.W_enc is not None
    assert other.W_enc is not None
    assert torch.equal(one.W_enc, again.W_enc)
    assert not torch.equal(one.W_enc, other.W_enc)
    assert float(one.W_enc.abs().max()) <= 0.25
    torch.testing.assert_close(one.W_dec.norm(dim=1), torch.ones(64))
    assert (one.kind, one.n_latents, one.k) == ("random", 64, 4)


MLPS = {
    "neox": (save_neox, "layers.1.mlp", "layers.1.mlp.dense_4h_to_h", 64),
    "neox layer": (save_neox, "layers.1", "layers.1.mlp.dense_4h_to_h", 64),
    "gpt2": (save_gpt2, "h.1.mlp", "h.1.mlp.c_proj", 64),
    "gpt2 layer": (save_gpt2, "h.1", "h.1.mlp.c_proj", 64),
    "llama": (save_llama, "layers.1.mlp", "layers.1.mlp.down_proj", 40),
    "opt": (save_opt, "decoder.layers.1", "decoder.layers.1.fc2", 64),
    "opt itself": (save_opt, "decoder.layers.1.fc2", "decoder.layers.1.fc2", 64),
    "bert": (save_bert, "encoder.layer.1", "encoder.layer.1.output.dense", 64),
    "bert output": (save_bert, "encoder.layer.1.output", "encoder.layer.1.output.dense", 64),
}


@pytest.mark.parametrize("case", MLPS)
def test_neurons_are_what_the_down_projection_reads(case: str, tmp_path: Path) -> None:
    save, hookpoint, down, width = MLPS[case]
    subject = load_subject(str(save(tmp_path / "m")))
    coder = load_coder(f"neurons:{hookpoint}:8", subject=subject)
    assert coder.tap == Tap(down, "input")
    assert (coder.n_latents, coder.k, coder.d_out) == (width, 8, 16)
    assert coder.target is not None
    tensors = subject.read([coder.tap, coder.target], torch.arange(12).view(2, 6))
    x, target = tensors[coder.tap].reshape(12, width), tensors[coder.target].reshape(12, 16)
    acts = coder.encode(x)
    assert torch.equal(acts.values.sort(1, descending=True).values, x.topk(8, dim=1).values.clamp(min=0))
    # With every neuron kept, negative ones included, the decoder is the down-projection itself.
    everything = SparseActivations(x.contiguous(), torch.arange(width).repeat(12, 1))
    torch.testing.assert_close(coder.decode(everything, x), target, rtol=1e-4, atol=1e-5)


def test_attention_has_no_neurons(subject: SubjectModel) -> None:
    with pytest.raises(CoderLoadError, match="no down-projection"):
        load_coder("neurons:layers.1.attention", subject=subject)


def test_wrong_width_names_both(tmp_path: Path, subject: SubjectModel) -> None:
    save_coder(tmp_path / "layers.1.mlp", d=24)
    with pytest.raises(CoderLoadError, match=r"width 24.*layers\.1\.mlp.*width 16"):
        load_coder(str(tmp_path / "layers.1.mlp"), subject=subject)


def test_hookpoint_from_folder_name_or_given(tmp_path: Path, subject: SubjectModel) -> None:
    save_coder(tmp_path / "prefixed" / "gpt_neox.layers.2")
    assert load_coder(str(tmp_path / "prefixed"), subject=subject).hookpoint == "layers.2"
    save_coder(tmp_path / "seeded" / "layers.2" / "seed1")
    assert load_coder(str(tmp_path / "seeded"), subject=subject).hookpoint == "layers.2"
    bare = save_coder(tmp_path / "mine")
    with pytest.raises(ModelLoadError, match=r"'mine' is not a hookpoint.*layers\.0"):
        load_coder(str(bare), subject=subject)
    assert load_coder(str(bare), subject=subject, hookpoint="layers.0.mlp").hookpoint == "layers.0.mlp"
    with pytest.raises(UnknownName):
        load_coder(str(bare), subject=subject, hookpoint="layers.9.mlp")


def test_several_coders_in_a_folder(tmp_path: Path, subject: SubjectModel) -> None:
    save_coder(tmp_path / "layers.1.mlp")
    save_coder(tmp_path / "layers.2.mlp")
    with pytest.raises(CoderLoadError, match=r"several coders: layers\.1\.mlp, layers\.2\.mlp"):
        load_coder(str(tmp_path), subject=subject)
    chosen = load_coder(str(tmp_path), subject=subject, hookpoint="gpt_neox.layers.2.mlp")
    assert chosen.hookpoint == "layers.2.mlp"


def test_sae_on_a_module_input(tmp_path: Path, subject: SubjectModel) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp")
    coder = load_coder(CoderSpec(str(folder), side="input"), subject=subject)
    assert (coder.tap, coder.target) == (Tap("layers.1.mlp", "input"), Tap("layers.1.mlp", "input"))


def broken(folder: Path, how: str) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    weights = load_file(folder / "sae.safetensors")
    if how == "nan":
        weights["W_dec"][3, 2] = float("nan")
    elif how == "lacks":
        del weights["b_dec"]
    elif how == "shape":
        weights["b_dec"] = torch.zeros(15)
    elif how == "latents":
        config["num_latents"] = 128
    elif how == "k":
        config["k"] = 65
    elif how == "group":
        config |= {"activation": "groupmax", "k": 5}
    elif how == "activation":
        config["activation"] = "jumprelu"
    elif how == "no d_in":
        del config["d_in"]
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(weights, folder / "sae.safetensors")
    if how == "truncated":
        (folder / "sae.safetensors").write_bytes((folder / "sae.safetensors").read_bytes()[:200])
    elif how == "json":
        (folder / "cfg.json").write_text("{")
    elif how == "list":
        (folder / "cfg.json").write_text("[]")
    elif how == "pickle":
        (folder / "sae.safetensors").rename(folder / "sae.pt")


@pytest.mark.parametrize(
    ("how", "says"),
    {
        "nan": "W_dec.*NaN",
        "lacks": "lacks the weight 'b_dec'",
        "shape": r"'b_dec' has shape \(15,\)",
        "latents": "64 latents.*128",
        "k": "k = 65 of 64",
        "group": "groupmax needs k = 5",
        "activation": "jumprelu",
        "no d_in": "'d_in'",
        "truncated": "damaged",
        "json": "JSON",
        "list": "not an object",
        "pickle": "pickle",
    }.items(),
)
def test_broken_files(how: str, says: str, tmp_path: Path, subject: SubjectModel) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp")
    broken(folder, how)
    with pytest.raises(CoderLoadError, match=says):
        load_coder(str(folder), subject=subject)


@pytest.mark.parametrize(
    "spec",
    [
        "neurons:layers.1.mlp:x",
        "neurons:layers.1.mlp:4:4",
        "random:layers.1.mlp:64",
        "random:layers.1.mlp:4:8",
    ],
)
def test_wrong_specs(spec: str, subject: SubjectModel) -> None:
    with pytest.raises(CoderLoadError):
        load_coder(spec, subject=subject)


@pytest.mark.parametrize("name", ["coder.pt", "nothing"])
def test_no_such_coder(name: str, tmp_path: Path, subject: SubjectModel) -> None:
    with pytest.raises(CoderLoadError, match="pickle" if name.endswith("pt") else "no coder at"):
        load_coder(str(tmp_path / name), subject=subject)


def test_kind_cannot_contradict_the_file(tmp_path: Path, subject: SubjectModel) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp", transcode=True)
    with pytest.raises(CoderLoadError, match="says that it is a"):
        load_coder(CoderSpec(str(folder), kind="sae"), subject=subject)
    with pytest.raises(CoderLoadError, match="skip connection"):
        load_coder(CoderSpec(str(folder), kind="skip_transcoder"), subject=subject)


def test_a_coder_by_its_hub_name(
    tmp_path: Path, subject: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the hub's local cache; a revision is another snapshot."""
    import huggingface_hub.constants

    repository = tmp_path / "models--someone--some-saes"
    for revision, commit, seed in (("main", "a" * 40, 1), ("v2", "b" * 40, 2)):
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
        for hookpoint in ("layers.1.mlp", "layers.2.mlp"):
            save_coder(repository / "snapshots" / commit / hookpoint, seed=seed)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    first = load_coder("someone/some-saes", subject=subject, hookpoint="layers.1.mlp")
    assert (first.source, first.hookpoint) == ("someone/some-saes", "layers.1.mlp")
    second = load_coder("someone/some-saes@v2", subject=subject, hookpoint="layers.1.mlp")
    assert first.checksum() != second.checksum()
    assert default_name("someone/some-saes@v2") == "some-saes"
    with pytest.raises(
        CoderLoadError, match="no coder at someone/other: no such folder, and the hub did not provide it"
    ):
        load_coder("someone/other", subject=subject)
