"""The explanation of one latent scored on the examples of another: whether what was said of the one holds for the other.

It is no score of either latent and stands nowhere among scores: it is kept in `derived/`, with what it was made from. Its
examples are held out as ever: of the examined latent, from its held-out side, without any context that the explanation's own
explainer was shown, or a near-duplicate of such a window. The floor is a random explanation of a third latent, of the examined
one's coder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from autointerp.compare.facts import facts_of, with_facts
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, JudgedExample, Score, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store.derived import Derivation

VERSION = 1


def cross_score(
    session: Session, explanation: Explanation, coder: str, latent: int, options: ScoreOptions
) -> Score:
    """`explanation` scored on examples of `latent` of `coder`; kept where it did not fail, and not made again where it is.
    Raises as `pipeline.score.score`, and UnknownName."""
    resources = session.resources
    latent = resources.store.coder(coder).check_latent(latent)
    before = known(resources, explanation, coder, latent, [options])
    if before:
        return next(iter(before.values()))
    # As if it had been written about the other latent; its own id and ancestors say what its explainer was shown.
    moved = replace(explanation, id=f"{explanation.id}@{coder}:{latent}", coder=coder, latent=latent)
    made = score(session, moved, options)
    if made.status == "ok":
        facts = {
            "score": {**asdict(replace(made, judged=None)), "config": dict(made.config)},
            "explanation": {
                "id": explanation.id, "coder": explanation.coder, "latent": explanation.latent, "text": explanation.text,
            },
            "examples": {"coder": coder, "latent": latent},
        }  # fmt: skip
        judged = [item._asdict() for item in made.judged or ()]
        table = with_facts(pa.Table.from_pylist(judged), facts)
        resources.store.keep_result(_derivation(resources, explanation, coder, latent, options), table)
    return made


def known(
    resources: Resources,
    explanation: Explanation,
    coder: str,
    latent: int,
    options: Sequence[ScoreOptions],
) -> dict[tuple[str, str], Score]:
    """The kept ones of this explanation on this latent, with their judged examples, by scorer and the hash of their
    configuration."""
    scores = {}
    for option in options:
        table = resources.store.result(_derivation(resources, explanation, coder, latent, option))
        if table is not None:
            made = _score(table)
            scores[made.scorer, made.config_hash] = made
    return scores


def _score(table: pa.Table) -> Score:
    judged = tuple(JudgedExample(**_tuples(row)) for row in table.to_pylist())
    return Score(**{**_tuples(facts_of(table)["score"]), "judged": judged})


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as the records have them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _derivation(
    resources: Resources, explanation: Explanation, coder: str, latent: int, options: ScoreOptions
) -> Derivation:
    coders = list(dict.fromkeys((coder, explanation.coder)))
    parameters = {
        "explanation": explanation.id,
        "coder": coder,
        "latent": latent,
        "config": config_hash(options.identity()),
    }
    return resources.store.derivation("cross_score", VERSION, coders, parameters)
