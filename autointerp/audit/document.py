"""A report as plain data: one document for the command line's JSON and the page's download, and its tables."""

from dataclasses import asdict
from math import isfinite
from typing import Any

from autointerp.audit.agreement import Agreement
from autointerp.audit.calibration import PAPER_N, Calibration, paper
from autointerp.audit.estimate import Share
from autointerp.audit.findings import findings
from autointerp.audit.report import Part, Report
from autointerp.ratings import VERDICTS
from autointerp.score.intervals import Estimate

ITEM_COLUMNS = ("item", "coder", "latent", "explanation_id", "control", "stratum")


def document(report: Report) -> dict[str, Any]:
    """All figures; every one as `{value, ci}`, `ci` the ends of its 95 % interval, `null` where there is none."""
    audit = report.audit
    return {
        "audit": {"id": audit.id, "name": audit.name, "seed": audit.seed, "store": dict(audit.store)},
        "n_items": report.n_items,
        "n_controls": report.n_controls,
        "n_rated": report.n_rated,
        "raters": [
            asdict(each) | {"again": _agreement(each.again)} for each in report.raters
        ],
        "right": list(report.right),
        "verdicts": dict(report.counts),
        "agreement": _agreement(report.agreement),
        "agreement_right": _agreement(report.agreement_right),
        "self_agreement": _agreement(report.again),
        "confusion": _confusions(report),
        "estimates": [_part(part) for part in report.parts],
        "calibration": [
            {"score": key, "scorer": key.split("~")[0], **_calibration(judge, key.split("~")[0])}
            for key, judge in report.calibrations.items()
        ],
        "human": [
            {
                "task": human.task,
                "n": human.n,
                "score": _estimate(human.score),
                "n_floor": human.n_floor,
                "floor": _estimate(human.floor),
                "judges": [
                    {"score": key, "n": n, "rank_correlation": _estimate(judge)}
                    for key, (judge, n) in human.judges.items()
                ],
                "same_questions": None if human.beside is None else asdict(human.beside)
                | {"difference": _estimate(human.beside.difference)},
                "calibration": _calibration(report.human_calibrations[human.task]),
            }
            for human in report.humans
        ],
        "disagreements": [asdict(each) for each in report.disagreements],
        "findings": findings(report),
    }  # fmt: skip


def item_table(report: Report) -> tuple[list[str], list[list[Any]]]:
    """The items as a head and rows, for spreadsheets: verdicts of each rater, how many call it right, and scores."""
    audit, table = report.audit, report.table
    labels = list(report.calibrations)
    shares, names = table.right(report.right), list(VERDICTS)
    head = [*ITEM_COLUMNS, *table.raters, "settled", "right", *labels]
    rows = []
    for item in audit.items:
        given = [names[code] if code >= 0 else None for code in table.codes[item.i].tolist()]
        settled = int(table.settled[item.i])
        share = None if shares[item.i] != shares[item.i] else float(shares[item.i])
        rows.append(
            [
                item.i, item.coder, item.latent, item.explanation_id, item.is_control, item.stratum, *given,
                names[settled] if settled >= 0 else None, share, *(item.scores.get(label) for label in labels),
            ]
        )  # fmt: skip
    return head, rows


def _confusions(report: Report) -> list[dict[str, Any]]:
    """Of every two raters: rows are the first one's verdicts, in the order of `verdicts`."""
    raters = report.table.raters
    made = []
    for at, first in enumerate(raters):
        for second in raters[at + 1 :]:
            agreement, counts = report.pair(first, second)
            made.append({"raters": [first, second], **_agreement(agreement), "counts": counts.tolist()})
    return made


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        "n_items": agreement.n_items,
        "n_pairs": agreement.n_pairs,
        **{name: _estimate(getattr(agreement, name)) for name in ("raw", "kappa", "alpha")},
    }


def _part(part: Part) -> dict[str, Any]:
    share: Share = part.share
    return {
        "coder": part.coder,
        "explainer": part.explainer,
        **(_estimate(share.estimate) or {"value": None, "ci": None}),
        "n": share.n,
        "population": share.population,
        "n_effective": share.n_effective if isfinite(share.n_effective) else None,
        "more_to_halve": share.more,
        "joined_strata": list(share.joined),
        "silent_coders": list(share.silent),
    }


def _calibration(calibration: Calibration, scorer: str = "") -> dict[str, Any]:
    theirs = paper(scorer)
    return {
        "n": calibration.n,
        "n_right": calibration.n_right,
        "n_wrong": calibration.n_wrong,
        "bins": [
            {"low": each.low, "high": each.high, "n": each.n, "right": _estimate(each.right)}
            for each in calibration.bins
        ],
        "auroc": _estimate(calibration.auroc),
        "rank_correlation": _estimate(calibration.correlation),
        "n_graded": calibration.n_graded,
        "paper": None if theirs is None else {**(_estimate(theirs) or {}), "n": PAPER_N},
        "high_but_wrong": list(calibration.high_but_wrong),
        "low_but_right": list(calibration.low_but_right),
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    known = estimate.low is not None and estimate.high is not None
    return {"value": estimate.value, "ci": [estimate.low, estimate.high] if known else None}
