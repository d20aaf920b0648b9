"""What a list shows of a latent's annotations."""

from dataclasses import dataclass

from autointerp.records import n_behind


@dataclass(frozen=True, slots=True)
class ShownExplanation:
    """The explanation shown for a latent; `n` counts its good versions."""

    id: str
    text: str
    explainer: str
    model: str | None
    author: str
    created: str
    pinned: bool
    n: int


@dataclass(frozen=True, slots=True)
class ShownScore:
    """A score of the shown explanation; fields as in `Score`. `floor_bar`: see `annotated.CoderAnnotations.floor_bar`."""

    id: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_pos: int
    n_neg: int
    unparsed: int
    floor: float | None
    above_low: float | None
    metric: str
    floor_bar: float | None = None

    @property
    def n(self) -> int:
        return n_behind(self.metric, self.n_pos, self.n_neg)


@dataclass(frozen=True, slots=True)
class ShownVerdict:
    """What people said of an explanation of a latent, see `AuditTable.verdict_summary`. `verdict`: as in `ratings.VERDICTS`, or
    "mixed"; `adjudicated`: settled on together."""

    verdict: str
    n_raters: int
    adjudicated: bool
    explanation_id: str
