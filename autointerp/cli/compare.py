"""Compare coders: how interpretable they are, and at what cost.

Scores of equally many latents of each coder, drawn with a seed, against the cross-entropy that splicing the coder into the
model costs, with a test of each pair. Scores are those that `score` made, all in one configuration; errors that were not
measured for comparing yet are measured first, once, on the same contexts for all coders."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, say, table, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.compare.price import Comparison, Price, Side
    from autointerp.compare.supply import Supply
    from autointerp.pipeline.resources import Resources
    from autointerp.score.intervals import Estimate

NAME = "compare"
HELP = "compare coders: how interpretable they are, and at what cost"

_CODERS = (
    *(
        "coder",
        "kind",
        "FVU",
        "95 % interval",
        "CE increase",
        "95 % interval",
        "recovered",
        "skip path",
        "L0",
        "dead",
    ),
    *("score", "95 % interval", "floor", "n", "scored"),
)
_PAIRS = (
    "first",
    "second",
    "first above second",
    "95 % interval",
    "difference",
    "95 % interval",
    "p",
    "told apart",
)
_ERRORS = {"ce_increase": "Cross-entropy", "fvu": "FVU"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "--coders",
        nargs="+",
        metavar="CODER",
        help="two or more (default: all at the hookpoint that most of them have)",
    )
    parser.add_argument(
        "--scorer",
        metavar="NAME",
        help="which scores, by name or by key as in --json (default: the most common)",
    )
    parser.add_argument(
        "--by", metavar="WAY", help="only explanations made this way (default: the most common)"
    )
    parser.add_argument("--median", action="store_true", help="medians instead of means")
    parser.add_argument(
        "--n", type=int, help="latents of each coder (default: the most that all have scores for)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument(
        "--match-density",
        action="store_true",
        help="draw the same number of latents of each density from every coder",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.compare.price import Question, price, usual_coders
    from autointerp.compare.report import document
    from autointerp.compare.supply import supplies
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store

    store = Store.open(args.store)
    coders = tuple(dict.fromkeys(args.coders or usual_coders(store.coders())))
    question = Question(
        coders,
        args.scorer,
        args.by,
        "median" if args.median else "mean",
        args.n,
        args.seed,
        args.match_density,
    )
    with open_annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        price(resources, question)  # wrong arguments are reported before anything is measured
        _measure(resources, coders)
        answer = price(resources, question)
        missing = supplies(resources, answer)
    commands = [line for supply in missing for line in supply.commands(str(args.store))]
    whole = {"store": str(args.store), **document(answer), "missing": commands}
    write_result(whole, as_text(answer, missing, str(args.store)), as_json=args.json)


def _measure(resources: "Resources", coders: tuple[str, ...]) -> None:
    """The errors of coders that have one and were not measured yet."""
    from autointerp.compare import results

    for name in coders:
        if "fidelity" in resources.store.coder(name).info.absent or results.known(
            resources, "fidelity", [name]
        ):
            continue
        say(f"Measuring {name}; this is done once.")
        try:
            with progress_bars() as report:
                results.obtain(resources, "fidelity", [name], progress=report)
        except UserError as error:
            say(f"{name} cannot be measured: {error}")


def as_text(answer: "Price", missing: "list[Supply]", store: str) -> str:
    """The comparison as text."""
    from autointerp.compare.claims import claims, headline, left_out, scoring

    lines = [headline(answer), *(f"  {claim.text}" for claim in claims(answer)), ""]
    if answer.kind is not None:
        drawn = f"n {answer.n:,} each, seed {answer.question.seed}"
        bins = "" if answer.n_bins is None else f", matched in {answer.n_bins} bins of density"
        lines += [f"Scores: {answer.question.centre} of {scoring(answer.kind)}, {drawn}{bins}", ""]
    lines.append(table(_CODERS, [_row(side) for side in answer.sides]))
    pairs = answer.by("score")
    if pairs:
        lines += ["", table(_PAIRS, [_pair(pair) for pair in pairs])]
    for measure, title in _ERRORS.items():
        if measured := [pair for pair in answer.comparisons if pair.measure == measure]:
            header = ("first", "second", f"{title} difference", "95 % interval", "p", "told apart")
            lines += ["", table(header, [_error(pair) for pair in measured])]
    if few := left_out(answer):
        lines += ["", few]
    for supply in missing:
        lines += ["", f"{supply.coder} has {supply.n_scored:,} such scores. To get more:"]
        lines += [f"  {command}" for command in supply.commands(store)]
    lines += ["", _NOTES]
    return "\n".join(printable(part) for line in lines for part in line.split("\n"))


_NOTES = (
    "Intervals of scores are over latents, those of errors over contexts; neither covers variation between training "
    "runs. p is corrected for the number of pairs (Holm), intervals are not: one may exclude zero where p does not tell two "
    "coders apart."
)


def _row(side: "Side") -> list[Any]:
    return [
        side.coder, side.kind, *_estimate(side.fvu), *_estimate(side.ce_increase), side.recovered,
        None if side.skip is None else side.skip.value, side.l0, side.dead, *_estimate(side.score), side.floor,
        len(side.latents), side.n_scored,
    ]  # fmt: skip


def _pair(pair: "Comparison") -> list[Any]:
    return [
        *(pair.first, pair.second, *_estimate(pair.superiority), *_estimate(pair.difference)),
        pair.p_corrected,
        "yes" if pair.apart else "no",
    ]


def _error(pair: "Comparison") -> list[Any]:
    return [
        pair.first,
        pair.second,
        *_estimate(pair.difference),
        pair.p_corrected,
        "yes" if pair.apart else "no",
    ]


def _estimate(estimate: "Estimate | None") -> tuple[float | None, str | None]:
    if estimate is None:
        return None, None
    if estimate.low is None or estimate.high is None:
        return estimate.value, None
    return estimate.value, f"{estimate.low:.4g} to {estimate.high:.4g}"
