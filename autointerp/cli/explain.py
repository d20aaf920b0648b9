"""Write explanations of a coder's latents, from examples that no scorer will ever be shown.

Explainers: pattern (statistics alone, no language model), default, contrastive (sees texts where the latent is silent too),
top_logits (sees the tokens it promotes too). Latents that have a good explanation of the same configuration are skipped, so an
interrupted run goes on with the same command. A latent that fails is recorded with its cause, and the run goes on.

Exit codes: 0 when the run came to its end and something succeeded (or nothing was left to do), 2 when nothing did, or when
it stopped early (wrong key, end of the budget)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.batch import Done, check_end, open_resources, report, work_through
from autointerp.cli.shared.choosing import add_latents_argument, add_llm_arguments, llm_options
from autointerp.cli.shared.options import add_options, entries_help, option_values
from autointerp.cli.shared.output import write_result
from autointerp.cli.shared.rehearsal import preview_document, preview_text
from autointerp.explain.registry import EXPLAINERS

if TYPE_CHECKING:
    from autointerp.explain.options import ExplainOptions
    from autointerp.pipeline.resources import Resources

NAME = "explain"
HELP = "write explanations of latents"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")
    parser.add_argument("coder", metavar="CODER", help="a coder's name, as in `autointerp info`")
    add_latents_argument(parser, "all that fire")
    parser.add_argument(
        "--explainer",
        choices=EXPLAINERS,
        default="pattern",
        help=f"{entries_help(EXPLAINERS)}; default: pattern",
    )
    parser.add_argument("--redo", action="store_true", help="explain again what has such an explanation")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say how many calls, tokens and what cost, with one exact prompt",
    )
    add_options(parser.add_argument_group("examples"), EXPLAINERS)
    add_llm_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from autointerp.jobs.kinds import explain_job
    from autointerp.pipeline.pending import live_latents, parse_latents, unexplained

    with open_resources(args.store) as resources:
        coder = resources.store.coder(args.coder)
        latents = (
            live_latents(resources.store, args.coder)
            if args.latents is None
            else parse_latents(args.latents, coder)
        )
        options = explain_options(args)
        if args.dry_run:
            _dry_run(resources, args, options, latents)
            return
        if options.llm is not None:
            resources.client(options.llm).close()  # a key that cannot be one is told now, not once per latent

        def make_job(items: Sequence[int]) -> dict[str, Any]:
            return explain_job(args.coder, items, options)

        def undone(items: Sequence[int]) -> list[int]:
            return unexplained(resources.annotations, args.coder, items, options)

        done = work_through(resources, latents, make_job, undone, redo=args.redo)
    write_result(_document(args, options, done), report(done, "latents"), as_json=args.json)
    check_end(done, args.store)


def explain_options(args: argparse.Namespace) -> "ExplainOptions":
    """Raises UserError."""
    from autointerp.explain.options import ExplainOptions

    by = f"the explainer {args.explainer}"
    entry = EXPLAINERS[args.explainer]
    llm = llm_options(args, needed="llm" in entry.needs, by=by)
    values = option_values(args, EXPLAINERS, entry, ExplainOptions)
    return ExplainOptions(explainer=args.explainer, llm=llm, **values).check()


def _dry_run(
    resources: "Resources", args: argparse.Namespace, options: "ExplainOptions", latents: Sequence[int]
) -> None:
    from autointerp.pipeline.estimate import estimate_explanation, extrapolate
    from autointerp.pipeline.pending import unexplained

    todo = latents if args.redo else unexplained(resources.annotations, args.coder, latents, options)
    found = extrapolate(todo, lambda latent: estimate_explanation(resources, args.coder, latent, options))
    head = {"store": str(args.store), "coder": args.coder, "explainer": args.explainer}
    document = {**head, "dry_run": True, "wanted": len(latents), **preview_document(found)}
    write_result(document, preview_text(found, "latents"), as_json=args.json)


def _document(args: argparse.Namespace, options: "ExplainOptions", done: Done) -> dict[str, Any]:
    return {
        "store": str(args.store),
        "coder": args.coder,
        "explainer": options.explainer,
        "config": options.identity(),
        **done.as_dict(),
    }
