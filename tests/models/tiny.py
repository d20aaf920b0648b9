"""Tiny subject models and coders, saved to disk as real ones are."""

import os
from pathlib import Path

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 300
TEXT = (
    "The quick brown fox jumps over the lazy dog. Returns the number of items in the array, or None when empty. "
    "def f(x): return x + 1\n>>> f(2)\n3\nna\u00efve caf\u00e9 \U0001f600 \u65e5\u672c\u8a9e\n"
)


def save_tokenizer(folder: Path, *, bos: str | None = None) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `VOCAB` tokens; its BOS is its EOS unless `bos` is given."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    special = ["<|endoftext|>", *([bos] if bos else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token=bos or "<|endoftext|>"
    )
    fast.save_pretrained(folder)
    return fast


def save_neox(folder: Path, *, d: int = 16, layers: int = 3, ctx: int = 64, seed: int = 0) -> Path:
    """A GPT-NeoX language model of width `d`, its tokenizer beside it."""
    torch.manual_seed(seed)
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=d,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=4 * d,
        max_position_embeddings=ctx,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.4,
    )
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_gpt2(folder: Path) -> Path:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_llama(folder: Path) -> Path:
    torch.manual_seed(2)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=40,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder, bos="<s>")
    return folder


def save_opt(folder: Path) -> Path:
    torch.manual_seed(3)
    config = transformers.OPTConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        max_position_embeddings=64,
        word_embed_proj_dim=16,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.OPTForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_bert(folder: Path) -> Path:
    torch.manual_seed(4)
    config = transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_coder(
    folder: Path,
    *,
    d: int = 16,
    n_latents: int = 64,
    k: int = 4,
    transcode: bool = False,
    skip: bool = False,
    activation: str = "topk",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A coder of eai-sparsify with every weight away from its initial value."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    config = SparseCoderConfig(
        num_latents=n_latents,
        k=k,
        transcode=transcode,
        skip_connection=skip,
        activation=activation,  # type: ignore[arg-type]
    )
    coder = SparseCoder(d, config, dtype=dtype)
    with torch.no_grad():
        for name, parameter in coder.named_parameters():
            if name != "encoder.weight":
                parameter.copy_(torch.randn(parameter.shape) * 0.3)
    coder.save_to_disk(folder)
    return folder
