"""What lists show of a coder's annotations: the explanation shown for each latent and its scores, kept ready to be joined
with the latents' statistics in DuckDB.

Only what sorts and filters goes into a join, as narrow numeric tables; texts and intervals are fetched for the rows of a page.
A coder's tables follow its annotation version. Where bringing them up to date is expensive (10^6 latents: up to a second of
CPU) and a batch writes without end, that happens at most every few seconds.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.store import word_search
from autointerp.store.annotations import Annotations
from autointerp.store.score_kinds import ScoreKind
from autointerp.store.shown import ShownExplanation, ShownScore, ShownVerdict

PERSON = "person"
"""The explainer of what people write."""
FLOOR_PERCENTILE, MIN_FLOORS = 97.5, 40
"""Of the floors of a coder, the percentile that a score must exceed to be clearly above them; fewer floors have none."""
REST = 20.0
"""An update that took one second is not repeated for this many seconds ..."""
LONGEST_REST = 4.0
"""... but never for longer than this."""


@dataclass(eq=False)
class CoderAnnotations:
    """One coder's annotations at one moment.

    `explanations`, `scores`, `failures`, `verdicts`: the tables of `Annotations.summary`, `.score_summary`, `.failure_summary`
    and `.audits.verdict_summary`. `configs`: of the scores, by the first digits of their hashes.
    """

    version: int
    explanations: pa.Table
    scores: pa.Table
    failures: pa.Table
    verdicts: pa.Table
    configs: Mapping[str, Mapping[str, Any]]
    _values: dict[ScoreKind, pa.Table] = field(default_factory=dict)
    _places_of: dict[ScoreKind, NDArray[np.int64]] = field(default_factory=dict)
    _bars: dict[ScoreKind, float | None] = field(default_factory=dict)
    _counted: dict[str | None, dict[ScoreKind, int]] = field(default_factory=dict)

    @cached_property
    def latents(self) -> NDArray[np.int64]:
        """Explained latents, ascending."""
        return self.explanations["latent"].to_numpy()

    @cached_property
    def kinds(self) -> dict[ScoreKind, int]:
        """Kinds of scores of shown explanations, with how many latents have one."""
        return self.kinds_of(None)

    def kinds_of(self, made_by: str | None) -> dict[ScoreKind, int]:
        """The same of shown explanations that were made like that; `None`: of all."""
        if made_by not in self._counted:
            self._counted[made_by] = self._count(made_by)
        return self._counted[made_by]

    def _count(self, made_by: str | None) -> dict[ScoreKind, int]:
        pc = _compute()
        shown = self._shown
        if made_by is not None:
            shown = shown & self._made_by(made_by)
        counted = pc.value_counts(pa.array(self._kind_numbers[0][shown]))
        counts = dict(zip(*(field.to_pylist() for field in counted.flatten()), strict=True))
        return {kind: counts[number] for kind, number in self._kind_numbers[1].items() if number in counts}

    @cached_property
    def _kind_numbers(self) -> tuple[NDArray[np.int64], dict[ScoreKind, int]]:
        """A number for each row of `scores`, the same for those of one kind, and the number of each kind."""
        pc = _compute()
        names = ("scorer", "judge", "protocol", "negatives", "model", "config")
        numbers, words = np.zeros(self.scores.num_rows, np.int64), []
        for name in names:
            column = _whole(self.scores[name])
            words.append([*column.dictionary.to_pylist(), None])
            own = column.indices.fill_null(len(words[-1]) - 1).to_numpy(zero_copy_only=False)
            numbers = numbers * len(words[-1]) + own
        kinds = {}
        for number in pc.unique(pa.array(numbers)).to_pylist():
            values, rest = [], number
            for known in reversed(words):
                rest, at = divmod(rest, len(known))
                values.append(known[at])
            kinds[ScoreKind(*reversed(values), settings=self.configs.get(values[0], {}))] = number
        return numbers, kinds

    @cached_property
    def _shown(self) -> NDArray[np.bool_]:
        return self.scores["shown"].to_numpy()

    def _of(self, kind: ScoreKind) -> NDArray[np.bool_]:
        """Which rows of `scores` are of this kind."""
        numbers, kinds = self._kind_numbers
        return numbers == kinds.get(kind, -1)

    @cached_property
    def states(self) -> pa.Table:
        """`latent, explained, failed, explainer, pinned, person, made_by` of each latent that is explained or failed."""
        table = self.explanations
        failed = self.failures["latent"].to_numpy()
        only = failed[~np.isin(failed, self.latents)]
        latent = np.concatenate([self.latents, only])
        explained = np.arange(len(latent)) < len(self.latents)
        blank = pa.nulls(len(only), table["explainer"].type)
        explainer = pa.chunked_array([*table["explainer"].chunks, blank], blank.type)
        made_by = pa.chunked_array([*table["made_by"].chunks, blank], blank.type)
        pinned = np.concatenate([table["pinned"].to_numpy(), np.zeros(len(only), bool)])
        return pa.table(
            {
                "latent": latent.astype(np.uint32),
                "explained": explained,
                "failed": np.isin(latent, failed),
                "explainer": explainer,
                "pinned": pinned,
                "person": _compute().fill_null(_compute().equal(explainer, PERSON), False),
                "made_by": made_by,
            }
        )

    def values(self, kind: ScoreKind) -> pa.Table:
        """`latent, score, ci_low, above_floor` of the shown explanations scored this way; what is missing is null. Rounded, so
        that 0.7 - 0.6 is at least 0.1, as it reads."""
        if kind not in self._values:
            rows = self.of_kind(kind, ("latent", "value", "ci_low", "floor"))
            numbers = {name: _floats(rows[name]) for name in ("value", "ci_low", "floor")}
            columns = {
                "score": numbers["value"],
                "ci_low": numbers["ci_low"],
                "above_floor": numbers["value"] - numbers["floor"],
            }
            self._values[kind] = pa.table(
                {
                    "latent": rows["latent"].to_numpy().astype(np.uint32),
                    **{
                        name: pa.array(column.round(9), mask=np.isnan(column))
                        for name, column in columns.items()
                    },
                }
            )
        return self._values[kind]

    @cached_property
    def any_score(self) -> pa.Table:
        """As `values`, the best value over all kinds and no bounds: whether a shown explanation was scored at all."""
        rows = self.scores.filter(self.scores["shown"])
        latent, value = rows["latent"].to_numpy(), _floats(rows["value"])
        latent, value = latent[~np.isnan(value)], value[~np.isnan(value)]
        unique, at = np.unique(latent, return_inverse=True)
        best = np.full(len(unique), -np.inf)
        np.maximum.at(best, at, value)
        none = pa.nulls(len(unique), pa.float64())
        return pa.table(
            {"latent": unique.astype(np.uint32), "score": best, "ci_low": none, "above_floor": none}
        )

    def of_kind(self, kind: ScoreKind, columns: Sequence[str], made_by: str | None = None) -> pa.Table:
        """These columns of the rows of `scores` of shown explanations and this kind, ascending by latent: one per latent. With
        `made_by` of those that were made like that."""
        places = self._places(kind)
        if made_by is not None:
            places = places[self._made_by(made_by)[places]]
        return self.scores.select(list(columns)).take(pa.array(places))

    def _made_by(self, made_by: str) -> NDArray[np.bool_]:
        """Which rows of `scores` are of explanations that were made like that."""
        pc = _compute()
        made = pc.fill_null(pc.equal(_whole(self.scores["made_by"]), made_by), False)
        return made.to_numpy(zero_copy_only=False)

    def _places(self, kind: ScoreKind) -> NDArray[np.int64]:
        """Of those rows in `scores`."""
        if kind not in self._places_of:
            self._places_of[kind] = np.flatnonzero(self._shown & self._of(kind))
        return self._places_of[kind]

    def floor_bar(self, kind: ScoreKind) -> float | None:
        """The score that random explanations of this coder's latents reach in 2.5 % of cases: that percentile of all floors
        measured this way, or of the same scorer, judge and examples with any settings where these are too few. `None` with
        fewer than `MIN_FLOORS` of either."""
        if kind not in self._bars:
            measured = _floats(self.scores["floor"])
            floors = measured[self._of(kind) & ~np.isnan(measured)]
            if len(floors) < MIN_FLOORS:
                alike = [each for each in self._kind_numbers[1] if each.base == kind.base]
                mask = np.isin(self._kind_numbers[0], [self._kind_numbers[1][each] for each in alike])
                floors = measured[mask & ~np.isnan(measured)]
            enough = len(floors) >= MIN_FLOORS
            self._bars[kind] = float(np.percentile(floors, FLOOR_PERCENTILE)) if enough else None
        return self._bars[kind]

    @cached_property
    def _folded(self) -> pa.Array:
        return word_search.folded(_whole(self.explanations["text"]))

    def find_words(self, query: str) -> pa.Table:
        """`latent, relevance` of the shown explanations that hold every word of `query`, in any case: whole words before
        parts of words, then the shorter text first. Nothing for an empty query."""
        places, relevance = word_search.find(self._folded, query)
        return pa.table({"latent": self.latents[places].astype(np.uint32), "relevance": relevance})

    def shown(self, latents: Sequence[int]) -> dict[int, ShownExplanation]:
        """The shown explanations of these latents, where there is one."""
        columns = [
            "explanation_id",
            "text",
            "explainer",
            "model",
            "author",
            "created",
            "pinned",
            "n_explanations",
        ]
        return {
            latent: ShownExplanation(*(row[name] for name in columns))
            for latent, row in _rows(self.explanations, self.latents, latents)
        }

    def shown_scores(self, kind: ScoreKind, latents: Sequence[int]) -> dict[int, ShownScore]:
        """The scores of this kind that the shown explanations of these latents have."""
        columns = [
            "score_id",
            "value",
            "ci_low",
            "ci_high",
            "n_pos",
            "n_neg",
            "unparsed",
            "floor",
            "above_low",
            "metric",
        ]
        places = self._places(kind)
        ids = self.scores["latent"].to_numpy()[places]
        return {
            latent: ShownScore(*(row[name] for name in columns), floor_bar=self.floor_bar(kind))
            for latent, row in _rows(self.scores.select(columns), ids, latents, places)
        }

    def verdicts_but(self, unseen: Collection[int]) -> pa.Table:
        """`verdicts` without those of some latents."""
        ids = self.verdicts["latent"].to_numpy()
        return self.verdicts.filter(pa.array(~np.isin(ids, list(unseen)))) if unseen else self.verdicts

    def said(self, unseen: Collection[int] = ()) -> pa.Table:
        """`latent, verdict`: people's, of those that have one, without some."""
        verdicts = self.verdicts_but(unseen)
        verdict = verdicts["verdict"].cast(pa.string())
        return pa.table({"latent": verdicts["latent"].cast(pa.uint32()), "verdict": verdict})

    def shown_verdicts(self, latents: Sequence[int]) -> dict[int, ShownVerdict]:
        """What people said of these latents' explanations, where they did."""
        ids = self.verdicts["latent"].to_numpy()
        return {
            latent: ShownVerdict(row["verdict"], row["n_raters"], row["adjudicated"], row["explanation_id"])
            for latent, row in _rows(self.verdicts, ids, latents)
        }

    def errors(self, latents: Sequence[int]) -> dict[int, str]:
        """The newest error of these latents, where an attempt failed."""
        ids = self.failures["latent"].to_numpy()
        return {latent: row["error"] for latent, row in _rows(self.failures, ids, latents)}


class AnnotatedStore:
    """The annotations of a store's coders, kept and brought up to date. Thread-safe; one for each `Annotations`."""

    def __init__(self, annotations: Annotations, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._annotations = ref(annotations)  # they keep this alive, not the other way round
        self._kept: dict[str, tuple[CoderAnnotations, float]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def coder(self, name: str) -> CoderAnnotations:
        """As of now, or as of a few seconds ago where that was expensive to find out."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            kept = self._kept.get(name)
            if kept is not None and self._clock() < kept[1]:
                return kept[0]
            annotations = self._annotations()
            if annotations is None:
                raise RuntimeError("the annotations of this object are gone")
            version = annotations.version(name)
            if kept is not None and kept[0].version == version:
                return kept[0]
            begin = self._clock()
            scores = annotations.score_summary(name)
            current = CoderAnnotations(
                version,
                annotations.summary(name),
                scores,
                annotations.failure_summary(name),
                annotations.audits.verdict_summary(name),
                annotations.configs(_whole(scores["config"]).dictionary.to_pylist()),
            )
            end = self._clock()
            self._kept[name] = (current, end + min(REST * (end - begin), LONGEST_REST))
            return current

    def kinds(self, coders: Iterable[str], order: Callable[[ScoreKind], Any]) -> dict[ScoreKind, int]:
        """Kinds of scores of these coders with the number of latents that have one, sorted by `order`, then the most common
        configuration first."""
        return sorted_kinds((self.coder(name).kinds for name in coders), order)

    def explainers(self, coders: Iterable[str]) -> dict[str, int]:
        """Explainers of shown explanations with the number of latents, most first."""
        counts: dict[str, int] = {}
        for name in coders:
            for row in self.coder(name).explanations["explainer"].value_counts().to_pylist():
                counts[row["values"]] = counts.get(row["values"], 0) + row["counts"]
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def sorted_kinds(
    counted: Iterable[Mapping[ScoreKind, int]], order: Callable[[ScoreKind], Any]
) -> dict[ScoreKind, int]:
    """The sum of several counts, sorted by `order`, then the most common configuration first."""
    counts: dict[ScoreKind, int] = {}
    for kinds in counted:
        for kind, n in kinds.items():
            counts[kind] = counts.get(kind, 0) + n
    ranked = sorted(counts, key=lambda kind: (order(kind), -counts[kind], kind.config))
    return {kind: counts[kind] for kind in ranked}


_annotated: WeakKeyDictionary[Annotations, AnnotatedStore] = WeakKeyDictionary()
_annotated_lock = threading.Lock()


def annotated_store(annotations: Annotations) -> AnnotatedStore:
    """The one `AnnotatedStore` of these annotations."""
    with _annotated_lock:
        annotated = _annotated.get(annotations)
        if annotated is None:
            annotated = _annotated[annotations] = AnnotatedStore(annotations)
        return annotated


def _compute() -> Any:
    """`pyarrow.compute`; its functions are made at import and not known to type checkers."""
    import pyarrow.compute

    return pyarrow.compute


def _whole(column: pa.ChunkedArray) -> Any:
    """In one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """NaN for null."""
    return column.to_numpy().astype(np.float64)


def _rows(
    table: pa.Table,
    ids: NDArray[np.int64],
    latents: Sequence[int],
    places: NDArray[np.int64] | None = None,
) -> list[tuple[int, dict]]:
    """The rows of `table` for `latents`, where there are any; `ids` are its latents, ascending, or those of the rows at
    `places`."""
    wanted = np.asarray(latents, dtype=np.int64)
    at = np.searchsorted(ids, wanted)
    present = (
        np.flatnonzero((at < len(ids)) & (ids[np.minimum(at, len(ids) - 1)] == wanted)) if len(ids) else []
    )
    at = at if places is None or not len(present) else places[np.minimum(at, len(places) - 1)]
    rows = table.take(at[present]).to_pylist() if len(present) else []
    return [(int(wanted[i]), row) for i, row in zip(present, rows, strict=True)]
