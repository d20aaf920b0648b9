"""The store's jobs, started by the app or by commands.

list (the default) lists them, newest first. show ID shows one with its failed items and their causes. cancel ID stops one,
wherever it runs. retry ID does what failed and what was not tried, in this process; --queue leaves it to a running app; --llm,
--base-url and the options beside them make it ask another language model from then on. resume ID does the same with a job that
was queued elsewhere (by another user, on another machine, or in an earlier version), which waits until you say so: show ID
says whom it would ask.

The beginning or the end of an ID is enough where only one job has it. A job whose process died is listed as interrupted; retry
continues it."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import (
    add_llm_arguments,
    add_store_argument,
    given_llm_arguments,
    llm_options,
)
from autointerp.cli.shared.batch import cause_lines, causes, check_end, open_resources, report, run_again
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.jobs import cost_text, describe_job, job_notes
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.errors import UnknownName, UserError

if TYPE_CHECKING:
    from autointerp.jobs import Job
    from autointerp.store.annotations import Annotations

NAME = "jobs"
HELP = "list, show, cancel, retry and resume jobs"

ACTIONS = ("list", "show", "cancel", "retry", "resume")
DEFAULT_LIMIT = 20
_ERROR_WIDTH = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS)
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="a job's id, or its beginning or end")
    parser.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, help=f"jobs or items to list (default: {DEFAULT_LIMIT})"
    )
    parser.add_argument("--queue", action="store_true", help="retry, resume: leave the work to a running app")
    add_llm_arguments(parser)


def run(args: argparse.Namespace) -> None:
    if args.limit < 1:
        raise UserError(f"--limit {args.limit}: give at least 1.")
    if args.action not in ("retry", "resume") and (
        given := [*(["--queue"] if args.queue else []), *given_llm_arguments(args)]
    ):
        raise UserError(f"{given[0]} only goes with `retry` and `resume`.")
    if args.action == "list":
        if args.id is not None:
            raise UserError(f"`list` takes no id. Did you mean: autointerp jobs {args.store} show {args.id}")
        _list(args)
        return
    if args.id is None:
        raise UserError(f"`{args.action}` needs a job's id; `autointerp jobs {args.store}` lists them.")
    {"show": _show, "cancel": _cancel, "retry": _retry, "resume": _retry}[args.action](args)


def find_job(annotations: "Annotations", text: str) -> "Job":
    """The job with this id, or the only one whose id begins or ends so. Raises UserError."""
    wanted = text.strip().upper()
    recent = annotations.jobs.recent(limit=10_000)
    matches = [job for job in recent if job.id == wanted] or [
        job for job in recent if wanted and (job.id.startswith(wanted) or job.id.endswith(wanted))
    ]
    if not matches:
        raise UnknownName("job", text, [job.id for job in recent[:5]])
    if len(matches) > 1:
        ids = ", ".join(job.id for job in matches[:5])
        raise UserError(f"{text!r} is ambiguous: {len(matches)} jobs match, among them {ids}.")
    return matches[0]


def _list(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    with open_annotations(Store.open(args.store).path) as annotations:
        jobs = [_described(job) for job in annotations.jobs.recent(limit=args.limit)]
    header = ("id", "state", "job", "done", "failed", "total", "tokens", "cost", "created", "error")
    text = (
        table(header, [_row(job) for job in jobs])
        if jobs
        else "No jobs yet. Start some with `autointerp explain`, `autointerp score` or in the app."
    )
    write_result({"store": str(args.store), "jobs": jobs}, text, as_json=args.json)


def _described(job: "Job") -> dict[str, Any]:
    return describe_job(job, interrupted=is_interrupted(job))


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    from autointerp.jobs.labels import once

    tokens = job["tokens_in"] + job["tokens_out"]
    cost = cost_text(job["cost_known"], unknown=job["cost"] is None).removeprefix("cost ") if tokens else "-"
    error = once(job["error"] or "")
    error = error if len(error) <= _ERROR_WIDTH else f"{error[: _ERROR_WIDTH - 1]}…"
    counts = (f"{n:,}" for n in (job["done"], job["failed"], job["total"], tokens))
    return job["id"], job["state"], job["label"], *counts, cost, _minute(job["created"]), error


def _minute(time: str | None) -> str:
    return time[:16].replace("T", " ") if time else "-"


def _show(args: argparse.Namespace) -> None:
    from autointerp.jobs.labels import once
    from autointerp.store import Store

    with open_annotations(Store.open(args.store).path) as annotations:
        job = find_job(annotations, args.id)
        n_failed, failures = causes(annotations, [job])
        items = annotations.jobs.items(job.id, state="failed", limit=args.limit)
    names = ("item", "attempts", "error", "error_kind", "retryable")
    document = {
        **_described(job),
        "payload": job.payload,
        "causes": failures,
        "failed_items": [{name: getattr(item, name) for name in names} for item in items],
    }
    created, started, finished = (_minute(time) for time in (job.created, job.started, job.finished))
    lines = [
        f"{job.id}  {document['state']}  {printable(document['label'])}",
        "  " + ", ".join([f"{job.n_done + job.n_failed:,} of {job.total:,}", *job_notes(job)]),
        f"  created {created}, started {started}, finished {finished}",
    ]
    if job.error:
        lines.append(f"  {printable(once(job.error))}")
    if job.is_parked:
        resume = f"autointerp jobs {args.store} resume {job.id}"
        lines.append(f"  queued elsewhere: {_would(job)}. To run it here: {resume}")
    if n_failed:
        lines += ["", "causes"]
        lines += cause_lines(failures)
        first = f" (the first {len(items)} of {n_failed:,})" if n_failed > len(items) else ""
        lines += ["", f"failed{first}"]
        lines += [f"  {printable(item.item)}  {printable(once(item.error or ''))}" for item in items]
        lines.append(f"\nRetry them with: autointerp jobs {args.store} retry {job.id}")
    write_result(document, "\n".join(lines), as_json=args.json)


def _cancel(args: argparse.Namespace) -> None:
    with open_resources(args.store) as resources:
        before = find_job(resources.annotations, args.id)
        job = resources.annotations.jobs.cancel(before.id)
    if not before.is_active:
        text = f"Job {job.id} is already over: {job.state}."
    elif job.is_active:
        text = f"Job {job.id} will stop within seconds."
    else:
        text = f"Job {job.id} is {job.state}."
    write_result(describe_job(job), text, as_json=args.json)


def _retry(args: argparse.Namespace) -> None:
    with open_resources(args.store) as resources:
        job = find_job(resources.annotations, args.id)
        _check_action(args, job)
        payload = _payload(args, job)
        if args.queue:
            resources.annotations.jobs.recover()
            waiting = resources.annotations.jobs.get(job.id)
            if not waiting.is_active or waiting.is_parked:
                waiting = resources.annotations.jobs.retry(job.id, payload)
            write_result(describe_job(waiting), f"Job {job.id} is {waiting.state}.", as_json=args.json)
            return
        done = run_again(resources, job.id, payload)
    what = {"score": "explanations", "explain": "latents"}.get(job.kind, "parts")
    write_result({**describe_job(done.jobs[-1]), **done.as_dict()}, report(done, what), as_json=args.json)
    check_end(done, args.store, retried=True)


def _check_action(args: argparse.Namespace, job: "Job") -> None:
    """Raises UserError where the job is to be resumed, not retried, or the other way round."""
    if job.is_parked and args.action == "retry":
        raise UserError(
            f"job {job.id} was queued elsewhere and is waiting for your go-ahead ({_would(job)}). To run it here: "
            f"autointerp jobs {args.store} resume {job.id}"
        )
    if args.action == "resume" and not job.is_parked:
        raise UserError(
            f"job {job.id} is {job.state}, and was not queued elsewhere: there is nothing to resume."
        )


def _would(job: "Job") -> str:
    from autointerp.jobs.llm import would

    return printable(would(job))


def _payload(args: argparse.Namespace, job: "Job") -> dict[str, Any] | None:
    """The job's new settings when it is to ask another language model. Raises UserError for a job that is not over, for one
    that needs a key typed into the app, and for one of somebody else's that would ask a server of their choice."""
    from autointerp.jobs.llm import asked, name, redirected
    from autointerp.preferences import is_named

    before = asked(job.payload)
    if before is not None and not job.own and args.base_url is None and not is_named(before.base_url):
        raise UserError(
            f"job {job.id} was queued elsewhere and would ask {printable(name(before))}, a server that you have not "
            f"chosen. Say which server to use: --base-url {printable(before.base_url[:200])}, or one of yours."
        )
    if not given_llm_arguments(args):
        if before is not None and before.key_ref is not None:
            raise UserError(
                f"job {job.id} was started with a key typed into the app, which is not stored. Retry it in the app, or put the "
                f"key into the environment and say which model to ask: --llm {before.model} --base-url {before.base_url}"
            )
        return None
    llm = llm_options(args, needed=before is not None, by=f"job {job.id}", before=before)
    assert llm is not None
    if job.is_active and not job.is_parked:
        raise UserError(
            f"job {job.id} is {job.state}: cancel it first, then retry it with another language model."
        )
    return redirected(job.payload, llm, limits=True)


def is_interrupted(job: "Job") -> bool:
    """Whether it is recorded as running, while its process is gone."""
    from autointerp.store.annotations import SILENT_SECONDS
    from autointerp.store.annotations.jobs.records import is_dead

    return job.state == "running" and is_dead(job.owner, job.heartbeat, silent_seconds=SILENT_SECONDS)
