"""Explaining: a latent's evidence to an explainer, what comes of it to a record."""

from autointerp.errors import UserError
from autointerp.explain import ExplanationResult
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.pipeline.examples import select_evidence
from autointerp.pipeline.options import ExplainOptions, KeyGone
from autointerp.pipeline.records import explanation_record
from autointerp.pipeline.session import Session
from autointerp.store import Store
from autointerp.store.annotations import Explanation

MAX_TEXT = 10_000
"""Characters of an explanation that a person may write."""


def explain(session: Session, coder: str, latent: int, options: ExplainOptions) -> Explanation:
    """A new explanation, not stored yet; a failure is a failed one. Raises `Cancelled`, `BudgetExceeded` and `KeyGone` only."""
    try:
        evidence = select_evidence(session.resources, coder, latent, options)
        result = session.explainer(options).explain(evidence, seed=options.seed)
    except (Cancelled, BudgetExceeded, KeyGone):
        raise
    except UserError as error:
        result = ExplanationResult(
            text="", explainer=options.explainer, seed=options.seed, status="failed", error=str(error)
        )
    return explanation_record(result, coder, latent, options.identity())


def written_explanation(
    store: Store, coder: str, latent: int, text: str, *, author: str, parent: str | None = None
) -> Explanation:
    """What a person wrote, as a new version, not stored yet. Raises UserError for an empty or endless text, and for a latent
    that does not exist."""
    latent = store.coder(coder).check_latent(latent)
    text = text.strip()
    if not text:
        raise UserError("The explanation is empty. Write what the feature responds to, in a sentence or two.")
    if len(text) > MAX_TEXT:
        raise UserError(f"The explanation has {len(text):,} characters; the limit is {MAX_TEXT:,}.")
    return Explanation(
        coder=coder,
        latent=latent,
        text=text,
        explainer="person",
        author=author.strip()[:100] or "anonymous",
        parent=parent,
        cost=0.0,
    )
