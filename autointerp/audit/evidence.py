"""What a rater is shown about an item: contexts to judge by, and the questions of a judge's task.

Both come from the held-out side of the explanation's split, without any context that it, or a version it was edited from, was
made from: what a rater judges is what the scores measure. Everything follows from the audit's seed, so every rater, in every
session and on every copy of the store, sees the same.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.examples import evenly, select_heldout
from autointerp.pipeline.negatives import similar_latents
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.pipeline.split import Unseen, unseen
from autointerp.ratings import Audit, AuditItem, Task
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.sampling import NeighbourActivations, Request, Sizes, Window, cut_many, sample
from autointerp.sampling.windows import cut
from autointerp.score.options import ScoreOptions, plan_seed
from autointerp.score.plan import Item, Plan
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import CoderStore
from autointerp.types import Example, Group, LatentActivations

FIRST = Sizes(top=8, random=10, per_quantile=2, non_activating=5, hard=5)
"""Contexts of each group at first."""
PAGE = Sizes(top=10, random=10, per_quantile=3, non_activating=10, hard=10)
"""Further ones, at each request."""
_CONTEXTS, _QUESTIONS = 0, 1  # generators that must not repeat each other


def explanation_of(resources: Resources, item: AuditItem) -> Explanation:
    """The explanation that an item is about. Raises UserError where this store lacks it."""
    try:
        return resources.annotations.explanation(item.explanation_id)
    except UnknownName as error:
        raise UserError(
            f"The explanation of item {item.i + 1} is not in this store, so the contexts it was made from are not known. "
            "Skip this item, or open the store that the audit was made on."
        ) from error


def contexts(
    resources: Resources,
    audit: Audit,
    item: AuditItem,
    *,
    sizes: Sizes = FIRST,
    window: int = DEFAULT_WINDOW,
) -> dict[Group, list[Example]]:
    """Held-out contexts of the item's latent by group, drawn as `sampling.sample` does, quantiles taken over held-out windows;
    groups are shorter where there are fewer. Raises UserError for an explanation or a feature that this store lacks."""
    return _draw(resources, audit, item, sizes, window, 0, ())


def more(
    resources: Resources,
    audit: Audit,
    item: AuditItem,
    group: Group,
    page: int,
    *,
    sizes: Sizes = PAGE,
    window: int = DEFAULT_WINDOW,
) -> list[Example]:
    """Further contexts of one group, from page 1 on, without any that the pages before hold; empty where there are no more.
    Page 0 is what `contexts` gives by default."""
    shown: list[Example] = []
    drawn = contexts(resources, audit, item, window=window)[group]
    for number in range(1, page + 1):
        shown += drawn
        drawn = _draw(resources, audit, item, _only(sizes, group), window, number, shown)[group]
    return drawn


def _only(sizes: Sizes, group: Group) -> Sizes:
    match group:
        case "top":
            return Sizes(top=sizes.top)
        case "random":
            return Sizes(random=sizes.random)
        case "quantiles":
            return Sizes(per_quantile=sizes.per_quantile)
        case "non_activating":
            return Sizes(non_activating=sizes.non_activating, hard=sizes.hard)


def _draw(
    resources: Resources,
    audit: Audit,
    item: AuditItem,
    sizes: Sizes,
    window: int,
    page: int,
    shown: Sequence[Example],
) -> dict[Group, list[Example]]:
    coder, acts, held_out = _held_out(resources, item)
    tokens = resources.store.tokens
    spans = np.array([_span(example) for example in shown], dtype=np.int64).reshape(-1, 3)
    avoid = np.concatenate([held_out.shown, spans])
    rng = np.random.default_rng([_CONTEXTS, audit.seed, item.latent, page])
    neighbours = _neighbours(resources, coder, item.latent) if sizes.hard else ()
    # What is avoided is left out of quantiles and silent windows only: some more of the others, then, and without it.
    spare = len(spans) + min(len(held_out.shown), sizes.top + sizes.random)
    asked = replace(
        sizes,
        top=sizes.top and sizes.top + spare,
        random=sizes.random and sizes.random + spare,
    )
    lengths = resources.store.text_lengths()
    request = Request(acts, rng, held_out.contexts, avoid, neighbours, lengths)
    (groups,) = sample([request], tokens, asked, window=window, count_duplicates=True)
    seen = {tokens[context, start:stop].tobytes() for context, start, stop in avoid.tolist()}

    def fresh(drawn: list[Example], n: int) -> list[Example]:
        return [e for e in drawn if tokens[e.context, slice(*_span(e)[1:])].tobytes() not in seen][:n]

    examples: dict[Group, list[Example]] = {
        name: cut_many(acts, tokens, places) for name, places in groups.items()
    }
    examples["top"] = fresh(examples["top"], sizes.top)
    examples["random"] = fresh(examples["random"], sizes.random)
    return examples


def _span(example: Example) -> tuple[int, int, int]:
    return example.context, example.start, example.start + len(example.token_ids)


def _held_out(resources: Resources, item: AuditItem) -> tuple[CoderStore, LatentActivations, Unseen]:
    explanation = explanation_of(resources, item)
    try:
        coder = resources.store.coder(item.coder)
        coder.check_latent(item.latent)
    except UnknownName as error:
        raise UserError(
            f"The feature of item {item.i + 1} is no longer in this store, so it has no contexts to judge. Skip this item."
        ) from error
    acts = resources.activations.get(coder, item.latent)
    return coder, acts, unseen(resources, explanation, acts)


def _neighbours(resources: Resources, coder: CoderStore, latent: int) -> NeighbourActivations:
    return [(near, resources.activations.get(coder, near)) for near in similar_latents(coder, latent)]


# Questions ------------------------------------------------------------------------------------------


def questions(resources: Resources, audit: Audit, item: AuditItem, task: Task) -> Plan:
    """What a judge's task asks about an item, `n_questions` of the audit's configuration or a few less: those that a judge's
    score of this scorer was asked, with the same windows and marks, half of them activating where there are enough, spread
    evenly over quantiles and sources. It is the newest score from before the audit, else the first one since: scores that come
    while people answer change nothing. Where there is none, what the scorer would ask with its default options. Raises
    UserError."""
    if task == "verdict":
        raise ValueError("a verdict asks no questions")
    explanation = explanation_of(resources, item)
    n = int(audit.config.get("n_questions", 20))
    scores = _judges_scores(resources, explanation, task)
    before = [score for score in scores if score.created <= audit.created]
    score = next(iter([*before, *reversed(scores)]), None)
    plan = _fresh(resources, audit, explanation, task, n) if score is None else _asked(resources, item, score)
    rng = np.random.default_rng([_QUESTIONS, audit.seed, item.latent])
    return replace(plan, items=thinned(plan.items, n, rng))


def judges_score(
    resources: Resources, explanation: Explanation, task: Task, *, asked: Sequence[JudgedExample] = ()
) -> Score | None:
    """The newest good score of this explanation by this scorer, with its judged examples; only one that was `asked` all of
    these questions."""
    keys = {example.key for example in asked}
    for score in _judges_scores(resources, explanation, task):
        judged = resources.annotations.judged(score.id)
        if keys <= {example.key for example in judged}:
            return replace(score, judged=judged)
    return None


def _judges_scores(resources: Resources, explanation: Explanation, task: Task) -> list[Score]:
    """Good ones, newest first, without their judged examples."""
    return [
        score
        for score in resources.annotations.scores_of_latent(explanation.coder, explanation.latent)
        if (score.explanation_id, score.scorer, score.status) == (explanation.id, task, "ok") and score.n
    ]


def _asked(resources: Resources, item: AuditItem, score: Score) -> Plan:
    """The questions of a score."""
    store = resources.store
    _, acts, _ = _held_out(resources, item)
    items = []
    for example in resources.annotations.judged(score.id):
        if example.context < store.n_contexts and example.start + example.window <= store.ctx_len:
            stop = example.start + example.window
            shown = cut(
                acts, store.tokens, example.context, example.start, stop,
                quantile=example.quantile, source=example.source,
            )  # fmt: skip
            items.append(Item(Window(shown, store.decode), example.truth, example.marks))
    highest = float(acts.activation.max(initial=0.0))
    return Plan(tuple(items), highest, score.negatives, score.seed or 0, score.protocol)


def _fresh(resources: Resources, audit: Audit, explanation: Explanation, task: Task, n: int) -> Plan:
    options = ScoreOptions(scorer=task, n_examples=-(-n // 2), n_negatives=n // 2, seed=audit.seed)
    with Session(resources) as session:
        heldout = select_heldout(resources, explanation, options)
        return session.scorer(options).plan(heldout, plan_seed(explanation.latent, options))


def thinned(items: Sequence[Item], n: int, rng: np.random.Generator) -> tuple[Item, ...]:
    """`n` of the items in the order they have: half of each class, or what the other class leaves; evenly over the quantiles of
    the activating ones and the sources of the others, which of each at random."""
    at: dict[bool, list[int]] = {}
    for truth in (True, False):
        places = [i for i in rng.permutation(len(items)).tolist() if bool(items[i].truth) is truth]
        examples = [items[i].window.example for i in places]
        if truth:
            spread = evenly([example.quantile for example in examples])
        else:
            sources = sorted({example.source for example in examples})
            spread = evenly([sources.index(example.source) for example in examples])
        at[truth] = [places[i] for i in spread]
    n_yes = min(len(at[True]), max(-(-n // 2), n - len(at[False])))
    chosen = [*at[True][:n_yes], *at[False][: n - n_yes]]
    return tuple(items[i] for i in sorted(chosen))
