"""Reading a checkpoint of transformers: which class holds it, its weights, tokenizer, device and dtype."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from autointerp.errors import ModelLoadError
from autointerp.reading import not_a_file, reason

_HEAD = re.compile(r"(ForCausalLM|LMHeadModel|ForConditionalGeneration)$")
_OPTIONAL = re.compile(r"(^|\.)(pooler|lm_head|embed_out|cls)\.")


def read_checkpoint(
    name: str, *, head: bool, dtype: torch.dtype | None, device: torch.device, options: dict[str, Any]
) -> tuple[nn.Module, Any, bool, str]:
    """The model, its configuration, whether it has a trained head for next tokens, and its fingerprint.

    Raises ModelLoadError: nothing there, an encoder-decoder, damaged or missing weights.
    """
    import transformers

    _check_files(Path(name))
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        if getattr(config, "is_encoder_decoder", False):
            raise ModelLoadError(
                f"{name} is an encoder-decoder ({config.model_type}), which is not supported. Decoders (GPT-2, Llama) and "
                "encoders (BERT) are."
            )
        auto = _auto_class(config, head, options["trust_remote_code"])
        with quiet():
            model, info = auto.from_pretrained(
                name, dtype=dtype or "auto", use_safetensors=True, output_loading_info=True, **options
            )
    except ModelLoadError:
        raise
    except SafetensorError as error:
        raise ModelLoadError(f"the weights of {name} are damaged: {error}") from error
    except (
        Exception
    ) as error:  # configurations and weights may be of anybody, and transformers throws of every kind
        raise ModelLoadError(_explain(name, error)) from error
    missing = sorted(map(str, info["missing_keys"]))
    needed = [key for key in missing if not _OPTIONAL.search("." + key)]
    if needed:
        raise ModelLoadError(
            f"{name} lacks {len(needed)} weights of {type(model).__name__} (first: {needed[0]}); they would be random"
        )
    has_head = auto is not transformers.AutoModel and all("pooler" in key for key in missing)
    model = model.eval().requires_grad_(False).to(device)
    model.config.use_cache = False
    return model, config, has_head, fingerprint(model, missing)


def _check_files(folder: Path) -> None:
    """Raises ModelLoadError where a file of the folder is none: a pipe never ends."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if not path.is_dir() and (problem := not_a_file(path)):
            raise ModelLoadError(f"{path}: {problem}.")


def fingerprint(model: nn.Module, drawn: list[str]) -> str:
    """16 hex digits that tell two models apart, from a few values of each weight of the base model; the same for any loading
    dtype. `drawn`: weights that the checkpoint lacks and that are therefore random, which do not count."""
    digest = hashlib.sha256()
    parameters = list(model.named_parameters(remove_duplicate=False))
    stored = {id(weight) for name, weight in parameters if name not in drawn}
    for name, weight in model.base_model.named_parameters():  # type: ignore[operator, union-attr]
        if id(weight) not in stored:
            continue
        flat = weight.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // 64)][:64].bfloat16().float().cpu().numpy()
        digest.update(f"{name}{tuple(weight.shape)}".encode() + some.tobytes())
    return digest.hexdigest()[:16]


def _auto_class(config: Any, head: bool, trust_remote_code: bool) -> Any:
    """The class that loads the checkpoint: with its head for next tokens, where it holds one."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    names = config.architectures or []
    remote = trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if not head or not (remote or any(_HEAD.search(name) for name in names)):
        return transformers.AutoModel
    if not remote and config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and load reports of transformers: progress goes through callbacks, missing weights are checked here."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def read_device(device: str | torch.device) -> torch.device:
    """A device by its name; ModelLoadError where there is none."""
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).item()  # "meta" has no values
    except Exception as error:  # each kind of device throws its own
        raise ModelLoadError(f"device {device!r} cannot be used: {reason(error)}") from error
    return chosen


def read_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """A dtype by its name: float32 unless given, `None` for "auto", the checkpoint's own."""
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        return None
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if chosen not in (torch.float32, torch.float16, torch.bfloat16):
        raise ModelLoadError(f"dtype {dtype!r} is not one of auto, float32, float16, bfloat16")
    return chosen


def _explain(name: str, error: Exception) -> str:
    whole = str(error)
    text = (whole.strip() or type(error).__name__).splitlines()[0]
    if "trust_remote_code" in whole:
        return f"{name} brings its own code, which is not run unless you ask for it (trust_remote_code)"
    if "safetensors" in whole and isinstance(error, OSError):
        return (
            f"{name} has no weights in safetensors. Pickled weights (.bin, .pt) can run code and are not loaded: convert "
            "them with save_pretrained()."
        )
    if not Path(name).exists():
        return f"no model {name!r}: no such folder, and the hub did not provide it ({text})"
    return f"{name} cannot be loaded as a transformers model: {text}"


def read_tokenizer(name: str, options: dict[str, Any]) -> Any:
    """The tokenizer beside a model, `None` for a folder without one."""
    import transformers

    folder = Path(name)
    if folder.is_dir() and not any(
        (folder / file).exists()
        for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tokenizer.model")
    ):
        return None
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # tokenizers raise bare Exception on damaged files
        raise ModelLoadError(
            f"the tokenizer of {name} cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
