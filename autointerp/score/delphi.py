"""The `delphi` protocol: the reference pipeline's choices of examples, negatives, marks, batches and pooling.

What it keeps of the reference, defects included: explainer and test examples are drawn from one list with one seed and so
overlap (where the explanation was made by this protocol too: of 50 test examples, 20 at 200 windows, about 10 from 2,400 on);
negatives are drawn with replacement from a fixed seed; wrong marks stand at nearly the same places in every example; five texts
a prompt; metrics pooled over the latents.

What it does not keep: prompts and their worked examples are ours, and any model may be asked, so that its scores do not
replicate published ones. Items are shuffled afresh for each latent. A last batch of fewer than five is answered, where the
reference loses it. Windows are handed in by the caller, also of latents that fire in fewer than 200 of them, which the
reference leaves out.

Everything else in this package follows the protocol `held-out`.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.records import JudgedExample
from autointerp.sampling import MARK_SHARE, marks_above
from autointerp.score.metrics import auroc
from autointerp.score.plan import Item, Plan
from autointerp.score.scorer import Heldout
from autointerp.types import N_QUANTILES

SAMPLING_SEED = 22
NEGATIVES_SEED = 42
SHUFFLE_SEED = 42
BATCH = 5
N_TEST = 50


def draw(n_available: int, n: int, n_quantiles: int = N_QUANTILES) -> tuple[list[int], list[int]]:
    """Which `n` of the activating examples, by rank in falling order of maximum, and the quantile of each: equally many from
    each of `n_quantiles` slices of equal size (the rest at the tail is never drawn). One fixed seed."""
    rng = random.Random(SAMPLING_SEED)
    size, per_quantile = n_available // n_quantiles, n // n_quantiles
    ranks: list[int] = []
    quantiles: list[int] = []
    for quantile in range(n_quantiles):
        slice_ = range(quantile * size, (quantile + 1) * size)
        drawn = list(slice_) if size < per_quantile else rng.sample(slice_, per_quantile)
        ranks += drawn
        quantiles += [quantile] * len(drawn)
    return ranks, quantiles


def draw_negatives(n_available: int, n: int) -> NDArray[np.int64]:
    """Which of the windows without any activation serve as negatives: drawn with replacement from a fixed seed, by torch's
    generator as in the reference; none at all when fewer than `n` are there."""
    import torch

    if n <= 0 or n_available < n:
        return np.zeros(0, dtype=np.int64)
    generator = torch.Generator().manual_seed(NEGATIVES_SEED)
    return torch.randint(0, n_available, size=(n,), generator=generator).numpy()


def draw_contrast(n_available: int, n: int) -> NDArray[np.int64]:
    """At most `n` of the windows without any activation for an explainer that is shown some, which the reference's default one
    is not: those that follow the negatives in the same sequence, and none of the negatives."""
    if n <= 0:
        return np.zeros(0, dtype=np.int64)
    drawn = draw_negatives(n_available, N_TEST + n)
    return np.setdiff1d(drawn[N_TEST:], drawn[:N_TEST])


def wrong_marks(activations: NDArray[np.float32], n: int) -> tuple[int, ...]:
    """`n` wrong positions: the one at three quarters of the window if it may be marked, the others from a fixed seed."""
    allowed = np.nonzero(activations <= MARK_SHARE * activations.max(initial=0.0))[0].tolist()
    n = min(n, len(allowed))
    first = len(activations) - len(activations) // 4
    if first not in allowed or n == 0:
        return tuple(sorted(random.Random(SAMPLING_SEED).sample(allowed, n)))
    rest = [position for position in allowed if position != first]
    return tuple(sorted([first, *random.Random(SAMPLING_SEED).sample(rest, n - 1)]))


def detection_plan(heldout: Heldout) -> Plan:
    """Detection with the reference's choices, on test examples from `draw`; every seed is fixed."""
    negatives = [Item(window, False) for window in heldout.non_activating]
    return _plan([*negatives, *(Item(window, True) for window in heldout.activating)], heldout)


def fuzzing_plan(heldout: Heldout) -> Plan:
    """Fuzzing with the reference's choices, on test examples from `draw`; every seed is fixed."""
    counts = [int((window.example.activations > 0).sum()) for window in heldout.activating]
    n = math.ceil(sum(counts) / len(counts)) if counts else 1
    items = [
        Item(window, False, wrong_marks(window.example.activations, n)) for window in heldout.non_activating
    ]
    items += [
        Item(window, True, marks_above(window.example.activations, MARK_SHARE))
        for window in heldout.activating
    ]
    return _plan(items, heldout)


def _plan(items: list[Item], heldout: Heldout) -> Plan:
    """The reference shares one shuffling generator over all latents of a run; here each latent has a fresh one."""
    random.Random(SHUFFLE_SEED).shuffle(items)
    return Plan(tuple(items), heldout.latent_max, heldout.negatives, SAMPLING_SEED, "delphi")


@dataclass(frozen=True)
class Pooled:
    """The reference's summary of one scorer over many latents. Its `accuracy` *is* balanced accuracy. As in the reference, a
    ratio over nothing counts as 0. `failed`: answers that could not be read, in no other figure."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    true_positive_rate: float
    true_negative_rate: float
    false_positive_rate: float
    false_negative_rate: float
    true_positives: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    failed: int
    auroc: float | None


def pooled(judged: Iterable[JudgedExample]) -> Pooled:
    """The summary of the judged items of any number of latents, thrown together."""
    rows = list(judged)
    read = [row for row in rows if row.answer is not None and row.truth is not None]
    tp = sum(bool(row.truth and row.answer) for row in read)
    tn = sum(not row.truth and not row.answer for row in read)
    fp = sum(bool(not row.truth and row.answer) for row in read)
    fn = len(read) - tp - tn - fp
    recall, specificity, precision = _ratio(tp, tp + fn), _ratio(tn, tn + fp), _ratio(tp, tp + fp)
    graded = [row for row in read if row.value is not None]
    return Pooled(
        accuracy=(recall + specificity) / 2,
        precision=precision,
        recall=recall,
        f1=_ratio(2 * precision * recall, precision + recall),
        true_positive_rate=recall,
        true_negative_rate=specificity,
        false_positive_rate=_ratio(fp, fp + tn),
        false_negative_rate=_ratio(fn, tp + fn),
        true_positives=tp,
        true_negatives=tn,
        false_positives=fp,
        false_negatives=fn,
        failed=len(rows) - len(read),
        auroc=auroc([bool(row.truth) for row in graded], [row.value or 0.0 for row in graded]),
    )


def frequency_weighted_f1(latents: Iterable[tuple[int, Sequence[JudgedExample]]]) -> float:
    """The mean F1 of the latents of one hookpoint, weighted by how often each fires; pairs of (firings, judged items)."""
    total = weighted = 0.0
    for firings, judged in latents:
        weighted += firings * pooled(judged).f1
        total += firings
    return _ratio(weighted, total)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
