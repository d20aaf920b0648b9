"""Scores of whole coders as arrays: kept until a coder's annotations change."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.store import CoderAnnotations, ScoreKind, Store, annotated_store, sorted_kinds
from autointerp.store.annotations import Annotations
from autointerp.types import CoderInfo
from autointerp.ui.shared import score_text

Float = NDArray[np.float64]
_FIELDS = ("value", "ci_low", "ci_high", "floor", "above_low", "n_pos", "n_neg")


@dataclass(frozen=True)
class Scores:
    """Scores of one kind, one number per latent, NaN where there is none."""

    value: Float
    ci_low: Float
    ci_high: Float
    floor: Float
    above_low: Float
    n_pos: Float
    n_neg: Float

    @property
    def n(self) -> int:
        return int((~np.isnan(self.value)).sum())

    def clearly_above(self, chance: float) -> NDArray[np.bool_]:
        """Whether the interval of the difference from the floor lies above 0. As in `score_text.standing`, the floor of old
        scores is taken to be as uncertain as the value; a score without a floor is held against `chance`, and against nothing
        where that is NaN."""
        unmeasured = np.isnan(self.floor)
        reference = np.where(unmeasured, chance, self.floor)
        half = (self.value - self.ci_low) * np.where(unmeasured, 1, np.sqrt(2))
        low = np.where(np.isnan(self.above_low), self.value - reference - half, self.above_low)
        return np.isnan(reference) | ((low > 0) & (self.value - reference >= score_text.TIE))


@dataclass(frozen=True)
class Coverage:
    """How far one coder has come: counts of features. `failed`: no explanation, and an attempt that failed."""

    coder: str
    live: int
    explained: int
    failed: int
    scored: dict[ScoreKind, int]


class Written:
    """Explanations of some coders at one moment, and the scores of those that were made one way: scores of explanations by
    different explainers are not summed up. `made_by`: as the address asks, else the most common way; `ways`: all, with how many
    explanations each has."""

    def __init__(
        self, store: Store, annotations: Annotations, infos: Sequence[CoderInfo], made_by: str | None = None
    ):
        kept = annotated_store(annotations)
        self.infos = {info.coder: info for info in infos}
        self.coders: dict[str, CoderAnnotations] = {info.coder: kept.coder(info.coder) for info in infos}
        counts: Counter[str] = Counter()
        for coder in self.coders.values():
            counts.update(
                {
                    way["values"]: way["counts"]
                    for way in coder.explanations["made_by"].value_counts().to_pylist()
                }
            )
        self.ways = dict(counts.most_common())
        self.made_by = made_by if made_by in self.ways else next(iter(self.ways), None)
        of_coders = (coder.kinds_of(self.made_by) for coder in self.coders.values())
        self.kinds = sorted_kinds(of_coders, score_text.order)
        self.store = store

    @property
    def n_explained(self) -> int:
        return sum(coder.explanations.num_rows for coder in self.coders.values())

    def scores(self, coder: str, kind: ScoreKind) -> Scores:
        """One number per latent of the coder."""
        written = self.coders[coder]
        key = (str(self.store.path), coder, written.version, kind.key, self.made_by)
        return _scores(*key, self.infos[coder].n_latents, written, kind)

    def pooled(self, coders: Sequence[str], kind: ScoreKind) -> Scores:
        """Of several coders, one after the other; `place` tells whose is whose."""
        parts = [self.scores(coder, kind) for coder in coders]
        return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))

    def key(self, coders: Sequence[str]) -> tuple[object, ...]:
        """Differs where any of their scores may."""
        versions = tuple((coder, self.coders[coder].version) for coder in coders)
        return (str(self.store.path), versions, self.made_by)

    def owners(self, coders: Sequence[str]) -> NDArray[np.intp]:
        """Which of `coders` each number of `pooled` is of."""
        return np.repeat(np.arange(len(coders)), [self.infos[coder].n_latents for coder in coders])

    def place(self, coders: Sequence[str], at: int) -> tuple[str, int]:
        """The coder and latent behind an index into `pooled`."""
        for coder in coders:
            n = self.infos[coder].n_latents
            if at < n:
                return coder, at
            at -= n
        raise IndexError(at)

    def coverage(self, coder: str) -> Coverage:
        info, written = self.infos[coder], self.coders[coder]
        states = written.states
        failed = int((states["failed"].to_numpy() & ~states["explained"].to_numpy()).sum())
        scored = {kind: self.scores(coder, kind).n for kind in self.kinds}
        return Coverage(coder, info.n_latents - info.n_dead, len(written.latents), failed, scored)


@st.cache_resource(show_spinner=False, max_entries=256)
def _scores(
    path: str,
    coder: str,
    version: int,
    key: str,
    made_by: str | None,
    n_latents: int,
    _written: CoderAnnotations,
    _kind: ScoreKind,
) -> Scores:
    table = _written.of_kind(_kind, ("latent", *_FIELDS), made_by)
    latents = table["latent"].to_numpy()
    inside = latents < n_latents
    columns = []
    for name in _FIELDS:
        column = np.full(n_latents, np.nan)
        column[latents[inside]] = table[name].to_numpy().astype(np.float64)[inside]
        columns.append(column)
    return Scores(*columns)


def larger(kind: ScoreKind, kinds: Sequence[ScoreKind]) -> ScoreKind | None:
    """Of `kinds`, the same on the most examples, if those are more than `kind` has."""
    alike = [other for other in kinds if other.base == kind.base and _n(other) > _n(kind)]
    return max(alike, key=_n, default=None)


def _n(kind: ScoreKind) -> int:
    return sum(int(kind.settings.get(name) or 0) for name in ("n_examples", "n_negatives"))
