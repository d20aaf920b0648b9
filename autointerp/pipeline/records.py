"""Results of explainers and scorers as the records that are stored, and back."""

from collections.abc import Mapping
from typing import Any

from autointerp.explain import ExplanationResult
from autointerp.score import JudgedItem, ScoreResult
from autointerp.store.annotations import Explanation, JudgedExample, Score

_SAME_IN_SCORE = (
    "scorer", "judge", "metric", "value", "protocol", "negatives", "ci_low", "ci_high", "auroc", "n_pos", "n_neg",
    "tpr_by_quantile", "value_by_quantile", "tnr", "unparsed", "floor", "n_floor", "model", "prompt_version", "seed",
    "tokens_in", "tokens_out", "cost", "duration", "status", "error",
)  # fmt: skip
_SAME_IN_JUDGED = (
    "i", "context", "start", "window", "truth", "answer", "value", "quantile", "source", "marks", "predicted",
    "reply_ref", "error",
)  # fmt: skip


def explanation_record(
    result: ExplanationResult, coder: str, latent: int, config: Mapping[str, Any]
) -> Explanation:
    """`config`: the identity of the options, which says more than the explainer's own."""
    return Explanation(
        coder=coder,
        latent=latent,
        text=result.text,
        explainer=result.explainer,
        model=result.model,
        config=config,
        prompt_version=result.prompt_version,
        seed=result.seed,
        example_ids=result.example_ids,
        reply_ref=result.reply_ref,
        tokens_in=result.tokens_in,
        tokens_out=result.tokens_out,
        cost=result.cost,
        duration=result.duration,
        status=result.status,
        error=result.error,
    )


def score_records(
    result: ScoreResult, explanation_id: str, config: Mapping[str, Any], floor_id: str | None
) -> tuple[Score, list[JudgedExample]]:
    """The score and its judged examples."""
    score = Score(
        explanation_id=explanation_id,
        config=config,
        floor_explanation_id=floor_id if result.floor is not None else None,
        **{name: getattr(result, name) for name in _SAME_IN_SCORE},
    )
    judged = [
        JudgedExample(score_id=score.id, **item._asdict())
        for item in result.judged  # the same fields
    ]
    return score, judged


def score_result(score: Score, judged: list[JudgedExample]) -> ScoreResult:
    """What was stored, as a scorer returned it."""
    items = tuple(JudgedItem(**{name: getattr(one, name) for name in _SAME_IN_JUDGED}) for one in judged)
    return ScoreResult(
        **{name: getattr(score, name) for name in _SAME_IN_SCORE}, config=score.config, judged=items
    )
