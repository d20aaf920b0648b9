"""What an audit is drawn from, and what it asks: a small frozen record that turns into JSON and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, get_args

from autointerp.errors import UnknownName, UserError
from autointerp.ratings import Task
from autointerp.registry import MAX_SEED
from autointerp.store import ScoreKind

MAX_ITEMS = 10_000
MAX_BINS = 20
MAX_QUESTIONS = 200
_KIND = ("scorer", "judge", "protocol", "negatives", "model", "config")


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """The population: of `coders` the shown explanations, with an `explainer` the newest one of each latent by it; only of
    `latents` (by coder) where these are given, such as a filtered list or a collection; with `bounds`, only those with a score
    of `kind` between them, both inclusive, `None` = no bound.

    `n` of them are drawn, by strata: coder, `score_bins` parts by the score of `kind` (none without one), `density_bins` parts
    by density. Further items are controls, `control_share` of `n`: shown with the text of another latent. `repeat_share` of the
    items come back to each rater. `n_questions`: of a judge's task. `blind`: what tells where an explanation comes from is
    hidden until it is judged.
    """

    coders: tuple[str, ...]
    explainer: str | None = None
    kind: ScoreKind | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    latents: Mapping[str, Sequence[int]] | None = None
    n: int = 100
    tasks: tuple[Task, ...] = ("verdict",)
    score_bins: int = 10
    density_bins: int = 3
    repeat_share: float = 0.1
    control_share: float = 0.1
    n_questions: int = 20
    seed: int = 0
    blind: bool = True

    def check(self) -> Self:
        """Raises UserError."""
        if not self.coders:
            raise UserError("Choose at least one coder to audit.")
        if len(set(self.coders)) < len(self.coders):
            raise UserError("A coder is named twice; name each once.")
        for name, low, high in (
            ("n", 1, MAX_ITEMS),
            ("score_bins", 1, MAX_BINS),
            ("density_bins", 1, MAX_BINS),
            ("n_questions", 2, MAX_QUESTIONS),
            ("repeat_share", 0, 1),
            ("control_share", 0, 1),
            ("seed", 0, MAX_SEED),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} is {value}; accepted: {low:,} to {high:,}.")
        if self.n < len(self.coders):
            raise UserError(
                f"{self.n} items cannot represent {len(self.coders)} coders: draw at least one item per coder, preferably ten."
            )
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise UserError(f"Tasks: one or more of {', '.join(get_args(Task))}, each once.")
        for task in self.tasks:
            if task not in get_args(Task):
                raise UnknownName("task", task, get_args(Task))
        low, high = self.bounds
        if (low, high) != (None, None) and self.kind is None:
            raise UserError("To audit a range of scores, say which kind of score.")
        if low is not None and high is not None and low > high:
            raise UserError(f"No score is at least {low:g} and at most {high:g}.")
        for coder in self.latents or ():
            if coder not in self.coders:
                raise UnknownName("coder", coder, self.coders)
        return self

    def to_config(self) -> dict[str, Any]:
        """JSON."""
        config = {each.name: getattr(self, each.name) for each in fields(self)}
        config |= {"coders": list(self.coders), "tasks": list(self.tasks), "bounds": list(self.bounds)}
        if self.kind is not None:
            config["kind"] = {name: getattr(self.kind, name) for name in _KIND}
        if self.latents is not None:
            config["latents"] = {
                coder: sorted({int(latent) for latent in self.latents[coder]})
                for coder in sorted(self.latents)
            }
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Raises UnknownName for an option that does not exist."""
        names = [each.name for each in fields(cls)]
        for name in config:
            if name not in names:
                raise UnknownName("option of audits", name, names)
        values = dict(config)
        for name in ("coders", "tasks", "bounds"):
            if name in values:
                values[name] = tuple(values[name])
        if values.get("kind") is not None:
            values["kind"] = ScoreKind(**values["kind"])
        return cls(**values)
