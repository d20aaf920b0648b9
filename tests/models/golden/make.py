"""Makes the folders beside this file: tiny coders saved by the libraries that define the formats, and what those compute.

Each folder holds a coder's files as its library writes them, and `expected.safetensors`: `x` (10 vectors), `acts` (dense) and
`out`, all from that library's own classes. `versions.json` says which. Not part of the test suite: the libraries bring a few
hundred MB. In an environment of its own,

    pip install sae-lens==6.54.12 dictionary-learning==0.1.0 circuit-tracer==0.5.0
    python tests/models/golden/make.py
"""

import importlib
import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
D, D_OUT, L, K, N = 16, 16, 20, 4, 10
SAELENS = {
    # name: architecture, hook, settings
    "standard": ("standard", "blocks.1.hook_mlp_out", {}),
    "standard_plain_input": ("standard", "blocks.2.hook_resid_pre", {"apply_b_dec_to_input": False}),
    "standard_layer_norm": ("standard", "blocks.1.hook_resid_post", {"normalize_activations": "layer_norm"}),
    "standard_constant_norm": ("standard", "blocks.1.hook_resid_post", {"normalize_activations": "constant_norm_rescale"}),
    "standard_unscaled": ("standard", "blocks.1.hook_resid_post", {"normalize_activations": "expected_average_only_in"}),
    "gated": ("gated", "blocks.1.hook_attn_out", {}),
    "jumprelu": ("jumprelu", "blocks.0.hook_resid_pre", {"apply_b_dec_to_input": False}),
    "topk": ("topk", "blocks.1.attn.hook_z", {"k": K, "reshape_activations": "hook_z"}),
    "topk_rescaled": ("topk", "blocks.1.hook_mlp_out", {"k": K, "rescale_acts_by_decoder_norm": True}),
    "transcoder": ("transcoder", "blocks.1.mlp.hook_in", {"d_out": D_OUT, "apply_b_dec_to_input": False}),
    "transcoder_normalized": (
        "transcoder", "blocks.1.mlp.hook_in",
        {"d_out": D_OUT, "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
    ),
    "skip_transcoder": ("skip_transcoder", "blocks.1.mlp.hook_in", {"d_out": D_OUT, "apply_b_dec_to_input": False}),
    "jumprelu_transcoder": (
        "jumprelu_transcoder", "blocks.1.mlp.hook_in", {"d_out": D_OUT, "apply_b_dec_to_input": False},
    ),
    "jumprelu_skip_transcoder": (
        "jumprelu_skip_transcoder", "blocks.1.mlp.hook_in", {"d_out": D_OUT, "apply_b_dec_to_input": False},
    ),
}  # fmt: skip
TRAINED: dict[str, dict[str, Any]] = {
    "batchtopk": {},
    "batchtopk_rescaled": {"rescale_acts_by_decoder_norm": True},
    "matryoshka_batchtopk": {"matryoshka_widths": [8, L]},
}
"""Coders from training, as they are saved for inference and as a checkpoint."""


def fill(parameters: Mapping[str, torch.Tensor], seed: int) -> None:
    """Every weight away from its initial value, thresholds where they matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in parameters.items():
            if not weight.is_floating_point():
                continue
            values = torch.randn(weight.shape, generator=generator)
            if "threshold" in name:
                weight.copy_(values.abs() * 0.5 + 0.2)
            elif weight.ndim >= 2:
                weight.copy_(values / weight.shape[-1] ** 0.5 * 1.5)
            else:
                weight.copy_(values * 0.3)


def fresh(name: str) -> Path:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def vectors(seed: int, d: int = D) -> torch.Tensor:
    return torch.randn(N, d, generator=torch.Generator().manual_seed(seed)) * 1.5 + 0.3


def keep(folder: Path, x: torch.Tensor, acts: torch.Tensor, out: torch.Tensor | None) -> None:
    expected = {"x": x, "acts": acts.detach()} | ({} if out is None else {"out": out.detach()})
    assert (acts > 0).any(), folder
    assert not (acts > 0).all(), folder
    save_file(
        {name: each.float().contiguous() for name, each in expected.items()}, folder / "expected.safetensors"
    )


def saelens() -> None:
    lib = importlib.import_module("sae_lens")
    registry = importlib.import_module("sae_lens.registry")
    for seed, (name, (architecture, hook, settings)) in enumerate(SAELENS.items()):
        sae_class, config_class = registry.get_sae_class(architecture)
        metadata = {
            "model_name": "tiny",
            "hook_name": hook,
            "model_from_pretrained_kwargs": {"center_writing_weights": False},
        }
        if "transcoder" in architecture:
            metadata["hook_name_out"] = "blocks.1.hook_mlp_out"
        sae = sae_class(
            config_class(d_in=D, d_sae=L, metadata=lib.saes.sae.SAEMetadata(**metadata), **settings)
        )
        fill(dict(sae.named_parameters()), seed)
        sae.save_model(folder := fresh(f"saelens/{name}"))
        again, x = lib.SAE.load_from_disk(folder), vectors(seed)
        again.turn_off_forward_pass_hook_z_reshaping()  # vectors come flat, as o_proj reads them
        with torch.no_grad():
            keep(folder, x, again.encode(x), again(x))
    for seed, (name, settings) in enumerate(TRAINED.items(), 100):
        sae_class, config_class = registry.get_sae_training_class(name.removesuffix("_rescaled"))
        metadata = lib.saes.sae.SAEMetadata(hook_name="blocks.1.hook_resid_post")
        sae = sae_class(config_class(d_in=D, d_sae=L, k=K, metadata=metadata, **settings))
        fill(dict(sae.named_parameters()), seed)
        sae.topk_threshold.fill_(0.7)
        sae.save_model(folder := fresh(f"saelens/{name}_checkpoint"))
        sae.save_inference_model(inference := fresh(f"saelens/{name}"))
        again, x = lib.SAE.load_from_disk(inference), vectors(seed)
        with torch.no_grad():
            for each in (folder, inference):
                keep(each, x, again.encode(x), again(x))


def saelens_before_6() -> None:
    """Configurations as SAELens 2 to 5 wrote them, read by the current one."""
    lib = importlib.import_module("sae_lens")
    old = {
        "old_standard": {"hook_point": "blocks.1.hook_mlp_out", "hook_point_layer": 1, "expansion_factor": 2},
        "old_topk": {
            "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1, "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": K}, "apply_b_dec_to_input": False, "sae_lens_training_version": "3.20.0",
            "model_from_pretrained_kwargs": {"center_writing_weights": False},
        },
        "old_gated": {
            "architecture": "gated", "hook_name": "blocks.1.attn.hook_z", "hook_layer": 1, "finetuning_scaling_factor": False,
            "normalize_activations": False, "context_size": 128, "hook_head_index": None,
        },
    }  # fmt: skip
    sources = {"old_standard": "standard", "old_topk": "topk", "old_gated": "gated"}
    for seed, (name, settings) in enumerate(old.items(), 200):
        folder = fresh(f"saelens/{name}")
        weights = load_file(HERE / "saelens" / sources[name] / "sae_weights.safetensors")
        fill(weights, seed)
        save_file(weights, folder / "sae_weights.safetensors")
        config = {
            "d_in": D,
            "d_sae": L,
            "dtype": "torch.float32" if name == "old_standard" else "float32",
            "model_name": "tiny",
        }
        (folder / "cfg.json").write_text(json.dumps(config | settings))
        save_file({"sparsity": torch.zeros(L)}, folder / "sparsity.safetensors")
        sae, x = lib.SAE.load_from_disk(folder, dtype="float32"), vectors(seed)
        sae.turn_off_forward_pass_hook_z_reshaping()
        with torch.no_grad():
            keep(folder, x, sae.encode(x), sae(x))


def gemma_scope() -> None:
    """Gemma Scope's files are written here, and read by SAELens and circuit-tracer."""
    lib = importlib.import_module("sae_lens")
    loaders: Any = importlib.import_module("sae_lens.loading.pretrained_sae_loaders")
    single = importlib.import_module("circuit_tracer.transcoder.single_layer_transcoder")

    def local(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        return str(HERE / repo_id / subfolder / filename)

    loaders.hf_hub_download = local
    loaders.get_safetensors_tensor_shapes = lambda repo_id, filename: {
        name: list(weight.shape) for name, weight in load_file(HERE / repo_id / filename).items()
    }
    shapes = {"W_enc": (D, L), "W_dec": (L, D), "b_enc": (L,), "b_dec": (D,), "threshold": (L,)}
    first = {
        "gemma-scope-2b-pt-res": "layer_1/width_16k/average_l0_71",
        "gemma-scope-2b-pt-mlp": "layer_1/width_16k/average_l0_8",
        "gemma-scope-2b-pt-att": "layer_1/width_16k/average_l0_9",
        "gemma-scope-2b-pt-transcoders": "layer_1/width_16k/average_l0_5",
    }
    for seed, (repo, below) in enumerate(first.items(), 300):
        folder = fresh(f"gemma_scope/{repo}/{below}")
        weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
        fill(weights, seed)
        arrays: Any = {name: weight.numpy() for name, weight in weights.items()}
        np.savez(folder / "params.npz", **arrays)
        x = vectors(seed)
        if repo.endswith("transcoders"):
            coder = single.load_gemma_scope_transcoder(str(folder / "params.npz"), 1)
            with torch.no_grad():
                keep(folder, x, coder.encode(x), coder(x))
            continue
        config, state, _ = loaders.gemma_2_sae_huggingface_loader(f"gemma_scope/{repo}", below)
        keep_saelens(lib, folder, config | {"d_in": D, "d_sae": L}, state, x)
    second = {
        "resid_post/layer_1_width_16k_l0_medium": ("model.layers.1.output", None),
        "attn_out/layer_1_width_16k_l0_medium": ("model.layers.1.self_attn.o_proj.input", None),
        "mlp_out/layer_1_width_16k_l0_medium": ("model.layers.1.post_feedforward_layernorm.output", None),
        "transcoder/layer_1_width_16k_l0_small": (
            "model.layers.1.pre_feedforward_layernorm.output", "model.layers.1.post_feedforward_layernorm.output",
        ),
        "transcoder/layer_1_width_16k_l0_small_affine": (
            "model.layers.1.pre_feedforward_layernorm.output", "model.layers.1.post_feedforward_layernorm.output",
        ),
    }  # fmt: skip
    for seed, (below, (reads, writes)) in enumerate(second.items(), 400):
        repo = "gemma_scope/gemma-scope-2-1b-pt"
        folder = fresh(f"{repo}/{below}")
        affine = below.endswith("affine")
        named = {name.lower(): shape for name, shape in shapes.items()}
        weights = {name: torch.zeros(shape) for name, shape in named.items()}
        if affine:
            weights["affine_skip_connection"] = torch.zeros(D, D)
        fill(weights, seed)
        save_file(weights, folder / "params.safetensors")
        config = {
            "architecture": "jump_relu",
            "model_name": "gemma-v3-1b-pt",
            "hf_hook_point_in": reads,
            "width": L,
            "l0": 5,
        }
        config |= {"hf_hook_point_out": writes, "affine_connection": affine} if writes else {}
        (folder / "config.json").write_text(json.dumps(config))
        settings, state, _ = loaders.gemma_3_sae_huggingface_loader(repo, below)
        keep_saelens(lib, folder, settings, state, vectors(seed))


def keep_saelens(
    lib: Any, folder: Path, config: dict[str, Any], state: dict[str, Any], x: torch.Tensor
) -> None:
    """What SAELens computes from what its own loader of another format gave."""
    loaders = importlib.import_module("sae_lens.loading.pretrained_sae_loaders")
    registry = importlib.import_module("sae_lens.registry")
    config = loaders.handle_config_defaulting(config)
    sae_class, config_class = registry.get_sae_class(config["architecture"])
    sae = sae_class(config_class.from_dict(config))
    sae.load_state_dict(state)
    sae.turn_off_forward_pass_hook_z_reshaping()
    with torch.no_grad():
        keep(folder, x, sae.encode(x), sae(x))


def dictionary_learning() -> None:
    lib = importlib.import_module("dictionary_learning.dictionary")
    utils = importlib.import_module("dictionary_learning.utils")
    trainers = importlib.import_module("dictionary_learning.trainers.matryoshka_batch_top_k")
    top_k = importlib.import_module("dictionary_learning.trainers.top_k")
    batch = importlib.import_module("dictionary_learning.trainers.batch_top_k")
    made = {
        "AutoEncoder": (lib.AutoEncoder(D, L), "resid_post_layer_1"),
        "AutoEncoderNew": (lib.AutoEncoderNew(D, L), "mlp_layer_1"),
        "GatedAutoEncoder": (lib.GatedAutoEncoder(D, L), "attention_layer_1"),
        "JumpReluAutoEncoder": (lib.JumpReluAutoEncoder(D, L), "resid_pre_layer_1"),
        "AutoEncoderTopK": (top_k.AutoEncoderTopK(D, L, K), "gpt_neox.layers.1.mlp"),
        "BatchTopKSAE": (batch.BatchTopKSAE(D, L, K), "resid_post_layer_1"),
        "MatryoshkaBatchTopKSAE": (
            trainers.MatryoshkaBatchTopKSAE(D, L, K, [8, L - 8]),
            "resid_post_layer_1",
        ),
    }
    for seed, (name, (ae, submodule)) in enumerate(made.items(), 500):
        folder = fresh(f"dictionary_learning/{name}")
        fill(ae.state_dict(), seed)
        torch.save({key: value.cpu() for key, value in ae.state_dict().items()}, folder / "ae.pt")
        trainer = {
            "dict_class": name, "trainer_class": "Trainer", "activation_dim": D, "dict_size": L, "layer": 1, "lm_name": "tiny",
            "submodule_name": submodule, **({"k": K} if "TopK" in name else {}),
        }  # fmt: skip
        (folder / "config.json").write_text(
            json.dumps({"trainer": trainer, "buffer": {"io": "out", "ctx_len": 128}})
        )
        again, x = utils.load_dictionary(str(folder), "cpu")[0], vectors(seed)
        with torch.no_grad():
            keep(folder, x, acts := again.encode(x), again.decode(acts))


def circuit_tracer() -> None:
    single = importlib.import_module("circuit_tracer.transcoder.single_layer_transcoder")
    cross = importlib.import_module("circuit_tracer.transcoder.cross_layer_transcoder")
    functions = importlib.import_module("circuit_tracer.transcoder.activation_functions")
    config = "model_name: tiny\nmodel_kind: {}\nfeature_input_hook: {}\nfeature_output_hook: hook_mlp_out\nscan: tiny\n"
    for seed, (name, function, skip) in enumerate(
        (
            ("relu", torch.nn.functional.relu, False),
            ("jumprelu_skip", functions.JumpReLU(torch.zeros(L)), True),
        ),
        600,
    ):
        folder = fresh(f"circuit_tracer/{name}")
        coders = {
            i: single.SingleLayerTranscoder(D, L, function, i, skip_connection=skip, dtype=torch.float32)
            for i in range(3)
        }
        for i, coder in coders.items():
            fill(dict(coder.named_parameters()), seed * 10 + i)
            coder.to_safetensors(str(folder / f"layer_{i}.safetensors"))
        (folder / "config.yaml").write_text(config.format("transcoder_set", "mlp.hook_in"))
        paths = {i: str(folder / f"layer_{i}.safetensors") for i in range(3)}
        again = single.load_transcoder_set(paths, "tiny", "mlp.hook_in", "hook_mlp_out", dtype=torch.float32)[
            1
        ]
        x = vectors(seed)
        with torch.no_grad():
            keep(folder, x, again.encode(x), again(x))
    folder = fresh("circuit_tracer/clt")
    clt = cross.CrossLayerTranscoder(
        3, L, D, activation_function="jump_relu", lazy_decoder=False, dtype=torch.float32
    )
    fill(dict(clt.named_parameters()), 700)
    clt.to_safetensors(str(folder))
    (folder / "config.yaml").write_text(config.format("cross_layer_transcoder", "mlp.hook_in"))
    again, x = cross.load_clt(str(folder), dtype=torch.float32), vectors(700)
    with torch.no_grad():
        keep(folder, x, again.encode_layer(x, 1), None)


if __name__ == "__main__":
    saelens()
    saelens_before_6()
    gemma_scope()
    dictionary_learning()
    circuit_tracer()
    names = ("sae-lens", "dictionary-learning", "circuit-tracer", "transformer-lens", "torch")
    (HERE / "versions.json").write_text(json.dumps({name: version(name) for name in names}, indent=1) + "\n")
