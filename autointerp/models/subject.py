"""Subject models: any causal or encoder model of transformers, from a hub name or a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autointerp import settings
from autointerp.errors import CorpusError, ModelLoadError, UnknownName
from autointerp.models.checkpoint import read_checkpoint, read_device, read_dtype, read_tokenizer
from autointerp.models.hooks import Tap, hooked, read
from autointerp.models.padding import Hiding, check_padding, find_hiding, model_inputs

ROLES = ("bos", "eos", "cls", "sep")
"""Roles of tokens that begin, end or join documents."""


@dataclass
class SubjectModel:
    """A loaded model with what caching needs to know about it.

    `model` may carry an LM head (`is_causal`); `base` is the part below it, where hookpoints live. `tokenizer` is `None`
    when none was found and none is needed. `fingerprint` tells models apart, see `checkpoint.fingerprint`.
    """

    model: nn.Module
    base: nn.Module
    tokenizer: Any
    name: str
    source: str
    tokenizer_source: str
    revision: str
    architecture: str
    d_model: int
    n_layers: int
    vocab_size: int
    bos_token_id: int | None
    max_ctx_len: int | None
    is_causal: bool
    fingerprint: str
    dtype: str
    device: torch.device

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Hookpoint (path) to module, in definition order, without the base model itself."""
        return {name: module for name, module in self.base.named_modules(remove_duplicate=False) if name}

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
            try:
                self.base(input_ids=ids)
            except Exception as error:  # a model's code may raise anything
                if isinstance(error, ModelLoadError):
                    raise
                raise ModelLoadError(
                    f"{self.name} ({self.architecture}) cannot be run on token ids alone: {str(error).strip().splitlines()[0]}"
                ) from error
        for tap, shapes in seen.items():
            if not shapes:
                raise ModelLoadError(f"hookpoint {tap} is never called in one forward pass of {self.name}")
            if len(shapes) > 1:
                raise ModelLoadError(
                    f"hookpoint {tap} is called {len(shapes)} times in one forward pass of {self.name}: layers share it, so a "
                    "token has no single activation there. Choose a module that runs once."
                )
            if tuple(shapes[0][:-1]) not in ((2, n), (2 * n,)):
                raise ModelLoadError(
                    f"hookpoint {tap} holds a tensor of shape {tuple(shapes[0])}, not one vector per token"
                )
        return {tap: int(shapes[0][-1]) for tap, shapes in seen.items()}

    def read(self, taps: Sequence[Tap], ids: Tensor) -> dict[Tap, Tensor]:
        """What each tap holds for `ids` Int64[Tensor, "batch ctx_len"]: [batch, ctx_len, width]; the model runs no further than
        the last of them."""
        return read(self.base, taps, self.inputs(ids))

    def inputs(self, ids: Tensor) -> dict[str, Tensor]:
        """What a forward pass over `ids` Int64[Tensor, "batch ctx_len"] is given, with padding hidden from the text.

        How it is hidden is found by running the model, so the first ids with padding must come before any hook.

        Raises CorpusError where this model cannot be kept from reading it.
        """
        padding = self.padding_id
        if padding is None or not bool((ids == padding).any()):
            return {"input_ids": ids}
        check_padding(ids, padding, self._hiding, self.name)
        return model_inputs(ids, padding, self._hiding)

    @cached_property
    def _hiding(self) -> Hiding:
        assert self.padding_id is not None
        return find_hiding(self.base, self.padding_id, self.vocab_size, self.max_ctx_len)

    @cached_property
    def border_ids(self) -> frozenset[int]:
        """Ids that begin, end or join documents, by their roles in the tokenizer, and BOS also in the model's configuration."""
        ids = {getattr(self.tokenizer, f"{role}_token_id", None) for role in ROLES} | {self.bos_token_id}
        return frozenset(token for token in ids if isinstance(token, int))

    @property
    def padding_id(self) -> int | None:
        """The id that fills rows up; `None` without one, and where it is also that of EOS or the like, whose role decides."""
        token = getattr(self.tokenizer, "pad_token_id", None)
        return token if isinstance(token, int) and token not in self.border_ids else None

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

    @property
    def W_U(self) -> Tensor | None:
        """The LM head's matrix Float[Tensor, "vocab d_head"], or `None` for a model without one."""
        weight = getattr(self.unembedding, "weight", None)
        return weight if isinstance(weight, Tensor) else None


def load_subject(
    name_or_path: str,
    *,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    head: bool = True,
    tokenizer: str | None = None,
) -> SubjectModel:
    """Load a subject model and its tokenizer for inference.

    With `head`, a checkpoint that holds a causal language-model head is loaded with it (caching still runs only the base
    model). `dtype` defaults to float32, whatever the checkpoint's, so that results do not depend on how it was saved; "auto"
    is the checkpoint's own. A hub name may be followed by `@revision`, unless `revision` says which (a branch, a tag or a
    commit). `tokenizer`: another folder or hub name to take it from. Weights are read from safetensors only.

    Raises ModelLoadError: nothing there, no safetensors, code that would need `trust_remote_code`, missing weights, an
    encoder-decoder.
    """
    name_or_path, revision = _split_revision(name_or_path, revision)
    path = Path(name_or_path)
    from_hub: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    if not settings.may_fetch():
        from_hub["local_files_only"] = True
    looks_local = path.is_absolute() or name_or_path.startswith(".") or len(path.parts) > 2
    if looks_local and not path.exists():
        raise ModelLoadError(f"no model at {name_or_path}: no such folder, and not a hub name (owner/name)")
    on = read_device(device)
    model, config, is_causal, fingerprint = read_checkpoint(
        name_or_path, head=head, dtype=read_dtype(dtype), device=on, options=from_hub
    )
    base: Any = model.base_model
    text_config = config.get_text_config()
    named, its_revision = _split_revision(tokenizer, None) if tokenizer else (name_or_path, revision)
    loaded = read_tokenizer(named, from_hub | {"revision": its_revision or "main"})
    return SubjectModel(
        model=model,
        base=base,
        tokenizer=loaded,
        name=path.resolve().name if path.exists() else name_or_path,
        source=str(name_or_path),
        tokenizer_source=str(tokenizer or name_or_path),
        revision="" if path.exists() else _commit(name_or_path, revision) or revision or "",
        architecture=(config.architectures or [type(model).__name__])[0],
        d_model=int(text_config.hidden_size),
        n_layers=int(getattr(text_config, "num_hidden_layers", 0)),
        vocab_size=int(base.get_input_embeddings().num_embeddings),
        bos_token_id=_bos(loaded, text_config),
        max_ctx_len=_max_ctx_len(base, text_config),
        is_causal=is_causal,
        fingerprint=fingerprint,
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        device=on,
    )


def _split_revision(name: str, revision: str | None) -> tuple[str, str | None]:
    """A name and its revision, from `owner/name@revision`."""
    match = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)?)@([\w./-]+)", name)
    return (match[1], revision or match[2]) if match and not Path(name).exists() else (name, revision)


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that a hub name and revision mean in the hub's local cache, where the model was just read from."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json", revision=revision or "main")
    return Path(path).parent.name if isinstance(path, str) else None


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
