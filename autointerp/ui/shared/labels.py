"""What the interface calls things: kinds of coders, relations, statistics, explainers, scorers, judges."""

from autointerp.score.registry import METRICS, SCORERS
from autointerp.types import Relation

RELATIONS: dict[Relation, tuple[str, str]] = {
    "decoder": ("by decoder", "Cosine similarity of decoder directions: features that write alike"),
    "encoder": ("by encoder", "Cosine similarity of encoder directions: features that read alike"),
    "cofiring": ("co-firing", "Jaccard index of the tokens on which two features fire"),
}
NEGATIVES = {
    "random": "random",
    "neighbours": "hard, a similar feature fires there",
    "embedding": "hard, similar in meaning",
    "wrong_marks": "activating texts with wrong tokens marked",
}


def scorer_label(scorer: str) -> str:
    """`Detection`."""
    return SCORERS[scorer].label if scorer in SCORERS else scorer.capitalize()


def metric_label(metric: str) -> str:
    """`balanced accuracy (chance 0.5)`."""
    known = METRICS.get(metric)
    return f"{known.label} (chance {known.chance:g})" if known else metric


def judge_label(judge: str, model: str | None) -> str:
    """Who answered a scorer's questions, as shown with every score: the offline judge is never taken for a model."""
    match judge:
        case "offline":
            return "offline judge"
        case "llm":
            return model or "LLM"
        case "embedder":
            return f"embedder {_short(model)}" if model else "embedder"
        case _:
            return f"{judge} {_short(model)}" if model else judge


def _short(model: str | None) -> str:
    """`MiniLM` for the default embedder; the last part of other names."""
    name = (model or "").rsplit("/", 1)[-1]
    return "MiniLM" if name == "all-MiniLM-L6-v2" else name
