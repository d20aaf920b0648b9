"""The sampler draws what it always drew: stored explanations and scores name examples, and are compared on them. The hashes
were made by the two samplers of store format 2, before they became one."""

import hashlib
import itertools
import json
from collections.abc import Sequence

import numpy as np
import pytest

from autointerp.sampling import Request, Sizes, cut_many, sample, split_contexts
from autointerp.sampling.windows import no_spans
from autointerp.types import Example, LatentActivations

EXPECTED = {
    0: "6d30e8cf427fa585",
    1: "79c22e1bf22a56a3",
    2: "2774b1811a8572dc",
    3: "9fd10393e94a45e7",
    4: "36d7b4029bc160a4",
    5: "32dfd54bdaec4631",
}
SIZES = (
    Sizes(top=10, random=5, per_quantile=3, non_activating=5, hard=5),
    Sizes(per_quantile=2, non_activating=30),
    Sizes(top=40),
    Sizes(random=40, non_activating=20, hard=20),
    Sizes(per_quantile=7, non_activating=3, hard=40),
)
CASES = list(
    itertools.product(
        range(len(SIZES)),
        (None, 8, 5),
        (False, True),
        (False, True),
        (True, False),
        (True, False),
        (False, True),
        (False, True),
    )
)
"""Sizes, window, centred, one side of the split, dedupe, duplicates counted, some windows to avoid, neighbours."""


def corpus(seed: int) -> tuple[np.ndarray, LatentActivations, list[tuple[int, LatentActivations]]]:
    """Tokens with repeated texts, a latent and its neighbours."""
    rng = np.random.default_rng(seed)
    n_contexts, ctx_len = [(40, 32), (25, 33), (60, 16), (7, 64), (200, 32)][seed % 5]
    tokens = rng.integers(0, [3, 8, 50][seed % 3], size=(n_contexts, ctx_len)).astype(np.int32)
    tokens[n_contexts // 2 :: 3] = tokens[0]

    def activations(density: float) -> LatentActivations:
        fires = np.flatnonzero(rng.random(tokens.size) < density)
        values = np.round(rng.random(len(fires)) * 4, 1 if seed % 2 else 3).astype(np.float16)
        return LatentActivations(fires.astype(np.int64), values.astype(np.float32) + np.float32(0.5))

    latent = activations([0.01, 0.05, 0.2, 0.002, 0.6, 0.0][seed % 6])
    return tokens, latent, [(i + 1, activations(density)) for i, density in enumerate((0.03, 0.1, 0.0))]


def fingerprint(examples: Sequence[Example]) -> str:
    hashed = hashlib.sha1()
    for e in examples:
        place = (e.context, e.start, len(e.token_ids))
        rest = (e.quantile, e.source, e.neighbour, e.n_duplicates, round(e.max_activation, 6))
        hashed.update(repr((*place, *rest)).encode())
        hashed.update(e.token_ids.tobytes())
        hashed.update(e.activations.tobytes())
    return f"{hashed.hexdigest()[:12]}:{len(examples)}"


@pytest.mark.parametrize("seed", EXPECTED)
def test_the_draws_are_those_of_the_samplers_before(seed: int) -> None:
    tokens, acts, near = corpus(seed)
    n_contexts, ctx_len = tokens.shape
    split = split_contexts(acts, n_contexts=n_contexts, ctx_len=ctx_len, rng=np.random.default_rng([0, seed]))
    rows = np.sort(np.random.default_rng([5, seed]).permutation(n_contexts)[:6])
    drawn = []
    for size, window, centred, side, dedupe, count, avoid, neighbours in CASES[seed::11]:
        width = window or ctx_len
        start = width if 2 * width <= ctx_len else 0
        shown = np.stack([rows, np.full(6, start), np.full(6, start + width)], axis=1)
        rng = np.random.default_rng([7, seed])
        request = Request(
            acts,
            rng,
            split.heldout if side else None,
            shown if avoid else no_spans(),
            near if neighbours else (),
        )
        (groups,) = sample(
            [request],
            tokens,
            SIZES[size],
            window=window,
            centre=width - width // 4 if centred else None,
            dedupe=dedupe,
            count_duplicates=count,
        )
        names = ("top", "random", "quantiles", "non_activating")
        made = [fingerprint(cut_many(acts, tokens, groups[name])) for name in names]
        drawn.append([*made, int(rng.integers(1 << 30))])  # the last tells how much of the generator was used
    assert hashlib.sha1(json.dumps(drawn).encode()).hexdigest()[:16] == EXPECTED[seed]
