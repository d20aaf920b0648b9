"""Write explanations of a coder's latents, from contexts that no scorer uses (but with the delphi protocol, which splits
nothing).

Latents that are already explained with this exact configuration are skipped, so the same command continues an interrupted run.
When a latent fails, its cause is recorded and the run goes on.

The exit code is 2 when nothing succeeded or when the run stopped early (rejected key, budget used up), else 0."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_batch_arguments, add_llm_arguments, llm_options
from autointerp.cli.shared.batch import check_end, chosen_latents, explain_latents, open_resources, report
from autointerp.cli.shared.cluster import add_cluster_arguments, cluster
from autointerp.cli.shared.dry_run import preview_document, preview_text
from autointerp.cli.shared.options import add_options, entries_help, option_values
from autointerp.cli.shared.output import write_result
from autointerp.explain.registry import EXPLAINERS

if TYPE_CHECKING:
    from autointerp.explain.options import ExplainOptions
    from autointerp.pipeline.resources import Resources

NAME = "explain"
HELP = "explain latents"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_batch_arguments(parser, "all that fire")
    parser.add_argument(
        "--explainer", choices=EXPLAINERS, default="pattern", metavar="NAME",
        help=f"one of {entries_help(EXPLAINERS)} (default: pattern)",
    )  # fmt: skip
    add_options(parser.add_argument_group("examples"), EXPLAINERS)
    add_llm_arguments(parser, replicas=True)
    add_cluster_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from autointerp.pipeline.pending import live_latents

    with open_resources(args.store) as resources:
        latents = chosen_latents(resources, args.coder, args.latents, args.collection)
        if latents is None:
            latents = live_latents(resources.store, args.coder)
        options = explain_options(args)
        if args.dry_run:
            _dry_run(resources, args, options, latents)
            return
        if options.llm is not None:
            resources.client(options.llm).close()  # reports a malformed key now, not once per latent
        with cluster(args) as spread:
            done = explain_latents(resources, args.coder, latents, options, redo=args.redo, spread=spread)
    document = {**_head(args), "config": options.identity(), **done.as_dict()}
    write_result(document, report(done, "latents"), as_json=args.json)
    check_end(done, args.store)


def explain_options(args: argparse.Namespace) -> "ExplainOptions":
    """Raises UserError."""
    from autointerp.explain.options import ExplainOptions

    entry = EXPLAINERS[args.explainer]
    llm = llm_options(args, needed="llm" in entry.needs, by=f"the explainer {args.explainer}")
    values = option_values(args, EXPLAINERS, entry, ExplainOptions)
    return ExplainOptions(explainer=args.explainer, llm=llm, **values).check()


def _dry_run(
    resources: "Resources", args: argparse.Namespace, options: "ExplainOptions", latents: Sequence[int]
) -> None:
    from autointerp.pipeline.estimate import estimate_explanation, extrapolate
    from autointerp.pipeline.pending import unexplained

    todo = latents if args.redo else unexplained(resources.annotations, args.coder, latents, options)
    estimate = extrapolate(todo, lambda latent: estimate_explanation(resources, args.coder, latent, options))
    document = {**_head(args), "dry_run": True, "wanted": len(latents), **preview_document(estimate)}
    write_result(document, preview_text(estimate, "latents"), as_json=args.json)


def _head(args: argparse.Namespace) -> dict[str, Any]:
    return {"store": str(args.store), "coder": args.coder, "explainer": args.explainer}
