"""Detection and fuzzing: a judge says yes or no to texts."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.records import Explanation, Metric, Protocol
from autointerp.sampling import MARK_SHARE, Window, marks_above, runs
from autointerp.score import delphi
from autointerp.score.judges.base import Judge, Shown, Task
from autointerp.score.judges.llm import LLMJudge
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Item, Plan, Verdicts
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Resources
from autointerp.score.scorer import Heldout, Scorer, shuffled, simple_plan

WrongMarks = Literal["non_activating", "activating"]


class Classifier(Scorer):
    """What the two share: a judge answers per text, the value is balanced accuracy. `protocol`: whose choices are followed, see
    `autointerp.score.delphi`."""

    metric: ClassVar[Metric] = "balanced_accuracy"
    task: ClassVar[Task]

    def __init__(self, judge: Judge, *, protocol: Protocol = "held-out", resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.judge = judge
        self.judge_name = judge.name
        self.model = judge.model
        self.prompt_version = judge.prompt_version(self.task)
        self.protocol: Protocol = protocol

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        items = shown(plan.items)
        return [
            request
            for explanation in explanations
            for request in self.judge.requests(self.task, explanation, items)
        ]

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        return self.judge.judge(self.task, explanation, shown(plan.items))


class Detection(Classifier):
    """Does the latent fire anywhere in the text? Whole texts, nothing marked.

    Source: detection in arXiv 2410.13928, on held-out examples.
    """

    name: ClassVar[str] = "detection"
    task: ClassVar[Task] = "detection"

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return delphi.detection_plan(heldout) if self.protocol == "delphi" else simple_plan(heldout, seed)


class Fuzzing(Classifier):
    """Are the marked tokens the right ones?

    Right marks are the tokens with at least 0.3 of the window's largest activation. Wrong ones are drawn afresh for each
    example: runs as many and as long as in a random activating example, at random places (at the very places of that example's
    marks where windows are centred, for a place that is always the same would tell), either in non-activating windows or
    ("activating") on silent tokens of the activating windows themselves, each of which then appears once right and once wrong.

    Source: fuzzing in arXiv 2410.13928, on held-out examples, without its fixed positions.
    """

    name: ClassVar[str] = "fuzzing"
    task: ClassVar[Task] = "fuzzing"

    def __init__(
        self,
        judge: Judge,
        *,
        wrong_marks: WrongMarks = "non_activating",
        protocol: Protocol = "held-out",
        resamples: Resamples | None = None,
    ):
        super().__init__(judge, protocol=protocol, resamples=resamples)
        self.wrong_marks: WrongMarks = wrong_marks

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        if self.protocol == "delphi":
            return delphi.fuzzing_plan(heldout)
        rng = np.random.default_rng(seed)
        right = [
            Item(window, True, marks_above(window.example.activations, MARK_SHARE))
            for window in heldout.activating
        ]
        active = self.wrong_marks == "activating"
        wrong = []
        for window in heldout.activating if active else heldout.non_activating:
            like = (right[rng.integers(len(right))].marks or ()) if right else (0,)
            marks = random_marks(
                like, window, rng, same_places=heldout.centred and not active and bool(right)
            )
            if marks:  # a window that fires on every token has no wrong place
                wrong.append(Item(window, False, marks))
        source = "wrong_marks" if active else heldout.negatives
        return Plan(shuffled([*right, *wrong], rng), heldout.latent_max, source, seed)


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Classifier:
    """Detection or fuzzing. Raises UserError."""
    judge: Judge
    if options.judge == "offline":
        judge = resources.offline_judge(options.window)
    else:
        assert client is not None
        batch = delphi.BATCH if options.protocol == "delphi" else options.batch
        judge = LLMJudge(client, batch=batch, graded=options.graded, cancel=cancel)
    if options.scorer == "detection":
        return Detection(judge, protocol=options.protocol, resamples=resources.resamples)
    return Fuzzing(
        judge,
        wrong_marks=options.wrong_marks,
        protocol=options.protocol,
        resamples=resources.resamples,
    )


def shown(items: Sequence[Item]) -> list[Shown]:
    """The items without their truth."""
    return [Shown(item.window.texts, item.marks) for item in items]


def random_marks(
    like: tuple[int, ...], window: Window, rng: np.random.Generator, *, same_places: bool
) -> tuple[int, ...]:
    """Marks in runs as many and as long as `like` on tokens of `window` where they are wrong, at random places; with
    `same_places` at the very places of `like`, where that leaves any. Empty where no place is wrong."""
    allowed = _may_be_wrong(window)
    marks = tuple(i for i in like if i < len(allowed) and allowed[i]) if same_places else ()
    return marks or place_runs([end - start for start, end in runs(like)], allowed, rng)


def place_runs(
    lengths: Sequence[int], allowed: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[int, ...]:
    """Random positions in runs of these lengths on `allowed` positions, apart from each other; runs that find no room get
    shorter, and are left out at last. Ascending."""
    free = allowed.copy()
    taken: list[int] = []
    for wanted in sorted(lengths, reverse=True):
        for length in range(min(wanted, len(free)), 0, -1):
            starts = _starts(free, length)
            if len(starts):
                start = int(starts[rng.integers(len(starts))])
                taken += range(start, start + length)
                free[max(0, start - 1) : start + length + 1] = False
                break
    return tuple(sorted(taken))


def _starts(free: NDArray[np.bool_], length: int) -> NDArray[np.intp]:
    """Where `length` free positions begin."""
    room = free[: len(free) - length + 1]
    for offset in range(1, length):
        room = room & free[offset : len(free) - length + 1 + offset]
    return np.flatnonzero(room)


def _may_be_wrong(window: Window) -> NDArray[np.bool_]:
    """Positions where a mark would be wrong: silent ones that show something; else ones below the mark's share."""
    activations = window.example.activations
    visible = np.ones(len(activations), dtype=bool)
    if "" in window.texts:
        visible = np.array([bool(text) for text in window.texts])
    silent = visible & (activations <= 0)
    return silent if silent.any() else visible & (activations < MARK_SHARE * activations.max(initial=0.0))
