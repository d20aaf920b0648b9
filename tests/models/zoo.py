"""Tiny random models of many architectures, from configurations alone, saved to disk as checkpoints are.

Weights are large enough (initial range 0.2, gains of norms around 1) that a wrong path shows. The embedding has more rows
than the tokenizer has tokens, as in most published models.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from tests.models.tiny import VOCAB, save_tokenizer

ROWS = VOCAB + 20
"""Rows of the embedding."""
D, LAYERS, CTX = 32, 2, 64


@dataclass(frozen=True)
class Architecture:
    """`config`: a class of transformers; `model`: the class a checkpoint of it holds. `block`, `mlp`: hookpoints of the last
    layer (the MLP's where it has one). `changes`: settings beyond the common ones."""

    config: str
    model: str
    block: str
    mlp: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)


LLAMA_LIKE: Any = {"head_dim": 16}
_MOE: Any = {
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}  # fmt: skip
_ENCODER = {"max_position_embeddings": CTX, "pad_token_id": None}


def _decoder(name: str, layers: str = "layers", model: str = "", **changes: Any) -> Architecture:
    return Architecture(
        f"{name}Config", f"{model or name}ForCausalLM", f"{layers}.1", f"{layers}.1.mlp", changes
    )


ARCHITECTURES: dict[str, Architecture] = {
    "BERT": Architecture("BertConfig", "BertForMaskedLM", "encoder.layer.1", None, _ENCODER),
    "RoBERTa": Architecture(
        "RobertaConfig", "RobertaForMaskedLM", "encoder.layer.1", None,
        {"max_position_embeddings": CTX + 2, "pad_token_id": 1},
    ),
    "DistilBERT": Architecture(
        "DistilBertConfig", "DistilBertForMaskedLM", "transformer.layer.1", "transformer.layer.1.ffn",
        {"dim": D, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 64},
    ),
    "ELECTRA": Architecture("ElectraConfig", "ElectraForMaskedLM", "encoder.layer.1", None, _ENCODER),
    "ModernBERT": Architecture("ModernBertConfig", "ModernBertForMaskedLM", "layers.1", "layers.1.mlp"),
    "GPT-2": Architecture(
        "GPT2Config", "GPT2LMHeadModel", "h.1", "h.1.mlp", {"n_embd": D, "n_layer": LAYERS, "n_head": 2, "n_positions": CTX},
    ),
    "GPT-Neo": Architecture(
        "GPTNeoConfig", "GPTNeoForCausalLM", "h.1", "h.1.mlp",
        {"num_layers": LAYERS, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 16},
    ),
    "GPT-NeoX": _decoder("GPTNeoX"),
    "GPT-J": Architecture(
        "GPTJConfig", "GPTJForCausalLM", "h.1", "h.1.mlp",
        {"n_embd": D, "n_layer": LAYERS, "n_head": 2, "rotary_dim": 8, "n_positions": CTX},
    ),
    "CodeGen": Architecture(
        "CodeGenConfig", "CodeGenForCausalLM", "h.1", "h.1.mlp",
        {"n_embd": D, "n_layer": LAYERS, "num_attention_heads": 4, "rotary_dim": 4, "n_positions": CTX},
    ),
    "OPT": Architecture(
        "OPTConfig", "OPTForCausalLM", "decoder.layers.1", None, {"ffn_dim": 64, "word_embed_proj_dim": D, "pad_token_id": 1},
    ),
    "OPT with projections": Architecture(
        "OPTConfig", "OPTForCausalLM", "decoder.layers.1", None,
        {"ffn_dim": 64, "word_embed_proj_dim": 16, "pad_token_id": 1, "do_layer_norm_before": False},
    ),
    "BLOOM": Architecture(
        "BloomConfig", "BloomForCausalLM", "h.1", "h.1.mlp", {"n_layer": LAYERS, "n_head": 2},
    ),
    "MPT": Architecture(
        "MptConfig", "MptForCausalLM", "blocks.1", "blocks.1.ffn",
        {"d_model": D, "n_layers": LAYERS, "n_heads": 2, "max_seq_len": CTX, "expansion_ratio": 2},
    ),
    "Falcon": Architecture("FalconConfig", "FalconForCausalLM", "h.1", "h.1.mlp", {"alibi": False}),
    "Llama": _decoder("Llama"),
    "Mistral": _decoder("Mistral"),
    "Mixtral": _decoder("Mixtral", **_MOE),
    "Qwen2": _decoder("Qwen2"),
    "Qwen2-MoE": _decoder("Qwen2Moe", decoder_sparse_step=1, **_MOE),
    "Qwen3": _decoder("Qwen3", **LLAMA_LIKE),
    "Qwen3-MoE": _decoder("Qwen3Moe", **LLAMA_LIKE, **_MOE),
    "Gemma": _decoder("Gemma", **LLAMA_LIKE),
    "Gemma-2": _decoder("Gemma2", **LLAMA_LIKE, query_pre_attn_scalar=16, sliding_window=16),
    "Gemma-3": _decoder("Gemma3Text", model="Gemma3", **LLAMA_LIKE, query_pre_attn_scalar=16, sliding_window=16),
    "Gemma-3 with images": Architecture(
        "Gemma3Config", "Gemma3ForConditionalGeneration", "language_model.layers.1", "language_model.layers.1.mlp"
    ),
    "Phi": _decoder("Phi"),
    "Phi-3": _decoder("Phi3", pad_token_id=0),
    "StableLM": _decoder("StableLm"),
    "StarCoder2": _decoder("Starcoder2"),
    "Persimmon": _decoder("Persimmon"),
    "Nemotron": _decoder("Nemotron", **LLAMA_LIKE),
    "OLMo": _decoder("Olmo"),
    "OLMo2": _decoder("Olmo2"),
    "Cohere": _decoder("Cohere"),
    "Cohere2": _decoder("Cohere2", sliding_window=16),
    "Granite": _decoder(
        "Granite", residual_multiplier=0.5, embedding_multiplier=2.0, logits_scaling=3.0, attention_multiplier=0.3
    ),
    "GLM-4": _decoder("Glm4", **LLAMA_LIKE, partial_rotary_factor=0.5),
    "SmolLM3": _decoder("SmolLM3"),
    "GPT-OSS": _decoder("GptOss", **LLAMA_LIKE, **_MOE),
    "LFM2": Architecture(
        "Lfm2Config", "Lfm2ForCausalLM", "layers.1", "layers.1.feed_forward", {"layer_types": ["conv", "full_attention"]},
    ),
    "Mamba": Architecture("MambaConfig", "MambaForCausalLM", "layers.1", None, {"state_size": 4}),
    "Mamba-2": Architecture(
        "Mamba2Config", "Mamba2ForCausalLM", "layers.1", None, {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1},
    ),
    "RWKV": Architecture(
        "RwkvConfig", "RwkvForCausalLM", "blocks.1", None,
        {"attention_hidden_size": D, "context_length": CTX, "rescale_every": 1},
    ),
    "RecurrentGemma": Architecture(
        "RecurrentGemmaConfig", "RecurrentGemmaForCausalLM", "layers.1", "layers.1.mlp_block",
        {**LLAMA_LIKE, "lru_width": D, "attention_window_size": 16, "block_types": ["recurrent", "attention"]},
    ),
    "Jamba": Architecture(
        "JambaConfig", "JambaForCausalLM", "layers.1", "layers.1.feed_forward",
        {**_MOE, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4, "use_mamba_kernels": False},
    ),
    "T5": Architecture(
        "T5Config", "T5ForConditionalGeneration", "encoder.block.1", None, {"d_model": D, "d_kv": 16, "d_ff": 64}
    ),
    "BART": Architecture(
        "BartConfig", "BartForConditionalGeneration", "decoder.layers.1", None,
        {"d_model": D, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
         "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": CTX},
    ),
}  # fmt: skip

ENCODERS = ("BERT", "RoBERTa", "DistilBERT", "ELECTRA", "ModernBERT")
REFUSED = ("T5", "BART")
RECURRENT = ("RWKV", "RecurrentGemma")
"""They read what stands before a text, padding or not."""


def config_of(name: str) -> Any:
    """The tiny configuration of an architecture."""
    architecture = ARCHITECTURES[name]
    common: dict[str, Any] = {
        "vocab_size": ROWS, "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": CTX, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
        "initializer_range": 0.2, "init_std": 0.2,
    }  # fmt: skip
    if name == "Gemma-3 with images":
        text = transformers.Gemma3TextConfig(
            **common, head_dim=16, query_pre_attn_scalar=16, sliding_window=16
        )
        vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, 
                  "image_size": 28,
                  "patch_size": 14}  # fmt: skip
        return transformers.Gemma3Config(
            text_config=text.to_dict(), vision_config=vision, mm_tokens_per_image=4, image_token_index=ROWS - 1,
            boi_token_index=ROWS - 2, eoi_token_index=ROWS - 3,
        )  # fmt: skip
    if architecture.config == "GPT2Config":
        common.pop("num_key_value_heads")
    return getattr(transformers, architecture.config)(**(common | architecture.changes))


def save(name: str, folder: Path, tokenizer: Path | None = None) -> Path:
    """The checkpoint of an architecture, with a tokenizer (the one saved at `tokenizer`, else a new one)."""
    torch.manual_seed(len(name))
    config = config_of(name)
    model = getattr(transformers, ARCHITECTURES[name].model)(config)
    with torch.no_grad():
        for module in model.modules():
            if "norm" in type(module).__name__.lower():
                for parameter in module.parameters(recurse=False):
                    parameter.add_(torch.rand_like(parameter) * 0.8 - 0.3)
            elif isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.uniform_(-0.1, 0.1)
    model.save_pretrained(folder)
    if tokenizer is None:
        save_tokenizer(folder)
    else:
        for file in tokenizer.iterdir():
            shutil.copy(file, folder / file.name)
    return folder
