"""Which language model a job asks, by its payload, and the same job asking another one.

A job keeps the settings it was queued with. When its server rejected a key or a model, what has been corrected since reaches it
only by a new payload: `JobTable.retry(job.id, redirected(job.payload, llm))`. What each explanation and score was made by stays
right, for each records the model that it really asked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.options import LLMOptions
from autointerp.store.annotations import Job

_PARTS = ("explain", "then", "later", "score")


def asked(payload: Mapping[str, Any]) -> LLMOptions | None:
    """The language model that the job asks, the explainer's before the judge's; `None` for a job that asks none. Raises
    UnknownName for a payload of another version."""
    for part in _parts(payload):
        if part.get("llm"):
            return LLMOptions.from_dict(part["llm"])
    return None


def redirected(payload: Mapping[str, Any], llm: LLMOptions, *, limits: bool = False) -> dict[str, Any]:
    """The payload with `llm` wherever a language model is asked. What the job may spend stays what it was started with, unless
    the `limits` of `llm` are to hold. Whom it asked before is kept, for `earlier`."""
    changed = dict(payload)
    before = LLMOptions.from_dict(part["llm"]) if (part := payload.get("explain") or {}).get("llm") else None
    if before is not None and before.identity() != llm.identity():
        last = {"model": before.model, "base_url": before.base_url}
        changed["earlier"] = [*(asked for asked in payload.get("earlier") or () if asked != last), last]
    for name in _PARTS:
        value = payload.get(name)
        if isinstance(value, Mapping):
            changed[name] = _redirected_part(value, llm, limits)
        elif isinstance(value, list | tuple):
            changed[name] = [
                _redirected_part(part, llm, limits) if isinstance(part, Mapping) else part for part in value
            ]
    return changed


def budget(llm: LLMOptions, *, more: str = "") -> str:
    """What a job may spend, in words. `more`: a word before what is counted."""
    tokens = [] if llm.max_tokens is None else [f"{llm.max_tokens:,}{more} tokens"]
    cost = [] if llm.max_cost is None else [f"{llm.max_cost:,g}{more} in cost"]
    return " and ".join([*tokens, *cost]) or "no limit"


def name(llm: LLMOptions) -> str:
    """`gpt-x at api.openai.com`."""
    server = llm.identity()["endpoint"].split("/")[0] or llm.base_url
    return f"{llm.model[:80]} at {server[:80]}"


def would(job: Job, llm: LLMOptions | None = None) -> str:
    """What a job that was queued elsewhere would ask here, or `llm` in its place, how often and for how much."""
    items = f"{job.n_left:,} {'item' if job.n_left == 1 else 'items'}"
    try:
        asks = asked(job.payload)
        if asks is None:
            embedder = str(job.payload.get("embedder") or "")[:80]
            return f"{items}, with the embedder {embedder}" if embedder else f"{items}, no language model"
        return f"{items}, asks {name(llm or asks)}, budget: {budget(llm or asks)}"
    except (UserError, AttributeError, TypeError, ValueError):
        return f"{items}, with settings that this version cannot read"


def earlier(payload: Mapping[str, Any]) -> list[LLMOptions]:
    """Whom the job asked for explanations before it was redirected: what they wrote for it is not asked for again."""
    return [LLMOptions.from_dict(asked) for asked in payload.get("earlier") or ()]


def _redirected_part(part: Mapping[str, Any], llm: LLMOptions, limits: bool) -> dict[str, Any]:
    before = part.get("llm")
    if not before:
        return dict(part)
    kept = {} if limits else {name: before.get(name) for name in ("max_tokens", "max_cost")}
    return {**part, "llm": replace(llm, **kept).to_dict()}


def _parts(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    values = [payload.get(name) for name in _PARTS]
    parts = [part for value in values for part in (value if isinstance(value, list | tuple) else [value])]
    return [part for part in parts if isinstance(part, Mapping)]
