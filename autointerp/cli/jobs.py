"""The store's jobs, of the app and of commands alike: list them, look into one, cancel it, do it again.

list (the default), show ID (with its failed items and their causes), cancel ID (asks a running one to stop, wherever it runs),
retry ID (does here and now what failed and what was not tried; --queue leaves it to a running app; --llm, --base-url and the
options beside them have it ask another language model from then on). A beginning of an ID is enough when it is the only one. A
job whose process died is listed as interrupted: retry goes on with it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.annotated import open_annotations
from autointerp.cli.shared.batch import causes, check_end, open_resources, report, run_again
from autointerp.cli.shared.choosing import add_llm_arguments, given_llm_arguments, llm_options
from autointerp.cli.shared.job_progress import cost_text, describe_job, job_notes
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.errors import UnknownName, UserError

if TYPE_CHECKING:
    from autointerp.jobs import Job
    from autointerp.store.annotations import Annotations

NAME = "jobs"
HELP = "list, cancel, retry"

ACTIONS = ("list", "show", "cancel", "retry")
DEFAULT_LIMIT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS)
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="a job's id, or its beginning or end")
    parser.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, help=f"jobs or items listed (default: {DEFAULT_LIMIT})"
    )
    parser.add_argument("--queue", action="store_true", help="retry: leave the work to a running app")
    add_llm_arguments(parser)


def run(args: argparse.Namespace) -> None:
    if args.limit < 1:
        raise UserError(f"--limit {args.limit}: at least 1.")
    if args.queue and args.action != "retry":
        raise UserError("--queue belongs to `retry`.")
    if args.action != "retry" and (given := given_llm_arguments(args)):
        raise UserError(f"--{given[0].replace('_', '-')} belongs to `retry`.")
    if args.action == "list":
        if args.id is not None:
            raise UserError(f"`list` takes no id. Did you mean: autointerp jobs {args.store} show {args.id}")
        _list(args)
        return
    if args.id is None:
        raise UserError(f"`{args.action}` needs a job's id; `autointerp jobs {args.store}` lists them.")
    {"show": _show, "cancel": _cancel, "retry": _retry}[args.action](args)


def find_job(annotations: "Annotations", text: str) -> "Job":
    """The job with this id, or the only one whose id begins or ends so. Raises UserError."""
    wanted = text.strip().upper()
    recent = annotations.jobs.recent(limit=10_000)
    found = [job for job in recent if job.id == wanted] or [
        job for job in recent if wanted and (job.id.startswith(wanted) or job.id.endswith(wanted))
    ]
    if not found:
        raise UnknownName("job", text, [job.id for job in recent[:5]])
    if len(found) > 1:
        raise UserError(
            f"{len(found)} jobs have ids like {text!r}: {', '.join(job.id for job in found[:5])}."
        )
    return found[0]


def _list(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    store = Store.open(args.store)
    with open_annotations(store.path) as annotations:
        jobs = annotations.jobs.recent(limit=args.limit)
    document = {
        "store": str(args.store),
        "jobs": [describe_job(job, interrupted=is_interrupted(job)) for job in jobs],
    }
    if not jobs:
        text = "No jobs yet. `autointerp explain`, `autointerp score` and the app's buttons make them."
        write_result(document, text, as_json=args.json)
        return
    header = ("id", "state", "what", "done", "failed", "total", "tokens", "cost", "created", "why")
    rows = [
        (
            *(
                job["id"],
                job["state"],
                job["label"],
                f"{job['done']:,}",
                f"{job['failed']:,}",
                f"{job['total']:,}",
            ),
            *(
                f"{job['tokens_in'] + job['tokens_out']:,}",
                _cost(job),
                job["created"][:16],
                _short(job["error"]),
            ),
        )
        for job in document["jobs"]
    ]
    write_result(document, table(header, rows), as_json=args.json)


def _show(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    store = Store.open(args.store)
    with open_annotations(store.path) as annotations:
        job = find_job(annotations, args.id)
        n_failed, found = causes(annotations, [job])
        items = annotations.jobs.items(job.id, state="failed", limit=args.limit)
    document = {
        **describe_job(job, interrupted=is_interrupted(job)),
        "payload": job.payload,
        "causes": found,
        "failed_items": [
            {
                "item": item.item,
                "attempts": item.attempts,
                "error": item.error,
                "error_kind": item.error_kind,
                "retryable": item.retryable,
            }
            for item in items
        ],
    }
    lines = [
        f"{job.id}  {document['state']}  {printable(job.label)}",
        "  " + ", ".join([f"{job.n_done + job.n_failed:,} of {job.total:,}", *job_notes(job)]),
        f"  created {job.created}, started {job.started or '-'}, finished {job.finished or '-'}",
    ]
    if job.error:
        lines.append(f"  {printable(job.error)}")
    if n_failed:
        lines += ["", "causes"]
        lines += [f"  {cause['n']:,} x {printable(cause['error'])}" for cause in found]
        lines += [
            "",
            f"failed (the first {len(items)} of {n_failed:,})" if n_failed > len(items) else "failed",
        ]
        lines += [f"  {printable(one.item)}  {printable(one.error)}" for one in items]
        lines.append(f"\nDo what failed again with: autointerp jobs {args.store} retry {job.id}")
    write_result(document, "\n".join(lines), as_json=args.json)


def _cancel(args: argparse.Namespace) -> None:
    with open_resources(args.store) as resources:
        before = find_job(resources.annotations, args.id)
        job = resources.annotations.jobs.cancel(before.id)
    if not before.is_active:
        text = f"Job {job.id} is over already: {job.state}."
    elif job.is_active:
        text = f"Job {job.id} was asked to stop; it does within seconds."
    else:
        text = f"Job {job.id} is {job.state}."
    write_result(describe_job(job), text, as_json=args.json)


def _retry(args: argparse.Namespace) -> None:
    with open_resources(args.store) as resources:
        job = find_job(resources.annotations, args.id)
        payload = _payload(args, job)
        if args.queue:
            resources.annotations.jobs.recover()
            waiting = resources.annotations.jobs.get(job.id)
            if not waiting.is_active:
                waiting = resources.annotations.jobs.retry(job.id, payload)
            write_result(describe_job(waiting), f"Job {job.id} is {waiting.state}.", as_json=args.json)
            return
        done = run_again(resources, job.id, payload)
    what = "explanations" if job.kind == "score" else "latents" if job.kind == "explain" else "parts"
    write_result({**describe_job(done.jobs[-1]), **done.as_dict()}, report(done, what), as_json=args.json)
    check_end(done, args.store, retried=True)


def _payload(args: argparse.Namespace, job: "Job") -> dict[str, Any] | None:
    """What the job is told from now on, where that is another language model. Raises UserError for work that was started with
    a key typed into the app, which cannot be done without it, and for a job that is not over."""
    from autointerp.jobs.llm import asked, redirected

    before = asked(job.payload)
    if not given_llm_arguments(args):
        if before is not None and before.key_ref is not None:
            raise UserError(
                f"job {job.id} was started in the app with a key typed there, which is kept nowhere. Retry it in the app, or "
                f"put the key into the environment and name whom to ask: --llm {before.model} --base-url {before.base_url}"
            )
        return None
    llm = llm_options(args, needed=before is not None, by=f"job {job.id}", before=before)
    assert llm is not None
    if job.is_active:
        raise UserError(
            f"job {job.id} is {job.state}: cancel it first, then retry it with another language model."
        )
    return redirected(job.payload, llm, limits=True)


def is_interrupted(job: "Job") -> bool:
    """Whether it says that it runs, while its process is gone."""
    from autointerp.store.annotations import SILENT_SECONDS
    from autointerp.store.annotations.jobs.records import is_dead

    return job.state == "running" and is_dead(job.owner, job.heartbeat, silent_seconds=SILENT_SECONDS)


def _cost(job: dict[str, Any]) -> str:
    if not job["tokens_in"] and not job["tokens_out"]:
        return "-"
    return cost_text(job["cost_known"], unknown=job["cost"] is None).removeprefix("cost ")


def _short(text: str | None, limit: int = 60) -> str:
    return "" if not text else text if len(text) <= limit else text[: limit - 1] + "…"
