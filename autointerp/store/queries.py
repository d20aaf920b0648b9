"""What to list of the latents of a store, and what a list holds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import pyarrow as pa

from autointerp.errors import UserError
from autointerp.ratings import VERDICTS
from autointerp.store.annotations.audits import MIXED
from autointerp.store.coders.definitions import STATISTICS, computed_names
from autointerp.store.coders.firing import Spots
from autointerp.store.score_kinds import ScoreKind
from autointerp.store.shown import ShownExplanation, ShownScore, ShownVerdict
from autointerp.types import LatentStats

ScoreValue = Literal["score", "ci_low", "above_floor"]
"""Of a score of the query's kind: its value, the lower end of its interval, its value minus its floor."""
State = Literal["explained", "unexplained", "failed", "unscored"]
Human = Literal["pinned", "person"]
Dead = Literal["hide", "show", "only"]


JUDGED, UNJUDGED = "judged", "unjudged"
"""Of latents: people have given some verdict, or none."""
VERDICT_FILTERS = (JUDGED, UNJUDGED, *VERDICTS, MIXED)


def sorts() -> list[str]:
    """What a list can be sorted by."""
    statistics = [name for name, statistic in STATISTICS.items() if statistic.sortable]
    return ["latent", *statistics, *get_args(ScoreValue), "relevance", "rank"]


@dataclass(frozen=True)
class ScoreBound:
    """Scores of one kind between two values, both inclusive, `None` = no bound; a latent without such a score is left out."""

    kind: ScoreKind
    least: float | None = None
    most: float | None = None
    value: ScoreValue = "score"


@dataclass(frozen=True)
class LatentQuery:
    """What to list. Equal latents come in the order of coders, then latents; those without the value sorted by come last,
    either way.

    `sort`: a statistic or one of `sorts()`. `bounds`: by statistic or `ScoreValue`, the least and the largest value, both
    inclusive, `None` = no bound; a latent that lacks the value is left out. `spots`: only latents that activate there;
    `matches`: only these latents, a table `latent, relevance` for each coder (a coder without one has none). Both give a
    `relevance` to sort by; with both, `matches` does.

    `kind`: whose score to show, to sort by and to bound. Everything about explanations means the shown one. `state`: "failed"
    has no good explanation and at least one failed attempt, "unscored" an explanation without a score of `kind` (of any kind
    without one). `human`: "pinned" by a person, or written by a "person". `made_by`: how it was made, as in
    `Annotations.summary`. `also`: bounds on scores of whatever kinds, all of which must hold.

    `verdict`: what people say of it, one of `VERDICT_FILTERS`. `unseen`: by coder, latents that count as not judged, because
    who asks is still to judge them blind.

    `members`: only these latents, ascending, by coder (a coder without them has none): those of a collection.

    `ranks`: for the sort "rank", a table `latent, rank` for each coder.
    """

    sort: str = "density"
    descending: bool = True
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    dead: Dead = "hide"
    spots: Spots | None = None
    matches: Mapping[str, pa.Table] | None = None
    kind: ScoreKind | None = None
    state: State | None = None
    explainer: str | None = None
    human: Human | None = None
    verdict: str | None = None
    unseen: Mapping[str, Collection[int]] = field(default_factory=dict)
    made_by: str | None = None
    also: tuple[ScoreBound, ...] = ()
    members: Mapping[str, Sequence[int]] | None = None
    ranks: Mapping[str, pa.Table] | None = None
    limit: int = 25
    offset: int = 0

    @property
    def uses_scores(self) -> bool:
        """Whether it sorts or bounds by a score."""
        return not {self.sort, *self.bounds}.isdisjoint(get_args(ScoreValue))

    @property
    def computed(self) -> list[str]:
        """The computed statistics that its list shows, sorts or bounds by."""
        names = {self.sort, *self.bounds, *(name for name, each in STATISTICS.items() if each.in_list)}
        return [name for name in computed_names() if name in names]

    def check(self) -> None:
        """Raises UserError for what is unknown, or lacks what it is about."""
        for what, value, accepted in (
            ("order", self.sort, sorts()),
            *(("bound", name, [*STATISTICS, *get_args(ScoreValue)]) for name in self.bounds),
            ("choice of dead latents", self.dead, get_args(Dead)),
            ("state", self.state, (None, *get_args(State))),
            ("filter", self.human, (None, *get_args(Human))),
            ("verdict", self.verdict, (None, *VERDICT_FILTERS)),
        ):
            if value not in accepted:
                raise UserError(f"unknown {what} {value!r}. Accepted: {', '.join(filter(None, accepted))}.")
        if self.kind is None and self.uses_scores:
            raise UserError("to sort or filter by a score, say which kind of score.")
        if self.sort == "rank" and self.ranks is None:
            raise UserError("to sort by rank, give the ranks.")
        if self.sort == "relevance" and self.matches is None and self.spots is None:
            raise UserError("to sort by relevance, say what to search for.")


@dataclass(frozen=True)
class LatentRow:
    """A latent in a list. `stats`: those that a coder file holds, and the computed ones that the list shows, sorts or filters
    by. `error`: of the newest attempt at an explanation where there is no good one. `relevance`: where the query gives one."""

    coder: str
    stats: LatentStats
    relevance: float | None = None
    explanation: ShownExplanation | None = None
    score: ShownScore | None = None
    verdict: ShownVerdict | None = None
    error: str | None = None


@dataclass(frozen=True)
class LatentPage:
    """One page. `total` counts all matches, `n_dead` the dead latents of the chosen coders, shown or not."""

    total: int
    n_dead: int
    rows: list[LatentRow]
