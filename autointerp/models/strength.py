"""How strong an edit has to be to move the next token's distribution by a given KL divergence (arXiv 2410.13928, app. G)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from autointerp.errors import BadActivations, UserError

LOWEST, HIGHEST = 1e-3, 1e4
"""The strengths that are tried, as in the paper."""
RELATIVE_TOLERANCE = 0.1
FIRST, NEXT = 15, 5
"""How many strengths are tried at once: the first time over the whole range (two a decade), and between two of them after."""
MAX_ROUNDS = 6


class Tuned(NamedTuple):
    """A strength, and the KL divergence in nats that it gives."""

    strength: float
    kl: float


class KLNotReached(UserError):
    """No strength gives the KL that was asked for."""

    kind = "kl_not_reached"


def kl_divergence(clean: Tensor, edited: Tensor) -> Tensor:
    """KL(clean || edited) in nats over the last axis, from log probabilities Float32[Tensor, "... vocab"]. Never below 0."""
    return (clean.exp() * (clean - edited)).nan_to_num(nan=0.0).double().sum(-1).clamp(min=0)


def find_strength(kls: Callable[[Sequence[float]], Sequence[float]], target: float) -> Tuned:
    """The smallest strength at which KL reaches `target` (nats), within 10 % of it. `kls` gives the KL of each of several
    strengths, ascending; it may raise BadActivations for ones that are too large.

    The whole range is tried in half decades. Between the last strength below the target and the first above it, the search
    goes on by a grid on the logarithm of the strength.

    Raises KLNotReached where no strength up to 10,000 gives as much.
    """
    if not target > 0 or not np.isfinite(target):
        raise UserError(
            f"target KL is {target}; a positive number of nats is needed, such as 0.1, 0.33, 1 or 3"
        )
    tried: dict[float, float] = {}
    above = too_large = np.inf
    grid = np.geomspace(LOWEST, HIGHEST, FIRST).tolist()
    for _ in range(MAX_ROUNDS):
        measured = _measured(kls, grid)
        tried |= measured
        too_large = min([too_large, *(strength for strength in grid if strength not in measured)])
        above = min((strength for strength, kl in tried.items() if kl >= target), default=np.inf)
        for strength in sorted(tried):
            if strength <= above and abs(tried[strength] - target) <= RELATIVE_TOLERANCE * target:
                return Tuned(strength, tried[strength])
        high = min(above, too_large)
        if not np.isfinite(high):
            break
        low = max((strength for strength in tried if strength < high), default=LOWEST / 1e3)
        grid = np.geomspace(low, high, NEXT + 2)[1:-1].tolist()
    if np.isfinite(above):  # KL jumps over the target, as in half precision
        return Tuned(above, tried[above])
    reached = max(tried.values(), default=0.0)
    if reached == 0.0 and not np.isfinite(too_large):
        raise KLNotReached(
            f"No strength up to {HIGHEST:,.0f} changes the next token's distribution at all: what the coder's module writes "
            "does not reach the next token, or the decoder direction is zero."
        )
    limit = (
        f"below {too_large:.3g}, from which on the model gives NaN or infinity,"
        if np.isfinite(too_large)
        else f"up to {HIGHEST:,.0f}"
    )
    raise KLNotReached(
        f"No strength {limit} moves the next token's distribution by a KL divergence of {target:g} nats: the most "
        f"reached is {reached:.2g} nats. Choose a smaller KL."
    )


def _measured(
    kls: Callable[[Sequence[float]], Sequence[float]], strengths: Sequence[float]
) -> dict[float, float]:
    """KL by strength, without those that make NaN and larger ones."""
    while strengths:
        try:
            return dict(zip(strengths, map(float, kls(strengths)), strict=True))
        except BadActivations:
            strengths = strengths[:-1]
    return {}


def mean_kl(first: Tensor) -> list[float]:
    """From Float32[Tensor, "prompts factors vocab"], the first factor being 0: the mean over prompts of every other factor's KL
    from it."""
    return kl_divergence(first[:, :1], first[:, 1:]).mean(0).tolist()
