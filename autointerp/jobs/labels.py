"""What a job is called: from what it does, so that jobs of every release read alike."""

from collections.abc import Mapping
from typing import Any

from autointerp.explain.registry import EXPLAINERS
from autointerp.score.registry import SCORERS


def label(kind: str, payload: Mapping[str, Any], n: int) -> str | None:
    """`score 768 explanations of sae: Detection, Fuzzing`, with the protocol where it is the reference's; `None` for jobs of
    other kinds. `n`: its items."""
    parts, what, labels = {
        "explain": ([payload.get("explain")], "feature", EXPLAINERS.label),
        "score": (payload.get("score"), "explanation", SCORERS.label),
    }.get(kind, (None, "", str))
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        return None
    name = {"explain": "explainer", "score": "scorer"}[kind]
    names = ", ".join(labels(str(part.get(name))) for part in parts)
    delphi = " · delphi protocol" if any(part.get("protocol") == "delphi" for part in parts) else ""
    return f"{kind} {n:,} {what}{'' if n == 1 else 's'} of {payload.get('coder')}: {names}{delphi}"
