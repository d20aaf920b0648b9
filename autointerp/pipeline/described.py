"""One latent as commands and static pages show it: its examples by group, and its figures in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autointerp.pipeline.negatives import similar_latents
from autointerp.sampling import build_groups
from autointerp.store import STATISTICS, CoderStore, Store
from autointerp.types import Example, LatentStats

GROUPS = {
    "random": "random positives",
    "top": "top",
    "quantiles": "by decile (1 = strongest)",
    "non_activating": "non-activating",
}
"""Headings of the groups of examples."""
SELECTED = "selected contexts, not a corpus: figures are as stated in the imported files"
_FORMATS = {
    "count": "{:,}",
    "density": "{:.3%}",
    "share": "{:.0%}",
    "activation": "{:.4g}",
    "decimal": "{:.3f}",
}
"""By the statistics' `format`."""


def example_groups(
    store: Store,
    coder: CoderStore,
    latent: int,
    *,
    window: int | None,
    n: int,
    seed: int = 0,
    distinct: bool = False,
) -> dict[str, list[Example]]:
    """Every group of one latent, `n` examples in each. `window` in tokens, `None` for whole contexts. `distinct`: one of
    near-identical windows only."""
    groups = build_groups(
        coder.activations(latent),
        store.tokens,
        window=window,
        n_top=n,
        n_random=n,
        n_per_quantile=max(1, n // 10),
        n_non_activating=n,
        rng=np.random.default_rng([seed, latent]),
        neighbour_acts=[(near, coder.activations(near)) for near in similar_latents(coder, latent)],
        dedupe=distinct,
        contexts=coder.known_contexts(latent),
        lengths=store.text_lengths(),
    )
    return {str(name): examples for name, examples in groups.items()}


def statistics(store: Store, stats: Mapping[str, Any] | LatentStats) -> Iterator[tuple[str, str]]:
    """Label and value of each statistic of `CoderStore.all_stats` that has a value, with the one shown beside it."""
    words = store.vocabulary()
    for name, statistic in STATISTICS.items():
        if not statistic.in_panel or stats[name] is None:
            continue
        match statistic.format:
            case "token":
                value = repr(words.text(stats[name]))
            case "place":
                value = "{}:{}".format(*divmod(stats[name], store.ctx_len))
            case kind:
                value = _FORMATS[kind].format(stats[name])
        if statistic.unit:
            value += f" {statistic.unit}"
        if statistic.beside is not None and stats[statistic.beside] is not None:
            value += f" ({_FORMATS[STATISTICS[statistic.beside].format].format(stats[statistic.beside])})"
        yield statistic.label.lower(), value
