"""How well a coder stands in for its target: FVU, L0, and the cross-entropy that splicing it in costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from autointerp.errors import BadActivations
from autointerp.models import SparseCoder, SubjectModel, Tap
from autointerp.models.hooks import TapReader, observing, replacing
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

    def add(self, target: Tensor, rebuilt: Tensor, acts: Tensor) -> None:
        """`target`, `rebuilt` Float[Tensor, "n d_out"]; `acts` Float[Tensor, "n k"]."""
        wide = target.double()
        self.n += len(target)
        self.fired += int((acts > 0).sum())
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


@dataclass
class _Run:
    sums: dict[str, Sums]
    clean: CrossEntropy = field(default_factory=CrossEntropy)
    spliced: dict[str, CrossEntropy] = field(default_factory=dict)
    zero: dict[Tap, CrossEntropy] = field(default_factory=dict)


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
    skip_bos: bool = True,
    n_tokens: int = N_TOKENS,
    batch_size: int = 32,
    progress: ProgressCallback = no_progress,
) -> dict[str, Fidelity]:
    """Fidelity of each coder over evenly spread contexts of the store.

    FVU compares with the coder's own target. With a causal model, the target is also replaced by the coder's
    reconstruction (an SAE's of the module's output, a transcoder's from the module's input) and by zeros, and the
    model runs on; all at once positions that the store caches: a masked BOS keeps its true activation and its
    prediction does not count.
    """
    contexts = sampled_contexts(store.n_contexts, store.ctx_len, n_tokens)
    causal = subject.is_causal
    if causal:
        batch_size = max(1, min(batch_size, LOGIT_BYTES // (4 * store.ctx_len * subject.vocab_size)))
    run = _Run({name: Sums() for name in coders}, spliced={name: CrossEntropy() for name in coders})
    run.zero = {coder.target: CrossEntropy() for coder in coders.values()}
    taps = list(dict.fromkeys(tap for coder in coders.values() for tap in (coder.tap, coder.target)))
    reader = TapReader(subject.base, taps)
    passes = 1 + (len(coders) + len(run.zero) if causal else 0)
    total = len(contexts) * store.ctx_len * passes
    done = 0
    for start in range(0, len(contexts), batch_size):
        rows = store.tokens[contexts[start : start + batch_size]].astype(np.int64)
        ids = torch.from_numpy(rows).to(subject.device)
        mask = position_mask(ids, subject.bos_token_id if skip_bos else None)
        seen = _clean_pass(subject, reader, ids, mask, run)
        done += ids.numel()
        for name, coder in coders.items():
            x = seen[coder.tap][mask].float()
            target = seen[coder.target]
            acts, latents = coder.encode(x)
            rebuilt = coder.decode(acts, latents, x)
            run.sums[name].add(target[mask], rebuilt, acts)
            if causal:
                replacement = target.clone()
                replacement[mask] = rebuilt.to(target.dtype)
                _spliced_pass(subject, coder.target, replacement, ids, mask, run.spliced[name])
                done += ids.numel()
                progress(Progress("fidelity", done, total))
        if causal:
            for tap, losses in run.zero.items():
                replacement = seen[tap].masked_fill(mask[..., None], 0.0)
                _spliced_pass(subject, tap, replacement, ids, mask, losses)
                done += ids.numel()
        progress(Progress("fidelity", done, total))
    return {name: _fidelity(name, run, coder, causal) for name, coder in coders.items()}


def position_mask(ids: Tensor, bos: int | None) -> Tensor:
    """Positions that are cached: all but BOS ones, or all when `bos` is `None`. Bool[Tensor, "batch ctx_len"]."""
    return torch.ones_like(ids, dtype=torch.bool) if bos is None else ids != bos


def _clean_pass(
    subject: SubjectModel, reader: TapReader, ids: Tensor, mask: Tensor, run: _Run
) -> dict[Tap, Tensor]:
    if not subject.is_causal:
        with reader.attached():
            return reader.read(ids)
    seen: dict[Tap, Tensor] = {}
    with observing(subject.base, reader.taps, seen.__setitem__):
        logits = subject.model(input_ids=ids).logits
    run.clean.add(logits, ids, mask)
    return {tap: tensor.reshape(*ids.shape, -1) for tap, tensor in seen.items()}


def _spliced_pass(
    subject: SubjectModel, target: Tap, replacement: Tensor, ids: Tensor, mask: Tensor, losses: CrossEntropy
) -> None:
    # Nothing before the target changes, so a reconstruction made from the clean pass is the one to splice in.
    with replacing(subject.base, target, lambda x: replacement.reshape(x.shape)):
        losses.add(subject.model(input_ids=ids).logits, ids, mask)


def _fidelity(name: str, run: _Run, coder: SparseCoder, causal: bool) -> Fidelity:
    sums = run.sums[name]
    if not np.isfinite(sums.squared_error):
        raise BadActivations(f"coder {name!r} rebuilds {coder.target} as NaN or infinity")
    figures = (
        (run.clean.mean, run.spliced[name].mean, run.zero[coder.target].mean)
        if causal
        else (None, None, None)
    )
    return Fidelity(
        fvu=sums.fvu,
        l0=sums.fired / sums.n if sums.n else 0.0,
        n_tokens=sums.n,
        ce_clean=figures[0],
        ce_spliced=figures[1],
        ce_zero=figures[2],
    )
