"""Retry asks whom Settings name now, not whom the job was told to ask: a wrong key, model or address that has been mended
counts. Whom it will ask is said beside the button before it is pressed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from autointerp.errors import UserError
from autointerp.jobs.llm import asked, budget, name, redirected, would
from autointerp.llm.errors import BudgetExceeded
from autointerp.llm.options import LLMOptions
from autointerp.store import Store
from autointerp.store.annotations import Job
from autointerp.ui.shared import llm_keys, llm_settings, services


class Whom(NamedTuple):
    """What is said of a retry: `whom` in its tooltip; `note` beside its button, where that is not whom the job asked before.
    Empty for a job that asks no language model."""

    whom: str = ""
    note: str = ""


def payload(store: Store, job: Job) -> dict[str, Any] | None:
    """What the job is told when it is retried in this session; `None` where that is what it was told before. Raises UserError
    where the settings cannot be used, and where a job of somebody else's would ask a server of their choice."""
    before = asked(job.payload)
    if before is None:
        return None
    now = llm_settings.current()
    if now is None and not job.own:
        raise UserError(
            f"This job was queued elsewhere and would ask {name(before)}. Choose a language model for it in Settings."
        )
    if now is None:
        return None
    further = used_up(job)
    if further:
        now = _with_further(job, now)
    if now.key_ref is None and _may_keep_key(store, before, now):
        now = replace(now, key_ref=before.key_ref)
    return redirected(job.payload, now, limits=further or job.is_parked)


def used_up(job: Job) -> bool:
    """Whether the job stopped because it had spent what it may: to be retried it must be granted more."""
    return job.error_kind == BudgetExceeded.kind


def _with_further(job: Job, now: LLMOptions) -> LLMOptions:
    """The limits of `now` on top of what the job has spent."""
    tokens = None if now.max_tokens is None else now.max_tokens + job.tokens_in + job.tokens_out
    cost = None if now.max_cost is None else now.max_cost + (job.cost or 0.0)
    return replace(now, max_tokens=tokens, max_cost=cost)


def _may_keep_key(store: Store, before: LLMOptions, now: LLMOptions) -> bool:
    """Whether the key typed in the session that started the job is the only one there is for this server."""
    return (
        before.key_ref is not None
        and llm_keys.variable(now.base_url) is None
        and _same_server(before, now)
        and services.resources(store).keys.get(before.key_ref) is not None
    )


def _same_server(before: LLMOptions, now: LLMOptions) -> bool:
    return llm_keys.endpoint_of(before.base_url) == llm_keys.endpoint_of(now.base_url)


def whom(params: Mapping[str, Any], *, further: bool = False) -> Whom:
    """Whom a retry of a job with this payload would ask, and, where its budget is used up (`further`), how much it may spend.
    Raises nothing: a job of another version can be looked at too."""
    try:
        before = asked(params)
        if before is None:
            return Whom()
        now = llm_settings.chosen()
    except UserError:
        return Whom()
    if now is None:
        blocked = "budget used up: choose a language model and a budget in Settings" if further else ""
        return Whom(f"Uses {name(before)} as before: no language model is chosen in Settings.", blocked)
    said, notes = f"Uses {name(now)}, as chosen in Settings.", []
    if before.model != now.model or not _same_server(before, now):
        said += f" Previously {name(before)}."
        notes.append(f"now uses {name(now)}, not {name(before)}")
    if further:
        said += (
            f" Budget: {budget(now, more=' more')} on top of what it has spent (budget per job in Settings)."
        )
        notes.append(f"budget: {budget(now, more=' more')}")
    return Whom(said, "; ".join(notes))


def resumed(job: Job) -> Whom:
    """`Whom` of a job that was queued elsewhere: it asks whom Settings name, and may spend what they say."""
    try:
        now = llm_settings.chosen()
    except UserError:
        now = None
    return Whom("Runs it here, with your keys.", f"queued elsewhere: {would(job, now)}")
