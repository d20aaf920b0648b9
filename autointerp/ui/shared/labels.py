"""Words for things: how the interface names kinds, relations and groups, and what each figure means."""

from autointerp.types import Relation

RELATIONS: dict[Relation, tuple[str, str]] = {
    "decoder": ("by decoder", "Cosine of decoder directions: features that write alike"),
    "encoder": ("by encoder", "Cosine of encoder directions: features that read alike"),
    "cofiring": ("co-firing", "Jaccard index of the tokens that two features fire on"),
}
EXPLAINERS = {
    "pattern": "pattern",
    "default": "LLM",
    "contrastive": "LLM, contrastive",
    "top_logits": "LLM, top logits",
    "person": "person",
}
"""How the interface names the ways an explanation was made."""


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
