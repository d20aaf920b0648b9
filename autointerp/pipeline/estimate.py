"""What a run will send and cost, before it does: exact for one item, extrapolated from a sample for many. One item would not do
as a sample: if it was tried before, nothing would seem left to pay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatRequest, Message
from autointerp.pipeline.examples import select_evidence, select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions, plan_seed

SAMPLE = 10
MODE_UNKNOWN = (
    "The first request finds out whether the server returns log probabilities of the prompt. If it does not, as assumed here, "
    "the model is asked for lists of numbers."
)


@dataclass(kw_only=True)
class Estimate:
    """Sums over all `n_items`, extrapolated from `sampled` of them. `messages`: the first request exactly. Tokens and `cost`
    (`None`: price unknown) are upper bounds over all `n_requests`, but for the `from_cache` of them that were answered before
    and cost nothing. `note`: what is not known yet. `unusable` of the sampled would fail before anything is asked, the first
    with `problem`."""

    n_items: int = 1
    sampled: int = 1
    n_requests: int = 0
    from_cache: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    messages: tuple[Message, ...] = ()
    note: str = ""
    unusable: int = 0
    problem: str | None = None

    @property
    def exact(self) -> bool:
        return self.sampled == self.n_items

    @property
    def all_known(self) -> bool:
        """Whether every sampled request is in the cache, so that the sample says nothing about the cost of new ones."""
        return 0 < self.n_requests <= self.from_cache

    def add(self, other: "Estimate") -> None:
        """Further requests."""
        self.n_requests += other.n_requests
        self.from_cache += other.from_cache
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        self.messages = self.messages or other.messages
        self.note = self.note or other.note
        self.problem = self.problem or other.problem


def estimate_explanation(resources: Resources, coder: str, latent: int, options: ExplainOptions) -> Estimate:
    """Raises UserError."""
    options.check()
    if not options.needs_llm:
        return Estimate()
    with Session(resources) as session:
        explainer = session.explainer(options)
        requests = explainer.requests(select_evidence(resources, coder, latent, options))
        return _estimate(session.client(options.llm), resources, requests)


def estimate_score(
    resources: Resources,
    explanation: Explanation,
    options: ScoreOptions,
    scored_too: Callable[[Explanation], bool] = lambda _: False,
) -> Estimate:
    """The floor's requests included, but for those that are asked anyway: texts written from an explanation are one request,
    whether it is scored or the floor of another, and `scored_too` says which explanations are scored in the same run.
    Raises UserError."""
    options.check()
    if not options.needs_llm:
        return Estimate()
    with Session(resources) as session:
        scorer, client = session.scorer(options), session.client(options.llm)
        heldout = select_heldout(resources, explanation, options)
        plan = scorer.plan(heldout, plan_seed(explanation.latent, options))
        floor = resources.floors.choose(explanation, options)
        if floor is not None and options.entry.written and scored_too(floor):
            floor = None
        texts = [explanation.text, *([floor.text] if floor else [])]
        requests = scorer.requests(
            texts, plan, lambda request: resources.replies.get(request.key(client.endpoint, client.model))
        )
        unknown = bool(requests) and requests[0].prompt_logprobs > requests[-1].prompt_logprobs
        return _estimate(client, resources, requests, note=MODE_UNKNOWN if unknown else "")


def _estimate(
    client: Client, resources: Resources, requests: Sequence[ChatRequest], note: str = ""
) -> Estimate:
    keys = [request.key(client.endpoint, client.model) for request in requests]
    new = [client.estimate(r) for r, key in zip(requests, keys, strict=True) if key not in resources.replies]
    costs = [request.cost for request in new]
    return Estimate(
        messages=requests[0].messages if requests else (),
        n_requests=len(requests),
        tokens_in=sum(request.prompt_tokens for request in new),
        tokens_out=sum(request.completion_tokens for request in new),
        cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        from_cache=len(requests) - len(new),
        note=note,
    )


def sample_places(n: int, sample: int = SAMPLE) -> list[int]:
    """Up to `sample` places among `n`, evenly over all, each in the middle of its part."""
    return [(2 * i + 1) * n // (2 * sample) for i in range(sample)] if n > sample else list(range(n))


def extrapolate(items: Sequence[Any], estimate: Callable[[Any], Estimate]) -> Estimate:
    """The estimate of all items, from up to `SAMPLE` of them. Raises UserError when none can be estimated."""
    chosen = [items[place] for place in sample_places(len(items))]
    total = Estimate(n_items=len(items), sampled=len(chosen))
    for item in chosen:
        try:
            total.add(estimate(item))
        except UserError as error:
            total.unusable += 1
            total.problem = total.problem or str(error)
    if chosen and total.unusable == len(chosen):
        raise UserError(f"all {len(chosen)} items sampled would fail: {total.problem}")
    scale = len(items) / max(1, len(chosen))
    return replace(
        total,
        n_requests=round(scale * total.n_requests),
        from_cache=round(scale * total.from_cache),
        tokens_in=round(scale * total.tokens_in),
        tokens_out=round(scale * total.tokens_out),
        cost=None if total.cost is None else scale * total.cost,
    )


def add_estimates(parts: Sequence[Estimate]) -> Estimate:
    """Several kinds of work on the same items, taken together."""
    total = Estimate(n_items=max((part.n_items for part in parts), default=0), sampled=0)
    for part in parts:
        total.add(part)
        total.sampled = max(total.sampled, part.sampled)
        total.unusable = max(total.unusable, part.unusable)
    return total
