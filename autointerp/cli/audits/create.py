"""Draw an audit: explanations of some coders by strata of score, density and coder, with controls mixed in. The same seed draws
the same audit from the same store. What has no score of the kind that it is drawn by is left out."""

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, get_args

from autointerp.cli.shared.arguments import add_store_argument, user_name
from autointerp.cli.shared.batch import open_resources
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.errors import UserError
from autointerp.ratings import Task

if TYPE_CHECKING:
    from autointerp.audit.options import AuditOptions
    from autointerp.pipeline.resources import Resources
    from autointerp.store import ScoreKind

NAME = "create"
HELP = "draw an audit"
NO_KIND = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "coders", metavar="CODER", nargs="*", help="names of coders (default: all with explanations)"
    )
    parser.add_argument("--name", help="its name (default: the coders and the date)")
    parser.add_argument("--purpose", default="", metavar="TEXT", help="what it is for")
    parser.add_argument("--author", metavar="NAME", help="who draws it (default: your user name)")
    parser.add_argument(
        "--explainer",
        metavar="NAME",
        help="audit the newest explanation of each latent by this explainer (default: the one shown)",
    )
    parser.add_argument(
        "--by", metavar="KIND",
        help="stratify by this score: a scorer, or a kind as `compare` names it; `none`: by coder and density only "
        "(default: the kind that most explanations have)",
    )  # fmt: skip
    parser.add_argument("--least", type=float, metavar="X", help="only explanations with at least this score")
    parser.add_argument("--most", type=float, metavar="X", help="only explanations with at most this score")
    parser.add_argument(
        "--latents", metavar="LIST", help="latents of one coder: numbers and ranges, such as 0-99,512"
    )
    parser.add_argument("--collection", metavar="NAME", help="only latents in this collection")
    parser.add_argument("--n", type=int, default=100, help="explanations to draw (default: 100)")
    parser.add_argument(
        "--task", nargs="+", choices=get_args(Task), default=["verdict"], dest="tasks",
        help="what raters are asked about each: a verdict, or the questions that a judge is asked (default: verdict)",
    )  # fmt: skip
    for flag, default, text in (
        ("--score-bins", 10, "strata by score, for each coder"),
        ("--density-bins", 3, "strata by density, for each coder"),
        ("--questions", 20, "questions in a judge's task"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_argument(
        "--repeat",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of items that each rater is shown twice (default: 0.1)",
    )
    parser.add_argument(
        "--controls", type=float, default=0.1, metavar="SHARE",
        help="controls, items that show another latent's explanation, as a share of the items drawn (default: 0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--not-blind", action="store_true", help="show author, model and scores from the start"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="only show the population and the strata")


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.draw import create, population, strata_of

    with open_resources(args.store) as resources:
        options = _options(resources, args)
        every = population(resources, replace(options, kind=None, bounds=(None, None)))
        if args.dry_run:
            strata = strata_of(population(resources, options), options).strata
            made: dict[str, Any] = {}
        else:
            audit = create(
                resources,
                options,
                name=args.name or _name(options),
                author=args.author or user_name(),
                purpose=args.purpose,
            )
            resources.annotations.audits.create(audit)
            strata = audit.strata
            made = {name: getattr(audit, name) for name in ("id", "name", "author", "created", "purpose")}
            made |= {
                "n_items": len(audit.items),
                "n_controls": sum(item.is_control for item in audit.items),
            }
    n = sum(each.population for each in strata)
    document = {
        "store": str(args.store),
        **made,
        "population": n,
        "left_out": len(every) - n,
        "coders_without": [name for name in options.coders if name not in {each.coder for each in strata}],
        "n_drawn": sum(each.sampled for each in strata),
        "tasks": list(options.tasks),
        "seed": options.seed,
        "kind": options.kind.key if options.kind else None,
        "strata": [asdict(each) for each in strata],
        "options": options.to_config(),
    }
    write_result(document, _as_text(document), as_json=args.json)


def _as_text(document: dict[str, Any]) -> str:
    drawn = f"{document['n_drawn']:,} of {document['population']:,} explanations"
    if "id" in document:
        lines = [
            f"Audit {printable(document['name'])} ({document['id']}): {drawn}, {document['n_controls']:,} controls.",
            f"Rate them in the app: `autointerp serve {document['store']}`, page Audit.",
        ]
    else:
        lines = [f"{drawn} would be drawn."]
    if document["left_out"]:
        where = document["coders_without"]
        lines.append(
            f"{document['left_out']:,} explanations are left out: they have no such score, or none in this range"
            f"{'; all of ' + printable(', '.join(where)) if where else ''}."
        )
    kind = document["kind"]
    header = ("coder", "score", "density", "population", "drawn")
    rows = [
        (
            each["coder"],
            *(_bounds(each[name]) for name in ("score", "density")),
            f"{each['population']:,}",
            each["sampled"],
        )
        for each in document["strata"]
    ]
    return "\n".join(
        [*lines, "", f"Strata by {printable(kind)}:" if kind else "Strata by density:", table(header, rows)]
    )


def _options(resources: "Resources", args: argparse.Namespace) -> "AuditOptions":
    from autointerp.audit.options import AuditOptions

    counts = resources.annotations.counts()
    coders = tuple(args.coders) or tuple(
        info.coder for info in resources.store.coders() if counts.get(info.coder, {}).get("latents")
    )
    if not coders:
        raise UserError(
            f"This store has no explanations yet. Run `autointerp explain {args.store} CODER` first."
        )
    for coder in coders:
        resources.store.coder(coder)
    return AuditOptions(
        coders=coders,
        explainer=args.explainer,
        kind=_kind(resources, coders, args.by),
        bounds=(args.least, args.most),
        latents=_latents(resources, coders, args),
        n=args.n,
        tasks=tuple(args.tasks),
        score_bins=args.score_bins,
        density_bins=args.density_bins,
        repeat_share=args.repeat,
        control_share=args.controls,
        n_questions=args.questions,
        seed=args.seed,
        blind=not args.not_blind,
    ).check()


def _kind(resources: "Resources", coders: tuple[str, ...], asked: str | None) -> "ScoreKind | None":
    from autointerp.compare import scored
    from autointerp.store import annotated_store

    if asked == NO_KIND:
        return None
    kept = annotated_store(resources.annotations)
    kinds = scored.kinds((kept.coder(name) for name in coders), None)
    if not kinds and asked is not None:
        raise UserError(
            f"None of these coders has scores; run `autointerp score`, or leave out --by {asked}."
        )
    return scored.choose(kinds, asked)


def _latents(
    resources: "Resources", coders: tuple[str, ...], args: argparse.Namespace
) -> dict[str, list[int]] | None:
    from autointerp.pipeline.pending import parse_latents

    if args.latents is not None and args.collection is not None:
        raise UserError("Give --latents or --collection, not both.")
    if args.latents is not None:
        if len(coders) != 1:
            raise UserError("--latents needs exactly one coder; name it, or use --collection.")
        return {coders[0]: parse_latents(args.latents, resources.store.coder(coders[0]))}
    if args.collection is not None:
        collections = resources.annotations.collections
        latents = collections.latents(collections.get(args.collection).name)
        return {coder: chosen for coder, chosen in latents.items() if coder in coders}
    return None


def _name(options: "AuditOptions") -> str:
    from autointerp.records import now

    several = len(options.coders) > 3
    return f"{f'{len(options.coders)} coders' if several else ', '.join(options.coders)}, {now()[:10]}"


def _bounds(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3g} to {bounds[1]:.3g}"
