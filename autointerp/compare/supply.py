"""What would give a coder the scores that a comparison lacks: which latents to explain, which explanations to score, and how:
as the other coders' were."""

from dataclasses import dataclass, fields

import numpy as np

from autointerp.compare.price import MIN_LATENTS, Price
from autointerp.compare.scored import scores
from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions, recorded_options
from autointerp.store import ScoreKind, annotated_store

ENOUGH = 200
"""Latents that are offered to be scored where nothing says how many."""


@dataclass(frozen=True)
class Supply:
    """What one coder lacks. `wanted`: scores it should have, `n_scored` that it has. `explain`: latents to explain and then
    score; `score`: explanations to score. `explaining`, `scoring`: the settings; `None` where it is not known how the others'
    were made."""

    coder: str
    wanted: int
    n_scored: int
    explain: tuple[int, ...]
    score: tuple[str, ...]
    explaining: ExplainOptions | None
    scoring: ScoreOptions | None

    @property
    def asks_llm(self) -> bool:
        """Whether it costs requests to a language model."""
        return any(options is not None and options.needs_llm for options in (self.explaining, self.scoring))

    def commands(self, store: str) -> list[str]:
        """What does the same for the whole coder from a terminal, with the commonest of the settings."""
        lines = []
        if self.explain and self.explaining is not None:
            lines.append(f"autointerp explain {store} {self.coder} --explainer {self.explaining.explainer}")
        if self.scoring is not None:
            lines.append(
                f"autointerp score {store} {self.coder} --scorer {self.scoring.scorer}{_settings(self.scoring)}"
            )
        return lines


def supplies(resources: Resources, price: Price) -> list[Supply]:
    """Of the coders with fewer scores than were asked for, or than a test needs."""
    if price.kind is None:
        return []
    most = max((side.n_scored for side in price.sides), default=0)
    wanted = price.question.n or max(MIN_LATENTS, min(most, ENOUGH))
    short = [side for side in price.sides if side.n_scored < min(wanted, side.n_live)]
    needed = price.question.n or MIN_LATENTS
    return [
        _supply(resources, price, price.kind, side.coder, min(wanted, side.n_live), side.n_scored)
        for side in short
        if side.n_scored < needed
    ]


def _supply(
    resources: Resources, price: Price, kind: ScoreKind, coder: str, wanted: int, n_scored: int
) -> Supply:
    """Explained latents come first, in both groups in random order by the question's seed."""
    info = resources.store.coder(coder).info
    written = annotated_store(resources.annotations).coder(coder)
    scored = set(scores(written, kind, price.made_by, info.n_latents).latent.tolist())
    rows = written.explanations.select(["latent", "explanation_id", "made_by"]).to_pylist()
    rng = np.random.default_rng(price.question.seed)
    explained = {
        row["latent"]: row["explanation_id"]
        for row in rows
        if row["made_by"] == price.made_by and row["latent"] not in scored
    }
    missing = wanted - n_scored
    to_score = [explained[latent] for latent in rng.permutation(list(explained)).tolist()[:missing]]
    live = resources.store.coder(coder).table().live
    rest = np.setdiff1d(live, [*explained, *scored]) if explained or scored else live
    to_explain = rng.permutation(rest).tolist()[: missing - len(to_score)]
    return Supply(
        coder, wanted, n_scored, tuple(to_explain), tuple(to_score), _explaining(resources, price),
        _scoring(kind),
    )  # fmt: skip


def _explaining(resources: Resources, price: Price) -> ExplainOptions | None:
    """As one of the explanations was made that the others' scores are of."""
    for side in price.sides:
        written = annotated_store(resources.annotations).coder(side.coder)
        for row in written.explanations.select(["explanation_id", "made_by"]).to_pylist():
            if row["made_by"] == price.made_by:
                return _explain_options(resources.annotations.explanation(row["explanation_id"]))
    return None


def _explain_options(explanation: Explanation) -> ExplainOptions | None:
    names = {field.name for field in fields(ExplainOptions)} - {"extra", "llm"}
    settings = {name: value for name, value in explanation.config.items() if name in names}
    try:
        options = ExplainOptions.from_dict({**settings, "explainer": explanation.explainer})
        return options if options.needs_llm else options.check()
    except UserError:
        return None


def _scoring(kind: ScoreKind) -> ScoreOptions | None:
    try:
        return recorded_options(kind.scorer, kind.judge, kind.settings)
    except UserError:
        return None


def _settings(options: ScoreOptions) -> str:
    """What of the settings is not the default, as arguments."""
    default = ScoreOptions(scorer=options.scorer)
    said = []
    for option in options.entry.options:
        value = getattr(options, option.name, None)
        if value is None or value == getattr(default, option.name, None):
            continue
        values = [] if option.kind is bool else list(value) if option.several else [value]
        said.append(" ".join([option.option_string, *map(str, values)]))
    return "".join(f" {part}" for part in said)
