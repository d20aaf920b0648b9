"""What an audit shows, in sentences: from the figures of `report` alone, whichever way they fall, each with its numbers. Where
too few items were judged, that is what is said."""

import math
from collections.abc import Callable, Iterator, Sequence

from autointerp.audit import agreement as agree
from autointerp.audit.agreement import Agreement
from autointerp.audit.calibration import MIN_CLASS, MIN_PAIRS, PAPER_N, Calibration, paper
from autointerp.audit.report import Part, RaterFigures, Report
from autointerp.ratings import TASKS, VERDICTS
from autointerp.score.intervals import Estimate, wilson
from autointerp.score.registry import SCORERS

MIN_JUDGED = 10
"""Explanations for a sentence about the share that is right."""
MIN_CONTROLS, FEW_CONTROLS = 5, 10
"""To tell verdicts from guesses: with fewer than the first, nothing is said; by fewer than the second, up to one careful rater
in three, wrong on one item in ten, is not told from one who guesses."""
NOTES = (
    "Intervals are 95 %: those of shares and scores over explanations, as if others had been drawn; those of agreement "
    "over items. None of them allows for other people judging differently."
)
Names = Callable[[str], str]
"""What a kind of score (`ScoreKind.key`) is called."""


def score_name(key: str) -> str:
    """`detection (offline)`: who asked and who answered."""
    scorer, *rest = key.split("~")
    judge = rest[3] if rest[0:1] == ["llm"] and len(rest) > 4 else "".join(rest[:1])
    return SCORERS.label(scorer).lower() + (f" ({judge})" if judge else "")


def findings(report: Report, name: Names = score_name) -> list[str]:
    """The sentences, the most important first."""
    if not report.n_rated:
        none = f"None of the {_count(report.n_items)} items has a verdict yet, so it is not known how many are right."
        return [
            *_humans(report, name),
            *([none] if "verdict" in report.audit.tasks or not report.humans else []),
        ]
    return [
        *_shares(report),
        *_agreement(report),
        *_again(report),
        *_controls(report),
        *_scores(report, name),
        *_humans(report, name),
        *_caveats(report),
    ]


def difference(first: Estimate, second: Estimate) -> Estimate | None:
    """Of two independent shares, by Newcombe (1998): from the ends of their intervals."""
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return None
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - down, value + up)


def right_words(report: Report) -> str:
    """What counts as right: `“Correct”`."""
    labels = [f"“{VERDICTS[verdict].label}”" for verdict in report.right]
    return " or ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def _shares(report: Report) -> Iterator[str]:
    whole = report.whole
    if whole.n < MIN_JUDGED or whole.estimate is None:
        yield (
            f"{_items(whole.n)} judged so far: too few to say what share of the explanations is right (at least "
            f"{MIN_JUDGED} are needed)."
        )
        return
    who, what = _judged_by(report), f"{_count(round(whole.population))} explanations"
    drawn_from = sum(each.population for each in report.audit.strata if each.coder not in whole.silent)
    readable = " with readable contexts" if round(whole.population) < drawn_from else ""
    if math.isinf(whole.n_effective):
        yield (
            f"{percent(whole.estimate.value)} of the {what}{readable} are right ({right_words(report)}), all of them judged "
            f"{who}."
        )
    else:
        more = ""
        if whole.more is not None:
            more = (
                f" {_count(whole.more)} more item{'' if whole.more == 1 else 's'} would halve that interval."
            )
        yield (
            f"An estimated {percent(whole.estimate.value)} of {'about ' if readable else ''}{what}{readable} are right "
            f"({right_words(report)}; 95 % interval {ends(whole.estimate)}), from {_items(whole.n)} judged {who}.{more}"
        )
    yield from _against(report)


def _judged_by(report: Report) -> str:
    """By so many raters, without those who gave no verdict."""
    together = f", {_count(report.n_settled)} of them settled together" if report.n_settled else ""
    return f"by {_people(len(_with_verdicts(report)))}{together}"


def _with_verdicts(report: Report) -> list[RaterFigures]:
    return [each for each in report.raters if each.n]


def _against(report: Report) -> Iterator[str]:
    """Coders, or explainers, beside each other; two of them told apart or not. Of more, the most different two are so by chance
    too, so nothing is said of them but their figures."""
    for kind in ("coder", "explainer"):
        parts = [part for part in report.parts if _of(part, kind)]
        if len(parts) < 2:
            continue
        named = [(getattr(part, kind) or "unknown", part.share) for part in parts]
        figures = _list(
            [
                f"{name} {percent(share.estimate.value)} ({ends(share.estimate)}, n {_count(share.n)})"
                for name, share in named
                if share.estimate is not None and share.n >= MIN_JUDGED
            ]
        )
        few = [f"{name} ({_count(share.n)})" for name, share in named if share.n < MIN_JUDGED]
        text = f"Right by {kind}: {figures or 'not known'}"
        if few:
            text += f"; too few judged for {_list(few)}"
        elif len(named) == 2:
            gap = difference(*(share.estimate for _, share in named if share.estimate is not None))
            assert gap is not None
            assert gap.low is not None
            assert gap.high is not None
            apart = gap.low > 0 or gap.high < 0
            text += (
                f"; a difference of {_points(gap.value)} ({_points(gap.low)} to {_points(gap.high)}) points: "
                f"{'they can be told apart' if apart else 'they cannot be told apart'}"
            )
        yield f"{text}."


def _of(part: Part, kind: str) -> bool:
    other = "explainer" if kind == "coder" else "coder"
    return getattr(part, kind) is not None and getattr(part, other) is None


def _agreement(report: Report) -> Iterator[str]:
    raters = _with_verdicts(report)
    if len(raters) < 2:
        yield "Only one rater so far, so agreement between people is not known."
        return
    agreement, right = report.agreement, report.agreement_right
    if not agreement.n_items or agreement.raw is None:
        yield "No item has verdicts by two raters yet, so their agreement is not known."
        return
    two = len(raters) == 2
    if agreement.n_items < MIN_JUDGED:
        yield (
            f"{_items(agreement.n_items)} judged by two raters: too few to measure their agreement (at least {MIN_JUDGED} are "
            "needed)."
        )
        return
    coefficient = agreement.kappa if two else agreement.alpha
    named = "Cohen's kappa" if two else "Krippendorff's alpha"
    text = f"Two raters give the same verdict in {percent(agreement.raw.value)} of {_count(agreement.n_pairs)} pairs of "
    text += f"verdicts on {_items(agreement.n_items)}"
    if two:
        text = f"{_list([each.rater for each in raters])} give the same verdict on {percent(agreement.raw.value)} of "
        text += f"{_items(agreement.n_items)}"
    if coefficient is None:
        text += f"; all verdicts are the same, so {named} is not defined"
    else:
        text += f"; {named} {number(coefficient)}"
    few = agreement.n_items < agree.MIN_ITEMS
    yield text + (f". Too few for an interval (at least {agree.MIN_ITEMS} are needed)." if few else ".")
    of_right = right.kappa if two else right.alpha
    if of_right is not None and right.raw is not None:
        yield (
            f"On whether an explanation is right, they agree in {percent(right.raw.value)} of {_count(right.n_pairs)} "
            f"{'items' if two else 'pairs'}; {named} {number(of_right)}."
        )


def _again(report: Report) -> Iterator[str]:
    left = sum(each.again_seen for each in report.raters)
    said = f" {_count(left)} more had been looked up before they came back, and are left out." if left else ""
    if report.again.raw is None:
        if left:
            yield f"How often raters agree with themselves is not known.{said}"
        return
    same = round(report.again.raw.value * report.again.n_pairs)
    each = _each(report, lambda figures: _same(figures.again)) if len(report.raters) > 1 else ""
    ends_ = f" ({ends(report.again.raw)})" if report.again.raw.low is not None else ""
    text = f"Shown an item again, raters gave the same verdict {_count(same)} of {_count(report.again.n_pairs)} times"
    yield f"{text}{ends_}{each}.{said}"


def _same(again: Agreement) -> str | None:
    return None if again.raw is None else f"{round(again.raw.value * again.n_pairs)} of {again.n_pairs}"


def _controls(report: Report) -> Iterator[str]:
    seen = sum(each.controls for each in report.raters)
    if not seen:
        return
    fooled = sum(each.controls_right for each in report.raters)
    each = _each(
        report, lambda rater: f"{rater.controls_right} of {rater.controls}" if rater.controls else None
    )
    yield (
        f"Of {_count(seen)} verdict{'' if seen == 1 else 's'} on controls, explanations of other features, {_count(fooled)} "
        f"{'calls' if fooled == 1 else 'call'} them right{each if len(report.raters) > 1 else ''}."
    )
    for rater in report.raters:
        if (gap := _above_controls(rater)) is not None and gap.low is not None and gap.low <= 0:
            few = " with so few controls" if rater.controls < FEW_CONTROLS and gap.value > 0 else ""
            yield (
                f"{rater.rater}'s verdicts cannot be told apart from guesses{few}: {rater.controls_right} of {rater.controls} "
                f"controls called right, and {rater.n_right} of {rater.n - rater.n_unreadable} explanations."
            )


def _above_controls(rater: RaterFigures) -> Estimate | None:
    """How much more often a rater calls an explanation right than a control."""
    n = rater.n - rater.n_unreadable
    if rater.controls < MIN_CONTROLS or n < MIN_JUDGED:
        return None
    own, control = rater.n_right / n, rater.controls_right / rater.controls
    return difference(Estimate(own, *wilson(own, n)), Estimate(control, *wilson(control, rater.controls)))


def _scores(report: Report, name: Names) -> Iterator[str]:
    for key, calibration in report.calibrations.items():
        yield _score(name(key), calibration, key.split("~")[0])


def _score(name: str, calibration: Calibration, scorer: str | None) -> str:
    title = name[:1].upper() + name[1:]
    counts = f"{_count(calibration.n_right)} right, {_count(calibration.n_wrong)} not"
    if calibration.auroc is None or calibration.auroc.low is None or calibration.auroc.high is None:
        text = f"{title}: too few for an AUROC ({counts}; at least {MIN_CLASS} of each are needed)"
    else:
        text = f"{title}: AUROC {number(calibration.auroc)} as a predictor of right ({counts})"
        if round(calibration.auroc.low, 2) <= 0.5 <= round(calibration.auroc.high, 2):
            text += ", which cannot be told apart from chance"
        elif calibration.auroc.high < 0.5:
            text += ": right explanations have the lower scores"
    if calibration.correlation is None:
        few = calibration.n_graded < MIN_PAIRS
        return text + (
            f"; {_items(calibration.n_graded)} are too few for a rank correlation." if few else "."
        )
    text += f"; rank correlation with the grade {number(calibration.correlation)}, n {_count(calibration.n_graded)}"
    theirs = paper(scorer or "")
    if theirs is not None:
        text += f" (in the paper {number(theirs)}, n {PAPER_N}, on a scale of four)"
    return text + "."


def _humans(report: Report, name: Names) -> Iterator[str]:
    for human in report.humans:
        task = f"people's {TASKS[human.task].lower()}"
        if human.score is None or human.n < MIN_JUDGED:
            yield f"{_sentence(task)}: {_items(human.n)} answered, too few for a mean (at least {MIN_JUDGED} are needed)."
            continue
        floor = ""
        if human.floor is not None:
            n = f"{_count(human.n_floor)} control{'' if human.n_floor == 1 else 's'}"
            floor = f"; on {n} it is {number(human.floor)}, the floor"
        text = f"{_sentence(task)} score is {number(human.score)} on average (balanced accuracy, n {_count(human.n)}){floor}."
        for key, (agreement, n) in human.judges.items():
            text += f" Rank correlation with {name(key)} {number(agreement)}, n {_count(n)}."
        yield text
        if human.beside is not None and human.beside.n >= MIN_JUDGED:
            both = human.beside
            yield (
                f"On the same questions of {_items(both.n)}, people score {both.people:.2f} and the judge {both.judge:.2f}, a "
                f"difference of {number(both.difference, '+')}; they give the same answer to "
                f"{percent(both.n_same / both.n_questions)} of {_count(both.n_questions)} questions."
            )
        if report.n_rated:
            yield _score(f"{task} score", report.human_calibrations[human.task], None)


def _caveats(report: Report) -> Iterator[str]:
    seen = sum(each.n_seen for each in report.raters)
    if seen:
        yield (
            f"{_count(seen)} verdict{' was' if seen == 1 else 's were'} given after looking at what the audit hides: "
            f"{'it is' if seen == 1 else 'they are'} not blind, but counted."
        )
    unreadable = sum(each.n_unreadable for each in report.raters)
    if unreadable:
        yield (
            f"{_count(unreadable)} verdict{' says' if unreadable == 1 else 's say'} that contexts are broken: "
            f"{'it is' if unreadable == 1 else 'they are'} left out of all rates."
        )
    if report.whole.joined:
        n = len(report.whole.joined)
        yield (
            f"{_count(n)} of {_count(len(report.audit.strata))} strata {'have' if n > 1 else 'has'} no verdict yet and "
            f"{'are' if n > 1 else 'is'} taken to be like the nearest that have verdicts."
        )
    if report.whole.silent:
        yield f"No explanation of {_list(report.whole.silent)} is judged: the share is that of the other coders."
    settled = sum(each.settled is not None for each in report.disagreements)
    if report.disagreements:
        yield (
            f"Raters differ on {_items(len(report.disagreements))}, of which {_count(settled)} "
            f"{'are' if settled != 1 else 'is'} settled. A settled verdict replaces theirs, except in agreement."
        )


def _each(report: Report, say: Callable[[RaterFigures], str | None]) -> str:
    said = [f"{figures.rater} {text}" for figures in report.raters if (text := say(figures)) is not None]
    return f" ({', '.join(said)})" if said else ""


def percent(share: float) -> str:
    """`62 %`; never 0 or 100 for what is not."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def ends(estimate: Estimate) -> str:
    """`53 % to 71 %`."""
    return f"{percent(estimate.low or 0.0)} to {percent(1.0 if estimate.high is None else estimate.high)}"


def number(estimate: Estimate, sign: str = "") -> str:
    """`0.58 (0.45 to 0.70)`; `sign` "+": of a difference."""
    value = f"{estimate.value:{sign}.2f}"
    if estimate.low is None or estimate.high is None:
        return _minus(value)
    return _minus(f"{value} ({estimate.low:{sign}.2f} to {estimate.high:{sign}.2f})")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _points(gap: float) -> str:
    return _minus(f"{100 * gap:+.0f}")


def _count(n: int) -> str:
    return f"{n:,}"


def _items(n: int) -> str:
    return f"{n:,} item{'' if n == 1 else 's'}"


def _people(n: int) -> str:
    return "one rater" if n == 1 else f"{n} raters"


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
