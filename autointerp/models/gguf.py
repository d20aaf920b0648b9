"""Weights of a GGUF file, llama.cpp's format, as a folder that transformers loads."""

import io
import os
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch

from autointerp.errors import ModelLoadError
from autointerp.models.checkpoint import quiet
from autointerp.reading import reason


def convert_gguf(file: Path, folder: Path, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the model and tokenizer of `file` into `folder`, which appears only when it is complete; one that is there is
    replaced. Quantised weights stay what they are: they are only written out.

    Raises ModelLoadError: the package `gguf` is missing, or transformers cannot read the file.
    """
    import transformers

    named: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    try:
        # Its own bar obeys no setting.
        with quiet(), redirect_stderr(io.StringIO()):
            loaded = transformers.AutoModelForCausalLM.from_pretrained(**named, dtype=torch.float32)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**named)
    except Exception as error:  # transformers throws of every kind
        raise ModelLoadError(f"{file} cannot be read as a model in GGUF: {reason(error)}") from error
    # A model read from GGUF refuses to be saved, so its weights move to one that was not.
    settings = loaded.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        settings.pop(key, None)
    model: Any = type(loaded)(type(loaded.config)(**settings))
    model = model.to(dtype)
    model.load_state_dict(loaded.state_dict())
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        with quiet():
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
