"""Score explanations on held-out examples, which their explainer was never shown.

Each score comes with a 95 % interval, the number of examples, and its floor: what the same scorer gives the explanation of a
random other latent. A scorer that needs no explanation gives each version of a latent's the same score and has no floor, only
chance. Explanations that are already scored with this exact configuration are skipped, so the same command
continues an interrupted run. Each scorer is a job of its own.

The exit code is 2 when nothing succeeded or when the run stopped early (rejected key, budget used up), else 0."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_batch_arguments, add_llm_arguments, llm_options
from autointerp.cli.shared.batch import (
    Done,
    check_end,
    chosen_latents,
    embed_windows,
    open_resources,
    report,
    score_explanations,
)
from autointerp.cli.shared.cluster import add_cluster_arguments, cluster
from autointerp.cli.shared.dry_run import preview_document, preview_text
from autointerp.cli.shared.explanations import chance_text, judge_label
from autointerp.cli.shared.options import add_options, entries_help, option_values
from autointerp.cli.shared.output import say, write_result
from autointerp.errors import UserError
from autointerp.score.registry import EMBEDDER, N_EXAMPLES, SCORERS, writes_texts

if TYPE_CHECKING:
    from autointerp.pipeline.estimate import Estimate
    from autointerp.pipeline.resources import Resources
    from autointerp.score.options import ScoreOptions
    from autointerp.types import CoderInfo

NAME = "score"
HELP = "score explanations on held-out examples"

N_DELPHI = 50
"""Default number of activating and of non-activating examples with --protocol delphi."""
_UNSET = ("judge", "n_examples", "n_negatives", "embedder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_batch_arguments(parser, "all with explanations")
    parser.add_argument(
        "--scorer", nargs="+", action="extend", required=True, choices=SCORERS, metavar="NAME",
        help=f"one or more of {entries_help(SCORERS)}",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--explainer",
        metavar="NAME",
        help="score the newest explanations by this explainer (default: those shown in lists, and newer ones without a score)",
    )
    which.add_argument(
        "--all-versions", action="store_true", help="score every version, not only the one shown in lists"
    )
    which.add_argument(
        "--explanation", nargs="+", action="extend", metavar="ID", help="score only these explanations"
    )
    add_options(parser.add_argument_group("judge and examples"), SCORERS, unset=_UNSET)
    add_llm_arguments(parser, replicas=True)
    add_cluster_arguments(parser)


def run(args: argparse.Namespace) -> None:
    with open_resources(args.store) as resources:
        latents = chosen_latents(resources, args.coder, args.latents, args.collection)
        scorers = score_options(args)
        ids = chosen_explanations(resources, args, latents)
        if not ids:
            raise UserError(
                f"{args.coder} has no explanations to score. Write some first: autointerp explain {args.store} {args.coder}"
            )
        if args.dry_run:
            _dry_run(resources, args, scorers, ids)
            return
        info = resources.store.coder(args.coder).info
        for options in scorers:
            if options.llm is not None:
                resources.client(options.llm).close()  # reports a malformed key now, not once per explanation
        for options in scorers:
            embed_first(resources, options, len(ids))
        n_unexplained = _unexplained(resources, args, latents, ids)
        with cluster(args) as spread:
            outcomes = [
                score_explanations(resources, args.coder, ids, [options], redo=args.redo, spread=spread)
                for options in scorers
            ]
        results = [
            {**_head(options, info), **done.as_dict(), **_summary(resources, args.coder, ids, options)}
            for options, done in zip(scorers, outcomes, strict=True)
        ]
    document = {
        "store": str(args.store),
        "coder": args.coder,
        "n_explanations": len(ids),
        "n_unexplained": n_unexplained,
        "scorers": results,
    }
    texts = [_text(result, done) for result, done in zip(results, outcomes, strict=True)]
    write_result(document, "\n".join(texts), as_json=args.json)
    for done in outcomes:
        check_end(done, args.store)


def score_options(args: argparse.Namespace) -> "list[ScoreOptions]":
    """One for each scorer. Raises UserError."""
    from autointerp import preferences
    from autointerp.score.options import ScoreOptions

    names = list(dict.fromkeys(args.scorer))
    entries = [SCORERS[name] for name in names]
    n = N_DELPHI if args.protocol == "delphi" else N_EXAMPLES.default
    embedder = args.embedder or EMBEDDER.default
    if args.embedder is None and (
        "embedding" in args.negatives or any("embedder" in entry.needs for entry in entries)
    ):
        embedder = preferences.load().embedder
    chosen = {
        "judge": args.judge or ("llm" if args.llm is not None else "offline"),
        "n_examples": n if args.n_examples is None else args.n_examples,
        "n_negatives": n if args.n_negatives is None else args.n_negatives,
        "embedder": embedder,
    }
    scorers = [
        ScoreOptions(scorer=entry.name, **option_values(args, SCORERS, entry, ScoreOptions) | chosen)
        for entry in entries
    ]
    asking = [options.scorer for options in scorers if options.needs_llm]
    judged = " with the offline judge" if any(entry.judged for entry in entries) else ""
    by = f"the scorer {asking[0]}" if asking else f"scoring by {', '.join(names)}{judged}"
    llm = llm_options(args, needed=bool(asking), by=by)
    return [replace(options, llm=llm if options.needs_llm else None).check() for options in scorers]


def chosen_explanations(
    resources: "Resources", args: argparse.Namespace, latents: Sequence[int] | None
) -> list[str]:
    """Ids of the explanations to score. Raises UnknownName for an id that does not exist, UserError for one of another coder or
    latent."""
    from autointerp.pipeline.pending import explanations_to_score

    annotations = resources.annotations
    if args.explanation:
        ids = list(dict.fromkeys(args.explanation))
        for id_ in ids:
            explanation = annotations.explanation(id_)
            if explanation.coder != args.coder or (latents is not None and explanation.latent not in latents):
                raise UserError(
                    f"explanation {id_} belongs to latent {explanation.latent} of {explanation.coder}, which was not selected."
                )
        return ids
    if args.explainer is None and not args.all_versions:
        return explanations_to_score(annotations, args.coder, latents)
    wanted = None if latents is None else set(latents)
    newest: dict[int | str, str] = {}
    for explanation in annotations.iter_explanations(args.coder, explainer=args.explainer):
        if wanted is None or explanation.latent in wanted:
            newest[explanation.id if args.all_versions else explanation.latent] = explanation.id
    return list(newest.values())


def embed_first(resources: "Resources", options: "ScoreOptions", n_items: int) -> None:
    """Embed every window of the corpus, once, where negatives are drawn by meaning or the scorer would embed about as many.
    Raises UserError when that fails."""
    needed = "embedding" in options.negatives
    places = resources.store.window_places(options.window)
    many = n_items * (options.n_examples + options.n_negatives) > places.n_windows / 2
    if not needed and not ("embedder" in options.entry.needs and many and not options.centre):
        return
    if resources.store.embeddings(options.embedder, window=options.window) is not None:
        return
    say(f"Embedding the {places.n_windows:,} windows of the corpus first; this is done once.")
    embed_windows(resources, options)


def _summary(
    resources: "Resources", coder: str, ids: Sequence[str], options: "ScoreOptions"
) -> dict[str, Any]:
    """Medians of the newest scores of these explanations with this exact configuration, and of their floors; under the delphi
    protocol also the figures that the reference pipeline would print, and how many explanations were not made by it."""
    import numpy as np

    from autointerp.records import config_hash

    newest = resources.annotations.newest_scores(
        coder,
        scorer=options.scorer,
        judge=options.judge_name,
        config_hash=config_hash(options.identity()),
    )
    scores = [newest[id_] for id_ in ids if id_ in newest]
    values = [score.value for score in scores if score.value is not None]
    floors = [score.floor for score in scores if score.floor is not None]
    summary: dict[str, Any] = {
        "explanations": len(ids),
        "metric": options.entry.metric,
        "n_scored": len(values),
        "median": float(np.median(values)) if values else None,
        "median_floor": float(np.median(floors)) if floors else None,
        "answered": sum(score.n_pos + score.n_neg for score in scores),
        "unparsed": sum(score.unparsed for score in scores),
    }
    if options.protocol == "delphi":
        from dataclasses import asdict

        from autointerp.pipeline.score import pooled_scores

        score_ids = [score.id for score in scores]
        pooled, weighted = pooled_scores(resources.store, resources.annotations, coder, score_ids)
        summary["pooled"] = {**asdict(pooled), "frequency_weighted_f1": weighted}
        asked = set(ids)
        summary["other_protocol"] = sum(
            explanation.id in asked and explanation.protocol != "delphi"
            for explanation in resources.annotations.iter_explanations(coder)
        )
    return summary


def _head(options: "ScoreOptions", info: "CoderInfo") -> dict[str, Any]:
    from autointerp.score.options import recorded_negatives

    return {
        "scorer": options.scorer,
        "judge": options.judge_name,
        "model": options.llm.model if options.llm else None,
        "protocol": options.protocol,
        "negatives": recorded_negatives(options.negatives_name, info),
        "config": options.identity(),
    }


def _text(result: dict[str, Any], done: Done) -> str:
    judge = judge_label(result["judge"], result["model"])
    lines = [f"{result['scorer']} ({judge}): {report(done, 'explanations')}"]
    if result["median"] is not None:
        floor = (
            chance_text(result["scorer"])
            if result["median_floor"] is None
            else f"median floor {result['median_floor']:.2f}"
        )
        scored, total = result["n_scored"], result["explanations"]
        share = f"all {total:,} scored" if scored == total else f"{scored:,} of {total:,} scored"
        lines.append(f"  median {result['median']:.2f}, {floor}, {share}")
    if result["unparsed"]:
        of = f"  {result['unparsed']:,} of {result['answered'] + result['unparsed']:,}"
        lines.append(
            f"{of} texts are empty, repeated or copied and are left out"
            if writes_texts(result["scorer"], result["metric"])
            else f"{of} answers could not be read and are left out; to ask only for these again, run the same command with "
            "--redo"
        )
    if "pooled" in result:
        pooled = result["pooled"]
        names = ("accuracy", "precision", "recall", "f1")
        lines.append(
            f"  pooled over latents, as delphi does: {', '.join(f'{name} {pooled[name]:.3f}' for name in names)}, "
            f"F1 weighted by frequency {pooled['frequency_weighted_f1']:.3f}; {pooled['failed']:,} answers could not be read"
        )
    if result.get("other_protocol"):
        lines.append(
            f"  {result['other_protocol']:,} of {result['explanations']:,} explanations were not made with the delphi "
            "protocol: their explainer saw different examples from delphi's"
        )
    return "\n".join(lines)


def _unexplained(
    resources: "Resources", args: argparse.Namespace, latents: Sequence[int] | None, ids: Sequence[str]
) -> int | None:
    """How many of the selected latents have no explanation; `None` when all explained ones are selected."""
    if latents is None:
        return None
    if args.explainer:
        return len(latents) - len(ids)
    explained = set(resources.annotations.summary(args.coder)["latent"].to_pylist())
    return sum(latent not in explained for latent in latents)


def _dry_run(
    resources: "Resources", args: argparse.Namespace, scorers: "Sequence[ScoreOptions]", ids: Sequence[str]
) -> None:
    from autointerp.pipeline.estimate import add_estimates, estimate_score, extrapolate
    from autointerp.pipeline.pending import unscored

    annotations = resources.annotations
    info = resources.store.coder(args.coder).info
    estimates = []
    for options in scorers:
        todo = ids if args.redo else unscored(annotations, args.coder, ids, [options])
        together = frozenset(todo)

        def preview(
            id_: str, options: "ScoreOptions" = options, together: frozenset[str] = together
        ) -> "Estimate":
            return estimate_score(
                resources, annotations.explanation(id_), options, lambda other: other.id in together
            )

        estimates.append(extrapolate(todo, preview))
    document = {
        "store": str(args.store),
        "coder": args.coder,
        "dry_run": True,
        "n_explanations": len(ids),
        **preview_document(add_estimates(estimates)),
        "scorers": [
            {**_head(options, info), **preview_document(estimate)}
            for options, estimate in zip(scorers, estimates, strict=True)
        ],
    }
    texts = [
        f"{options.scorer}: {preview_text(estimate, 'explanations')}"
        for options, estimate in zip(scorers, estimates, strict=True)
    ]
    write_result(document, "\n\n".join(texts), as_json=args.json)
