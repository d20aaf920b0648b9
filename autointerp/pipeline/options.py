"""What a person can choose when explaining and scoring: small frozen records that turn into JSON and back.

`identity()` holds what shapes the result and nothing else: its hash tells whether work has been done already. Where the
answers come from counts, how many at a time does not. No record ever holds an API key.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np

from autointerp.errors import UnknownName, UserError
from autointerp.explain import pattern
from autointerp.explain.prompts import default as explain_prompt
from autointerp.score import delphi
from autointerp.score.judges import offline
from autointerp.score.prompts import detection, fuzzing, simulation, surprisal
from autointerp.settings import DEFAULT_EMBEDDER, DEFAULT_WINDOW

ExplainerName = Literal["pattern", "default", "contrastive", "top_logits"]
ScorerName = Literal["detection", "fuzzing", "embedding", "surprisal", "simulation"]
JudgeName = Literal["offline", "llm"]
SamplingName = Literal["mix", "quantiles", "top", "random"]
NegativeSource = Literal["random", "neighbours", "embedding"]

EXPLAINERS: tuple[ExplainerName, ...] = get_args(ExplainerName)
SCORERS: tuple[ScorerName, ...] = get_args(ScorerName)
JUDGES: tuple[JudgeName, ...] = get_args(JudgeName)
SAMPLINGS: tuple[SamplingName, ...] = get_args(SamplingName)
NEGATIVES: tuple[NegativeSource, ...] = get_args(NegativeSource)
JUDGED_SCORERS: tuple[ScorerName, ...] = ("detection", "fuzzing")
"""Scorers whose questions a judge answers."""

_PROMPTS: dict[str, Any] = {
    "detection": detection,
    "fuzzing": fuzzing,
}

MAX_EXAMPLES = 10_000
_HARD_VERSION = 2  # of the way in which negatives near in meaning are drawn
_DRAWING_VERSION = (
    2  # of the way in which held-out examples are drawn: scores on other examples are other scores
)


class KeyGone(UserError):
    """A key that was typed, and kept nowhere, is not in this process's memory: no item of the job can do without it."""


@dataclass(frozen=True, kw_only=True)
class LLMOptions:
    """Which language model to ask, and how much at most.

    `base_url`: of any OpenAI-compatible server, or a name in `autointerp.llm.ENDPOINTS`. `max_tokens`, `max_cost`: the budget
    of one job. `prices`: per million tokens, as `PriceTable.parse` takes them. `key_ref` names a key lent to this process in
    memory (`ApiKeys.add`); without one the key comes from the environment.
    """

    model: str
    base_url: str = "openai"
    max_in_flight: int = 16
    timeout: float = 120.0
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Mapping[str, Any] = field(default_factory=dict)
    key_ref: str | None = None

    def identity(self) -> dict[str, Any]:
        """Server and model."""
        from autointerp.llm.endpoints import base_url, identity

        return {"model": self.model, "endpoint": identity(base_url(self.base_url))}

    def check(self) -> Self:
        """Raises UserError for what no server takes."""
        if not self.model.strip():
            raise UserError("No language model named. Give the name of one that the server offers.")
        if not 1 <= self.max_in_flight <= 1024 or not self.timeout > 0:
            raise UserError(
                f"{self.max_in_flight} requests at once with {self.timeout} s each: accepted are 1 to 1,024 requests and a "
                "time above 0."
            )
        self.identity()
        return self

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, data))


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """How to explain.

    `sampling`: which held-in activating examples are shown ("mix": a quarter the strongest, the others from all quantiles);
    `n_examples` of them, `n_contrast` non-activating ones, windows of `window` tokens. `activations`, `reasoning`,
    `max_tokens` (of an example) are for language models. `centre`: activating windows are moved so that their strongest
    token stands at three quarters, as far as the context row allows; else they are cut at fixed places. `split_seed` and
    `heldout_fraction` decide which contexts the explainer may see; leave them alone to keep explanations of one latent
    comparable.
    """

    explainer: ExplainerName = "pattern"
    sampling: SamplingName = "quantiles"
    n_examples: int = 40
    n_contrast: int = 40
    window: int = DEFAULT_WINDOW
    activations: bool = True
    reasoning: bool = False
    max_tokens: int | None = None
    centre: bool = False
    seed: int = 0
    split_seed: int = 0
    heldout_fraction: float = 0.5
    llm: LLMOptions | None = None

    @property
    def needs_llm(self) -> bool:
        return self.explainer != "pattern"

    def identity(self) -> Mapping[str, Any]:
        """Everything that shapes the explanation, the version of its prompt or method included."""
        return self._identity

    @cached_property  # asked for several times per latent
    def _identity(self) -> dict[str, Any]:
        found = {**asdict(self), "llm": self.llm.identity() if self.llm and self.needs_llm else None}
        found["version"] = explain_prompt.VERSION if self.needs_llm else pattern.VERSION
        if not self.centre:
            del found["centre"]  # as before there was a choice
        if not self.needs_llm:
            for name in ("activations", "reasoning", "max_tokens"):
                del found[name]
        return found

    def check(self) -> Self:
        """Raises UserError."""
        _member("explainer", self.explainer, EXPLAINERS)
        _member("sampling", self.sampling, SAMPLINGS)
        _counts(n_examples=self.n_examples, n_contrast=self.n_contrast, window=self.window)
        _seeds(seed=self.seed, split_seed=self.split_seed)
        if not 0 < self.heldout_fraction < 1:
            raise UserError(f"held-out fraction {self.heldout_fraction}: it lies between 0 and 1.")
        _check_llm(self.llm, needed=self.needs_llm, by=f"The explainer “{self.explainer}”")
        return self

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return _with_llm(cls, data)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How to score.

    `judge`: who answers detection's and fuzzing's questions. `n_examples` held-out activating examples, evenly over the
    quantiles, against `n_negatives` from `negatives`, in equal parts. `wrong_marks`: fuzzing's wrong marks stand in
    non-activating or in activating examples. `protocol` "delphi": the reference's sampling, marks and batches. `floor`:
    score a random other explanation on the same examples too. `centre`: as in `ExplainOptions`. `batch`: texts in one
    prompt; `graded`: ask for log probabilities.
    """

    scorer: ScorerName = "detection"
    judge: JudgeName = "offline"
    n_examples: int = 30
    n_negatives: int = 30
    negatives: tuple[NegativeSource, ...] = ("random",)
    wrong_marks: Literal["non_activating", "activating"] = "non_activating"
    protocol: Literal["held-out", "delphi"] = "held-out"
    window: int = DEFAULT_WINDOW
    centre: bool = False
    seed: int = 0
    floor: bool = True
    batch: int = 10
    graded: bool = False
    embedder: str = DEFAULT_EMBEDDER
    llm: LLMOptions | None = None

    @property
    def judged(self) -> bool:
        """Whether a judge, offline or language model, answers."""
        return self.scorer in JUDGED_SCORERS

    @property
    def needs_llm(self) -> bool:
        return self.scorer == "simulation" or (self.judged and self.judge == "llm")

    @property
    def drawing(self) -> tuple[Any, ...]:
        """What decides which held-out examples are drawn: scorers that agree on it are asked about the same ones."""
        return (
            *(self.n_examples, self.n_negatives, self.negatives, self.window, self.seed, self.protocol),
            self.centre,
            self.embedder if "embedding" in self.negatives else None,
        )

    @property
    def judge_name(self) -> str:
        """As recorded with the score."""
        if self.judged:
            return self.judge
        return {"embedding": "embedder", "surprisal": "language model", "simulation": "llm"}[self.scorer]

    @property
    def negatives_name(self) -> str:
        """Where the non-activating examples come from, as recorded with the score."""
        if self.scorer == "fuzzing" and self.wrong_marks == "activating":
            return "wrong_marks"
        return "+".join(self.negatives)

    def identity(self) -> Mapping[str, Any]:
        """Everything that shapes the score, the version of its prompt or method included."""
        return self._identity

    @cached_property  # asked for several times per latent
    def _identity(self) -> dict[str, Any]:
        found = {**asdict(self), "negatives": list(self.negatives), "judge": self.judge_name}
        found["llm"] = self.llm.identity() if self.llm and self.needs_llm else None
        if self.judged:
            found["version"] = offline.VERSION if self.judge == "offline" else _PROMPTS[self.scorer].VERSION
        elif self.scorer == "simulation":  # which of the two it will be, the server decides
            found["version"] = f"{simulation.VERSION}, {simulation.SLOT_VERSION}"
        elif self.scorer == "surprisal":
            found["version"] = f"{surprisal.VERSION}, {surprisal.SHORT_VERSION}"
        if self.scorer != "fuzzing":
            del found["wrong_marks"]
        if not self.centre:
            del found["centre"]  # as before there was a choice
        if self.scorer != "embedding" and "embedding" not in self.negatives:
            del found["embedder"]
        if "embedding" in self.negatives:
            found["hard"] = _HARD_VERSION
        if not (self.judged and self.judge == "llm"):
            del found["batch"], found["graded"]
        elif self.protocol == "delphi":
            found["batch"] = delphi.BATCH  # whatever was chosen: it is part of the protocol
        if self.protocol == "held-out":
            found["drawing"] = _DRAWING_VERSION
        return found

    def check(self) -> Self:
        """Raises UserError."""
        _member("scorer", self.scorer, SCORERS)
        _member("judge", self.judge, JUDGES)
        _member("protocol", self.protocol, ("held-out", "delphi"))
        _member("place of wrong marks", self.wrong_marks, ("non_activating", "activating"))
        _counts(n_examples=self.n_examples, n_negatives=self.n_negatives, window=self.window)
        _seeds(seed=self.seed)
        if not self.negatives:
            raise UserError(f"no source of non-activating examples: choose from {', '.join(NEGATIVES)}.")
        for source in self.negatives:
            _member("source of non-activating examples", source, NEGATIVES)
        if self.protocol == "delphi" and (not self.judged or self.negatives != ("random",)):
            raise UserError(
                "The delphi protocol is there for detection and fuzzing with random non-activating examples."
            )
        if self.protocol == "delphi" and self.scorer == "fuzzing" and self.wrong_marks == "activating":
            raise UserError("The delphi protocol puts wrong marks into non-activating examples only.")
        if self.protocol == "delphi" and self.centre:
            raise UserError(
                "The delphi protocol cuts windows at fixed places, as the reference does whatever it is told."
            )
        if self.judged and self.judge == "llm" and not 1 <= self.batch <= 100:
            raise UserError(f"{self.batch} texts in one prompt: accepted are 1 to 100.")
        _check_llm(self.llm, needed=self.needs_llm, by=f"The scorer “{self.scorer}” with this judge")
        return self

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "negatives": list(self.negatives)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        options = _with_llm(cls, data)
        return replace(options, negatives=tuple(options.negatives))


def _with_llm(cls: Any, data: Mapping[str, Any]) -> Any:
    known = _known(cls, data)
    if known.get("llm") is not None:
        known["llm"] = LLMOptions.from_dict(known["llm"])
    return cls(**known)


def _known(cls: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(cls)}
    for name in data:
        if name not in names:
            raise UnknownName("option", name, sorted(names))
    return dict(data)


def _member(what: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise UnknownName(what, given, allowed)


def _counts(**numbers: int) -> None:
    for name, number in numbers.items():
        if not 1 <= number <= MAX_EXAMPLES:
            raise UserError(f"{name} is {number}; accepted: 1 to {MAX_EXAMPLES:,}.")


def _seeds(**seeds: int) -> None:
    for name, seed in seeds.items():
        if not 0 <= seed < 2**63:
            raise UserError(f"{name} is {seed}; a seed is a whole number from 0 to 2^63 - 1.")


def _check_llm(llm: LLMOptions | None, *, needed: bool, by: str) -> None:
    if needed and llm is None:
        raise UserError(
            f"{by} asks a language model, and none is chosen. Name a model and its server (Settings page; --llm and "
            "--base-url), or use what works without one: the pattern explainer, the offline judge."
        )
    if needed and llm is not None:
        llm.check()


def plan_seed(latent: int, options: ScoreOptions) -> int:
    """The seed of a score's questions: the same for all explanations of a latent, so that they can be compared."""
    return int(np.random.SeedSequence([options.seed, latent]).generate_state(1)[0])
