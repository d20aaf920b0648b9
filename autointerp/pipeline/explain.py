"""Explaining: a latent's evidence to an explainer, what comes of it to a record."""

import time
from dataclasses import replace

from autointerp.errors import Failure, UserError, check_length
from autointerp.explain.options import ExplainOptions
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.pipeline.examples import select_evidence
from autointerp.pipeline.keys import KeyGone
from autointerp.pipeline.session import Session
from autointerp.ratings import MAX_NAME
from autointerp.records import Explanation
from autointerp.score import delphi
from autointerp.store import Store

MAX_TEXT = 10_000
"""Characters of an explanation that a person may write."""


def explain(session: Session, coder: str, latent: int, options: ExplainOptions) -> Explanation:
    """A new explanation, not stored yet; a failure is a failed one. Raises `Cancelled`, `BudgetExceeded` and `KeyGone` only."""
    seed = delphi.SAMPLING_SEED if options.protocol == "delphi" else options.seed
    try:
        started = time.perf_counter()
        evidence = select_evidence(session.resources, coder, latent, options, cancel=session.cancel)
        selected = time.perf_counter() - started
        explanation = session.explainer(options).explain(evidence, seed=seed)
        if (
            evidence.effect is not None and explanation.duration is not None
        ):  # raising the latent is most of the work
            explanation = replace(explanation, duration=selected + explanation.duration)
    except (Cancelled, BudgetExceeded, KeyGone):
        raise
    except UserError as error:
        explanation = Explanation(
            coder=coder,
            latent=latent,
            text="",
            explainer=options.explainer,
            seed=seed,
            cost=0.0,
            status="failed",
            **Failure.of(error)._asdict(),
        )
    # The identity of the options says more than the explainer's own configuration.
    return replace(explanation, config=options.identity())


def checked_text(text: str) -> str:
    """What a person wrote, without blanks around it. Raises UserError for an empty or endless text."""
    text = text.strip()
    if not text:
        raise UserError("The explanation is empty. Write what the feature responds to, in a sentence or two.")
    check_length("The explanation", text, MAX_TEXT)
    return text


def written_explanation(
    store: Store, coder: str, latent: int, text: str, *, author: str, parent: str | None = None
) -> Explanation:
    """What a person wrote, as a new version, not stored yet. Raises UserError for an empty or endless text or name, and for
    a latent that does not exist."""
    latent = store.coder(coder).check_latent(latent)
    text, author = checked_text(text), author.strip()
    if not author:
        raise UserError("Say who wrote it: a name.")
    check_length("The name", author, MAX_NAME)
    return Explanation(
        coder=coder,
        latent=latent,
        text=text,
        explainer="person",
        author=author,
        parent=parent,
        cost=0.0,
    )
