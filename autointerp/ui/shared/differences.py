"""Two versions of an explanation by their scores: the paired difference on the same examples, and what it means in words."""

from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.records import Explanation, Score
from autointerp.score.compare import Difference
from autointerp.score.registry import SCORERS
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import visible
from autointerp.ui.shared.versions import Versions, judged_by, score_kind

DIFFERENT_EXAMPLES = "open to score both on the same examples"


def pairs(
    versions: Versions, first: Explanation, second: Explanation
) -> list[tuple[Score | None, Score | None]]:
    """The newest good score of each kind on both sides; `None` where a side lacks it."""
    sides: list[dict[tuple[str | None, ...], Score]] = [{}, {}]
    for side, version in zip(sides, (first, second), strict=True):
        for score in versions.scores_of(version):
            if score.status == "ok":
                side.setdefault(score_kind(score), score)
    kinds = sorted(dict.fromkeys([*sides[0], *sides[1]]), key=lambda kind: SCORERS.place(str(kind[0])))
    return [(sides[0].get(kind), sides[1].get(kind)) for kind in kinds]


def counted(difference: Difference) -> str:
    """How many examples of each class both have answered."""
    unpaired = f", {difference.unpaired} unpaired" if difference.unpaired else ""
    return f"{difference.n_pos}+{difference.n_neg}{unpaired}"


def compared(resources: Resources, a: Score, b: Score) -> tuple[Difference | None, str]:
    """The paired difference, second minus first, and what it means in a sentence."""
    try:
        difference = compare_scores(resources, a.id, b.id)
    except UserError as error:
        return None, str(error)
    return difference, sentence(difference)


def is_clear(difference: Difference) -> bool:
    """Whether the interval excludes 0."""
    low, high = difference.ci_low, difference.ci_high
    return low is not None and high is not None and (low > 0 or high < 0)


def is_same(difference: Difference) -> bool:
    """Whether both predict the same on more than one example: a difference of 0 that no interval can be drawn around."""
    return difference.value == 0 and difference.n_pos > 1


def sentence(difference: Difference) -> str:
    """Whether a difference is one."""
    n = difference.n_pos + difference.n_neg
    if difference.value is None and difference.metric == "correlation":
        return f"Not defined on {fmt.plural(n, 'shared text')}: predictions or activations do not vary."
    if difference.value is None:
        return f"Not defined on {fmt.plural(n, 'shared example')}: one class is missing."
    if difference.ci_low is None or difference.ci_high is None:
        if is_same(difference):
            return "Identical predictions: no interval can be computed."
        return "Too few shared examples for an interval."
    if is_clear(difference):
        word = "Better" if difference.value > 0 else "Worse"
        return f"{word} by {fmt.decimal(abs(difference.value), 2)}: 95 % interval excludes 0."
    return "No clear difference: 95 % interval includes 0."


def difference_interval(difference: Difference) -> str:
    if difference.ci_low is None or difference.ci_high is None:
        return fmt.NONE
    return f"{fmt.signed(difference.ci_low)} to {fmt.signed(difference.ci_high)}"


def lines(
    resources: Resources, versions: Versions, old: Explanation, new: Explanation
) -> tuple[list[dict[str, str]], str]:
    """A line for each score that both versions have, the new one against the old; and what is to be said of them all."""
    lines_, different_examples = [], False
    for a, b in pairs(versions, old, new):
        if a is None or b is None:
            continue
        difference, verdict = compared(resources, a, b)
        # Without an interval a figure says nothing, and in bold type it would be believed.
        sound = difference is not None and (difference.ci_low is not None or is_same(difference))
        unlike = difference is not None and not sound and difference.unpaired > 0
        different_examples = different_examples or unlike
        lines_.append(
            {
                "name": SCORERS.label(a.scorer),
                "judge": visible(judged_by(a)),
                "difference": fmt.signed(difference.value) if difference is not None and sound else "",
                "ci": difference_interval(difference) if difference is not None and sound else "",
                "n": "" if difference is None or unlike else f"n {counted(difference)}",
                "said": "on different examples" if unlike else short(verdict),
            }
        )
    remark = DIFFERENT_EXAMPLES if different_examples else "" if lines_ else "no score in common"
    return lines_, remark


def short(verdict: str) -> str:
    """The short form, as the last part of a line: up to the first colon, without a capital."""
    start = visible(verdict.split(":")[0].rstrip("."))
    return start[:1].lower() + start[1:]
