"""Tokens of the demo corpus: the tokenizer, and rows of a fixed length for training and measuring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from autointerp.demo.corpus import Split, iter_documents

VOCAB_SIZE = 4096
CONTEXT = 128
EOS = "<|endoftext|>"


def train_tokenizer(model_dir: Path) -> Tokenizer:
    """Train the byte-level BPE on the training part and save it so that AutoTokenizer loads it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((doc.text for doc in iter_documents("train")), trainer)
    model_dir.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(model_dir / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": EOS,
        "eos_token": EOS,
        "unk_token": EOS,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    (model_dir / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return tokenizer


def token_stream(split: Split, model_dir: Path, work: Path) -> np.ndarray:
    """All tokens of a split as one uint16 stream, each document preceded by the separator (id 0).

    The stream is kept in ``work`` and read back from there the next time.
    """
    path = work / f"{split}.npy"
    if not path.exists():
        tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        parts: list[np.ndarray] = []
        batch: list[str] = []

        def flush() -> None:
            for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
                parts.append(np.array([0, *encoding.ids], dtype=np.uint16))
            batch.clear()

        for document in iter_documents(split):
            batch.append(document.text)
            if len(batch) == 1024:
                flush()
        flush()
        work.mkdir(parents=True, exist_ok=True)
        np.save(path, np.concatenate(parts))
    return np.load(path)


def rows(stream: np.ndarray, offset: int = 0) -> np.ndarray:
    """Rows of ``CONTEXT`` tokens from ``offset`` on; the last partial row is dropped."""
    count = (len(stream) - offset) // CONTEXT
    return stream[offset : offset + count * CONTEXT].reshape(count, CONTEXT)
