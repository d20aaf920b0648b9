"""Scores as a judge might have given them, without asking one."""

from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.records import Explanation, Score
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations


def give_scores(
    store: Store,
    chances: Mapping[str, float],
    *,
    n: int | None = None,
    scorers: Sequence[str] = ("detection",),
) -> None:
    """Explanations and scores of the first `n` live latents of each coder: of 20 answers, so many right by chance."""
    with Annotations(store.path) as annotations:
        for place, (coder, chance) in enumerate(chances.items()):
            rng = np.random.default_rng(place)
            for latent in store.coder(coder).table().live[:n].tolist():
                made = Explanation(
                    coder=coder, latent=latent, text=f"text {latent}", explainer="pattern", prompt_version="pattern-2",
                    config={"explainer": "pattern"},
                )  # fmt: skip
                annotations.add(made)
                for scorer in scorers:
                    right = rng.binomial(20, chance)
                    annotations.add(
                        Score(
                            explanation_id=made.id, scorer=scorer, judge="offline", value=right / 20, n_pos=10, n_neg=10,
                            floor=0.5, config=dict(ScoreOptions(scorer=scorer, n_examples=10, n_negatives=10).identity()),
                        )
                    )  # fmt: skip
