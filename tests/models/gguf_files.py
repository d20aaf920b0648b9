"""A tiny Llama in GGUF, as llama.cpp's converter writes one."""

from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

BYTES = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
"""Most of the alphabet of byte-level BPE."""
TOKENS = ["<unk>", "<s>", "</s>", *BYTES, "Ġ", "Ċ", "th", "the"]
MERGES = ["t h", "th e"]
NORMAL, CONTROL = 1, 3
HEADS, KV_HEADS = 4, 2


def tiny_llama() -> transformers.LlamaForCausalLM:
    """Weights that bfloat16 holds exactly, so that saving in it loses nothing."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=32, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, intermediate_size=48, max_position_embeddings=128, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, initializer_range=0.2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    for weight in model.parameters():  # not the buffers: the frequencies of the rotation are no weights
        weight.data = weight.data.bfloat16().float()
    return model


def write_gguf(path: Path, model: transformers.LlamaForCausalLM) -> Path:
    """`model` in float32 with a byte-level BPE of `TOKENS`."""
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([CONTROL] * 3 + [NORMAL] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    names = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    for layer in range(config.num_hidden_layers):
        for ours, theirs in names.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            if theirs == "attn_q":
                weight = _interleaved(weight, HEADS)
            if theirs == "attn_k":
                weight = _interleaved(weight, KV_HEADS)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _interleaved(weight: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Rows in llama.cpp's order: it rotates neighbouring pairs where transformers rotates the two halves of a head."""
    halves = weight.reshape(n_heads, 2, -1, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
