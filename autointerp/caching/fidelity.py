"""How well a coder stands in for its target: FVU, L0, and the cross-entropy that splicing it in costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.masking import position_mask
from autointerp.errors import BadActivations
from autointerp.models.coders.coder import SparseActivations, SparseCoder
from autointerp.models.hooks import Tap, hooked, reading
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Fidelity, Progress, ProgressCallback, no_progress

LOGIT_BYTES = 128 << 20
N_TOKENS = 16_384


@dataclass
class Sums:
    """Running sums, in float64, from which one coder's figures follow."""

    n: int = 0
    fired: int = 0
    squared_error: float = 0.0
    squared: float = 0.0
    total: Tensor | None = None
    ce: float = 0.0

    def add(self, target: Tensor, rebuilt: Tensor, acts: SparseActivations) -> None:
        """`target`, `rebuilt` Float[Tensor, "n d_out"]; `acts` of the same n tokens."""
        wide = target.double()
        self.n += len(target)
        self.fired += int((acts.values > 0).sum())
        self.squared_error += float((wide - rebuilt.double()).pow(2).sum())
        self.squared += float(wide.pow(2).sum())
        summed = wide.sum(0)
        self.total = summed if self.total is None else self.total + summed

    @property
    def fvu(self) -> float:
        """Squared error over the variance around the mean of all tokens added."""
        if self.total is None:
            return float("nan")
        variance = self.squared - float(self.total.pow(2).sum()) / self.n
        return self.squared_error / variance if variance > 0 else float("nan")


@dataclass
class CrossEntropy:
    """Sum of next-token losses, in nats, and how many."""

    total: float = 0.0
    n: int = 0

    def add(self, logits: Tensor, ids: Tensor, mask: Tensor) -> None:
        """Losses of predicting each token's successor, where `mask` Bool[Tensor, "batch ctx_len"] lets it count."""
        counted = mask[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1][counted].float(), ids[:, 1:][counted], reduction="sum"
        )
        self.total += float(losses)
        self.n += int(counted.sum())

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else float("nan")


def sampled_contexts(n_contexts: int, ctx_len: int, n_tokens: int) -> np.ndarray:
    """At most `n_tokens // ctx_len` contexts (at least one), evenly spread: Int64[ndarray, " n"]."""
    n = min(n_contexts, max(1, n_tokens // ctx_len))
    return (np.arange(n) * n_contexts) // n


@torch.inference_mode()
def measure(
    subject: SubjectModel,
    coders: Mapping[str, SparseCoder],
    store: Store,
    *,
    masked: NDArray[np.integer],
    n_tokens: int = N_TOKENS,
    batch_size: int = 32,
    progress: ProgressCallback = no_progress,
) -> dict[str, Fidelity]:
    """Fidelity of each coder that has a decoder, over evenly spread contexts of the store.

    FVU compares with the coder's own target. With a causal model, the target is also replaced by the coder's
    reconstruction (an SAE's of the module's output, a transcoder's from the module's input) and by zeros, and the
    model runs on; only at positions that the store caches: one of `masked` ids keeps its true activation and
    its prediction does not count.
    """
    targets = {name: coder.target for name, coder in coders.items() if coder.target is not None}
    if not targets:
        return {}
    contexts = sampled_contexts(store.n_contexts, store.ctx_len, n_tokens)
    causal = subject.is_causal
    if causal:
        batch_size = max(1, min(batch_size, LOGIT_BYTES // (4 * store.ctx_len * subject.vocab_size)))
    sums = {name: Sums() for name in targets}
    clean, spliced = CrossEntropy(), {name: CrossEntropy() for name in targets}
    zero = {target: CrossEntropy() for target in targets.values()}
    taps = [tap for name in targets for tap in (coders[name].tap, targets[name])]
    passes = 1 + (len(targets) + len(zero) if causal else 0)
    total = len(contexts) * store.ctx_len * passes
    done = 0
    for start in range(0, len(contexts), batch_size):
        rows = store.tokens[contexts[start : start + batch_size]].astype(np.int64)
        ids = torch.from_numpy(rows).to(subject.device)
        mask = position_mask(ids, masked)
        seen = _clean_pass(subject, taps, ids, mask, clean)
        done += ids.numel()
        for name, target in targets.items():
            coder, truth = coders[name], seen[target]
            x = seen[coder.tap][mask].float()
            acts = coder.encode(x)
            rebuilt = coder.decode(acts, x)
            sums[name].add(truth[mask], rebuilt, acts)
            if causal:
                replacement = truth.clone()
                replacement[mask] = rebuilt.to(truth.dtype)
                _spliced_pass(subject, target, replacement, ids, mask, spliced[name])
                done += ids.numel()
                progress(Progress("fidelity", done, total))
        if causal:
            for target, losses in zero.items():
                replacement = seen[target].masked_fill(mask[..., None], 0.0)
                _spliced_pass(subject, target, replacement, ids, mask, losses)
                done += ids.numel()
        progress(Progress("fidelity", done, total))
    for name, figures in sums.items():
        if not np.isfinite(figures.squared_error):
            raise BadActivations(f"coder {name!r} reconstructs {targets[name]} as NaN or infinity")
    return {
        name: Fidelity(
            fvu=figures.fvu,
            l0=figures.fired / figures.n if figures.n else 0.0,
            n_tokens=figures.n,
            ce_clean=clean.mean if causal else None,
            ce_spliced=spliced[name].mean if causal else None,
            ce_zero=zero[targets[name]].mean if causal else None,
        )
        for name, figures in sums.items()
    }


def _clean_pass(
    subject: SubjectModel, taps: Sequence[Tap], ids: Tensor, mask: Tensor, losses: CrossEntropy
) -> dict[Tap, Tensor]:
    if not subject.is_causal:
        with reading(subject.base, taps) as read:
            return read(ids)
    seen: dict[Tap, Tensor] = {}
    with hooked(subject.base, taps, seen.__setitem__):
        losses.add(subject.model(input_ids=ids).logits, ids, mask)
    return {tap: tensor.reshape(*ids.shape, -1) for tap, tensor in seen.items()}


def _spliced_pass(
    subject: SubjectModel, target: Tap, replacement: Tensor, ids: Tensor, mask: Tensor, losses: CrossEntropy
) -> None:
    # Nothing before the target changes, so a reconstruction made from the clean pass is the one to splice in.
    with hooked(subject.base, [target], lambda _, x: replacement.reshape(x.shape)):
        losses.add(subject.model(input_ids=ids).logits, ids, mask)
