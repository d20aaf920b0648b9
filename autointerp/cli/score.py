"""Measure how far explanations can be trusted, on examples that their explainer was never shown.

Scorers: detection and fuzzing (a judge answers), embedding, surprisal (the store's own language model), simulation (asks a
language model). Judges: offline (reads only the explanation and the example, no language model), llm. Each score comes with a
95 % interval, the number of examples, and the floor: what the same scorer gives a random other explanation. Every scorer is a
job of its own. Scores that exist in the same configuration are skipped, so an interrupted run goes on with the same command.

Exit codes: 0 when the run came to its end and something succeeded (or nothing was left to do), 2 when nothing did, or when
it stopped early (wrong key, end of the budget)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.annotated import JUDGES
from autointerp.cli.shared.batch import Done, check_end, open_resources, report, watching, work_through
from autointerp.cli.shared.choosing import add_latents_argument, add_llm_arguments, llm_options
from autointerp.cli.shared.options import add_options, entries_help, option_values
from autointerp.cli.shared.output import printable, say, write_result
from autointerp.cli.shared.rehearsal import preview_document, preview_text
from autointerp.errors import UserError
from autointerp.score.registry import EMBEDDER, N_EXAMPLES, SCORERS

if TYPE_CHECKING:
    from autointerp.pipeline.resources import Resources
    from autointerp.score.options import ScoreOptions

NAME = "score"
HELP = "score explanations on held-out examples"

N_DELPHI = 50
"""Examples of either kind with --protocol delphi, unless told otherwise."""
_UNSET = ("judge", "n_examples", "n_negatives", "embedder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")
    parser.add_argument("coder", metavar="CODER", help="a coder's name, as in `autointerp info`")
    add_latents_argument(parser, "all that are explained")
    parser.add_argument(
        "--scorer", nargs="+", action="extend", required=True, choices=SCORERS, metavar="NAME",
        help=f"one or more of {entries_help(SCORERS)}",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--explainer", metavar="NAME", help="newest explanations by this explainer (default: the shown ones)"
    )
    which.add_argument("--all-versions", action="store_true", help="every version, not only the shown one")
    which.add_argument(
        "--explanation", nargs="+", action="extend", metavar="ID", help="these explanations and no others"
    )
    parser.add_argument("--redo", action="store_true", help="score again what has such a score")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say how many calls, tokens and what cost, with one exact prompt",
    )
    add_options(parser.add_argument_group("judge and examples"), SCORERS, unset=_UNSET)
    add_llm_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from autointerp.pipeline.pending import parse_latents

    with open_resources(args.store) as resources:
        coder = resources.store.coder(args.coder)
        latents = None if args.latents is None else parse_latents(args.latents, coder)
        scorers = score_options(args)
        ids = chosen_explanations(resources, args, latents)
        if not ids:
            raise UserError(
                f"no explanation of {args.coder} to score. Write some first: autointerp explain {args.store} {args.coder}"
            )
        if args.dry_run:
            _dry_run(resources, args, scorers, ids)
            return
        for options in scorers:
            if options.llm is not None:
                resources.client(
                    options.llm
                ).close()  # a key that cannot be one is told now, not once per latent
        for options in scorers:
            embed_first(resources, options, len(ids))
        n_unexplained = _unexplained(resources, args, latents, ids)
        done = [_score(resources, args.coder, ids, options, redo=args.redo) for options in scorers]
        results = [
            {
                **_head(options),
                **one.as_dict(),
                "explanations": len(ids),
                **_typical(resources, args.coder, ids, options),
            }
            for options, one in zip(scorers, done, strict=True)
        ]
    document = {
        "store": str(args.store),
        "coder": args.coder,
        "n_explanations": len(ids),
        "n_unexplained": n_unexplained,
        "scorers": results,
    }
    lines = [_line(result, one) for result, one in zip(results, done, strict=True)]
    write_result(document, "\n".join(lines), as_json=args.json)
    for one in done:
        check_end(one, args.store)


def score_options(args: argparse.Namespace) -> "list[ScoreOptions]":
    """One for each scorer. Raises UserError."""
    from autointerp import preferences
    from autointerp.score.options import ScoreOptions

    names = list(dict.fromkeys(args.scorer))
    judge = args.judge or ("llm" if args.llm is not None else "offline")
    asking = [
        name for name in names if "llm" in SCORERS[name].needs or (SCORERS[name].judged and judge == "llm")
    ]
    by = (
        f"the scorer {asking[0]}"
        if asking
        else f"scoring by {', '.join(names)} without a language model as the judge"
    )
    llm = llm_options(args, needed=bool(asking), by=by)
    n = N_DELPHI if args.protocol == "delphi" else N_EXAMPLES.default
    chosen = {
        "judge": judge,
        "n_examples": n if args.n_examples is None else args.n_examples,
        "n_negatives": n if args.n_negatives is None else args.n_negatives,
        "embedder": args.embedder or EMBEDDER.default,
    }
    embeds = "embedding" in args.negatives or any("embedder" in SCORERS[name].needs for name in names)
    if args.embedder is None and embeds:
        chosen["embedder"] = preferences.load().embedder
    options = []
    for name in names:
        values = option_values(args, SCORERS, SCORERS[name], ScoreOptions) | chosen
        options.append(ScoreOptions(scorer=name, llm=llm if name in asking else None, **values).check())
    return options


def chosen_explanations(
    resources: "Resources", args: argparse.Namespace, latents: Sequence[int] | None
) -> list[str]:
    """Ids of the explanations to score. Raises UnknownName for an id that is not there, or is of another coder."""
    from autointerp.pipeline.pending import shown_explanations

    annotations = resources.annotations
    if args.explanation:
        ids = list(dict.fromkeys(args.explanation))
        for id_ in ids:
            explanation = annotations.explanation(id_)
            if explanation.coder != args.coder or (latents is not None and explanation.latent not in latents):
                raise UserError(
                    f"explanation {id_} is of latent {explanation.latent} of {explanation.coder}, which is not asked for."
                )
        return ids
    if args.explainer is None and not args.all_versions:
        return shown_explanations(annotations, args.coder, latents)
    wanted = None if latents is None else set(latents)
    found: dict[Any, str] = {}
    for explanation in annotations.iter_explanations(args.coder, explainer=args.explainer):
        if wanted is None or explanation.latent in wanted:
            found[explanation.id if args.all_versions else explanation.latent] = explanation.id
    return list(found.values())


def embed_first(resources: "Resources", options: "ScoreOptions", n_items: int) -> None:
    """Embed every window of the corpus, once, where the negatives come from there or the scorer would embed about as many.
    Raises UserError when that fails."""
    needed = "embedding" in options.negatives
    places = resources.store.window_places(options.window)
    many = n_items * (options.n_examples + options.n_negatives) > places.n_windows / 2
    if not needed and not (options.scorer == "embedding" and many and not options.centre):
        return
    if resources.store.embeddings(options.embedder, window=options.window) is not None:
        return
    from autointerp.jobs import JobRunner
    from autointerp.jobs.kinds import embed_job, job_kinds

    say(f"Embedding the {places.n_windows:,} windows of the corpus first; that is done once.")
    runner = JobRunner(resources.annotations, job_kinds(resources))
    with watching(resources.annotations) as watch:
        job = runner.run(**embed_job(options.embedder, options.window), watch=watch)
    if job.state != "done":
        raise UserError(f"the windows could not be embedded: {job.error or job.state}")


def _score(
    resources: "Resources", coder: str, ids: Sequence[str], options: "ScoreOptions", *, redo: bool
) -> Done:
    from autointerp.jobs.kinds import score_job
    from autointerp.pipeline.pending import unscored

    def make_job(items: Sequence[str]) -> dict[str, Any]:
        return score_job(coder, items, [options])

    def undone(items: Sequence[str]) -> list[str]:
        return unscored(resources.annotations, coder, items, [options])

    return work_through(resources, ids, make_job, undone, redo=redo)


def _typical(
    resources: "Resources", coder: str, ids: Sequence[str], options: "ScoreOptions"
) -> dict[str, Any]:
    """The median of the newest good scores of these explanations in this very configuration, and of their floors."""
    import numpy as np

    from autointerp.records import config_hash

    known = resources.annotations.newest_scores(
        coder,
        scorer=options.scorer,
        judge=options.judge_name,
        config_hash=config_hash(options.identity()),
    )
    found = [known[id_] for id_ in ids if id_ in known]
    values = [one.value for one in found if one.value is not None]
    floors = [one.floor for one in found if one.floor is not None]
    return {
        "n_scored": len(values),
        "median": float(np.median(values)) if values else None,
        "median_floor": float(np.median(floors)) if floors else None,
        "answered": sum(one.n for one in found),
        "unparsed": sum(one.unparsed for one in found),
        **(
            {"pooled": _pooled(resources, coder, [one.id for one in found])}
            if options.protocol == "delphi"
            else {}
        ),
    }


def _pooled(resources: "Resources", coder: str, score_ids: Sequence[str]) -> dict[str, Any]:
    """The figures that the reference pipeline would print for these scores."""
    from dataclasses import asdict

    from autointerp.pipeline.score import pooled_scores

    found, weighted = pooled_scores(resources.store, resources.annotations, coder, score_ids)
    return {**asdict(found), "frequency_weighted_f1": weighted}


def _head(options: "ScoreOptions") -> dict[str, Any]:
    return {
        "scorer": options.scorer,
        "judge": options.judge_name,
        "model": options.llm.model if options.llm else None,
        "protocol": options.protocol,
        "negatives": options.negatives_name,
        "config": options.identity(),
    }


def _line(result: dict[str, Any], done: Done) -> str:
    judge = JUDGES.get(result["judge"], str(result["judge"])) + (
        f" {printable(result['model'])}" if result["model"] else ""
    )
    text = f"{result['scorer']} ({judge}): {report(done, 'explanations')}"
    if result["median"] is not None:
        floor = "no floor" if result["median_floor"] is None else f"median floor {result['median_floor']:.2f}"
        text += f"\n  median {result['median']:.2f}, {floor}, over {result['n_scored']:,} explanations"
    if result["unparsed"]:
        asked = result["answered"] + result["unparsed"]
        text += (
            f"\n  {result['unparsed']:,} of {asked:,} answers could not be read and are in no figure; the same command with "
            "--redo asks for them again, and for no other"
        )
    if "pooled" in result:
        pooled = result["pooled"]
        figures = ", ".join(
            f"{name} {pooled[name]:.3f}" for name in ("accuracy", "precision", "recall", "f1")
        )
        text += (
            f"\n  pooled over latents, as delphi does it: {figures}, F1 weighted by firings "
            f"{pooled['frequency_weighted_f1']:.3f}; {pooled['failed']:,} answers could not be read"
        )
    return text


def _unexplained(
    resources: "Resources", args: argparse.Namespace, latents: Sequence[int] | None, ids: Sequence[str]
) -> int | None:
    """How many of the asked latents have no explanation; `None` when all explained ones were asked for."""
    from autointerp.pipeline.pending import shown_explanations

    if latents is None:
        return None
    if args.all_versions or args.explanation:  # several of one latent, or some of some
        ids = shown_explanations(resources.annotations, args.coder, latents)
    return len(latents) - len(ids)


def _dry_run(
    resources: "Resources", args: argparse.Namespace, scorers: "Sequence[ScoreOptions]", ids: Sequence[str]
) -> None:
    from autointerp.pipeline.estimate import add_estimates, estimate_score, extrapolate
    from autointerp.pipeline.pending import unscored

    parts = []
    for options in scorers:
        todo = ids if args.redo else unscored(resources.annotations, args.coder, ids, [options])
        parts.append(
            extrapolate(
                todo,
                lambda id_, o=options: estimate_score(resources, resources.annotations.explanation(id_), o),
            )
        )
    document = {
        "store": str(args.store),
        "coder": args.coder,
        "dry_run": True,
        "n_explanations": len(ids),
        **preview_document(add_estimates(parts)),
        "scorers": [
            {**_head(options), **preview_document(part)} for options, part in zip(scorers, parts, strict=True)
        ],
    }
    texts = [
        f"{o.scorer}: {preview_text(part, 'explanations')}" for o, part in zip(scorers, parts, strict=True)
    ]
    write_result(document, "\n\n".join(texts), as_json=args.json)
