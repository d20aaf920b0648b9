"""Subject models: any causal or encoder model of transformers, from a hub name or a folder."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import nn

from autointerp.errors import CorpusError, ModelLoadError, UnknownName
from autointerp.models.hooks import Tap, hooked

CAUSAL = re.compile(r"(ForCausalLM|LMHeadModel)$")
OPTIONAL_WEIGHTS = re.compile(r"(^|\.)(pooler|lm_head|embed_out|cls)\.")


@dataclass
class SubjectModel:
    """A loaded model with what caching needs to know about it.

    `model` may carry an LM head (`is_causal`); `base` is the part below it, where hookpoints live. `tokenizer` is `None`
    when none was found and none is needed.
    """

    model: nn.Module
    base: nn.Module
    tokenizer: Any
    name: str
    source: str
    revision: str
    architecture: str
    d_model: int
    n_layers: int
    vocab_size: int
    bos_token_id: int | None
    max_ctx_len: int | None
    is_causal: bool
    device: torch.device

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Hookpoint (path) to module, in definition order, without the base model itself."""
        return {name: module for name, module in self.base.named_modules() if name}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that tell two models apart, from a few values of each weight; the same for any loading dtype."""
        digest = hashlib.sha256()
        for name, weight in self.base.named_parameters():
            flat = weight.detach().reshape(-1)
            some = flat[:: max(1, len(flat) // 64)][:64].bfloat16().float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}".encode() + some.tobytes())
        return digest.hexdigest()[:16]

    def resolve(self, hookpoint: str) -> str:
        """The path of `hookpoint` in the base model; the base model's own prefix may stand before it."""
        names = self.modules
        parts = hookpoint.strip().strip(".").split(".")
        prefix = getattr(self.model, "base_model_prefix", "") or getattr(self.base, "base_model_prefix", "")
        for skip in ((), (prefix,), ("model",), ("transformer",)):
            if tuple(parts[: len(skip)]) == tuple(skip) and ".".join(parts[len(skip) :]) in names:
                return ".".join(parts[len(skip) :])
        raise UnknownName(f"hookpoint in {self.name}", hookpoint, self.suggestions())

    def suggestions(self) -> list[str]:
        """Hookpoints worth offering: without containers, leaves and repeats inside layers, blocks first."""
        names = [n for n, m in self.modules.items() if not isinstance(m, (nn.ModuleList, nn.Dropout))]
        blocks = [n for n in names if re.search(r"\.\d+(\.[a-z_]+)?$", n)]
        return blocks + [n for n in names if n not in set(blocks)]

    @torch.inference_mode()
    def probe(self, taps: Sequence[Tap]) -> dict[Tap, int]:
        """Width of each tap, from one tiny forward pass.

        Raises ModelLoadError where a tap is never reached, is reached more than once (shared layers) or does not hold one
        vector per token, so that a long run does not find out.
        """
        n = min(4, self.max_ctx_len or 4)
        ids = (torch.arange(2 * n, device=self.device) % self.vocab_size).view(2, n)
        seen: dict[Tap, list[torch.Size]] = {tap: [] for tap in taps}
        with hooked(self.base, taps, lambda tap, x: seen[tap].append(x.shape)):
            self.base(input_ids=ids)
        for tap, shapes in seen.items():
            if len(shapes) != 1:
                times = "never called" if not shapes else f"called {len(shapes)} times"
                raise ModelLoadError(f"hookpoint {tap} is {times} in one forward pass of {self.name}")
            if tuple(shapes[0][:-1]) not in ((2, n), (2 * n,)):
                raise ModelLoadError(
                    f"hookpoint {tap} holds a tensor of shape {tuple(shapes[0])}, not one vector per token"
                )
        return {tap: int(shapes[0][-1]) for tap, shapes in seen.items()}

    def width(self, tap: Tap) -> int:
        """Number of components of the vectors at `tap`."""
        return self.probe([tap])[tap]

    def check_ids(self, ids: NDArray[np.integer]) -> None:
        """CorpusError unless all ids lie in the embedding's vocabulary (a tokenizer's may be larger)."""
        low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
        if low < 0 or high >= self.vocab_size:
            raise CorpusError(
                f"token id {low if low < 0 else high} is outside the vocabulary of {self.name} (0 to {self.vocab_size - 1}): "
                "it comes from another tokenizer"
            )

    def check_ctx_len(self, ctx_len: int) -> None:
        """CorpusError unless the model can take contexts of this length."""
        if self.max_ctx_len is not None and ctx_len > self.max_ctx_len:
            raise CorpusError(
                f"context length {ctx_len} is more than {self.name} can take: {self.max_ctx_len} at most"
            )

    @property
    def unembedding(self) -> nn.Module | None:
        """The LM head, or `None` for a model without one."""
        if not self.is_causal:
            return None
        return self.model.get_output_embeddings()  # type: ignore[operator]


def load_subject(
    name_or_path: str,
    *,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    head: bool = True,
) -> SubjectModel:
    """Load a subject model and its tokenizer for inference.

    With `head`, a checkpoint that holds a causal language-model head is loaded with it (caching still runs only the base
    model). `dtype` defaults to float32, whatever the checkpoint's, so that results do not depend on how it was saved.
    Weights are read from safetensors only.

    Raises ModelLoadError: nothing there, no safetensors, code that would need `trust_remote_code`, missing weights.
    """
    import transformers

    from_hub: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    path = Path(name_or_path)
    looks_local = path.is_absolute() or name_or_path.startswith(".") or len(path.parts) > 2
    if looks_local and not path.exists():
        raise ModelLoadError(f"no model at {name_or_path}: no such folder, and not a hub name (owner/name)")
    device, torch_dtype = _device(device), _dtype(dtype)
    try:
        config = transformers.AutoConfig.from_pretrained(name_or_path, **from_hub)
        causal = head and _holds_causal_head(config, trust_remote_code)
        auto = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
        with _quiet():
            model, info = auto.from_pretrained(  # type: ignore[misc]
                name_or_path, dtype=torch_dtype, use_safetensors=True, output_loading_info=True, **from_hub
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError) as error:
        raise ModelLoadError(_explain(name_or_path, error)) from error
    except SafetensorError as error:
        raise ModelLoadError(f"the weights of {name_or_path} are damaged: {error}") from error
    missing = sorted(str(key) for key in info["missing_keys"] if not OPTIONAL_WEIGHTS.search("." + key))
    head_missing = [key for key in info["missing_keys"] if key not in missing and "pooler" not in key]
    if missing:
        raise ModelLoadError(
            f"{name_or_path} lacks {len(missing)} weights of {type(model).__name__} (first: {missing[0]}); they would be random"
        )
    model = model.eval().requires_grad_(False).to(device)
    model.config.use_cache = False
    base, text_config = model.base_model, config.get_text_config()
    tokenizer = _tokenizer(name_or_path, from_hub)
    return SubjectModel(
        model=model,
        base=base,
        tokenizer=tokenizer,
        name=path.resolve().name if path.exists() else name_or_path,
        source=str(name_or_path),
        revision=str(getattr(config, "_commit_hash", None) or revision or ""),
        architecture=(config.architectures or [type(model).__name__])[0],
        d_model=int(text_config.hidden_size),
        n_layers=int(getattr(text_config, "num_hidden_layers", 0)),
        vocab_size=int(base.get_input_embeddings().num_embeddings),
        bos_token_id=_bos(tokenizer, text_config),
        max_ctx_len=_max_ctx_len(base, text_config),
        is_causal=causal and not head_missing,
        device=device,
    )


@contextmanager
def _quiet() -> Iterator[None]:
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


def _holds_causal_head(config: Any, trust_remote_code: bool) -> bool:
    names = config.architectures or []
    remote = trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if getattr(config, "is_encoder_decoder", False):
        return False
    return remote or any(CAUSAL.search(name) for name in names)


def _device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelLoadError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return chosen


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if chosen not in (torch.float32, torch.float16, torch.bfloat16):
        raise ModelLoadError(f"dtype {dtype!r} is not one of float32, float16, bfloat16")
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
        return f"no model {name!r}: no such folder, and the hub did not give it ({text})"
    return f"{name} cannot be loaded as a transformers model: {text}"


def _tokenizer(name: str, options: dict[str, Any]) -> Any:
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


def _bos(tokenizer: Any, config: Any) -> int | None:
    places = ((tokenizer, "bos_token_id"), (tokenizer, "cls_token_id"), (config, "bos_token_id"))
    ids = (getattr(holder, name, None) for holder, name in places)
    return next((value for value in ids if isinstance(value, int)), None)


def _max_ctx_len(base: nn.Module, config: Any) -> int | None:
    limit = getattr(config, "max_position_embeddings", None)
    for name, module in base.named_modules():
        # RoBERTa's table starts with padding_idx + 1 rows that no token uses, OPT's with two extra ones.
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings") and module.padding_idx:
            return int(module.num_embeddings - module.padding_idx - 1)
    return int(limit) if isinstance(limit, int) and limit > 0 else None
