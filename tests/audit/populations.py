"""Simulated populations of explanations in strata, of which the truth is known, and audits drawn from them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autointerp.ratings import Stratum


@dataclass(frozen=True)
class Population:
    """`right[h]`: of each explanation of stratum h, whether it is right."""

    strata: tuple[Stratum, ...]
    right: tuple[NDArray[np.float64], ...]

    @property
    def share(self) -> float:
        return float(np.concatenate(self.right).mean())


def population(
    rng: np.random.Generator,
    n_strata: int,
    middle: float,
    *,
    slope: float = 3.0,
    size: int = 60,
    n_coders: int = 2,
) -> Population:
    """Strata of unequal sizes; the share right rises over those of a coder, by `slope` in logits, around `middle`."""
    strata, right = [], []
    for number in range(n_strata):
        coder, at = divmod(number, n_strata // n_coders)
        place = at / max(1, n_strata // n_coders - 1)
        logit = np.log(middle / (1 - middle)) + slope * (place - 0.5)
        n = int(rng.integers(size // 2, 2 * size))
        right.append((rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float64))
        strata.append(Stratum(number, f"coder-{coder}", None, None, n, 0))
    return Population(tuple(strata), tuple(right))


def allocated(sizes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Proportional to the sizes, one of each at least, by largest remainders."""
    exact = sizes / sizes.sum() * n
    each = np.maximum(1, np.floor(exact)).astype(np.int64)
    left = max(0, n - int(each.sum()))
    each[np.argsort(-(exact - np.floor(exact)), kind="stable")[:left]] += 1
    return np.minimum(each, sizes)


def drawn(
    rng: np.random.Generator, whole: Population, n: int, answered: float = 1.0
) -> tuple[tuple[Stratum, ...], NDArray[np.int64], NDArray[np.float64]]:
    """An audit of `n` items of which a random share was answered: strata, and of each answered item stratum and right."""
    each = allocated(np.array([stratum.population for stratum in whole.strata]), n)
    stratum = np.repeat(np.arange(len(each)), each)
    right = np.concatenate(
        [rng.choice(all_right, k, replace=False) for all_right, k in zip(whole.right, each, strict=True)]
    )
    kept = rng.permutation(len(right))[: max(1, round(answered * len(right)))]
    strata = tuple(replace(one, sampled=int(k)) for one, k in zip(whole.strata, each, strict=True))
    return strata, stratum[kept], right[kept]
