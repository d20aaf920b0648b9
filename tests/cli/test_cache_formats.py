"""`autointerp cache` with coders of other libraries' formats, end to end on a tiny model: coders that rebuild what they read
exactly, if it is read, encoded, decoded and spliced as it should be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autointerp.probe import Prober
from autointerp.store import Store
from autointerp.ui.overview.page import coder_row
from tests.caching.plain import dense_from_store
from tests.cli.conftest import RunError, RunJson, RunText
from tests.models.tiny import TEXT, save_neox

D = 16
TRANSCODERS = Path(__file__).parents[1] / "models" / "golden" / "circuit_tracer"
SIGNED = torch.cat([torch.eye(D), -torch.eye(D)])
"""Directions [32, 16] whose ReLUs hold a vector whole."""


def save_saelens(folder: Path, hook: str, **settings: object) -> Path:
    folder.mkdir(parents=True)
    bias = torch.arange(D) / D
    subtracts = settings.get("apply_b_dec_to_input", True)
    save_file(
        {
            "W_enc": SIGNED.T.contiguous(), "b_enc": torch.zeros(2 * D), "W_dec": SIGNED,
            "b_dec": bias if subtracts else torch.zeros(D),
        },
        folder / "sae_weights.safetensors",
    )  # fmt: skip
    config = {"architecture": "standard", "d_in": D, "d_sae": 2 * D, "metadata": {"hook_name": hook}}
    (folder / "cfg.json").write_text(json.dumps(config | settings))
    return folder


def save_gemma_scope(folder: Path) -> Path:
    folder.mkdir(parents=True)
    np.savez(
        folder / "params.npz", W_enc=SIGNED.T.numpy(), W_dec=SIGNED.numpy(), b_enc=np.zeros(2 * D), b_dec=np.zeros(D),
        threshold=np.full(2 * D, 1e-6),
    )  # fmt: skip
    return folder


def save_dictionary_learning(folder: Path) -> Path:
    folder.mkdir(parents=True)
    weights = {
        "encoder.weight": SIGNED,
        "encoder.bias": torch.zeros(2 * D),
        "decoder.weight": SIGNED.T,
        "bias": torch.ones(D),
    }
    torch.save(weights, folder / "ae.pt")
    trainer = {
        "dict_class": "AutoEncoder",
        "activation_dim": D,
        "dict_size": 2 * D,
        "layer": 1,
        "submodule_name": "mlp_layer_1",
    }
    (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_neox(folder / "model")
    save_saelens(folder / "saelens", "blocks.1.hook_mlp_out")
    save_saelens(folder / "normed", "blocks.0.hook_resid_post", normalize_activations="layer_norm")
    save_gemma_scope(folder / "gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_16")
    save_dictionary_learning(folder / "dictionary")
    (folder / "text.txt").write_text(TEXT * 20, encoding="utf-8")
    return folder


def test_each_format_rebuilds_what_it_reads(
    tiny: Path, tmp_path: Path, run_json: RunJson, run_text: RunText
) -> None:
    sources = [
        tiny / "saelens", tiny / "normed", f"gemma={tiny}/gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_16",
        tiny / "dictionary", f"clt={TRANSCODERS / 'clt' / 'W_enc_1.safetensors'}",
        f"skip={TRANSCODERS / 'jumprelu_skip' / 'layer_2.safetensors'}",
    ]  # fmt: skip
    document = run_json(
        "cache", tmp_path / "s", "--model", tiny / "model", "--coder", *sources, "--text", tiny / "text.txt",
        "--n-tokens", 1000, "--ctx-len", 50,
    )  # fmt: skip
    coders = {coder["coder"]: coder for coder in document["coders"]}
    for name, hookpoint in {
        "saelens": "layers.1.mlp",
        "normed": "layers.0",
        "gemma": "layers.1",
        "dictionary": "layers.1.mlp",
    }.items():
        coder = coders[name]
        assert (coder["hookpoint"], coder["kind"], coder["k"]) == (hookpoint, "sae", None)
        assert coder["fidelity"]["fvu"] < 1e-6
        assert abs(coder["fidelity"]["ce_spliced"] - coder["fidelity"]["ce_clean"]) < 1e-4
        assert 10 < coder["fidelity"]["l0"] <= D
    _, shown, _ = run_text("info", tmp_path / "s")
    assert "saelens: SAE of SAELens, standard, blocks.1.hook_mlp_out." in shown
    assert "dictionary: SAE of dictionary_learning, AutoEncoder, mlp_layer_1." in shown
    assert "gemma: SAE of Gemma Scope." in shown
    assert coders["clt"]["kind"] == "cross_layer_transcoder"
    assert coders["clt"]["fidelity"] is None
    assert "clt: cross-layer transcoder of circuit-tracer. One layer of a cross-layer transcoder" in shown
    assert coders["skip"]["kind"] == "skip_transcoder"
    same_in_probe(Store.open(tmp_path / "s"))


def same_in_probe(store: Store) -> None:
    """Probe gives a row of the corpus the activations that are stored for it."""
    result = Prober(store).run_ids(store.tokens[3].tolist())
    assert list(result.coders) == [info.coder for info in store.coders()]
    for name, probed in result.coders.items():
        stored = dense_from_store(store, name)[3 * store.ctx_len : 4 * store.ctx_len]
        shown = np.zeros_like(stored)
        shown[probed.position, probed.latent] = probed.activation
        assert (stored > 0).any()
        np.testing.assert_allclose(shown, stored, rtol=2e-3, atol=1e-5)


def test_a_cap_is_recorded_counted_and_shown(
    tiny: Path, tmp_path: Path, run_json: RunJson, run_text: RunText, run_error: RunError
) -> None:
    command = (
        "cache",
        tmp_path / "s",
        "--model",
        tiny / "model",
        "--coder",
        f"capped={tiny / 'saelens'}",
        "--max-active",
        3,
    )
    document = run_json(*command, "--text", tiny / "text.txt", "--n-tokens", 1000, "--ctx-len", 50)
    [coder] = document["coders"]
    store = Store.open(tmp_path / "s")
    assert coder["n_activations"] == 3 * coder["n_tokens"]
    assert coder["config"]["max_active"] == 3
    [note] = coder["config"]["notes"]
    left_out = round(coder["fidelity"]["l0"] * coder["n_tokens"]) - coder["n_activations"]
    assert f"Only the 3 largest activations of each token are stored: {left_out:,} were left out (8" in note
    assert coder["fidelity"]["fvu"] < 1e-6
    assert note in run_text("info", tmp_path / "s")[1]
    hookpoint, described = coder_row(store.coder("capped").info)["cells"][2]
    assert (hookpoint, described) == (
        "layers.1.mlp",
        f"SAE of SAELens, standard, blocks.1.hook_mlp_out. {note}",
    )
    assert run_json(*command)["coders"][0]["n_activations"] == coder["n_activations"]
    assert "with 3 activations per token" in run_error(*command[:-2])
    same_in_probe(store)
    assert "at least 1" in run_error(*command[:-1], 0)


def test_a_hookpoint_and_its_side_go_before_the_files(tiny: Path, tmp_path: Path, run_json: RunJson) -> None:
    document = run_json(
        "cache", tmp_path / "s", "--model", tiny / "model", "--coder", f"mine={tiny / 'saelens'}", "--text", tiny / "text.txt",
        "--n-tokens", 300, "--ctx-len", 50, "--hookpoint", "layers.2.mlp", "--side", "input",
    )  # fmt: skip
    [coder] = document["coders"]
    assert (coder["hookpoint"], coder["config"]["side"]) == ("layers.2.mlp", "input")
    assert coder["fidelity"]["fvu"] < 1e-6
    [note] = coder["config"]["notes"]
    assert note == "Read at layers.2.mlp (input), as requested; the coder's files say layers.1.mlp (output)."
    same_in_probe(Store.open(tmp_path / "s"))
