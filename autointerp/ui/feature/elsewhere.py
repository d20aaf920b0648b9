"""A feature's counterparts in the other coders of the store, for the panel: what is kept, and the job that computes the
rest."""

from dataclasses import dataclass
from typing import Any

from autointerp.compare import coactivation, counterparts, results
from autointerp.compare.counterparts import MEASURES, Pair
from autointerp.errors import UserError
from autointerp.jobs.comparing import compare_job
from autointerp.store import Store
from autointerp.ui.shared import computed, roles, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explained import explained
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.statistics import token_text
from autointerp.ui.shared.text import quoted, visible

N_ROWS = 3
LABELS = {
    "correlation": (
        "correlation",
        "Pearson correlation of the activations over all tokens of the corpus: compares any two coders",
    ),
    "jaccard": ("Jaccard", "Jaccard index of the tokens on which two features fire: compares any two coders"),
    "decoder": (
        "by decoder",
        "Cosine similarity of decoder directions, for coders that write to the same space",
    ),
    "encoder": (
        "by encoder",
        "Cosine similarity of encoder directions, for coders that read from the same space",
    ),
}


@dataclass(frozen=True)
class Elsewhere:
    """What is known of a feature's coder and each other one."""

    pairs: list[Pair]


def read(feature: Feature) -> Elsewhere:
    """What is kept; what takes a moment is computed now."""
    store, resources = feature.store, services.resources(feature.store)
    coder = feature.coder.info.coder
    others = [info.coder for info in store.coders() if info.coder != coder and not info.selected]
    if feature.coder.info.selected:  # where it fires is known on a few contexts alone
        return Elsewhere([])
    missing = [
        pair
        for pair in (coactivation.pair(store, coder, other) for other in others)
        if results.known(resources, "coactivation", pair) is None
    ]
    if missing and sum(coactivation.cost(store, pair) for pair in missing) <= coactivation.QUICK:
        for pair in missing:
            try:
                with roles.turn():
                    results.obtain(resources, "coactivation", pair)
            except UserError:
                continue  # the job says why
    return Elsewhere([counterparts.known(resources, coder, other) for other in others])


def record(feature: Feature, around: Elsewhere, by: str | None) -> dict[str, Any]:
    """What the panel draws: for each measure and coder the nearest features; `by`: the measure to look at."""
    neighbours = {
        (measure, pair.other): pair.counterparts(feature.latent, measure)[:N_ROWS]
        for measure in MEASURES
        for pair in around.pairs
        if pair.has(measure)
    }
    text = token_text(feature.store)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for pair in around.pairs:
        coder = feature.store.coder(pair.other)
        latents = sorted(
            {each.latent for (_, other), near in neighbours.items() if other == pair.other for each in near}
        )
        said = explained(feature.store, pair.other, latents)
        for latent in latents:
            stats = coder.stats(latent)
            token = "" if stats.top_token is None else quoted(text(stats.top_token))
            rows[pair.other, latent] = {
                "latent": latent,
                "density": fmt.density(stats.density),
                "token": token,
                **said.get(latent, {}),
            }
    return {
        "by": by,
        "measures": [
            {
                "key": measure,
                "title": LABELS[measure][0],
                "help": LABELS[measure][1],
                "coders": [
                    {
                        "coder": visible(pair.other),
                        "none": "" if neighbours[measure, pair.other] else _none(pair, measure),
                        "rows": [
                            {**rows[pair.other, each.latent], "value": fmt.decimal(each.value(measure), 2)}
                            for each in neighbours[measure, pair.other]
                        ],
                    }
                    for pair in around.pairs
                    if (measure, pair.other) in neighbours
                ],
            }
            for measure in MEASURES
            if any(key[0] == measure for key in neighbours)
        ],
        "alone": not around.pairs,
    }


def _none(pair: Pair, by: str) -> str:
    reason = pair.absent(by)
    if reason is not None:
        return visible(reason)
    return "none: no feature fires on the same tokens" if by in ("correlation", "jaccard") else "none"


def offer(store: Store, around: Elsewhere) -> None:
    """A button that computes what is missing, for all coders of the store, or the progress of that."""
    if all(pair.has(by) for pair in around.pairs for by in MEASURES):
        return
    missing = counterparts.missing(services.resources(store))
    computed.offer(store, [compare_job(what, *pairs) for what, pairs in missing.items()])
