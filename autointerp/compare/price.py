"""Which coder is more interpretable, and at what cost (Paulo, Shabalin and Belrose, 2025): scores of equally many latents of
each coder against the cross-entropy that splicing the coder in costs, and a test of each pair.

Nothing is computed here that takes long: `fidelity` measures errors, jobs explain and score; what is missing is named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np

from autointerp.compare import corpus, fidelity, ranks, results, scored
from autointerp.compare.drawing import draw, draw_matched
from autointerp.compare.fidelity import Measurement
from autointerp.compare.ranks import MIN_LATENTS
from autointerp.errors import UserError
from autointerp.models.coders import registry
from autointerp.pipeline.resources import Resources
from autointerp.score.intervals import Estimate, mean, median
from autointerp.store import CoderAnnotations, ScoreKind, Store, annotated_store
from autointerp.types import CoderInfo, Fidelity

Centre = Literal["mean", "median"]
Measure = Literal["score", "ce_increase", "fvu"]
ALPHA = 0.05
"""Two coders are told apart where the corrected p-value is below this."""


@dataclass(frozen=True)
class Question:
    """`coders`: see `usual_coders`. `score`: a key or the name of a scorer (see `scored.choose`); `made_by`: how the
    explanations were made; by default the most common. `n`: latents of each coder, by default as many as the coder with the
    fewest scores has. `seed`: of the draw. `match_density`: equally many in each bin of density."""

    coders: tuple[str, ...]
    score: str | None = None
    made_by: str | None = None
    centre: Centre = "mean"
    n: int | None = None
    seed: int = 0
    match_density: bool = False


@dataclass(frozen=True)
class Side:
    """One coder. `fvu`, `ce_increase` (nats a token) and those of ablations, `None` where not measured: `absent` says why.
    `recovered`: 1 less `ce_increase` over that without the module. `on_same_contexts`: whether the error was measured for
    comparing. `skip`: the share of the output from the skip path, see `fidelity.skip_shares`. `n_scored`: latents with a
    score in this configuration; `latents`, `scores`: those drawn, `score` their centre, `floor` that of their floors."""

    coder: str
    kind: str
    hookpoint: str
    is_control: bool
    n_latents: int
    dead: float | None
    l0: float | None
    fvu: Estimate | None
    ce_increase: Estimate | None
    ce_increase_zero: float | None
    ce_increase_mean: float | None
    ce_increase_skip: float | None
    recovered: float | None
    n_contexts: int | None
    on_same_contexts: bool
    absent: str | None
    skip: Estimate | None
    skip_percentiles: tuple[float, ...] | None
    n_live: int
    n_explained: int
    n_scored: int
    latents: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    score: Estimate | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two coders by one measure: `difference`, the first's less the second's. For scores, of means of `n` latents each, with
    `superiority` and its test (see `ranks`); for errors, paired over `n` contexts. `p_corrected`: for the number of pairs by
    this measure (Holm). `apart`: whether the two are told apart."""

    measure: Measure
    first: str
    second: str
    n: int
    difference: Estimate
    superiority: Estimate | None
    p: float
    p_corrected: float = math.nan

    @property
    def apart(self) -> bool:
        return self.p_corrected < ALPHA


@dataclass(frozen=True)
class Price:
    """The answer. `kind`: the scoring configuration; `None` where nothing is scored. `n`: latents drawn of each coder, 0 where
    there are too few for a test. `n_bins`: of density, where matched. `too_few`: coders with fewer than `MIN_LATENTS` scores.
    `frontier`: coders of each hookpoint that no other of it beats in both score and error, by rising error."""

    question: Question
    made_by: str | None
    kind: ScoreKind | None
    sides: tuple[Side, ...]
    comparisons: tuple[Comparison, ...]
    n: int
    n_bins: int | None
    too_few: tuple[str, ...]
    frontier: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def side(self, coder: str) -> Side:
        return next(side for side in self.sides if side.coder == coder)

    def by(self, measure: Measure) -> list[Comparison]:
        """The comparisons by one measure."""
        return [comparison for comparison in self.comparisons if comparison.measure == measure]


def usual_coders(infos: Sequence[CoderInfo]) -> tuple[str, ...]:
    """The coders of the hookpoint that most have, controls too."""
    hookpoints = [info.hookpoint for info in infos]
    most = max(dict.fromkeys(hookpoints), key=hookpoints.count, default=None)
    return tuple(info.coder for info in infos if info.hookpoint == most)


def price(resources: Resources, question: Question) -> Price:
    """Raises UnknownName for a coder that does not exist, UserError for fewer than two, for a number of latents too small for a
    test, or a configuration that none was scored in."""
    if len(set(question.coders)) < 2:
        raise UserError("A comparison needs two coders or more.")
    if question.n is not None and question.n < MIN_LATENTS:
        raise UserError(f"{question.n} latents of each coder are too few for a test: {MIN_LATENTS} or more.")
    if question.seed < 0:
        raise UserError(f"The seed {question.seed} is negative: give 0 or more.")
    store = resources.store
    asked = {name: store.coder(name).info for name in question.coders}
    corpus.need(asked.values())
    infos = [info for info in store.coders() if info.coder in asked]  # whatever their order in the question
    kept = annotated_store(resources.annotations)
    written = {info.coder: kept.coder(info.coder) for info in infos}
    ways = scored.ways(written.values())
    made_by = question.made_by if question.made_by in ways else next(iter(ways), None)
    kind = scored.choose(scored.kinds(written.values(), made_by), question.score)
    known = {
        info.coder: scored.scores(written[info.coder], kind, made_by, info.n_latents)
        for info in infos
        if kind is not None
    }
    too_few = tuple(info.coder for info in infos if _n(known, info.coder) < MIN_LATENTS)
    drawn, n_bins = _drawn(store, question, {name: s for name, s in known.items() if name not in too_few})
    n = len(next(iter(drawn.values()))) if len(drawn) > 1 else 0
    measurements = {info.coder: measurement(resources, info.coder) for info in infos}
    sides = []
    for info in infos:
        some = drawn.get(info.coder, np.zeros(0, np.int64))
        sides.append(
            _side(store, info, written[info.coder], known.get(info.coder), some, measurements, question)
        )
    comparisons = _score_comparisons(sides, n) + _error_comparisons(sides, measurements)
    frontiers = {
        hookpoint: frontier([side for side in sides if side.hookpoint == hookpoint])
        for hookpoint in dict.fromkeys(side.hookpoint for side in sides)
    }
    return Price(
        question, made_by, kind, tuple(sides), tuple(comparisons), n if n >= MIN_LATENTS else 0, n_bins, too_few, frontiers
    )  # fmt: skip


def measurement(resources: Resources, coder: str) -> Measurement | None:
    """Of one coder's error, where it was computed."""
    table = results.known(resources, "fidelity", [coder])
    return None if table is None else fidelity.read(table)


def frontier(sides: Sequence[Side]) -> tuple[str, ...]:
    """Of coders with a score and an error, those that none other is at least as good as in both and better in one."""
    placed = [
        (side.ce_increase.value, -side.score.value, side.coder)
        for side in sides
        if side.ce_increase and side.score
    ]
    return tuple(
        coder
        for error, loss, coder in sorted(placed)
        if not any(e <= error and m <= loss and (e, m) != (error, loss) for e, m, _ in placed)
    )


def _n(known: Mapping[str, scored.Scored], coder: str) -> int:
    return len(known[coder].latent) if coder in known else 0


def _drawn(
    store: Store, question: Question, known: Mapping[str, scored.Scored]
) -> tuple[dict[str, np.ndarray], int | None]:
    """The latents of each coder, and in how many bins of density they lie, where matched."""
    if not known:
        return {}, None
    latents = {name: each.latent for name, each in known.items()}
    if question.match_density:
        densities = {name: store.coder(name).table().columns["density"] for name in known}
        live = {name: among[densities[name][among] > 0] for name, among in latents.items()}
        return draw_matched(live, densities, question.n, question.seed)
    fewest = min(map(len, latents.values()))
    return draw(latents, min(fewest, question.n or fewest), question.seed), None


def _side(
    store: Store,
    info: CoderInfo,
    written: CoderAnnotations,
    known: scored.Scored | None,
    drawn: np.ndarray,
    measurements: Mapping[str, Measurement | None],
    question: Question,
) -> Side:
    measured = measurements[info.coder]
    figures = measured.fidelity if measured is not None else info.fidelity
    fvu = increase = recovered = None
    if figures is not None:
        fvu = _estimate(figures.fvu, figures.fvu_interval)
        increase = _estimate(figures.ce_increase, figures.ce_increase_interval)
        # Earlier releases tried zeros only, which in place of a block's output remove the whole residual stream.
        recovered = None if figures.n_contexts is None else _recovered(figures)
    values, floors = np.zeros(0), np.zeros(0)
    if known is not None and len(drawn):
        at = np.searchsorted(known.latent, drawn)
        values, floors = known.value[at], known.floor[at]
        floors = floors[~np.isnan(floors)]
    enough = len(drawn) >= MIN_LATENTS
    return Side(
        coder=info.coder, kind=info.kind, hookpoint=info.hookpoint, is_control=registry.kind(info.kind).is_control,
        n_latents=info.n_latents, dead=info.n_dead / info.n_latents if info.n_latents else None, l0=info.l0,
        fvu=fvu, ce_increase=increase,
        ce_increase_zero=figures.ce_increase_zero if figures else None,
        ce_increase_mean=figures.ce_increase_mean if figures else None,
        ce_increase_skip=figures.ce_increase_skip if figures else None,
        recovered=recovered, n_contexts=figures.n_contexts if figures else None, on_same_contexts=measured is not None,
        absent=None if figures else info.absent.get("fidelity", "Not measured."),
        skip=_skip(measured),
        skip_percentiles=None if measured is None or measured.skip_percentiles is None
        else tuple(measured.skip_percentiles.tolist()),
        n_live=info.n_latents - info.n_dead, n_explained=len(written.latents),
        n_scored=0 if known is None else len(known.latent),
        latents=tuple(drawn.tolist()) if enough else (), scores=tuple(values.tolist()) if enough else (),
        score=_centre(values, question.centre) if enough else None,
        floor=(float(np.mean(floors) if question.centre == "mean" else np.median(floors))
               if enough and len(floors) else None),
    )  # fmt: skip


def _centre(values: np.ndarray, centre: Centre) -> Estimate:
    return mean(values) if centre == "mean" else median(values)


def _estimate(value: float | None, interval: tuple[float, float] | None) -> Estimate | None:
    if value is None or not math.isfinite(value):
        return None
    return Estimate(value, *(interval or (None, None)))


def _recovered(figures: Fidelity) -> float | None:
    without, increase = figures.ce_increase_without, figures.ce_increase
    return None if increase is None or not without else 1 - increase / without


def _skip(measured: Measurement | None) -> Estimate | None:
    if measured is None or measured.skip_above is None or measured.skip_below is None:
        return None
    kept = ~np.isnan(measured.skip_below)
    test = ranks.mean_of_pairs(measured.skip_above[kept], measured.skip_below[kept])
    return test.estimate


def _score_comparisons(sides: Sequence[Side], n: int) -> list[Comparison]:
    made = []
    for a, b in combinations([side for side in sides if side.scores], 2):
        first, second = np.array(a.scores), np.array(b.scores)
        test = ranks.superiority(first, second)
        difference = ranks.mean_difference(first, second)
        made.append(Comparison("score", a.coder, b.coder, n, difference, test.estimate, test.p))
    return _corrected(made)


def _error_comparisons(
    sides: Sequence[Side], measurements: Mapping[str, Measurement | None]
) -> list[Comparison]:
    """Within each hookpoint, on the contexts in which both were measured."""
    sums: tuple[tuple[Measure, str, str], ...] = (
        ("ce_increase", "spliced", "n_predicted"), ("fvu", "squared_error", "variance")
    )  # fmt: skip
    made: dict[Measure, list[Comparison]] = {measure: [] for measure, _, _ in sums}
    for a, b in combinations(sides, 2):
        first, second = measurements[a.coder], measurements[b.coder]
        if a.hookpoint != b.hookpoint or first is None or second is None:
            continue
        one, other = first.contexts, second.contexts
        for measure, above, below in sums:
            if above not in one or above not in other or len(one[above]) < 2 or not one[below].sum() > 0:
                continue
            if not np.allclose(
                one[below], other[below], rtol=1e-6
            ):  # of other targets, or at other positions
                continue
            test = ranks.mean_of_pairs(one[above] - other[above], one[below])
            n = len(one[above])
            made[measure].append(Comparison(measure, a.coder, b.coder, n, test.estimate, None, test.p))
    return [each for comparisons in made.values() for each in _corrected(comparisons)]


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    corrected = ranks.holm([comparison.p for comparison in comparisons])
    return [replace(each, p_corrected=p) for each, p in zip(comparisons, corrected, strict=True)]
