"""What makes a demo store complete."""

from pathlib import Path
from typing import Any

from autointerp.cli.shared.complete import missing_in
from autointerp.embedding import coverage
from autointerp.pipeline.pending import live_latents
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.explained import scores_of

SCORERS = ["detection", "embedding", "fuzzing"]


def everything(path: Path) -> dict[tuple[str, int], tuple[Explanation, list[Score]]]:
    """By coder and latent: the one explanation and its scores. Fails where a latent has two."""
    store = Store.open(path)
    explained = {}
    with Annotations(path) as annotations:
        for info in store.coders():
            for latent in range(info.n_latents):
                explanations = annotations.explanations(info.coder, latent)
                assert len(explanations) <= 1, f"{info.coder} {latent} was explained twice"
                if explanations:
                    explained[info.coder, latent] = (
                        explanations[0],
                        scores_of(annotations, explanations[0].id),
                    )
    return explained


def assert_complete(path: Path) -> None:
    store = Store.open(path)
    explained = everything(path)
    live = {(info.coder, latent) for info in store.coders() for latent in live_latents(store, info.coder)}
    assert set(explained) == live
    for (coder, latent), (explanation, scores) in explained.items():
        names = sorted(score.scorer for score in scores)
        assert names == (SCORERS if explanation.status == "ok" else []), f"{coder} {latent}: {names}"
    assert store.embeddings("all-MiniLM-L6-v2") is not None
    assert not missing_in(path)
    with Annotations(path) as annotations:  # search by meaning has nothing to wait for
        known = Resources(store, annotations).embedder()
        covered = coverage(annotations, known, [info.coder for info in store.coders()])
    assert covered.embedded == covered.total > 0


def figures(path: Path) -> dict[Any, Any]:
    """What must not depend on who did it."""
    return {
        key: (
            explanation.text,
            explanation.error,
            {(s.scorer, s.value, s.ci_low, s.ci_high, s.floor, s.n_pos, s.n_neg, s.error) for s in scores},
        )
        for key, (explanation, scores) in everything(path).items()
    }
