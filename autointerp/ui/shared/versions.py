"""The versions of one feature's explanation with their scores, read afresh in every run (a few indexed rows), and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from autointerp.explain.registry import EXPLAINERS
from autointerp.records import Explanation, Pin, Score
from autointerp.registry import KL
from autointerp.score.registry import FIRES_ABOVE, SCORERS, writes_texts
from autointerp.store import annotated_store, kind_of
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.score_text import interval, judge_label, reference_text
from autointerp.ui.shared.text import beginning


@dataclass(frozen=True)
class NewestScore:
    """What stands for one kind of score: its newest good one, else its newest failure. `older`: how many good ones it
    replaces; `failure`: a newer one that failed, which takes nothing away from it."""

    score: Score
    older: int = 0
    failure: Score | None = None


@dataclass(frozen=True)
class Versions:
    """All explanations of one feature, newest first, failed ones too. `scores`: of all of them, newest first. `shown_id`: the
    version that stands for the feature; `wanted`: the one in the address. `floor_bars`: what each score has to exceed to be
    clearly above floors, by its id."""

    coder: str
    latent: int
    explanations: tuple[Explanation, ...]
    pin: Pin | None
    scores: tuple[Score, ...]
    shown_id: str | None = None
    wanted: str | None = None
    floor_bars: Mapping[str, float | None] = field(default_factory=dict)

    @cached_property
    def shown(self) -> Explanation | None:
        """The one that stands for the feature everywhere, see `Annotations.shown`."""
        return self.find(self.shown_id)

    @cached_property
    def current(self) -> Explanation | None:
        """The one looked at: in the address, else the shown one, else the newest failure."""
        return self.find(self.wanted) or self.shown or next(iter(self.explanations), None)

    @property
    def failure(self) -> Explanation | None:
        """The newest version where it failed and another one is looked at."""
        newest = next(iter(self.explanations), None)
        failed = newest is not None and newest is not self.current and newest.status == "failed"
        return newest if failed else None

    @property
    def is_missing(self) -> bool:
        """Whether the address names a version that is not this feature's."""
        return self.wanted is not None and self.find(self.wanted) is None

    def find(self, explanation_id: str | None) -> Explanation | None:
        return next((version for version in self.explanations if version.id == explanation_id), None)

    def number(self, explanation: Explanation) -> int:
        """1 for the oldest version."""
        return len(self.explanations) - self.explanations.index(explanation)

    def scores_of(self, explanation: Explanation) -> list[Score]:
        """Scores of one version, newest first."""
        return [score for score in self.scores if score.explanation_id == explanation.id]

    def newest_scores(self, explanation: Explanation) -> list[NewestScore]:
        """What stands for each kind, in the order of the scorers."""
        kinds: dict[tuple[str | None, ...], list[Score]] = {}
        for score in self.scores_of(explanation):
            kinds.setdefault(score_kind(score), []).append(score)
        return sorted(
            map(_newest, kinds.values()),
            key=lambda newest: (
                SCORERS.place(newest.score.scorer),
                newest.score.judge,
                newest.score.negatives,
            ),
        )

    def failed_scores(self, explanation: Explanation) -> list[Score]:
        """The newest of each kind, where it failed."""
        last = [newest.failure or newest.score for newest in self.newest_scores(explanation)]
        return [score for score in last if score.status == "failed"]


def load(annotations: Annotations, coder: str, latent: int, wanted: str | None) -> Versions:
    """Raises StoreError."""
    explanations = tuple(annotations.explanations(coder, latent))
    if not explanations:
        return Versions(coder, latent, (), None, (), wanted=wanted)
    scores = tuple(annotations.scores_of_latent(coder, latent))
    written = annotated_store(annotations).coder(coder) if scores else None
    bars = {score.id: written.floor_bar(kind_of(score)) for score in scores} if written else {}
    shown = annotations.shown(coder, latent)
    pin = annotations.pinned(coder, latent)
    return Versions(coder, latent, explanations, pin, scores, shown and shown.id, wanted, bars)


def _newest(scores: list[Score]) -> NewestScore:
    """Of the scores of one kind, newest first."""
    good = [score for score in scores if score.status == "ok"]
    if not good:
        return NewestScore(scores[0])
    return NewestScore(good[0], len(good) - 1, scores[0] if scores[0].status == "failed" else None)


def score_kind(score: Score) -> tuple[str | None, ...]:
    """Scores of one kind replace each other: same scorer, judge, model, protocol, negatives, choice of wrong marks, place of
    the strongest token, and `unusual` settings."""
    marks, centre = score.config.get("wrong_marks"), "centred" if score.config.get("centre") else None
    return (
        *(score.scorer, score.judge, score.model, score.protocol, score.negatives),
        *(marks and str(marks), centre, unusual(score)),
    )


def unusual(score: Score) -> str:
    """Settings other than the usual ones that change what the value says: `fires above 0.5`."""
    chosen = [(option.label, score.config.get(option.name)) for option in (KL, FIRES_ABOVE)]
    return ", ".join(
        f"{label[0].lower()}{label[1:]} {beginning(str(value), 20)}"
        for label, value in chosen
        if value is not None
    )


FAILS_AGAIN = "Without a change to its options or to Settings it will fail again"
HELD_OUT = "held-out examples"
WRITTEN = "texts written from it"


def examples_of(score: Score, explanation: Explanation) -> str:
    """What a score was judged on: only the held-out protocol keeps out what the explainer was shown, and nobody knows what a
    person has read."""
    if writes_texts(score.scorer, score.metric):
        return WRITTEN
    by_person = explanation.explainer == "person"
    if score.protocol == "delphi":
        return f"examples that {'the author' if by_person else 'the explainer'} may have seen"
    return f"{HELD_OUT}, which the author may have seen" if by_person else HELD_OUT


def negatives(score: Score) -> str:
    """Where its non-activating examples came from: `random + neighbours`."""
    return score.negatives.replace("_", " ").replace("+", " + ")


def judged_by(score: Score) -> str:
    return judge_label(score.judge, score.model)


def reference(score: Score) -> str:
    """The floor, or chance, and on how many examples it stands where these are not all that the score stands on."""
    text = reference_text(score)
    same = score.n_floor == score.n and not writes_texts(
        score.scorer, score.metric
    )  # whose floor is of other texts
    return text if score.n_floor is None or same else f"{text} (n {score.n_floor})"


def figures(score: Score) -> dict[str, str]:
    """A score as text, as every element shows it."""
    return {
        "id": score.id,
        "value": fmt.decimal(score.value, 2),
        "ci": interval(score.ci_low, score.ci_high),
        "reference": reference(score),
        "n": f"{score.n_pos}+{score.n_neg}" if score.n_neg else str(score.n_pos),
    }


def author_line(explanation: Explanation) -> list[str]:
    """Explainer, model, author, protocol where it is not the usual one, and date: `pattern · 2026-11-20 10:00 UTC`."""
    parts = [EXPLAINERS.label(explanation.explainer)]
    if explanation.model:
        parts.append(explanation.model)
    if explanation.author != "autointerp":
        parts.append(f"by {explanation.author}")
    if explanation.protocol == "delphi":
        parts.append("delphi protocol")
    return [*parts, fmt.minute(explanation.created)]


def provenance(explanation: Explanation) -> list[list[str]]:
    """Everything recorded about how a version came about, as named values."""
    tokens = f"{fmt.count(explanation.tokens_in)} in, {fmt.count(explanation.tokens_out)} out"
    return [
        ["Version", explanation.id, "Its id, as in the address"],
        ["Prompt", explanation.prompt_version or fmt.NONE, "Version of the prompt, or of the explainer's rules"],
        ["Protocol", explanation.protocol if explanation.example_ids else fmt.NONE, "How the examples were drawn"],
        ["Examples", fmt.count(len(explanation.example_ids)), "Windows shown to the explainer"],
        ["Seed", fmt.NONE if explanation.seed is None else str(explanation.seed), "Of the sampled examples"],
        ["Tokens", tokens if explanation.tokens_in or explanation.tokens_out else fmt.NONE, "Used for this version"],
        ["Cost", fmt.money(explanation.cost) if explanation.tokens_in else fmt.NONE, "In the currency of your prices"],
        ["Time", seconds(explanation.duration), "From request to answer"],
    ]  # fmt: skip


def why_no_prompt(explanation: Explanation) -> str:
    """Said where a version has no prompt and reply to show."""
    if explanation.status == "failed" and explanation.config.get("llm"):
        return "No prompt and reply: the language model could not be reached or did not answer."
    return "No prompt: no language model was used."


def seconds(duration: float | None) -> str:
    if duration is None:
        return fmt.NONE
    return f"{1000 * duration:.0f} ms" if duration < 1 else f"{duration:.1f} s"
