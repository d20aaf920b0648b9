"""A latent's counterparts in another coder: by where they fire, and by direction where both coders have those in one space."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autointerp.compare import coactivation, directions, results
from autointerp.compare.coactivation import Coactivation
from autointerp.compare.directions import PARTS, Directions
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.store import ScoreKind, ShownExplanation, ShownScore, annotated_store
from autointerp.types import ProgressCallback, no_progress

MEASURES = ("correlation", "jaccard", *reversed(PARTS))
"""What counterparts are looked for by; the last two are cosines."""


@dataclass(frozen=True)
class Counterpart:
    """A latent of another coder beside one of this coder; what is not known is `None`. `correlation`, `jaccard`, `inside`,
    `covers` and `n_both` as in `coactivation.Partner`; `cosine` by "encoder" and "decoder", of nearest latents and partners of
    an assignment alone. `explanation`: the one shown for it, with `scores` by their kinds."""

    latent: int
    correlation: float | None = None
    jaccard: float | None = None
    inside: float | None = None
    covers: float | None = None
    n_both: int | None = None
    cosine: Mapping[str, float] = field(default_factory=dict)
    explanation: ShownExplanation | None = None
    scores: Mapping[ScoreKind, ShownScore] = field(default_factory=dict)

    def value(self, by: str) -> float | None:
        """By one of `MEASURES`."""
        return self.cosine.get(by) if by in PARTS else getattr(self, by)


@dataclass(frozen=True)
class Pair:
    """What has been computed of a coder and another one: `None` where it has not."""

    coder: str
    other: str
    coactivation: Coactivation | None
    directions: Directions | None

    def has(self, by: str) -> bool:
        """Whether counterparts by this measure have been looked for, or cannot be: see `absent`."""
        return self.directions is not None if by in PARTS else self.coactivation is not None

    def absent(self, by: str) -> str | None:
        """Why there are none by this measure, as a sentence."""
        return self.directions.absent.get(by) if by in PARTS and self.directions is not None else None

    def counterparts(self, latent: int, by: str) -> list[Counterpart]:
        """Of a latent of `coder` in `other`, best first: at most ten, by a cosine the nearest and the partner."""
        if by not in PARTS:
            partners = self.coactivation.partners(self.coder, latent, by) if self.coactivation else []
            return [
                Counterpart(*partner, cosine=self.cosines(latent, partner.latent)) for partner in partners
            ]
        part = self.directions.parts.get(by) if self.directions else None
        if part is None or self.directions is None:
            return []
        side = part.sides[self.directions.coders.index(self.coder)]
        near, partner = int(side.nearest[latent]), int(side.partner[latent])
        return [self.between(latent, there) for there in dict.fromkeys((near, partner)) if there >= 0]

    def between(self, latent: int, there: int) -> Counterpart:
        """What is known of one latent of either coder; where they fire, of nearest latents alone."""
        cosine = self.cosines(latent, there)
        if self.coactivation is not None:
            for by in ("correlation", "jaccard"):
                for partner in self.coactivation.partners(self.coder, latent, by):
                    if partner.latent == there:
                        return Counterpart(*partner, cosine=cosine)
        return Counterpart(there, cosine=cosine)

    def cosines(self, latent: int, there: int) -> dict[str, float]:
        """By part, where one latent is the other's nearest or partner."""
        known: dict[str, float] = {}
        if self.directions is None:
            return known
        at = self.directions.coders.index(self.coder)
        for name, part in self.directions.parts.items():
            for side, here, other in ((at, latent, there), (1 - at, there, latent)):
                seen = part.sides[side]
                if seen.nearest[here] == other:
                    known[name] = float(seen.nearest_cosine[here])
                elif seen.partner[here] == other:
                    known[name] = float(seen.cosine[here])
        return known


def known(resources: Resources, coder: str, other: str) -> Pair:
    """What has been computed before. Raises UserError for a coder and itself, UnknownName."""
    pair = coactivation.pair(resources.store, coder, other)
    table = results.known(resources, "coactivation", pair)
    rows = results.known(resources, "directions", pair)
    matched = None if rows is None else directions.read(rows, (coder, other))
    return Pair(coder, other, None if table is None else coactivation.read(table, pair), matched)


def missing(resources: Resources) -> dict[str, list[tuple[str, str]]]:
    """The pairs of the store's coders of which something has not been computed, by what it is."""
    pairs = [known(resources, *names) for names in coactivation.pairs(resources.store)]
    lacking = {
        "coactivation": [(pair.coder, pair.other) for pair in pairs if pair.coactivation is None],
        "directions": [(pair.coder, pair.other) for pair in pairs if pair.directions is None],
    }
    return {what: names for what, names in lacking.items() if names}


def counterparts(
    resources: Resources,
    coder: str,
    latent: int,
    other: str,
    *,
    by: str = "correlation",
    progress: ProgressCallback = no_progress,
) -> list[Counterpart]:
    """The latents of `other` nearest to one of `coder`, with their explanations and scores. What it takes is computed where it
    is not known: where all latents of both fire, in minutes, or how their directions match. Raises UserError for a measure
    these coders do not have, UnknownName."""
    if by not in MEASURES:
        raise UserError(f"there is no measure {by!r}; choose one of {', '.join(MEASURES)}.")
    latent = resources.store.coder(coder).check_latent(latent)
    names = coactivation.pair(resources.store, coder, other)
    what = "directions" if by in PARTS else "coactivation"
    if not known(resources, coder, other).has(by):
        results.obtain(resources, what, names, progress=progress)
    pair = known(resources, coder, other)
    reason = pair.absent(by)
    if reason is not None:
        raise UserError(f"{reason} Look for counterparts by correlation.")
    annotated = annotated_store(resources.annotations).coder(other)
    nearest = pair.counterparts(latent, by)
    latents = [each.latent for each in nearest]
    shown = annotated.shown(latents)
    scores = {kind: annotated.shown_scores(kind, latents) for kind in annotated.kinds}
    return [
        replace(
            each,
            explanation=shown.get(each.latent),
            scores={kind: of[each.latent] for kind, of in scores.items() if each.latent in of},
        )
        for each in nearest
    ]
