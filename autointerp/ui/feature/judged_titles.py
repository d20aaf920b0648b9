"""What the lists of judged examples are called, with what is said beside: by metric, or by what is judged (marks, written
texts); and the bars and marks above them."""

from autointerp.records import Score
from autointerp.score.registry import SCORERS, writes_texts

TITLES: dict[str, dict[str, tuple[str, str]]] = {
    "balanced_accuracy": {
        "fp": ("False positives", "non-activating, answered yes"),
        "fn": ("False negatives", "activating, answered no"),
        "tp": ("True positives", "activating, answered yes"),
        "tn": ("True negatives", "non-activating, answered no"),
    },
    "marks": {
        "fp": ("False positives", "wrong tokens marked, answered yes"),
        "fn": ("False negatives", "right tokens marked, answered no"),
        "tp": ("True positives", "right tokens marked, answered yes"),
        "tn": ("True negatives", "wrong tokens marked, answered no"),
    },
    "auroc": {
        "fp": ("Ranked above at least half of the activating examples", "non-activating; highest first"),
        "fn": ("Ranked below at least half of the non-activating examples", "activating; lowest first"),
        "tp": ("Activating, ranked above most non-activating examples", "lowest first"),
        "tn": ("Non-activating, ranked below most activating examples", "highest first"),
    },
    "triplet_auroc": {
        "fp": ("Non-activating, more similar to activating examples", "highest Δ first"),
        "fn": ("Activating, no more similar to the other activating examples", "lowest Δ first"),
        "tp": ("Activating, more similar to the other activating examples", "lowest Δ first"),
        "tn": ("Non-activating, no more similar to activating examples", "highest Δ first"),
    },
    "written": {
        "fp": ("Fires in texts written from another explanation", "strongest first"),
        "fn": ("Does not fire in texts written from the explanation", ""),
        "tp": ("Fires in texts written from the explanation", "weakest first"),
        "tn": ("Does not fire in texts written from another explanation", ""),
    },
}


def bars_note(score: Score) -> str:
    """What the bars above the examples are."""
    what = {
        "balanced_accuracy": "Accuracy",
        "auroc": "AUROC",
        "correlation": "Correlation",
        "triplet_auroc": "AUROC of the queries",
        "intruder_accuracy": "Accuracy",
        "nats": "Nats",
    }
    return f"{what.get(score.metric, score.metric)} by activation decile (1 = strongest); click to filter"


def legend(score: Score, *, overlay: bool, reads: bool) -> list[list[str]]:
    """What the marks in the texts mean: `[class, text]` in a row."""
    said: list[list[str]] = []
    if judges_marks(score) or score.metric == "intruder_accuracy":
        said += [["t mk", "marked"], ["", " as shown to the judge  "]]
    if score.metric == "nats":
        said += [["", "written after the prompt by the model as it is, and with the feature raised  "]]
    if score.metric == "correlation":
        said += [["t pr", "underlined"], ["", " predicted activation, 0 to 10  "]]
    if reads:
        said += [["t hit", "underlined"], ["", " found by the judge, of what the explanation says  "]]
    if writes_texts(score.scorer, score.metric):
        said += [["t a6", "orange"], ["", " activation; "], ["t peak", "peak"]]
    elif overlay:
        said += [
            ["t a6", "orange"],
            ["", " true activation, not shown to the judge; "],
            ["t peak", "peak"],
        ]
    return said


def judges_marks(score: Score) -> bool:
    """Whether the question was if the right tokens are marked."""
    return score.scorer in SCORERS and SCORERS[score.scorer].marks


def titles(score: Score) -> dict[str, tuple[str, str]]:
    """Title and note of each list of judged examples, by `fp`, `fn`, `tp` and `tn`."""
    special = (
        "marks" if judges_marks(score) else "written" if writes_texts(score.scorer, score.metric) else ""
    )
    return TITLES[special or score.metric]
