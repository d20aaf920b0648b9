"""One job: its progress, its settings, why items failed, and the features concerned."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.errors import UnknownName
from autointerp.explain.registry import EXPLAINERS
from autointerp.jobs.labels import cause_of, once, title
from autointerp.registry import Entry
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.store.annotations import Cause, Job, JobItem
from autointerp.store.annotations.jobs.records import ItemState
from autointerp.ui.jobs import table
from autointerp.ui.jobs.state import ITEMS, JobsState
from autointerp.ui.shared import components, job_strip, job_text, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import heading, messages
from autointerp.ui.shared.state import change, choose, pager, suggest
from autointerp.ui.shared.text import beginning, plain, visible

KEY = "job"
ITEMS_PAGE = 50
MAX_CAUSES = 40

NAMES = {
    "base_url": "Server",
    "coder": "Coder",
    "explainer": "Explainer",
    "key_ref": "API key",
    "max_cost": "Budget, cost",
    "max_in_flight": "Concurrent requests",
    "max_tokens": "Budget, tokens",
    "model": "Model",
    "prices": "Prices",
    "scorer": "Scorer",
    "timeout": "Timeout, s",
}
"""Titles of what is no option of an explainer or scorer."""
FIRST = ("explainer", "scorer", "judge", "protocol", "negatives", "model", "base_url", "key_ref", "prices")
OPTIONS = {option.name for option in (*EXPLAINERS.options(), *SCORERS.options())}
PARTS = {
    "explain": "Explain",
    "then": "Then score",
    "later": "Then score, in a job of its own",
    "score": "Score",
}


def _named(store: Store, job_id: str) -> str:
    """A job by what it does and when it was asked for: an id tells nobody anything."""
    try:
        job = services.annotations(store).jobs.get(job_id)
    except UnknownName:  # removed in this moment
        return plain(job_id)
    return f"{plain(title(job), 80)}, {job_text.ago(job.created)}"


def page(store: Store, state: JobsState) -> None:
    """The Jobs page with `job=` in its address."""
    header = st.container(horizontal=True, vertical_alignment="center")
    header.button("All jobs", key="all_jobs", icon=":material/arrow_back:", on_click=_back)
    job_id = state.job or ""
    try:
        job = services.annotations(store).jobs.get(job_id)
    except UnknownName as error:
        with header:
            heading("Jobs")
        st.warning(
            f"Job “{plain(job_id, 60)}” does not exist."
            + (" The newest are:" if error.nearest else " There are no jobs yet: start one with New batch.")
        )
        elsewhere = {"items": None, "items_page": None}
        suggest((_named(store, near), {"job": near, **elsewhere}) for near in error.nearest)
        return
    with header:
        heading(title(job))
    interval = table.BUSY_SECONDS if job.is_active else None
    st.fragment(_live, run_every=interval)(store, job.id, job.is_active, job.n_failed)
    _settings(job)
    _items(store, job, state)


def _back() -> None:
    change(job=None, items=None, items_page=None)


def _live(store: Store, job_id: str, was_active: bool, n_failed: int) -> None:
    with messages():
        job = services.annotations(store).jobs.get(job_id)
        if job.is_active != was_active or job.n_failed > 1.1 * n_failed:
            st.rerun()  # the rest of the page has something new to show
        drawn = table.record([job], writable=job_strip.writable(store), named=False)
        components.jobs(drawn, key=KEY, on_act=lambda: job_strip.act(store, KEY))
        job_strip.show_message()
        components.facts(facts(job), key="job_facts")
        if job.state == "failed" and job.error and not job.n_failed:
            st.error(plain(job.error, 2000), icon=":material/error:")


def facts(job: Job) -> list[list[str]]:
    """Times, counts and cost."""
    cost, cost_help = job_text.cost(job)
    return [
        ["Kind", job.kind, ""],
        ["Done", fmt.count(job.n_done), ""],
        ["Failed", fmt.count(job.n_failed), "Each is recorded with its cause; a retry runs only these"],
        ["Not tried", fmt.count(job.n_left), ""],
        ["Tokens, prompt", fmt.count(job.tokens_in), ""],
        ["Tokens, answer", fmt.count(job.tokens_out), ""],
        ["Cost", cost, cost_help],
        ["Queued", fmt.minute(job.created), f"{fmt.second(job.created)} UTC"],
        ["Started", fmt.minute(job.started), f"{fmt.second(job.started)} UTC"],
        ["Ended", fmt.minute(job.finished), f"{fmt.second(job.finished)} UTC"],
        ["Attempts", fmt.count(job.claims), "How many times a process started it"],
    ]


# Its settings ------------------------------------------------------------------------------------


def _settings(job: Job) -> None:
    st.subheader("Settings", anchor=False)
    rows = [{"cells": list(row)} for row in configuration(job.payload)]
    if not rows:
        st.caption("None.")
        return
    columns = [{"title": "Part", "cls": "name"}, {"title": "Option", "cls": "name"}, {"title": "Value"}]
    with st.expander(", ".join(_gist(job.payload)) or f"{len(rows)} options", expanded=False, key="job_told"):
        components.table({"columns": columns, "rows": rows, "page": "jobs"}, key="job_options")


def _gist(payload: Mapping[str, Any]) -> list[str]:
    """The choices that matter most, for the closed expander; as Markdown."""
    gist = [plain(str(payload["coder"]), 60)] if "coder" in payload else []
    for name in PARTS:
        for part in _parts(payload.get(name)):
            entry, llm = _entry(part), part.get("llm")
            label = entry.label if entry else part.get("explainer") or part.get("scorer")
            judge = part.get("judge") if entry and entry.option("judge") else None
            model = llm.get("model") if isinstance(llm, Mapping) else None
            how = score_text.judge_label(str(judge), model) if judge else model
            gist.append(plain(f"{label}{f' ({how})' if how else ''}", 100))
    return gist or [plain(f"{name} {value}", 80) for name, value in payload.items()][:4]


def configuration(payload: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Part, option and choice of everything in a payload, in words where we know some. A lent key's name is not told."""
    rows: list[tuple[str, str, str]] = []
    models: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in payload.items():
        parts = _parts(value)
        if not parts:
            rows.append(("", NAMES.get(name, name), _value(name, value)))
        for number, part in enumerate(parts, start=1):
            title = PARTS.get(name, name) + (f" {number}" if len(parts) > 1 else "")
            entry = _entry(part)
            for key, choice in _in_order(part):
                option = entry.option(key) if entry else None
                if key == "llm" and isinstance(choice, Mapping):
                    models.append((f"{title}: language model", choice))
                elif choice is not None and (option or not entry or key not in OPTIONS):
                    rows.append((title, option.label if option else NAMES.get(key, key), _value(key, choice)))
    if models and all(choice == models[0][1] for _, choice in models):
        models = [("Language model", models[0][1])]
    for title, model in models:
        rows += [(title, NAMES.get(key, key), _value(key, choice)) for key, choice in _in_order(model)]
    return [(visible(part), visible(option), visible(choice)) for part, option, choice in rows]


def _entry(part: Mapping[str, Any]) -> Entry | None:
    """Whose options these are, where it is still there."""
    explainer, scorer = (str(part.get(name, "")) for name in ("explainer", "scorer"))
    return EXPLAINERS.get(explainer) or SCORERS.get(scorer)


def _in_order(part: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What matters most first."""
    return sorted(part.items(), key=lambda item: FIRST.index(item[0]) if item[0] in FIRST else len(FIRST))


def _parts(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(part, Mapping) for part in value):
        return list(value)
    return []


def _value(name: str, value: Any) -> str:
    if name == "key_ref":
        return "from the environment" if value is None else "typed in a session, kept in memory only"
    if name == "prices" and not value:
        return "unknown"
    if name == "prices" and isinstance(value, Mapping):
        return "; ".join(f"{model}: {_price(price)}" for model, price in value.items())[:500]
    if value is None:
        return "no limit" if name in ("max_tokens", "max_cost") else fmt.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))[:500]
    return str(value)[:500].replace("non_activating", "non-activating")


def _price(price: Any) -> str:
    if not isinstance(price, Mapping):
        return str(price)
    return ", ".join(f"{name} {value:g}" for name, value in price.items() if isinstance(value, int | float))


# What became of its items ------------------------------------------------------------------------


def group_causes(causes: Sequence[Cause]) -> list[Cause]:
    """Those that are the same but for numbers and ids are one, in the most frequent wording; most frequent first."""
    groups: dict[str, Cause] = {}
    for cause in causes:
        key = cause_of(cause.failure.error)
        group = groups.get(key)
        if group is None:
            groups[key] = cause
        else:
            first = tuple(sorted({*group.first, *cause.first})[:20])
            groups[key] = Cause(group.failure, group.n + cause.n, first)
    return sorted(groups.values(), key=lambda cause: -cause.n)


def features_of(store: Store, job: Job, items: Sequence[JobItem]) -> dict[int, tuple[str, int]]:
    """Place of an item -> the feature (coder, latent) that it is about, where it is about one that exists."""
    coders = {info.coder: info.n_latents for info in store.coders()}
    features: dict[int, tuple[str, int]] = {}
    annotations = services.annotations(store)
    for row in items:
        if isinstance(row.item, int) and not isinstance(row.item, bool):
            coder, latent = str(job.payload.get("coder", "")), row.item
        elif isinstance(row.item, str):
            try:
                explanation = annotations.explanation(row.item)
            except UnknownName:
                continue
            coder, latent = explanation.coder, explanation.latent
        elif isinstance(row.item, dict) and isinstance(row.item.get("latent"), int):
            coder, latent = str(row.item.get("coder", "")), row.item["latent"]
        else:
            continue
        if 0 <= latent < coders.get(coder, 0):
            features[row.i] = (coder, latent)
    return features


def _items(store: Store, job: Job, state: JobsState) -> None:
    counts: dict[ItemState, int] = {"failed": job.n_failed, "done": job.n_done, "pending": job.n_left}
    st.subheader("Items", anchor=False)
    n_causes = _causes(store, job) if job.n_failed else 0
    present: list[ItemState] = [name for name in ITEMS if counts[name]]  # failures first
    shown: ItemState = state.items or (present[0] if present else "failed")
    labels = {str(name): f"{label} ({fmt.count(counts[name])})" for name, label in ITEMS.items()}
    choose(st.segmented_control, "Which items", labels, "items", shown, reset=("items_page",))
    items = services.annotations(store).jobs.items(
        job.id, state=shown, limit=ITEMS_PAGE + 1, offset=ITEMS_PAGE * (state.items_page - 1)
    )
    if not items:
        st.caption("None.")
    else:
        _item_table(store, job, items[:ITEMS_PAGE], causes=shown == "failed" and n_causes > 1)
    pager("items_page", state.items_page, more=len(items) > ITEMS_PAGE, names=("Previous", "Next"))


def _causes(store: Store, job: Job) -> int:
    """Each cause once, with how many items it failed; how many causes."""
    table = services.annotations(store).jobs
    causes = group_causes(table.causes(job.id))[:MAX_CAUSES]
    firsts = sorted({cause.first[0] for cause in causes if cause.first})
    features = features_of(store, job, table.items_at(job.id, firsts))
    rows: list[dict[str, Any]] = []
    for cause in causes:
        feature = features.get(cause.first[0]) if cause.first else None
        again = "may succeed" if cause.failure.retryable else "will fail again"
        example = f"#{feature[1]}" if feature else ""
        rows.append(
            _row(
                feature,
                fmt.count(cause.n),
                beginning(once(cause.failure.error), 1_000),
                example,
                again,
            )
        )
    columns = [
        {"title": "Failed", "num": True},
        {"title": "Cause", "help": "Errors that differ only in numbers are grouped"},
        {"title": "Example", "kind": "link", "cls": "name"},
        {
            "title": "Retry",
            "cls": "name",
            "help": "Whether a retry can help without a change to the options or Settings",
        },
    ]
    components.links(columns, rows, page="feature", key="job_causes")
    return len(rows)


def _item_table(store: Store, job: Job, items: list[JobItem], *, causes: bool) -> None:
    """`causes`: with the cause of each, where it is not the same for all."""
    features = features_of(store, job, items)
    rows: list[dict[str, Any]] = []
    for item in items:
        feature = features.get(item.i)
        of = item.item if isinstance(item.item, list) else [item.item]
        other = visible("whole job" if item.item is None else " and ".join(map(str, of)))[:80]
        name = f"{feature[0]} #{feature[1]}" if feature else other
        cause = [visible(once(item.error or ""))[:1000]] if causes else []
        rows.append(_row(feature, name, fmt.count(item.attempts), *cause))
    columns: list[dict[str, Any]] = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Attempts", "num": True, "help": "Including retries"},
        *([{"title": "Cause"}] if causes else []),
    ]
    components.links(columns, rows, page="feature", key="job_items")


def _row(feature: tuple[str, int] | None, *cells: str) -> dict[str, Any]:
    go = {"go": {"coder": feature[0], "latent": feature[1]}} if feature else {}
    return {"cells": list(cells), **go}
