"""The sampler: windows of any number of latents at once, by group, as places in the corpus; `build_groups` cuts one latent's.

- `top`: falling order of maximum, ties by position.
- `random`: random positive windows.
- `quantiles`: random windows of each tenth of the positive windows, 0 = strongest, as one list.
- `non_activating`: random windows in which the latent does not fire, then hard negatives: windows in which a similar latent
  fires and this one does not, marked by `source` and `neighbour`.

Within a group no two windows are near-duplicates (see `autointerp.sampling.windows`); `n_duplicates` of a place counts the
positive windows that look like it. Everything follows from the generators passed in: a latent's windows are the same whether
it is sampled alone or among others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.sampling.axis import Axis, NeighbourActivations, Request
from autointerp.sampling.windows import Places, Tokens, check_window, cut_many
from autointerp.types import Example, Group, LatentActivations


@dataclass(frozen=True)
class Sizes:
    """How many windows of each group; groups are shorter where the corpus has fewer."""

    top: int = 0
    random: int = 0
    per_quantile: int = 0
    non_activating: int = 0
    hard: int = 0


def build_groups(
    acts: LatentActivations,
    tokens: Tokens,
    *,
    rng: np.random.Generator,
    window: int | None = 32,
    n_top: int = 10,
    n_random: int = 5,
    n_per_quantile: int = 3,
    n_non_activating: int = 5,
    n_hard: int = 5,
    neighbour_acts: NeighbourActivations = (),
    centre: int | None = None,
    contexts: NDArray[np.bool_] | None = None,
    dedupe: bool = True,
    count_duplicates: bool = True,
    lengths: NDArray[np.int64] | None = None,
) -> dict[Group, list[Example]]:
    """All four groups of one latent, cut out: see `sample`, `Request` and `Sizes`."""
    sizes = Sizes(n_top, n_random, n_per_quantile, n_non_activating, n_hard)
    request = Request(acts, rng, contexts, neighbours=neighbour_acts, lengths=lengths)
    (groups,) = sample(
        [request],
        tokens,
        sizes,
        window=window,
        centre=centre,
        dedupe=dedupe,
        count_duplicates=count_duplicates,
    )
    return {name: cut_many(acts, tokens, places) for name, places in groups.items()}


def sample(
    requests: Sequence[Request],
    tokens: Tokens,
    sizes: Sizes,
    *,
    window: int | None,
    centre: int | None = None,
    dedupe: bool = True,
    count_duplicates: bool = False,
) -> list[dict[Group, Places]]:
    """The four groups of each latent, in the order of `requests`. Memory: 20 bytes per activation and context of all together.

    `window` in tokens, `None` = full contexts. `centre`: see `positive_windows`. `dedupe`: near-duplicates within a group are
    left out. Without `count_duplicates` the same windows come back, faster, with `n_duplicates` 0.
    """
    if not requests:
        return []
    width = check_window(window, tokens.shape[1])
    axis = Axis(
        requests,
        np.asarray(tokens),
        width,
        centre=centre,
        dedupe=dedupe,
        counted=count_duplicates and dedupe,
    )
    seen = axis.seen_negatives()
    # The order in which each latent's generator is used must stay: stored examples and scores depend on it.
    random = [axis.random(i, sizes.random) for i in range(len(requests))]
    hard = [axis.hard(i, sizes.hard, taken) for i, taken in enumerate(seen)]
    silent = axis.silent(sizes.non_activating, seen)
    quantiles = axis.quantiles(sizes.per_quantile)
    return [
        {
            "random": axis.places(i, random[i]),
            "top": axis.places(i, axis.top(i, sizes.top)),
            "quantiles": axis.places(i, quantiles[i]),
            "non_activating": silent[i] + hard[i],
        }
        for i in range(len(requests))
    ]
