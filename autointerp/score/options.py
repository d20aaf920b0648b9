"""What can be chosen when scoring: a small frozen record that turns into JSON and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from autointerp.errors import UserError
from autointerp.llm.options import LLMOptions, check_llm
from autointerp.records import Score
from autointerp.registry import CENTRE, SEED, WINDOW, Chosen
from autointerp.score import delphi
from autointerp.score.plan import NO_NEGATIVES
from autointerp.score.registry import (
    BATCH,
    EMBEDDER,
    FLOOR,
    GRADED,
    JUDGE,
    N_EXAMPLES,
    N_NEGATIVES,
    N_QUESTIONS,
    N_TEXTS,
    NEGATIVES,
    PROTOCOL,
    SCORERS,
    TEXT_MODEL,
    WRONG_MARKS,
    ScorerEntry,
)
from autointerp.types import CoderInfo

_HARD_VERSION = 2  # of the way in which negatives near in meaning are drawn
_DRAWING_VERSION = 2  # of the way in which held-out examples are drawn: other examples make other scores


OWN = "own contexts"
"""Instead of "random", where only selected contexts are known: non-activating examples then are passages of a latent's own."""


def recorded_negatives(negatives: str, info: CoderInfo) -> str:
    """The source of non-activating examples, as it is recorded with a score of this coder."""
    return negatives.replace("random", OWN) if info.selected else negatives


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(Chosen):
    """How to score; `autointerp.score.registry` says what each option means and which scorers take it.

    `n_examples` held-out activating examples, evenly over the quantiles, against `n_negatives` from `negatives`, in equal
    parts. `extra`: options of one scorer alone.
    """

    scorer: str = "detection"
    judge: str = JUDGE.default
    n_examples: int = N_EXAMPLES.default
    n_negatives: int = N_NEGATIVES.default
    negatives: tuple[str, ...] = NEGATIVES.default
    wrong_marks: Literal["non_activating", "activating"] = WRONG_MARKS.default
    protocol: Literal["held-out", "delphi"] = PROTOCOL.default
    window: int = WINDOW.default
    centre: bool = CENTRE.default
    seed: int = SEED.default
    floor: bool = FLOOR.default
    batch: int = BATCH.default
    graded: bool = GRADED.default
    embedder: str = EMBEDDER.default
    llm: LLMOptions | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def entry(self) -> ScorerEntry:
        """Raises UnknownName."""
        return SCORERS.find(self.scorer)

    @property
    def judged(self) -> bool:
        """Whether a judge, offline or language model, answers."""
        return self.entry.judged

    @property
    def needs_llm(self) -> bool:
        return (
            "llm" in self.entry.needs
            or (self.judged and self.judge == "llm")
            or (self.uses(TEXT_MODEL) and self.value(TEXT_MODEL.name) == "llm")
        )

    @property
    def n_drawn(self) -> tuple[int, int]:
        """How many activating and how many non-activating examples are drawn."""
        if self.uses(N_QUESTIONS):
            n = self.value(N_QUESTIONS.name)
            return (N_TEXTS - 1) * n, n
        return self.n_examples, self.n_negatives

    @property
    def drawing(self) -> tuple[Any, ...]:
        """What decides which held-out examples are drawn: scorers that agree on it are asked about the same ones."""
        return (
            *(*self.n_drawn, self.negatives, self.window, self.seed, self.protocol),
            self.centre,
            self.embedder if "embedding" in self.negatives else None,
        )

    @property
    def judge_name(self) -> str:
        """As recorded with the score."""
        return self.judge if self.judged else self.entry.answered_by

    @property
    def negatives_name(self) -> str:
        """Where the non-activating examples come from, as recorded with the score; "none" where a scorer uses none."""
        if not self.uses(NEGATIVES):
            return NO_NEGATIVES
        marked = self.uses(WRONG_MARKS) and self.wrong_marks == "activating"
        return "wrong_marks" if marked else "+".join(self.negatives)

    def identity(self) -> Mapping[str, Any]:
        """Everything that shapes the score, the version of its prompt or method included; its hash tells whether work has been
        done already. Where the answers come from counts, how many at a time does not."""
        return self._identity

    @cached_property  # asked for several times per latent
    def _identity(self) -> dict[str, Any]:
        identity = self.to_dict() | {"judge": self.judge_name}
        identity = {name: value for name, value in identity.items() if name not in self.extra}
        identity["llm"] = self.llm.identity() if self.llm and self.needs_llm else None
        counted = (FLOOR, N_EXAMPLES, N_NEGATIVES) if self.entry.explanation_free else ()
        for option in (WRONG_MARKS, BATCH, GRADED, EMBEDDER, *counted):
            if not self.uses(option) and not (option is EMBEDDER and "embedding" in self.negatives):
                del identity[option.name]
        if not self.centre:
            del identity["centre"]  # as before there was a choice
        if "embedding" in self.negatives:
            identity["hard"] = _HARD_VERSION
        if self.protocol == "delphi":
            identity |= {"batch": delphi.BATCH} if "batch" in identity else {}
        else:
            identity["drawing"] = _DRAWING_VERSION
        version = self.entry.version(self)
        return {**identity, **self.extra_identity(), **({"version": version} if version else {})}

    def check(self) -> Self:
        """Raises UserError."""
        self.check_options(SCORERS)
        if self.protocol == "delphi":
            self._check_delphi()
        check_llm(self.llm, needed=self.needs_llm, by=f"The scorer “{self.scorer}” with this judge")
        return self

    def _check_delphi(self) -> None:
        if not self.uses(PROTOCOL) or self.negatives != ("random",):
            raise UserError(
                "The delphi protocol is available only for detection and fuzzing with random non-activating examples."
            )
        if self.uses(WRONG_MARKS) and self.wrong_marks == "activating":
            raise UserError("The delphi protocol puts wrong marks into non-activating examples only.")
        if self.centre:
            raise UserError("The delphi protocol cuts windows at fixed places, as the reference does.")

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = asdict(self) | {"negatives": list(self.negatives)}
        return data.pop("extra") | data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises UnknownName for an option that neither the record nor the scorer knows."""
        known = cls.sorted_out(data, SCORERS.find(data.get("scorer", cls.scorer)))
        known["negatives"] = tuple(known.get("negatives", NEGATIVES.default))
        if known.get("llm"):
            known["llm"] = LLMOptions.from_dict(known["llm"])
        return cls(**known)


def options_of(score: Score, llm: LLMOptions | None) -> ScoreOptions:
    """The options that a score was made with, asking the model `llm`, where one was asked. Raises UserError."""
    options = recorded_options(score.scorer, score.judge, score.config)
    return replace(options, llm=llm if options.needs_llm else None).check()


def recorded_options(scorer: str, judge: str, config: Mapping[str, Any]) -> ScoreOptions:
    """The options behind a score's configuration, but for the language model: what is recorded of it is not how to reach it.
    Raises UserError."""
    names = {field.name for field in fields(ScoreOptions)}
    names |= {option.name for option in SCORERS.find(scorer).options}
    recorded = {name: value for name, value in config.items() if name in names - {"llm", "judge", "extra"}}
    judge = "llm" if judge == "llm" else JUDGE.default
    return ScoreOptions.from_dict({**recorded, "scorer": scorer, "judge": judge})


def plan_seed(latent: int, options: ScoreOptions) -> int:
    """The seed of a score's questions: the same for all explanations of a latent, so that they can be compared."""
    return int(np.random.SeedSequence([options.seed, latent]).generate_state(1)[0])
