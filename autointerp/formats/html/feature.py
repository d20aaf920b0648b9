"""One feature as a section of a static page."""

from collections.abc import Sequence
from typing import get_args

from autointerp.audit.cite import cite_feature
from autointerp.errors import UserError
from autointerp.explain.registry import EXPLAINERS
from autointerp.formats.html.markup import bars, table, tag, text, tokens
from autointerp.pipeline.described import GROUPS, SELECTED, example_groups, statistics
from autointerp.records import Explanation, Score
from autointerp.score.registry import JUDGES, SCORERS, uncounted, writes_texts
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations
from autointerp.types import Example, LatentStats, Relation, TokenLogit

_ORDER = ("top", "quantiles", "random", "non_activating")
_RELATIONS: dict[Relation, str] = {
    "decoder": "by decoder cosine",
    "encoder": "by encoder cosine",
    "cofiring": "by co-firing (Jaccard)",
}
_MOST = 4000
"""Characters of an explanation or a note."""


def anchor(coder: str, latent: int) -> str:
    """The feature's place on the page."""
    return f"{coder}-{latent}"


def section(
    store: Store, annotations: Annotations, coder: CoderStore, latent: int, *, window: int | None, n: int
) -> str:
    """HTML of everything that a reader needs to judge the feature: explanations with scores, intervals and floors, figures,
    promoted tokens, neighbours, `n` contexts of each group, and a line to cite."""
    name, info = coder.info.coder, coder.info
    stats = coder.all_stats(latent)
    parts = [
        tag("h2", f"{text(name)} / {latent}"),
        tag("p", text(f"{info.kind} at {info.hookpoint} of {store.meta['model']['name']}"), cls="dim"),
    ]
    if info.selected:
        parts.append(tag("p", text(f"{SELECTED[0].upper()}{SELECTED[1:]}."), cls="dim"))
    parts += _explanations(annotations, name, latent)
    if not stats["n_activations"]:
        what = (
            "The imported files have no context for it."
            if info.selected
            else "Dead: it never fires in this corpus."
        )
        parts.append(tag("p", what))
    else:
        parts += _figures(store, coder, latent, stats)
        parts += _contexts(store, coder, latent, window, n)
    parts.append(tag("footer", text(cite_feature(store, annotations, name, latent))))
    return tag("article", *parts, id=anchor(name, latent))


def _explanations(annotations: Annotations, coder: str, latent: int) -> list[str]:
    shown = annotations.shown(coder, latent)
    scores = [score for score in annotations.scores_of_latent(coder, latent) if score.status == "ok"]
    parts = []
    for member in annotations.collections.of(coder, latent):
        if member.note:
            parts.append(
                tag("p", text(f"{member.collection}: {member.note[:_MOST]} ({member.author})"), cls="dim")
            )
    if shown is None:
        return [*parts, tag("p", "No explanation.", cls="dim")]
    parts += _explanation(shown, scores, "shown")
    others = [
        each
        for each in annotations.explanations(coder, latent)
        if each.status == "ok" and each.id != shown.id
    ]
    if others:
        label = "1 other version" if len(others) == 1 else f"{len(others)} other versions"
        below = "".join("".join(_explanation(each, scores, "")) for each in others)
        parts.append(tag("details", tag("summary", label), below))
    return parts


def _explanation(explanation: Explanation, scores: Sequence[Score], cls: str) -> list[str]:
    made_by = EXPLAINERS.label(explanation.explainer)
    made_by += f", {explanation.model}" if explanation.model else f", {explanation.author}"
    own = [score for score in scores if score.explanation_id == explanation.id]
    own.sort(key=lambda score: (SCORERS.place(score.scorer), score.created))
    head = ("Score", "Value", "95 % interval", "Floor", "n", "Judge", "Negatives", "Protocol")
    return [
        tag("p", text(explanation.text[:_MOST]), cls=cls),
        tag("p", text(f"{made_by}, {explanation.created[:10]}"), cls="dim"),
        table(head, map(_score, own)) if own else tag("p", "Not scored.", cls="dim"),
    ]


def _score(score: Score) -> list[str]:
    judge = JUDGES.get(score.judge, score.judge)
    interval = "" if score.ci_low is None else f"{score.ci_low:.2f} to {score.ci_high:.2f}"
    n = str(score.n) + (f" ({uncounted(score.metric, score.unparsed)})" if score.unparsed else "")
    cells = (
        SCORERS.label(score.scorer), "" if score.value is None else f"{score.value:.3f}", interval,
        "" if score.floor is None else f"{score.floor:.3f}", n, f"{judge} {score.model or ''}".strip(), score.negatives,
        "" if writes_texts(score.scorer, score.metric) else score.protocol,  # it asks about no examples of the corpus
    )  # fmt: skip
    return [text(cell) for cell in cells]


def _figures(store: Store, coder: CoderStore, latent: int, stats: LatentStats) -> list[str]:
    pairs = "".join(
        tag("div", tag("dt", text(label)), tag("dd", text(value)))
        for label, value in statistics(store, stats)
    )
    parts = [tag("dl", pairs)]
    histogram = coder.histogram(latent)
    if histogram is not None:
        parts.append(bars(histogram.counts.tolist(), float(stats["max_activation"]), "Activations"))
    promoted, suppressed = coder.promoted(latent)
    for label, logits in (("Promoted tokens", promoted), ("Suppressed tokens", suppressed)):
        if logits:
            parts += [tag("h3", label), _chips(store, logits)]
    rows = []
    for relation in get_args(Relation):
        near = coder.neighbours(latent, relation, 5)
        if near:
            listed = ", ".join(f"{each.latent} ({each.value:.2f})" for each in near)
            rows.append([text(_RELATIONS[relation]), text(listed)])
    if rows:
        parts += [tag("h3", "Nearest features of this coder"), table(("", "Feature (similarity)"), rows)]
    return parts


def _chips(store: Store, logits: Sequence[TokenLogit]) -> str:
    words = store.vocabulary()
    chips = (
        tag("span", text(words.text(each.token)), cls="chip", title=f"{each.value:.3f}") for each in logits
    )
    return tag("p", *chips)


def _contexts(store: Store, coder: CoderStore, latent: int, window: int | None, n: int) -> list[str]:
    groups = example_groups(store, coder, latent, window=window, n=n, distinct=True)
    maximum = max((each.max_activation for each in groups["top"]), default=0.0)
    parts = []
    for group in _ORDER:
        examples = groups[group]
        if examples:
            heading = GROUPS[group][0].upper() + GROUPS[group][1:]
            rows = "".join(_context(store, each, maximum) for each in examples)
            parts += [tag("h3", text(f"{heading} ({len(examples)})")), tag("ul", rows, cls="contexts")]
    return parts


def _context(store: Store, example: Example, maximum: float) -> str:
    if example.max_activation > 0:
        decile = "" if example.quantile is None else f" · D{example.quantile + 1}"
        value = f"{example.max_activation:.3g}{decile}"
    else:
        value = "silent" if example.neighbour is None else f"{example.neighbour} fires"
    place = f"context {example.context}, from token {example.start}"
    shown = tokens(store.decode(example.token_ids), example.activations, maximum)
    return tag("li", tag("span", text(value), cls="value", title=place), tag("span", shown, cls="tokens"))


def check_places(store: Store, places: Sequence[tuple[str, int]], most: int) -> None:
    """Raises UserError for none or too many, and for a feature that does not exist."""
    if not places:
        raise UserError(
            "there is no feature to write: choose some with --coder and --latents, or a --collection."
        )
    if len(places) > most:
        raise UserError(
            f"{len(places):,} features are too many for one page: {most:,} at most. Choose some with --coder and "
            "--latents, or a "
            "--collection."
        )
    for coder, latent in places:
        store.coder(coder).check_latent(latent)
