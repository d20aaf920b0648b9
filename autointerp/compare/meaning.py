"""How alike the explanations of two coders are: their embeddings matched one to one (the comparison of layers in the first
version of Paulo et al., "Automatically Interpreting Millions of Features in Large Language Models").

An assignment finds large cosines between any two sets of explanations: it chooses the best of many, and all explanations of one
explainer sound alike. So the floor goes through the same assignment: each coder's explanations matched among themselves, none
with itself, which is what two coders of the same kinds of features and without one in common would give. Two latents of one
coder can be each other's partner, which makes that floor a little too high, not too low. Explanations paired at random, without
an assignment, are the scale below it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.compare.explanations import are_embedded, embedder_of, explained, hashes
from autointerp.compare.facts import facts_of, with_facts
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.types import Progress, ProgressCallback

Float = NDArray[np.float32]

SEED = 0
N_DRAWS = 1000
"""Bootstrap samples behind an interval."""
N_SHUFFLES = 200
QUICK_LATENTS = 2048
"""Two coders of up to so many explanations are matched in about two seconds."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Side:
    """One coder's explained latents: `partner` Int64[ndarray, " n"], the other's latent assigned to each, -1 for none, with the
    `cosine` of the two explanations (NaN for none); `nearest` and `nearest_cosine`: the other's latent with the largest."""

    latents: NDArray[np.int64]
    partner: NDArray[np.int64]
    cosine: Float
    nearest: NDArray[np.int64]
    nearest_cosine: Float


@dataclass(frozen=True)
class Meaning:
    """Two coders matched by their explanations.

    `n`: explanations of each; `n_matched`: pairs, `matched`: their mean cosine. `within`: the same within each coder, as many
    as are matched, none with itself; `floor`: the larger of the two; `above`: `matched` minus `floor`. `shuffled`: mean cosine
    of explanations paired at random, with the range of 95 % of the shuffles. `nearest`, `nearest_within`: mean largest cosine
    of each coder's explanations with the other's, and with its own others. Intervals: bootstrap over latents, the partners
    fixed.
    """

    coders: tuple[str, str]
    n: tuple[int, int]
    made_by: tuple[Mapping[str, int], Mapping[str, int]]
    method: str
    n_matched: int
    matched: Estimate
    within: tuple[Estimate, Estimate]
    floor: Estimate
    above: Estimate
    shuffled: Estimate
    nearest: tuple[float, float]
    nearest_within: tuple[float, float]
    sides: tuple[Side, Side]


def is_quick(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> bool:
    """See `registry`."""
    small = all(resources.annotations.summary(coder).num_rows <= QUICK_LATENTS for coder in coders)
    return small and are_embedded(resources, coders, embedder_of(parameters))


def inputs(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, str]:
    """See `registry`."""
    return hashes(resources, coders)


def compute(
    resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any], progress: ProgressCallback
) -> pa.Table:
    """See `registry`: the table that `read` reads. `parameters`: "embedder", and "exact_up_to" explanations the assignment is
    exact."""
    import torch

    from autointerp.compare.matching import EXACT_LATENTS, Matched, from_second, match

    first, second = coders
    if first == second:
        raise UserError(f"{first} cannot be matched with itself: give two coders.")
    sets = explained(resources, coders, embedder_of(parameters), progress)
    for coder, explanations in zip(coders, sets, strict=True):
        if len(explanations.latents) < 2:
            raise UserError(
                f"{coder} has only one explanation; a comparison needs at least two. Explain more."
            )
    exact_up_to = int(parameters.get("exact_up_to", EXACT_LATENTS))
    rng = np.random.default_rng(SEED)
    a, b = (torch.from_numpy(explanations.vectors) for explanations in sets)
    n_pairs = min(len(a), len(b))

    def matched(stage: str, rows: torch.Tensor, columns: torch.Tensor, apart: Any = None) -> Matched:
        done = lambda n: progress(Progress(stage, n, len(rows), "explanations"))  # noqa: E731
        return match(rows, columns, exact_up_to=exact_up_to, apart=apart, done=done)

    pair = matched("match by meaning", a, b)
    within = []
    for coder, vectors in zip(coders, (a, b), strict=True):
        rows = np.sort(rng.choice(len(vectors), n_pairs, replace=False))
        within.append(matched(f"match within {coder}", vectors[rows], vectors, apart=rows))
    back_partner, back_cosine = from_second(pair, len(b))
    ours, theirs = (explanations.latents for explanations in sets)
    table = pa.table(
        {
            "latent": np.concatenate([ours, theirs]),
            "partner": np.concatenate([_named(pair.partner, theirs), _named(back_partner, ours)]),
            "cosine": np.concatenate([pair.cosine, back_cosine]),
            "nearest": np.concatenate([theirs[pair.there.index], ours[pair.back.index]]),
            "nearest_cosine": np.concatenate([pair.there.cosine, pair.back.cosine]),
        }
    )
    cosines = [_without_nan(each.cosine) for each in (pair, *within)]
    draws = [_means(values, rng) for values in cosines]
    higher = 1 if cosines[1].mean() >= cosines[2].mean() else 2
    estimates = [_estimate(float(values.mean()), d) for values, d in zip(cosines, draws, strict=True)]
    facts = {
        "n": [len(a), len(b)],
        "made_by": [dict(explanations.made_by) for explanations in sets],
        "method": pair.method,
        "n_matched": len(cosines[0]),
        "matched": asdict(estimates[0]),
        "within": [asdict(each) for each in estimates[1:]],
        "floor": asdict(estimates[higher]),
        "above": asdict(_estimate(estimates[0].value - estimates[higher].value, draws[0] - draws[higher])),
        "shuffled": asdict(_shuffled(sets[0].vectors, sets[1].vectors, rng)),
        "nearest": [float(near.cosine.mean()) for near in (pair.there, pair.back)],
        "nearest_within": [float(each.there.cosine.mean()) for each in within],
    }
    return with_facts(table, facts)


def read(table: pa.Table, coders: tuple[str, str]) -> Meaning:
    """What `compute` gave for these coders."""
    facts = facts_of(table)
    n = facts["n"][0]
    columns = [
        table[name].to_numpy() for name in ("latent", "partner", "cosine", "nearest", "nearest_cosine")
    ]
    sides = [Side(*(column[half] for column in columns)) for half in (slice(n), slice(n, None))]
    single = {name: Estimate(**facts[name]) for name in ("matched", "floor", "above", "shuffled")}
    within = [Estimate(**each) for each in facts["within"]]
    pairs: dict[str, Any] = {
        name: tuple(facts[name]) for name in ("n", "made_by", "nearest", "nearest_within")
    }
    return Meaning(
        coders, method=facts["method"], n_matched=facts["n_matched"], within=(within[0], within[1]),
        sides=(sides[0], sides[1]), **single, **pairs,
    )  # fmt: skip


def _named(index: NDArray[np.int64], latents: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(index < 0, -1, latents[index])


def _without_nan(values: Float) -> NDArray[np.float64]:
    return values[~np.isnan(values)].astype(np.float64)


def _means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of bootstrap samples."""
    if not len(values):
        return np.full(N_DRAWS, np.nan)
    return np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(N_DRAWS)])


def _estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _shuffled(a: Float, b: Float, rng: np.random.Generator) -> Estimate:
    """Each of the fewer explanations with a random one of the others; over all pairs, the product of the mean vectors."""
    few, many = sorted((a, b), key=len)
    means = [(few * many[rng.permutation(len(many))[: len(few)]]).sum(1).mean() for _ in range(N_SHUFFLES)]
    return _estimate(float(a.mean(0, dtype=np.float64) @ b.mean(0, dtype=np.float64)), np.array(means))
