"""What is known about one feature's explanations, read afresh in every run (a few indexed rows), and put into words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from autointerp.store.annotations import Annotations, Explanation, Pin, Score
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.labels import EXPLAINERS, judge_label

Standing = Literal["above", "unclear", "below", "unknown"]

STANDINGS: dict[Standing, tuple[str, str]] = {
    "above": ("", ""),
    "unclear": (
        "floor within interval",
        "A random other explanation may score as well: the floor lies within the interval.",
    ),
    "below": ("not above floor", "A random other explanation scores as well or better."),
    "unknown": (
        "no floor",
        "The floor was not measured: it was not asked for, or there was no other explanation to take.",
    ),
}
"""What is said of a score, in short and in full."""


@dataclass(frozen=True)
class Known:
    """Everything about one feature. `versions` newest first, failed ones too; `current` is the one looked at; `shown` the
    one that stands for the feature everywhere (pinned, else the newest good one). `scores`: of all versions, newest
    first."""

    coder: str
    latent: int
    versions: tuple[Explanation, ...]
    pin: Pin | None
    scores: tuple[Score, ...]
    wanted: str | None = None

    @cached_property
    def shown(self) -> Explanation | None:
        pinned = self.find(self.pin.explanation_id) if self.pin else None
        return pinned or next((one for one in self.versions if one.status == "ok"), None)

    @cached_property
    def current(self) -> Explanation | None:
        """The version in the address, else the shown one, else the newest failure."""
        return self.find(self.wanted) or self.shown or next(iter(self.versions), None)

    @property
    def is_missing(self) -> bool:
        """Whether the address names a version that is not this feature's."""
        return self.wanted is not None and self.find(self.wanted) is None

    def find(self, explanation_id: str | None) -> Explanation | None:
        return next((one for one in self.versions if one.id == explanation_id), None)

    def number(self, explanation: Explanation) -> int:
        """1 for the oldest version."""
        return len(self.versions) - self.versions.index(explanation)

    def of(self, explanation: Explanation) -> list[Score]:
        """Scores of one version, newest first."""
        return [one for one in self.scores if one.explanation_id == explanation.id]

    def newest(self, explanation: Explanation) -> list[tuple[Score, int]]:
        """The newest score of each kind, with how many older ones stand behind it; in the order of `SCORERS`."""
        kinds: dict[tuple[str | None, ...], list[Score]] = {}
        for score in self.of(explanation):
            kinds.setdefault(kind(score), []).append(score)
        found = [(scores[0], len(scores) - 1) for scores in kinds.values()]
        return sorted(found, key=lambda pair: (_place(pair[0].scorer), pair[0].judge, pair[0].negatives))

    def previous(self, explanation: Explanation) -> Explanation | None:
        """What a version is measured against: its parent, else the good version before it."""
        parent = self.find(explanation.parent)
        if parent is not None:
            return parent
        older = self.versions[self.versions.index(explanation) + 1 :]
        return next((one for one in older if one.status == "ok"), None)


def load(annotations: Annotations, coder: str, latent: int, wanted: str | None) -> Known:
    """Reads what the page needs."""
    versions = tuple(annotations.explanations(coder, latent))
    if not versions:
        return Known(coder, latent, (), None, (), wanted)
    scores = tuple(annotations.scores_of_latent(coder, latent))
    return Known(coder, latent, versions, annotations.pinned(coder, latent), scores, wanted)


SCORERS = {
    "detection": "Detection",
    "fuzzing": "Fuzzing",
    "embedding": "Embedding",
    "surprisal": "Surprisal",
    "simulation": "Simulation",
}
METRICS = {
    "balanced_accuracy": "balanced accuracy: 0.5 is chance",
    "auroc": "area under the ROC curve: 0.5 is chance",
    "correlation": "correlation of predicted and true activations: 0 is chance",
}


def _place(scorer: str) -> int:
    return list(SCORERS).index(scorer) if scorer in SCORERS else len(SCORERS)


def kind(score: Score) -> tuple[str | None, ...]:
    """Scores of one kind replace each other: same scorer, judge, model, protocol, negatives, choice of wrong marks and place of
    the strongest token."""
    marks, centre = score.config.get("wrong_marks"), "centred" if score.config.get("centre") else None
    return (
        *(score.scorer, score.judge, score.model, score.protocol, score.negatives),
        *(marks and str(marks), centre),
    )


def standing(score: Score) -> Standing:
    """Whether a score says anything: its interval against the value that a random other explanation gets."""
    if score.floor is None or score.value is None:
        return "unknown"
    if score.value <= score.floor:
        return "below"
    return "unclear" if score.ci_low is None or score.ci_low <= score.floor else "above"


def scorer_name(score: Score) -> str:
    return SCORERS.get(score.scorer, score.scorer)


def judged_by(score: Score) -> str:
    return judge_label(score.judge, score.model)


HELD_OUT = "held-out examples"


def examples_of(protocol: str, explanation: Explanation | None) -> str:
    """What a score by this protocol was judged on, as seen from its explanation: only our protocol keeps out what the explainer
    was shown, and nobody knows what a person has read."""
    by_person = explanation is not None and explanation.explainer == "person"
    if protocol == "ours":
        return f"{HELD_OUT}; its author may have seen them" if by_person else HELD_OUT
    return f"examples that {'its author' if by_person else 'the explainer'} may have seen"


def floor(score: Score) -> str:
    """The floor, and on how many examples it stands where these are not all that the score stands on."""
    value = fmt.decimal(score.floor, 2)
    return value if score.n_floor in (None, score.n) else f"{value} (n {score.n_floor})"


def interval(score: Score) -> str:
    """`0.80 to 0.93`, or a dash."""
    if score.ci_low is None or score.ci_high is None:
        return fmt.NONE
    return f"{fmt.decimal(score.ci_low, 2)} to {fmt.decimal(score.ci_high, 2)}"


def author_line(explanation: Explanation) -> list[str]:
    """Explainer, model, author and date: `pattern · 2026-11-20 10:00 UTC`."""
    parts = [EXPLAINERS.get(explanation.explainer, explanation.explainer)]
    if explanation.model:
        parts.append(explanation.model)
    if explanation.author != "autointerp":
        parts.append(f"by {explanation.author}")
    return [*parts, when(explanation.created)]


def when(created: str) -> str:
    """A stored time for reading: `2026-11-20 10:00`, UTC."""
    return created[:16].replace("T", " ")


def provenance(explanation: Explanation) -> list[list[str]]:
    """Everything recorded about how a version came about, as named values."""
    tokens = f"{fmt.count(explanation.tokens_in)} in, {fmt.count(explanation.tokens_out)} out"
    return [
        ["Version", explanation.id, "Its id, as in the address"],
        ["Prompt", explanation.prompt_version or fmt.NONE, "Version of the explainer's prompt or rules"],
        ["Examples", fmt.count(len(explanation.example_ids)), "Windows that the explainer was shown"],
        ["Seed", fmt.NONE if explanation.seed is None else str(explanation.seed), "Of the draw of examples"],
        ["Tokens", tokens if explanation.tokens_in or explanation.tokens_out else fmt.NONE, "Paid for this version"],
        ["Cost", fmt.money(explanation.cost) if explanation.tokens_in else fmt.NONE, "In the price table's currency"],
        ["Time", seconds(explanation.duration), "From the question to the answer"],
    ]  # fmt: skip


def why_no_prompt(explanation: Explanation) -> str:
    """Said where a version has no prompt and reply to show."""
    if explanation.status == "failed" and explanation.config.get("llm"):
        return "No prompt and reply were kept: the language model was not reached, or did not reply."
    return "No language model was asked, so there is no prompt."


def seconds(duration: float | None) -> str:
    if duration is None:
        return fmt.NONE
    return f"{1000 * duration:.0f} ms" if duration < 1 else f"{duration:.1f} s"


def options_text(config: object) -> str:
    """A configuration for reading."""
    return json.dumps(config, indent=2, ensure_ascii=True, sort_keys=True, default=str)


def failed(scores: Sequence[tuple[Score, int]]) -> list[Score]:
    """Those of the newest ones that failed."""
    return [score for score, _ in scores if score.status == "failed"]
