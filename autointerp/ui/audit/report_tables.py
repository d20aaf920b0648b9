"""The tables of an audit's report."""

from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.audit.agreement import Agreement
from autointerp.audit.calibration import PAPER_N, Calibration, paper
from autointerp.audit.findings import MIN_JUDGED, ends, number, percent
from autointerp.audit.report import Part, Report
from autointerp.explain.registry import EXPLAINERS
from autointerp.ratings import TASKS, VERDICTS
from autointerp.score.intervals import Estimate
from autointerp.ui.shared import components
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import beginning, visible

Columns = list[dict[str, Any]]
_INTERVAL = f"95 % interval in brackets; a dash for fewer than {MIN_JUDGED} items"


def _num(title: str, help_: str = "", *, aside: bool = False) -> dict[str, Any]:
    """A column of numbers; `aside`: shown on request where there is no room for all."""
    return {"title": title, "num": True, "help": help_} | ({"aside": True} if aside else {})


def part_name(part: Part) -> str:
    """`pattern on sae`, `sae`, `all`."""
    by = None if part.explainer is None else EXPLAINERS.label(part.explainer) if part.explainer else "unknown"
    if part.coder is None:
        return visible(by or "All")
    return visible(part.coder if by is None else f"{by} on {part.coder}")


def parts(report: Report) -> None:
    """Shares by coder and explainer."""
    columns: Columns = [
        {"title": "Explanations", "cls": "name"},
        _num("Right", _INTERVAL),
        _num("Judged", "Items with a verdict that says something about the explanation"),
        _num(
            "Of",
            "Explanations in the population; estimated for a single explainer, and where contexts are broken",
        ),
        _num("To halve", "How many more items would halve the interval"),
    ]
    rows = [
        {
            "cells": [
                part_name(part), _share(part.share.estimate, part.share.n), fmt.count(part.share.n),
                fmt.count(round(part.share.population)),
                fmt.count(part.share.more) if part.share.n >= MIN_JUDGED else fmt.NONE,
            ]
        }
        for part in report.parts
    ]  # fmt: skip
    _table(columns, rows, "report_parts")


def raters(report: Report) -> None:
    """What each person did."""
    columns: Columns = [
        {"title": "Rater", "cls": "name"},
        _num("Verdicts", "On explanations, without controls and without items that came back"),
        _num("Right", "Verdicts that count as right"),
        _num("Controls right", "Explanations of other features that were called right"),
        _num("Same again", "The same verdict when an item came back", aside=True),
        _num("Not blind", "Given after looking at what the audit hides", aside=True),
        _num("Skipped", "Skipped items", aside=True),
        _num("Seconds", "Median time per verdict", aside=True),
    ]
    rows = []
    for each in report.raters:
        again = each.again.raw
        same = (
            fmt.NONE
            if again is None
            else f"{round(again.value * each.again.n_pairs)} of {each.again.n_pairs}"
        )
        rows.append(
            {
                "cells": [
                    visible(each.rater), fmt.count(each.n), fmt.count(each.n_right),
                    f"{each.controls_right} of {each.controls}" if each.controls else fmt.NONE, same, fmt.count(each.n_seen),
                    fmt.count(each.skipped), fmt.decimal(each.seconds, 1),
                ]
            }
        )  # fmt: skip
    _table(columns, rows, "report_raters")


def agreements(report: Report, pair: tuple[str, str] | None, of_pair: Agreement | None) -> None:
    """On the verdict, on right or not, with themselves, and of the pair that is looked at."""
    columns: Columns = [
        {"title": "Agreement", "cls": "name"},
        _num("Same", f"Share of pairs of verdicts that are the same; {_INTERVAL}"),
        _num("Kappa", f"Cohen's, of two raters; {_INTERVAL}", aside=True),
        _num("Alpha", f"Krippendorff's, nominal; {_INTERVAL}"),
        _num("Items", "With at least two verdicts; with themselves: items that came back", aside=True),
    ]
    named: list[tuple[str, Agreement]] = [
        ("On the verdict", report.agreement), ("On right or not", report.agreement_right)
    ]  # fmt: skip
    if pair is not None and of_pair is not None and len(report.raters) > 2:
        named.append((visible(f"{pair[0]} and {pair[1]}"), of_pair))
    named.append(("With themselves", report.again))
    rows = [
        {
            "cells": [
                name, _share(agreement.raw, agreement.n_items), _number(agreement.kappa, agreement.n_items),
                _number(agreement.alpha, agreement.n_items),
                fmt.count(agreement.n_items),
            ]
        }
        for name, agreement in named
    ]  # fmt: skip
    _table(columns, rows, "report_agreement")


def calibrations(report: Report, names: Mapping[str, str]) -> None:
    """Every score against the verdicts."""
    columns: Columns = [
        {"title": "Score", "cls": "name"},
        _num(
            "AUROC",
            f"Probability that a right explanation scores above one that is not; chance level 0.5; {_INTERVAL}",
        ),
        _num("Right", "Explanations that most raters call right", aside=True),
        _num("Not", aside=True),
        _num("Rank correlation", f"Spearman's, with the verdict's grade; {_INTERVAL}"),
        _num("n", aside=True),
        _num(
            "Paper",
            f"With human ratings from 1 to 4, n {PAPER_N}; {_INTERVAL}, computed here",
            aside=True,
        ),
    ]
    named: list[tuple[str, str, Calibration]] = [
        (names[key], key.split("~")[0], each) for key, each in report.calibrations.items()
    ]
    named += [(f"{TASKS[task]} by people", "", each) for task, each in report.human_calibrations.items()]
    rows = [
        {
            "cells": [
                visible(name), _number(each.auroc), fmt.count(each.n_right), fmt.count(each.n_wrong),
                _number(each.correlation), fmt.count(each.n_graded), _number(paper(scorer)),
            ]
        }
        for name, scorer, each in named
    ]  # fmt: skip
    _table(columns, rows, "report_scores")


def surprises(report: Report, places: Sequence[int], key: str, which: str) -> None:
    """Items with their score and verdicts; a click leads to the feature."""
    columns: Columns = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        _num("Score"),
        {"title": "Verdicts"},
    ]
    rows = []
    for place in places:
        item = report.audit.items[place]
        go = {"coder": item.coder, "latent": item.latent, "version": item.explanation_id}
        text = {"text": beginning(item.text, 400) or "(empty)", "marks": [], "help": ""}
        score = item.scores.get(key)
        rows.append(
            {
                "go": go,
                "cells": [f"{item.coder} #{item.latent}", text, fmt.decimal(score, 2), said(report, place)],
            }
        )
    components.links(columns, rows, page="feature", key=f"report_{which}", tall=43)


def said(report: Report, place: int) -> str:
    """`ann: Wrong, bob: Correct; settled: Wrong`."""
    table, labels = report.table, [kind.label for kind in VERDICTS.values()]
    codes = table.codes[place].tolist()
    given = [f"{rater}: {labels[code]}" for rater, code in zip(table.raters, codes, strict=True) if code >= 0]
    settled = int(table.settled[place])
    return visible(", ".join(given) + (f"; settled: {labels[settled]}" if settled >= 0 else ""))


def _share(estimate: Estimate | None, n: int) -> str:
    """A dash where it is of too few items to say anything, as in the sentences."""
    if estimate is None or n < MIN_JUDGED:
        return fmt.NONE
    whole = percent(estimate.value)
    return whole if estimate.low is None else f"{whole} ({ends(estimate)})"


def _number(estimate: Estimate | None, n: int = MIN_JUDGED) -> str:
    return fmt.NONE if estimate is None or n < MIN_JUDGED else number(estimate)


def _table(columns: Columns, rows: list[Any], key: str) -> None:
    data = {"columns": columns, "rows": rows, "page": "", "cls": "lines"}
    components.table(data, key=key, lines=len(rows) + 1)
