"""What came out of an audit: the share of right explanations with its interval, how far raters agree with each other and with
themselves, and what each automatic score says of the verdicts.

Intervals are of 95 %. docs/audits.md says how each figure is computed."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.audits import add_audit_argument, find_audit
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.ratings import VERDICTS

if TYPE_CHECKING:
    from autointerp.audit.report import Report
    from autointerp.score.intervals import Estimate

NAME = "report"
HELP = "agreement, the share of right explanations, and calibration of scores"

_RATERS = ("rater", "verdicts", "right", "controls", "called right", "shown again", "same", "seconds")
_PARTS = ("coder", "explainer", "right", "95 % interval", "judged", "of", "to halve")
_PAIRS = ("first", "second", "items", "same", "95 % interval", "kappa", "95 % interval")
_SCORES = ("score", "items", "AUROC", "95 % interval", "rank corr.", "95 % interval", "paper")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    add_audit_argument(parser)
    parser.add_argument("--raters", nargs="+", metavar="NAME", help="only these raters (default: all)")
    parser.add_argument(
        "--right",
        nargs="+",
        metavar="VERDICT",
        default=["correct"],
        help=f"verdicts that count as right (default: correct), out of: {', '.join(VERDICTS)}",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.document import document
    from autointerp.audit.report import report
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store

    store = Store.open(args.store)
    with open_annotations(store.path) as annotations:
        audit_id = find_audit(annotations, args.audit)
        made = report(Resources(store, annotations), audit_id, raters=args.raters, right=args.right)
    whole = {"store": str(args.store), **document(made)}
    write_result(whole, as_text(made), as_json=args.json)


def as_text(made: "Report") -> str:
    """The report as text."""
    from autointerp.audit.findings import NOTES, findings, score_name

    audit = made.audit
    lines = [
        f"{audit.name} ({audit.id}): {made.n_rated:,} of {made.n_items:,} items judged, {made.n_controls:,} controls",
        "",
        *(f"- {text}" for text in findings(made)),
    ]
    if not made.n_rated:
        return "\n".join(map(printable, lines))
    lines += ["", *_block(_PARTS, [_part(part) for part in made.parts])]
    lines += ["", *_block(_RATERS, [_rater(rater) for rater in made.raters])]
    raters = made.table.raters
    if len(raters) > 1:
        pairs = [(a, b) for at, a in enumerate(raters) for b in raters[at + 1 :]]
        lines += ["", *_block(_PAIRS, [_pair(made, *pair) for pair in pairs])]
    if made.calibrations:
        rows = [_score(score_name(key), key, made) for key in made.calibrations]
        lines += ["", *_block(_SCORES, rows)]
    lines += ["", NOTES]
    return "\n".join(map(printable, lines))


def _block(header: tuple[str, ...], rows: list[list[Any]]) -> list[str]:
    return table(header, rows).split("\n")


def _part(part: Any) -> list[Any]:
    share = part.share
    unknown = "unknown" if part.explainer == "" else part.explainer
    return [
        part.coder or "all",
        unknown or "all",
        *_estimate(share.estimate, share.n),
        share.n,
        round(share.population),
        share.more if _enough(share.n) else None,
    ]


def _rater(rater: Any) -> list[Any]:
    raw = rater.again.raw
    same = None if raw is None else round(raw.value * rater.again.n_pairs)
    return [
        rater.rater, rater.n, rater.n_right, rater.controls, rater.controls_right, rater.again.n_pairs, same, rater.seconds
    ]  # fmt: skip


def _pair(made: "Report", first: str, second: str) -> list[Any]:
    agreement, _ = made.pair(first, second)
    n = agreement.n_items
    return [first, second, n, *_estimate(agreement.raw, n), *_estimate(agreement.kappa, n)]


def _score(name: str, key: str, made: "Report") -> list[Any]:
    from autointerp.audit.calibration import PAPER

    calibration = made.calibrations[key]
    paper = PAPER.get(key.split("~")[0])
    return [name, calibration.n, *_estimate(calibration.auroc), *_estimate(calibration.correlation), paper]


def _enough(n: int) -> bool:
    """Whether a figure of so many items says anything, as in the sentences."""
    from autointerp.audit.findings import MIN_JUDGED

    return n >= MIN_JUDGED


def _estimate(estimate: "Estimate | None", n: int | None = None) -> tuple[float | None, str | None]:
    if estimate is None or (n is not None and not _enough(n)):
        return None, None
    if estimate.low is None or estimate.high is None:
        return estimate.value, None
    return estimate.value, f"{estimate.low:.3g} to {estimate.high:.3g}"
