"""A second, plain implementation of caching: whole hidden states, dense matrices, loops. Slow and easy to check."""

from typing import Any

import numpy as np
import torch

from autointerp.models.coders.coder import SparseCoder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel
from autointerp.store import Store


def hidden(subject: SubjectModel, tap: Tap, ids: torch.Tensor) -> torch.Tensor:
    """The tensor at `tap` in a full, unhooked-otherwise forward pass, one context at a time: [contexts, ctx_len, d]."""
    found = []

    def keep(_m: object, args: tuple, kwargs: dict, output: Any) -> None:
        tensor = (args[0] if args else kwargs["hidden_states"]) if tap.side == "input" else output
        tensor = tensor[0] if isinstance(tensor, tuple) else tensor
        found.append(tensor.reshape(1, ids.shape[1], -1))

    handle = subject.base.get_submodule(tap.module).register_forward_hook(keep, with_kwargs=True)
    with torch.no_grad():
        for row in ids:
            subject.base(input_ids=row[None])
    handle.remove()
    return torch.cat(found)


def dense_latents(coder: SparseCoder, weights: dict[str, torch.Tensor], x: torch.Tensor) -> np.ndarray:
    """Float32[n, n_latents] with zeros where silent, by sparsify's formula, from the file's own weights."""
    centred = x if coder.config.get("transcode") else x - weights["b_dec"]
    pre = torch.relu(centred @ weights["encoder.weight"].T + weights["encoder.bias"])
    out = torch.zeros_like(pre)
    for row in range(len(pre)):
        best = pre[row].topk(coder.k or 0).indices
        out[row, best] = pre[row, best]
    return out.numpy()


def rebuilt(
    coder: SparseCoder, weights: dict[str, torch.Tensor], z: np.ndarray, x: torch.Tensor
) -> torch.Tensor:
    y = torch.from_numpy(z) @ weights["W_dec"] + weights["b_dec"]
    return y + x @ weights["W_skip"].T if "W_skip" in weights else y


def cross_entropy(
    subject: SubjectModel, ids: torch.Tensor, mask: torch.Tensor, swap: tuple[Tap, torch.Tensor] | None
) -> float:
    """Mean next-token loss over unmasked positions, the output at `swap` replaced where unmasked."""
    handle = None
    if swap is not None:
        tap, value = swap

        def put(_m: object, _a: tuple, output: Any) -> Any:
            old = output[0] if isinstance(output, tuple) else output
            new = torch.where(mask[..., None], value, old)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handle = subject.base.get_submodule(tap.module).register_forward_hook(put)
    with torch.no_grad():
        log_p = subject.model(input_ids=ids).logits.log_softmax(-1)
    if handle is not None:
        handle.remove()
    losses = [
        -float(log_p[c, p, ids[c, p + 1]])
        for c in range(ids.shape[0])
        for p in range(ids.shape[1] - 1)
        if mask[c, p]
    ]
    return float(np.mean(losses))


def dense_from_store(store: Store, name: str) -> np.ndarray:
    """What the store says that a coder did: [tokens, latents], 0 where silent."""
    coder = store.coder(name)
    out = np.zeros((store.n_contexts * store.ctx_len, coder.info.n_latents), np.float32)
    for latent in range(coder.info.n_latents):
        acts = coder.activations(latent)
        assert (np.diff(acts.token) > 0).all()
        out[acts.token, latent] = acts.activation
    return out
