"""How well a coder stands in for its target: FVU, L0, and the cross-entropy that splicing it in costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.masking import position_mask
from autointerp.caching.splice import Splicer
from autointerp.errors import BadActivations
from autointerp.models.coders.coder import SparseActivations, SparseCoder
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Fidelity, Progress, ProgressCallback, no_progress

LOGIT_BYTES = 256 << 20
N_TOKENS = 16_384
MIN_TOKENS = 1_024
MEAN_TOKENS = 1_024
SHARE_OF_CACHING = 0.3
"""How much of the caching's own work fidelity may take, as long as `MIN_TOKENS` are measured."""
FREE = 2e11
"""Multiplications that it may always take: a few seconds."""
CLOSE_FVU, CLOSE_CE, CLOSE_NATS = 0.025, 0.05, 0.002
"""Standard errors that are small enough to stop: of FVU and of the increase of the cross-entropy, relative to their values, and
of the latter in nats."""


@dataclass
class Sums:
    """Per context, in float64, the sums from which one coder's FVU and L0 follow."""

    n: list[int] = field(default_factory=list)
    squared_error: list[float] = field(default_factory=list)
    squared: list[float] = field(default_factory=list)
    total: list[Tensor] = field(default_factory=list)
    fired: int = 0

    def add(self, target: Tensor, rebuilt: Tensor, acts: SparseActivations, sizes: Sequence[int]) -> None:
        """`target`, `rebuilt` Float[Tensor, "n d_out"]; `acts` of the same n tokens; `sizes`: how many each context has."""
        wide = target.double()
        error = (wide - rebuilt.double()).pow(2).sum(1)
        self.fired += int((acts.values > 0).sum())
        self.n += sizes
        for part, errors in zip(wide.split(list(sizes)), error.split(list(sizes)), strict=True):
            self.squared_error.append(float(errors.sum()))
            self.squared.append(float(part.pow(2).sum()))
            self.total.append(part.sum(0))

    @property
    def variance(self) -> NDArray[np.float64]:
        """Per context the sum of squares around the mean of all tokens added."""
        n, total = np.array(self.n, dtype=float), torch.stack(self.total)
        mean = total.sum(0) / max(n.sum(), 1)
        return np.array(self.squared) - 2 * (total @ mean).cpu().numpy() + n * float(mean.pow(2).sum())

    @property
    def fvu(self) -> tuple[float, float | None]:
        """Squared error over the variance around the mean of all tokens added, and its standard error over contexts."""
        if not sum(self.n):
            return float("nan"), None
        return ratio(np.array(self.squared_error), self.variance)


@dataclass
class CrossEntropy:
    """Per context the sum of next-token losses, in nats, and how many there are."""

    total: list[float] = field(default_factory=list)
    n: list[int] = field(default_factory=list)

    def add(self, logits: Tensor, ids: Tensor, mask: Tensor) -> None:
        """Losses of predicting each token's successor, where `mask` Bool[Tensor, "batch ctx_len"] lets it count."""
        counted = mask[:, :-1]
        losses = torch.zeros(counted.shape, dtype=torch.float64, device=ids.device)
        losses[counted] = torch.nn.functional.cross_entropy(
            logits[:, :-1][counted].float(), ids[:, 1:][counted], reduction="none"
        ).double()
        self.total += losses.sum(1).tolist()
        self.n += counted.sum(1).tolist()

    @property
    def mean(self) -> float:
        return sum(self.total) / sum(self.n) if sum(self.n) else float("nan")

    def over(self, other: "CrossEntropy") -> tuple[float, float | None]:
        """Mean increase over `other` on the same tokens, and its standard error over contexts."""
        return ratio(np.array(self.total) - np.array(other.total), np.array(self.n, dtype=float))


def ratio(above: NDArray[np.floating], below: NDArray[np.floating]) -> tuple[float, float | None]:
    """Sum of `above` over sum of `below`, one of each a context, and its standard error over contexts; `None` for fewer than
    two."""
    whole = below.sum()
    value = float(above.sum() / whole) if whole > 0 else float("nan")
    n = len(above)
    if n < 2 or not whole > 0:
        return value, None
    return value, float(np.sqrt(n / (n - 1) * ((above - value * below) ** 2).sum()) / whole)


def sampled_contexts(n_contexts: int, ctx_len: int, n_tokens: int) -> np.ndarray:
    """At most `n_tokens // ctx_len` contexts (at least one), evenly spread, in an order in which the first ones are spread too:
    Int64[ndarray, " n"]."""
    n = min(n_contexts, max(1, n_tokens // ctx_len))
    golden = np.argsort((np.arange(n) * 0.6180339887498949) % 1, kind="stable")
    order = np.empty(n, dtype=np.int64)
    order[golden] = np.arange(n)
    return ((np.arange(n) * n_contexts) // n)[order]


@dataclass(frozen=True)
class Measured:
    """One coder's fidelity and, per context, the sums that it follows from, Float64[ndarray, " contexts"] each: "n" tokens,
    "squared_error" and "variance" of the target, and with a causal model "n_predicted" tokens with their losses, "clean" and
    "spliced"."""

    fidelity: Fidelity
    contexts: Mapping[str, NDArray[np.float64]]


@dataclass
class _Target:
    """One target with the coders that stand in for it, and what splicing costs."""

    splicer: Splicer
    coders: dict[str, SparseCoder]
    mean: Tensor | None
    spliced: dict[str, CrossEntropy] = field(default_factory=dict)

    @property
    def n_variants(self) -> int:
        """Replacements tried for each context."""
        return len(self.coders) + 2 + (self.splicer.residual is not None)

    def add(
        self,
        rebuilt: Mapping[str, Tensor],
        truth: Tensor,
        ids: Tensor,
        mask: Tensor,
        predicted: Tensor,
        at_once: int,
    ) -> None:
        """Losses of one batch, where `predicted`, with the target replaced where `mask` lets it be; `rebuilt` Float[Tensor,
        "n d_out"] by coder."""
        zero = torch.zeros_like(truth)
        variants = {
            "zero": zero,
            "mean": zero if self.mean is None else self.mean.to(truth.dtype).expand_as(truth),
        }
        if self.splicer.skipped is not None:
            variants["skip"] = self.splicer.skipped.to(truth.dtype)
        for name, value in rebuilt.items():
            variants["coder " + name] = truth.masked_scatter(mask[..., None], value.to(truth.dtype))
        names = list(variants)
        for start in range(0, len(names), at_once):
            some = names[start : start + at_once]
            replacements = [torch.where(mask[..., None], variants[name], truth) for name in some]
            for name, logits in zip(some, self.splicer.logits(ids, replacements), strict=True):
                self.spliced.setdefault(name, CrossEntropy()).add(logits, ids, predicted)


@torch.inference_mode()
def measure(
    subject: SubjectModel,
    coders: Mapping[str, SparseCoder],
    store: Store,
    *,
    masked: NDArray[np.integer],
    n_tokens: int = N_TOKENS,
    progress: ProgressCallback = no_progress,
) -> dict[str, Fidelity]:
    """Fidelity of each coder that has a decoder, over contexts spread over the store: at most `n_tokens`, fewer where standard
    errors are small, or where more would take long beside the caching itself. See `measure_contexts`."""
    measured = measure_contexts(
        subject, coders, store, masked=masked, n_tokens=n_tokens, briefly=True, progress=progress
    )
    return {name: each.fidelity for name, each in measured.items()}


@torch.inference_mode()
def measure_contexts(
    subject: SubjectModel,
    coders: Mapping[str, SparseCoder],
    store: Store,
    *,
    masked: NDArray[np.integer],
    n_tokens: int = N_TOKENS,
    briefly: bool = False,
    progress: ProgressCallback = no_progress,
) -> dict[str, Measured]:
    """Fidelity of each coder that has a decoder, over `sampled_contexts`, all of them unless `briefly`: the same for every
    coder of a store, so that coders can be compared context by context.

    FVU compares with the coder's own target. With a causal model, the target is also replaced by the coder's
    reconstruction (an SAE's of the module's output, a transcoder's from the module's input), by zeros, by its mean and by
    the residual stream in it, and the model runs on; only at positions that the store caches: one of `masked` ids keeps its
    true activation and its prediction does not count, nor does the prediction of padding.
    """
    decoding = {name: coder for name, coder in coders.items() if coder.target is not None}
    if not decoding:
        return {}
    causal = subject.is_causal
    taps = [tap for coder in decoding.values() for tap in (coder.tap, coder.target) if tap is not None]
    targets = _targets(subject, decoding, store, masked) if causal else {}
    contexts = sampled_contexts(store.n_contexts, store.ctx_len, n_tokens)
    most = _affordable(subject, coders, targets, store) if causal and briefly else n_tokens
    if briefly:
        contexts = contexts[: max(-(-MIN_TOKENS // store.ctx_len), most // store.ctx_len)]
    at_once = max(1, LOGIT_BYTES // (4 * store.ctx_len * subject.vocab_size))
    batch = (
        max(1, min(8, at_once // max([1, *(target.n_variants for target in targets.values())])))
        if causal
        else 8
    )
    sums = {name: Sums() for name in decoding}
    clean = CrossEntropy()
    done = 0
    for start in range(0, len(contexts), batch):
        rows = store.tokens[contexts[start : start + batch]].astype(np.int64)
        ids = torch.from_numpy(rows).to(subject.device)
        mask = position_mask(ids, masked)
        predicted = mask & _before_text(ids, subject.padding_id)
        sizes = mask.sum(1).tolist()
        seen, logits = _clean_pass(subject, taps, ids, list(targets.values()))
        if logits is not None:
            clean.add(logits, ids, predicted)
        rebuilt: dict[str, Tensor] = {}
        for name, coder in decoding.items():
            assert coder.target is not None
            x = seen[coder.tap][mask].float()
            acts = coder.encode(x)
            rebuilt[name] = coder.decode(acts, x)
            sums[name].add(seen[coder.target][mask], rebuilt[name], acts, sizes)
        for tap, target in targets.items():
            if start == 0 and logits is not None:
                target.splicer.check(ids, seen[tap], logits)
            own = {name: rebuilt[name] for name in target.coders}
            target.add(own, seen[tap], ids, mask, predicted, max(1, at_once // len(ids)))
        done += len(rows) * store.ctx_len
        if (
            briefly
            and done >= MIN_TOKENS
            and all(_is_close(each.fidelity) for each in _figures(sums, clean, targets, causal).values())
        ):
            break
        progress(Progress("fidelity", done, len(contexts) * store.ctx_len))
    progress(Progress("fidelity", done, done))
    for name, coder in decoding.items():
        if not np.isfinite(sum(sums[name].squared_error)):
            raise BadActivations(f"coder {name!r} reconstructs {coder.target} as NaN or infinity")
    return _figures(sums, clean, targets, causal)


def _before_text(ids: Tensor, padding: int | None) -> Tensor:
    """Positions whose successor is no padding: Bool[Tensor, "batch ctx_len"]."""
    before = torch.ones_like(ids, dtype=torch.bool)
    if padding is not None:
        before[:, :-1] = ids[:, 1:] != padding
    return before


def _targets(
    subject: SubjectModel, coders: Mapping[str, SparseCoder], store: Store, masked: NDArray[np.integer]
) -> dict[Tap, _Target]:
    """Each target with its coders and its mean over a sample of the text."""
    taps = list(dict.fromkeys(coder.target for coder in coders.values() if coder.target is not None))
    n = min(store.n_contexts, max(1, MEAN_TOKENS // store.ctx_len))
    rows = store.tokens[(np.arange(n) * store.n_contexts) // n].astype(np.int64)
    ids = torch.from_numpy(rows).to(subject.device)
    mask = position_mask(ids, masked)
    seen = subject.read(taps, ids)
    return {
        tap: _Target(
            Splicer(subject, tap),
            {name: coder for name, coder in coders.items() if coder.target == tap},
            seen[tap][mask].float().mean(0) if bool(mask.any()) else None,
        )
        for tap in taps
    }


def _affordable(
    subject: SubjectModel, coders: Mapping[str, SparseCoder], targets: Mapping[Tap, _Target], store: Store
) -> int:
    """Tokens that may be measured: reckoned in multiplications, one a weight and token."""
    base = sum(weight.numel() for name, weight in subject.base.named_parameters() if "embed" not in name)
    head = 0 if subject.W_U is None else subject.W_U.numel()
    passes = base + head
    for target in targets.values():
        passes += target.n_variants * (int(base * target.splicer.share_of_layers) + head)
    layers = max((1 - target.splicer.share_of_layers for target in targets.values()), default=1.0)
    caching = base * (layers + 1 / max(1, subject.n_layers))
    caching += sum(coder.n_latents * coder.d_in for coder in coders.values())
    budget = max(FREE, SHARE_OF_CACHING * caching * store.n_contexts * store.ctx_len)
    return int(budget / passes)


def _clean_pass(
    subject: SubjectModel, taps: Sequence[Tap], ids: Tensor, targets: Sequence[_Target]
) -> tuple[dict[Tap, Tensor], Tensor | None]:
    """What the taps hold, [batch, ctx_len, width], and the logits of a causal model."""
    if not subject.is_causal:
        return subject.read(taps, ids), None
    inputs = subject.inputs(ids)
    seen: dict[Tap, Tensor] = {}

    def keep(tap: Tap, x: Tensor) -> None:
        seen[tap] = x.clone()  # some models add to a module's output in place

    with _all(target.splicer.recording(ids.shape) for target in targets), hooked(subject.base, taps, keep):
        logits = subject.model(**inputs).logits
    return {tap: tensor.reshape(*ids.shape, -1) for tap, tensor in seen.items()}, logits


@contextmanager
def _all(contexts: Iterable[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield


def _is_close(figures: Fidelity) -> bool:
    """Whether more contexts would tell little more."""
    if figures.fvu_se is None or figures.fvu_se > CLOSE_FVU * figures.fvu:
        return False
    if figures.ce_increase is None:
        return True
    se = figures.ce_increase_se
    return se is not None and (se <= CLOSE_CE * abs(figures.ce_increase) or se <= CLOSE_NATS)


def _figures(
    sums: Mapping[str, Sums], clean: CrossEntropy, targets: Mapping[Tap, _Target], causal: bool
) -> dict[str, Measured]:
    made = {}
    for name, each in sums.items():
        fvu, fvu_se = each.fvu
        n = sum(each.n)
        figures = Fidelity(
            fvu=fvu, fvu_se=fvu_se, l0=each.fired / n if n else 0.0, n_tokens=n, n_contexts=len(each.n)
        )
        contexts = {"n": each.n, "squared_error": each.squared_error, "variance": each.variance}
        if causal:
            losses = next(target.spliced for target in targets.values() if name in target.coders)
            figures = replace(
                figures,
                ce_clean=clean.mean,
                ce_spliced=losses["coder " + name].mean,
                ce_zero=losses["zero"].mean,
                ce_mean=losses["mean"].mean,
                ce_skip=losses["skip"].mean if "skip" in losses else None,
                ce_increase_se=losses["coder " + name].over(clean)[1],
            )
            contexts |= {
                "n_predicted": clean.n,
                "clean": clean.total,
                "spliced": losses["coder " + name].total,
            }
        columns = {column: np.asarray(values, dtype=np.float64) for column, values in contexts.items()}
        made[name] = Measured(figures, columns)
    return made
