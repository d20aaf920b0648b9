"""delphi's score files: one latent's judged examples, each with its tokens' texts, and our figures of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.formats.delphi.places import Finder, cut, first_silent
from autointerp.formats.delphi.run import Run
from autointerp.records import JudgedExample, Metric
from autointerp.sampling import MARK_SHARE, Window, marks_above
from autointerp.sampling.marking import levels
from autointerp.score import delphi
from autointerp.score.plan import Item
from autointerp.score.resampling import Resamples
from autointerp.score.summary import Summary, summarise
from autointerp.types import N_QUANTILES, Example, LatentActivations

UNREAD = "delphi could not read the judge's answer"
_LARGEST = 1e6


@dataclass(frozen=True)
class Judged:
    """One score file as read. `unplaced`: examples that are in every figure, but not among `examples`, because no window of the
    corpus is like them. `negatives`: where the non-activating ones come from."""

    summary: Summary
    examples: tuple[JudgedExample, ...]
    unplaced: int
    negatives: str
    window: int


@dataclass(frozen=True)
class _Row:
    """An example before it is placed. `start`: its token index, `None` where it is not found."""

    start: int | None
    width: int
    truth: bool | None
    quantile: int | None
    source: str
    activations: NDArray[np.float32]
    answer: bool | None = None
    value: float | None = None
    predicted: tuple[float, ...] | None = None
    marks: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ScoreFormat:
    """How one of delphi's scorers is read. `scorer`, `judge`, `metric`: as in our records."""

    scorer: str
    judge: str
    metric: Metric
    read: Callable[["Reader", list[Any]], list[_Row]]


class Reader:
    """Reads the scores of one coder. `finder` gives the windows of a width."""

    def __init__(self, run: Run, finder: Callable[[int], Finder], ctx_len: int, resamples: Resamples):
        self.run, self._finder, self._ctx_len, self._resamples = run, finder, ctx_len, resamples
        self.acts: LatentActivations

    def read(self, form: ScoreFormat, content: Any, acts: LatentActivations) -> Judged:
        """Of the latent with these activations. Raises ValueError for JSON of another shape."""
        self.acts = acts
        if not isinstance(content, list) or not content:
            raise ValueError("it is not a list of examples, or is empty")
        rows = form.read(self, content)
        examples = [self._example(i, row) for i, row in enumerate(rows)]
        items = (
            [Item(_window(row), row.truth, row.marks) for row in rows] if form.metric == "correlation" else []
        )
        sources = {row.source for row in rows if not row.truth and row.source != "activating"}
        return Judged(
            summarise(form.metric, items, examples, self._resamples),
            tuple(example for example in examples if example.context >= 0),
            sum(example.context < 0 for example in examples),
            "+".join(sorted(sources)) or ("wrong_marks" if form.scorer == "fuzzing" else self.run.negatives),
            max(row.width for row in rows),
        )

    def _example(self, i: int, row: _Row) -> JudgedExample:
        context, start = (-1, 0) if row.start is None else divmod(row.start, self._ctx_len)
        example = JudgedExample(
            i,
            context,
            start,
            row.width,
            row.truth,
            row.answer,
            row.value,
            row.quantile,
            row.source,
            row.marks,
            row.predicted,
        )
        return example if example.parsed else example._replace(error=UNREAD)

    def classified(self, content: list[Any], *, marked: bool) -> list[_Row]:
        """Detection and fuzzing."""
        rows: list[_Row] = []
        for entry in map(_object, content):
            words, activations = _texts(entry, "str_tokens"), _numbers(entry, "activations")
            if len(words) != len(activations):
                raise ValueError(f"{len(words)} tokens and {len(activations)} activations in one example")
            truth, prediction = _flag(entry, "activating"), _flag(entry, "prediction", optional=True)
            if truth is None:
                raise ValueError("an example does not say whether it is activating")
            value = None if entry.get("probability") is None else _number(entry, "probability")
            rows.append(
                self._row(truth, _number(entry, "distance"), "".join(words), activations, prediction, value)
            )
        return self._marked(rows) if marked else rows

    def _row(
        self,
        truth: bool,
        distance: float,
        text: str,
        values: NDArray[np.float64],
        answer: bool | None,
        value: float | None,
    ) -> _Row:
        width, activations = len(values), values.astype(np.float32)
        finder = self._finder(width)
        start = finder.by_activations(self.acts, activations, text) if activations.any() else None
        own = start is not None  # also the wrongly marked ones of delphi's "active" fuzzing
        if start is None and not truth:
            start = first_silent(self.acts, finder.by_text(text), width)
        source = "activating" if truth or own else self._source(distance)
        return _Row(
            start, width, truth, _quantile(distance) if truth else None, source, activations, answer, value
        )

    def _source(self, distance: float) -> str:
        """delphi records minus the similarity of a neighbour, and -1 for everything else."""
        if self.run.negatives == "neighbours":
            return "random" if distance == -1 else "neighbours"
        return self.run.negatives

    def _marked(self, rows: list[_Row]) -> list[_Row]:
        """With the marks that delphi put, which it does not record but always puts alike."""
        active = [int(np.count_nonzero(row.activations)) for row in rows if row.truth]
        n = -(-sum(active) // len(active)) if active else 1
        elsewhere = any(row.activations.any() for row in rows if not row.truth and row.source != "activating")
        marked = []
        for row in rows:
            right = row.truth or elsewhere
            marks = (
                marks_above(row.activations, MARK_SHARE) if right else delphi.wrong_marks(row.activations, n)
            )
            marked.append(_Row(**{**vars(row), "marks": marks}))
        return marked

    def similar(self, content: list[Any]) -> list[_Row]:
        """Embedding: the texts, and how similar each is to the explanation."""
        width = self._width()
        rows = []
        for entry in map(_object, content):
            text, distance = _text(entry, "text"), _number(entry, "distance")
            rows.append(self._by_text(text, distance, width, value=_number(entry, "similarity")))
        return rows

    def surprised(self, content: list[Any]) -> list[_Row]:
        """Surprisal: losses of a text's tokens with the explanation and without."""
        rows = []
        for entry in map(_object, content):
            without, given = _numbers(entry, "no_explanation"), _numbers(entry, "explanation")
            value = float(without.sum() - given.sum())
            activations, distance = _numbers(entry, "activations"), _number(entry, "distance")
            if len(activations):
                text = _text(entry, "text")
                rows.append(self._row(distance >= 0, distance, text, activations, None, value))
            else:
                rows.append(self._by_text(_text(entry, "text"), distance, self._width(), value=value))
        return rows

    def simulated(self, content: list[Any]) -> list[_Row]:
        """Simulation: predicted activations of every token, in groups by quantile and once more all together."""
        groups = [_list(_object(group), "scored_sequence_simulations") for group in content]
        whole = [
            group for entry, group in zip(content, groups, strict=True) if _number(entry, "distance") == 0
        ]
        sequences = whole[0] if whole else [sequence for group in groups for sequence in group]
        top = float(self.acts.activation.max(initial=0.0))
        rows = []
        for entry in map(_object, sequences):
            simulation = _object(entry.get("simulation"))
            words, predicted = _texts(simulation, "tokens"), _numbers(simulation, "expected_activations")
            true = _numbers(entry, "true_activations")
            if not len(words) == len(predicted) == len(true):
                raise ValueError("the numbers of tokens, true and predicted activations differ")
            distance, width = _number(entry, "distance"), len(words)
            starts = self._finder(width).by_text("".join(words))
            if distance < 0:
                start = first_silent(self.acts, starts, width)
            else:
                apart = [np.abs(levels(cut(self.acts, int(s), width), top) - true).max() for s in starts]
                start = int(starts[np.argmin(apart)]) if apart and min(apart) <= 1 else None
            source = "activating" if distance >= 0 else self._source(distance)
            rows.append(
                _Row(
                    start,
                    width,
                    None,
                    _quantile(distance),
                    source,
                    true.astype(np.float32),
                    predicted=tuple(map(float, predicted)),
                )
            )
        return rows

    def _by_text(self, text: str, distance: float, width: int, *, value: float) -> _Row:
        starts = self._finder(width).by_text(text)
        truth = distance >= 0
        if truth:
            firing = [int(s) for s in starts if cut(self.acts, int(s), width).any()]
            start = firing[0] if firing else None
        else:
            start = first_silent(self.acts, starts, width)
        activations = np.zeros(width, np.float32)
        source = "activating" if truth else self._source(distance)
        return _Row(
            start, width, truth, _quantile(distance) if truth else None, source, activations, None, value
        )

    def _width(self) -> int:
        width = self.run.window
        return width if width is not None and width <= self._ctx_len else min(32, self._ctx_len)


FORMATS: Mapping[str, ScoreFormat] = {
    "detection": ScoreFormat(
        "detection",
        "llm",
        "balanced_accuracy",
        lambda reader, content: reader.classified(content, marked=False),
    ),
    "fuzz": ScoreFormat(
        "fuzzing", "llm", "balanced_accuracy", lambda reader, content: reader.classified(content, marked=True)
    ),
    "embedding": ScoreFormat("embedding", "embedder", "auroc", Reader.similar),
    "surprisal": ScoreFormat("surprisal", "language model", "auroc", Reader.surprised),
    "simulation": ScoreFormat("simulation", "llm", "correlation", Reader.simulated),
}
"""By the name of delphi's folder."""


def _window(row: _Row) -> Window:
    ids = np.zeros(row.width, np.int64)
    top = float(row.activations.max(initial=0.0))
    return Window(Example(0, 0, ids, row.activations, top, row.quantile), [""] * row.width)


def _quantile(distance: float) -> int | None:
    return int(distance) if 0 <= distance < N_QUANTILES else None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an example is not a JSON object")
    return value


def _list(entry: Mapping[str, Any], name: str) -> list[Any]:
    value = entry.get(name)
    if not isinstance(value, list) or len(value) > _LARGEST:
        raise ValueError(f"{name} is not a list")
    return value


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")
    return value


def _texts(entry: Mapping[str, Any], name: str) -> Sequence[str]:
    values = _list(entry, name)
    if not values or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is not a list of strings, or is empty")
    return values


def _numbers(entry: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    values = _list(entry, name)
    if not all(type(value) in (int, float) for value in values):
        raise ValueError(f"{name} is not a list of numbers")
    if not all(abs(value) <= _LARGEST for value in values):
        raise ValueError(f"{name} holds NaN, infinity or a number beyond {_LARGEST:,.0f}")
    return np.array(values, np.float64)


def _number(entry: Mapping[str, Any], name: str) -> float:
    value: Any = entry.get(name)
    if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{name} is not a number")
    return float(value)


def _flag(entry: Mapping[str, Any], name: str, *, optional: bool = False) -> bool | None:
    value = entry.get(name)
    if (optional and value is None) or isinstance(value, bool):
        return value
    if value in (0, 1):  # as delphi before 0.1.3 wrote predictions
        return bool(value)
    raise ValueError(f"{name} is neither true nor false")
