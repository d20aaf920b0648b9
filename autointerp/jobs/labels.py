"""What a job is called, from what it does, so that jobs of every release read alike; and why its items failed."""

import re
from collections.abc import Mapping
from typing import Any

from autointerp.explain.registry import EXPLAINERS
from autointerp.score.registry import SCORERS
from autointerp.store.annotations import Job


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


def title(job: Job) -> str:
    """What a job does; its stored label where its kind has no other."""
    return label(job.kind, job.payload, job.total) or job.label


_COUNTED = re.compile(r"\d+ of \d+ failed(; the first)?: ")
_OF_SCORER = re.compile(r"([a-z_]+): (.+)", re.DOTALL)


def once(error: str) -> str:
    """Failures of several scorers, `detection: this; fuzzing: this`, with what is the same said once."""
    causes: dict[str, list[str]] = {}
    counted = _COUNTED.match(error)
    start = counted[0] if counted else ""
    error = error.removeprefix(start)
    if start.startswith("1 of "):
        start = start.replace("; the first", "")
    for part in error.split("; "):
        match = _OF_SCORER.fullmatch(part)
        if match is None or match[1] not in SCORERS:
            return start + error
        causes.setdefault(match[2].removesuffix("."), []).append(SCORERS.label(match[1]))
    return start + "; ".join(f"{', '.join(names)}: {cause}" for cause, names in causes.items())


_NUMBER = re.compile(r"\d[\d,.]*")
_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")


def cause_of(error: str) -> str:
    """The same text for errors that differ only in numbers and ids."""
    return _NUMBER.sub("#", _ID.sub("#", error))
