"""What there is to work on: latents without an explanation, explanations without a score."""

from collections.abc import Iterable, Sequence

from autointerp.pipeline.options import ExplainOptions, ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations, config_hash


def live_latents(store: Store, coder: str) -> list[int]:
    """Latents that fire at all."""
    return store.coder(coder).table().live.tolist()


def unexplained(
    annotations: Annotations, coder: str, latents: Iterable[int], options: ExplainOptions
) -> list[int]:
    """Of `latents` those without a good explanation of this very configuration."""
    done = annotations.explained(
        coder, explainer=options.explainer, config_hash=config_hash(options.identity())
    )
    return [latent for latent in latents if latent not in done]


def shown_explanations(
    annotations: Annotations, coder: str, latents: Iterable[int] | None = None
) -> list[str]:
    """Ids of the shown explanations (pinned, else newest) of `latents`, else of all, ascending by latent."""
    table = annotations.summary(coder)
    pairs = zip(table["latent"].to_pylist(), table["explanation_id"].to_pylist(), strict=True)
    wanted = None if latents is None else set(latents)
    return [id_ for latent, id_ in pairs if wanted is None or latent in wanted]


def unscored(
    annotations: Annotations, coder: str, explanation_ids: Iterable[str], options: Sequence[ScoreOptions]
) -> list[str]:
    """Of the explanations those that lack a good score of this very configuration by any of `options`."""
    done = [
        annotations.scored(
            coder, scorer=one.scorer, judge=one.judge_name, config_hash=config_hash(one.identity())
        )
        for one in options
    ]
    return [id_ for id_ in explanation_ids if not all(id_ in some for some in done)]
