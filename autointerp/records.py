"""What is known and kept about explanations: typed, frozen, made once and never changed.

An `Explanation` is one version of the text about one latent. A `Score` measures one explanation; its `judged` examples are the
windows that a judge answered about. Each says where it came from. Ids are made here, before anything is stored, so that records
can name each other.

A failure is a record with `status="failed"`: an `error` to read, an `error_kind` to filter by, and whether a retry can help
(`autointerp.errors.Failure`); never a sentence in `text` or a zero in `value`.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from autointerp.errors import Failure

Status = Literal["ok", "failed"]
Metric = Literal[
    "balanced_accuracy", "auroc", "correlation", "triplet_auroc", "intruder_accuracy", "nats", "hit_rate"
]
Protocol = Literal["held-out", "delphi"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """A ULID: 26 characters that sort by creation time (milliseconds) and are unique without any coordination."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def now() -> str:
    """The time as stored everywhere: UTC, ISO 8601 with milliseconds, for example `2026-11-21T14:30:00.123Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def canonical_json(value: object) -> str:
    """One text per value: sorted keys, no spaces, no NaN. Raises ValueError or TypeError for what JSON cannot hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a configuration: equal exactly when the configurations are equal."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def example_id(context: int, start: int, window: int) -> str:
    """How an example is named in explanations, scores and links: `context:start:window`."""
    return f"{context}:{start}:{window}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """How a record was made, and how that ended: `model` is the language model behind it if any, `author` the person or
    "autointerp". Tokens and `cost` (in the currency of the price table, `None` when unknown) are what it paid; `duration` in
    seconds."""

    id: str = field(default_factory=new_id)
    model: str | None = None
    author: str = "autointerp"
    created: str = field(default_factory=now)
    config: Mapping[str, Any] = field(default_factory=dict)
    prompt_version: str | None = None
    seed: int | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    duration: float | None = None
    status: Status = "ok"
    error: str | None = None
    error_kind: str | None = None
    retryable: bool = False

    @property
    def config_hash(self) -> str:
        return config_hash(self.config)

    @property
    def failure(self) -> Failure | None:
        """Why it failed, if it did."""
        if self.status == "ok":
            return None
        return Failure(self.error or "no cause was recorded", self.error_kind or "error", self.retryable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(_Made):
    """One version of the explanation of one latent.

    `explainer` is the method ("default", "pattern", "person", ...). `parent` is the version this one was edited from.
    `example_ids` are the examples shown to the explainer, activating ones first. `reasoning`: what a model wrote or
    thought first. `parts`: what an explainer states as data beside its sentence, JSON. `reply_ref` is the key of the stored
    reply, which holds the exact prompt too.
    """

    coder: str
    latent: int
    text: str
    explainer: str
    parent: str | None = None
    example_ids: tuple[str, ...] = ()
    reasoning: str | None = None
    parts: Any = None
    reply_ref: str | None = None

    @property
    def protocol(self) -> Protocol:
        """How its examples were drawn; configurations say so only where it is not the usual one."""
        return self.config.get("protocol", "held-out")


class JudgedExample(NamedTuple):
    """One window as one judge saw it. `i` counts from 0 within its score. A tuple, because a score has tens of them.

    `truth`: whether the right answer is yes (`None` for token-wise scorers). `answer`: what the judge said, `None` if it
    could not be read. `value`: the graded answer (a probability, a similarity) where there is one; larger means yes.
    `quantile`: 0 (strongest) to 9, of an activating window. `source`: as in `autointerp.types.Example`. `marks`: positions in
    the window that were marked when shown. `predicted`: one number per token, from simulation. `reply_ref`: key of the stored
    reply that holds the answer. `error`: why there is no usable answer.

    One that was written for the score, of `generation`, stands in no context of the corpus: `context` is -1, `reply_ref` names
    the stored texts with their activations, `start` is its place among them; `truth`: whether it was written from the
    explanation that is scored, `answer`: whether the latent fires, `value`: its largest activation.
    """

    i: int
    context: int
    start: int
    window: int
    truth: bool | None
    answer: bool | None = None
    value: float | None = None
    quantile: int | None = None
    source: str = "activating"
    marks: tuple[int, ...] | None = None
    predicted: tuple[float, ...] | None = None
    reply_ref: str | None = None
    error: str | None = None

    @property
    def example_id(self) -> str:
        return example_id(self.context, self.start, self.window)

    @property
    def key(self) -> tuple[int, int, int, bool | None, tuple[int, ...] | None]:
        """The same for the same question about two explanations."""
        return (self.context, self.start, self.window, self.truth, self.marks)

    @property
    def parsed(self) -> bool:
        """Whether there is an answer of any kind."""
        return self.answer is not None or self.value is not None or self.predicted is not None

    @property
    def correct(self) -> bool | None:
        """`None` when there is nothing to compare."""
        return None if self.truth is None or self.answer is None else self.truth == self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(_Made):
    """How well one explanation did under one scorer, judge, protocol and choice of negatives.

    `value` is in the unit of `metric`, `None` when it is not defined or the score failed; `ci_low` to `ci_high` its 95 %
    bootstrap interval over examples, stratified by class, `None` with fewer than two in a class. `auroc` stands beside the
    value of detection and fuzzing where the judge grades its answers. `n_pos` and `n_neg` count the answered examples per
    class, `unparsed` those whose answer could not be read, which are in no figure. `tpr_by_quantile[q]` is the share of the
    activating examples of quantile q (0 = strongest) answered yes, `None` where none was judged; `tnr` the share of non-
    activating ones answered no; `value_by_quantile[q]` the score with only the activating examples of q. `floor` is what the
    same scorer gives a random other explanation, `floor_explanation_id`, on the `n_floor` of the same examples that could be
    read for it too; `above_low` to `above_high` is the 95 % interval of how far the explanation did better there, `None` also
    where an earlier program did not record it. A scorer that needs no
    explanation (`ScorerEntry.explanation_free`) has no floor but chance, and gives every version of a latent's explanation the
    same score. Tokens and `cost` include the floor's. `judged`: the judged examples in the
    order asked; `None` where they were not loaded. Of `intruder`, `n_pos` counts questions, of several judged examples each; of
    `generation`, `n_neg` the texts written from the floor's explanation, of which `floor` is the share that fires.
    """

    explanation_id: str
    scorer: str
    judge: str
    value: float | None
    metric: Metric = "balanced_accuracy"
    protocol: Protocol = "held-out"
    negatives: str = "random"
    ci_low: float | None = None
    ci_high: float | None = None
    n_pos: int = 0
    n_neg: int = 0
    tpr_by_quantile: tuple[float | None, ...] = ()
    tnr: float | None = None
    unparsed: int = 0
    floor: float | None = None
    n_floor: int | None = None
    above_low: float | None = None
    above_high: float | None = None
    floor_explanation_id: str | None = None
    auroc: float | None = None
    value_by_quantile: tuple[float | None, ...] = ()
    judged: tuple[JudgedExample, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def n(self) -> int:
        return n_behind(self.metric, self.n_pos, self.n_neg)


def n_behind(metric: str, n_pos: int, n_neg: int) -> int:
    """How many examples a score's value is made of. The floor's texts have no part in a hit rate."""
    return n_pos if metric == "hit_rate" else n_pos + n_neg


Record = Explanation | Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The explanation a person chose to be shown for its latent."""

    coder: str
    latent: int
    explanation_id: str
    author: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReply:
    """One request to a language model and what came back, as JSON objects; `cost` as in every record."""

    key: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    created: str
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
