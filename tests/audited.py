"""A store of two coders whose latents are explained and scored, for audits."""

from pathlib import Path
from typing import Any

import numpy as np

from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from autointerp.store import ScoreKind, annotated_store
from autointerp.store.annotations import Annotations
from tests.conftest import CoderSpec, _factory
from tests.pipeline.conftest import explain_once, score_once

N_CONTEXTS, CTX_LEN, N_LATENTS = 160, 64, 12
FEW: dict[str, Any] = {"n_examples": 16, "n_negatives": 16}


def write_audited(folder: Path) -> Path:
    """Latent i of `sae` fires on word i; latent i of `tc` on word i and the next one. Both have a dead latent more."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(N_LATENTS, 60, size=(N_CONTEXTS, CTX_LEN))
    for word in range(N_LATENTS):
        rows = rng.permutation(N_CONTEXTS)[: 30 + 5 * word]
        tokens[rows, rng.integers(0, CTX_LEN, size=len(rows))] = word
    flat = tokens.reshape(-1)

    def on(*words: int) -> list[tuple[int, float]]:
        return [(int(token), float(1 + rng.random())) for token in np.flatnonzero(np.isin(flat, words))]

    near = np.array([[(latent + 1) % N_LATENTS] for latent in range(N_LATENTS)] + [[-1]], dtype=np.int32)
    neighbours = {"decoder": (near, np.full((N_LATENTS + 1, 1), 0.5, dtype=np.float32))}
    specs = {
        "sae": {i: on(i) for i in range(N_LATENTS)},
        "tc": {i: on(i, (i + 1) % N_LATENTS) for i in range(N_LATENTS)},
    }
    store = _factory(folder)(
        tokens,
        {name: CoderSpec(fires, N_LATENTS + 1, neighbours=neighbours) for name, fires in specs.items()},
        pieces=[f" word{chr(97 + i % 26)}{i}".encode() for i in range(60)],
    )
    with Annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        for coder in specs:
            for latent in range(N_LATENTS):
                explanation = explain_once(
                    resources, coder, latent, ExplainOptions(explainer="pattern", n_examples=10)
                )
                annotations.add(explanation)
                for scorer in ("detection", "fuzzing"):
                    options = ScoreOptions(
                        scorer=scorer, negatives=("random", "neighbours"), floor=False, **FEW
                    )
                    annotations.add(score_once(resources, explanation, options))
    return store.path


def kind_named(annotations: Annotations, scorer: str) -> ScoreKind:
    kinds = annotated_store(annotations).kinds(["sae", "tc"], str)
    return next(kind for kind in kinds if kind.scorer == scorer)
