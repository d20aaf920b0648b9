"""Drawing an audit: the population, a sample of every stratum, and controls.

Within a stratum every explanation is equally likely, so an estimate weighted by population over sampled has no bias, whatever
the strata are. A control pairs a latent with the explanation of another one of the same coder; its latent is not among the
drawn ones while others are left, so that nobody sees one latent with two texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.audit.fingerprints import fingerprints
from autointerp.audit.options import AuditOptions
from autointerp.audit.strata import Stratification, stratify
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, AuditItem
from autointerp.store import ScoreKind
from autointerp.store.annotations import Annotations

_DRAW, _CONTROLS, _ORDER = 0, 1, 2  # generators that must not repeat each other
_TRIES = 100


@dataclass(frozen=True)
class Population:
    """Explanations that an audit may be drawn from: in the order of `coders`, then of latents.

    coder    Int64[ndarray, " n"]: index into `coders`
    latent   Int64[ndarray, " n"]
    density  Float64[ndarray, " n"]
    score    Float64[ndarray, " n"], or `None` where no kind of score was chosen
    """

    coders: tuple[str, ...]
    coder: NDArray[np.int64]
    latent: NDArray[np.int64]
    density: NDArray[np.float64]
    score: NDArray[np.float64] | None
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def population(resources: Resources, options: AuditOptions) -> Population:
    """Those that fit `options`, of latents that fire. Raises UserError."""
    options.check()
    parts = [_of_coder(resources, name, options) for name in options.coders]
    coder = np.repeat(np.arange(len(parts)), [len(part["latent"]) for part in parts])
    columns = {
        name: np.concatenate([part[name] for part in parts]) for name in ("latent", "density", "score")
    }
    return Population(
        options.coders,
        coder,
        columns["latent"].astype(np.int64),
        columns["density"].astype(np.float64),
        columns["score"] if options.kind else None,
        tuple(id_ for part in parts for id_ in part["ids"]),
        tuple(text for part in parts for text in part["texts"]),
    )


def _of_coder(resources: Resources, name: str, options: AuditOptions) -> dict[str, Any]:
    coder = resources.store.coder(name)
    table = coder.table()
    explanations = _explanations(resources.annotations, name, options.explainer)
    scores = _scores(resources.annotations, name, options.kind) if options.kind else {}
    wanted = None if options.latents is None else set(options.latents.get(name, ()))
    low, high = (
        bound if bound is not None else default
        for bound, default in zip(options.bounds, (-np.inf, np.inf), strict=True)
    )
    fires = table.columns["n_activations"] > 0
    chosen = {
        latent: explanation
        for latent, explanation in sorted(explanations.items())
        if latent < len(fires)
        and fires[latent]
        and (wanted is None or latent in wanted)
        and explanation[1].strip()
        and (options.kind is None or low <= scores.get(explanation[0], np.nan) <= high)
    }
    latents = np.array(list(chosen), dtype=np.int64)
    return {
        "latent": latents,
        "density": table.known("density")[latents],
        "score": np.array([scores.get(id_, np.nan) for id_, _ in chosen.values()], dtype=np.float64),
        "ids": [id_ for id_, _ in chosen.values()],
        "texts": [text for _, text in chosen.values()],
    }


def _explanations(
    annotations: Annotations, coder: str, explainer: str | None
) -> Mapping[int, tuple[str, str]]:
    """Id and text, by latent."""
    if explainer is not None:
        return annotations.newest_explanations(coder, explainer=explainer)
    table = annotations.summary(coder)
    columns = (table[name].to_pylist() for name in ("latent", "explanation_id", "text"))
    return {latent: (id_, text) for latent, id_, text in zip(*columns, strict=True)}


def _scores(annotations: Annotations, coder: str, kind: ScoreKind) -> dict[str, float]:
    """By explanation, rounded as in lists."""
    return {
        id_: round(scores[kind.key], 9)
        for id_, scores in scores_of(annotations, coder).items()
        if kind.key in scores
    }


def scores_of(annotations: Annotations, coder: str) -> dict[str, dict[str, float]]:
    """Automatic scores of a coder's explanations, by explanation and `ScoreKind.key`."""
    table = annotations.score_summary(coder)
    names = ("explanation_id", "value", "scorer", "judge", "protocol", "negatives", "model", "config")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    keys: dict[tuple[str, ...], str] = {}
    scores: dict[str, dict[str, float]] = {}
    for id_, value, *kind in rows:
        if value is not None:
            key = keys.setdefault(tuple(kind), "")
            if not key:
                key = keys[tuple(kind)] = ScoreKind(*kind).key
            scores.setdefault(id_, {})[key] = value
    return scores


def strata_of(members: Population, options: AuditOptions) -> Stratification:
    """What comes out of `options`, before anything is drawn. Raises UserError for an empty population."""
    if not len(members):
        raise UserError(_nothing(options))
    return stratify(
        members.coders,
        members.coder,
        members.density,
        members.score,
        n=options.n,
        score_bins=options.score_bins,
        density_bins=options.density_bins,
    )


def _nothing(options: AuditOptions) -> str:
    what = f"no explanation by “{options.explainer}”" if options.explainer else "no explanation"
    among = " among these features" if options.latents is not None else ""
    scored = f" with a {options.kind.scorer} score of this kind" if options.kind else ""
    within = " in this range" if options.bounds != (None, None) else ""
    return (
        f"There is {what}{scored}{within}{among} in {', '.join(options.coders)}, so there is nothing to audit. "
        "Explain some features first, or choose a wider selection."
    )


def create(
    resources: Resources, options: AuditOptions, *, name: str, author: str, purpose: str = ""
) -> Audit:
    """A new audit, not stored yet: the same for the same options, store and annotations. Smaller than `options.n` where the
    population is. Raises UserError."""
    members = population(resources, options)
    stratification = strata_of(members, options)
    drawn = draw(stratification, options.seed)
    rng = np.random.default_rng([_CONTROLS, options.seed])
    controls = pair(members, drawn, round(options.control_share * len(drawn)), rng)
    scores = {coder: scores_of(resources.annotations, coder) for coder in options.coders}
    pairs = [*((i, i) for i in drawn.tolist()), *controls]
    order = np.random.default_rng([_ORDER, options.seed]).permutation(len(pairs))
    items = []
    for place, which in enumerate(order.tolist()):
        (member, text), coder = pairs[which], members.coders[members.coder[pairs[which][0]]]
        item = AuditItem(
            place,
            coder,
            int(members.latent[member]),
            members.ids[member],
            members.ids[text],
            members.texts[text],
            int(stratification.label[member]) if which < len(drawn) else None,
            scores[coder].get(members.ids[member], {}),
        )
        items.append(item)
    return Audit(
        name=name,
        author=author,
        purpose=purpose,
        tasks=options.tasks,
        seed=options.seed,
        items=tuple(items),
        strata=stratification.strata,
        config=options.to_config(),
        store=fingerprints(resources.store, options.coders),
    )


def draw(stratification: Stratification, seed: int) -> NDArray[np.int64]:
    """Indices into the population: of each stratum as many as it is to give, every one of its members equally likely."""
    rng = np.random.default_rng([_DRAW, seed])
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(stratification.label == stratum.number), stratum.sampled, replace=False)
            for stratum in stratification.strata
        ]
    )


def pair(
    members: Population, drawn: NDArray[np.int64], n: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to `n` controls: a member, and another one of the same coder whose text is shown in its place. The texts differ."""
    rest = np.setdiff1d(np.arange(len(members)), drawn)
    candidates = np.concatenate([rng.permutation(rest), rng.permutation(drawn)])
    pairs: list[tuple[int, int]] = []
    for member in candidates.tolist():
        if len(pairs) == n:
            break
        same = np.flatnonzero(members.coder == members.coder[member])
        for other in rng.choice(same, _TRIES).tolist():
            if members.texts[other].strip() != members.texts[member].strip():
                pairs.append((member, other))
                break
    return pairs
