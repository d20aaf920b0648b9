"""An audit of made-up explanations, and people who answer it with a given skill: what a report is made from."""

from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.ratings import Audit, AuditItem, Rating, Stratum, Task, Verdict
from autointerp.records import JudgedExample

SCORES = "detection~offline~held-out~random~@0123456789ab", "fuzzing~llm~held-out~random~gpt~@0123456789ab"
OTHERS: tuple[Verdict, ...] = ("too_broad", "too_narrow", "wrong", "uninterpretable")


def an_audit(
    n: int = 120,
    n_controls: int = 12,
    *,
    seed: int = 0,
    coders: Sequence[str] = ("one", "two"),
    share: float = 0.6,
    tasks: tuple[Task, ...] = ("verdict",),
) -> tuple[Audit, np.ndarray]:
    """And which of its items are right: none of the controls. Scores are higher for what is right; explanations of even
    latents are by "default", of others by "pattern"."""
    rng = np.random.default_rng(seed)
    strata, items, right = [], [], []
    per_coder = n // len(coders)
    for which, coder in enumerate(coders):
        for part in range(4):
            strata.append(Stratum(4 * which + part, coder, None, None, 100, per_coder // 4))
    controls = set(rng.choice(n + n_controls, n_controls, replace=False).tolist())
    real = 0
    for i in range(n + n_controls):
        is_right = bool(rng.random() < share) and i not in controls
        right.append(is_right)
        own = f"E{i:04d}"
        which = 0 if i in controls else real * len(coders) // n
        stratum = None if i in controls else min(4 * which + real % 4, 4 * len(coders) - 1)
        real += i not in controls
        values = np.clip(rng.normal(0.75 if is_right else 0.6, 0.12, 2), 0, 1).round(2)
        items.append(
            AuditItem(
                i, coders[which], i, own, f"T{i:04d}" if i in controls else own, f"words about {i}", stratum,
                dict(zip(SCORES, values.tolist(), strict=True)),
            )
        )  # fmt: skip
    audit = Audit(
        name="Simulated", author="Ann", tasks=tasks, seed=seed, items=tuple(items), strata=tuple(strata),
        config={"n": n}, store={"corpus": "abc"},
    )  # fmt: skip
    return audit, np.array(right)


def explainers(audit: Audit) -> Mapping[str, str]:
    return {item.explanation_id: "pattern" if item.latent % 2 else "default" for item in audit.items}


def answers(
    audit: Audit, right: np.ndarray, rater: str, *, skill: float = 0.85, share: float = 1.0, again: int = 0
) -> list[Rating]:
    """Of one rater, on a random `share` of the items; `again` of them come back. Who does not see what is right, guesses."""
    rng = np.random.default_rng([audit.seed, *rater.encode()])
    order = rng.permutation(len(audit.items))[: round(share * len(audit.items))].tolist()
    back = [item for item in order if not audit.items[item].is_control][:again]
    return [
        Rating(
            audit_id=audit.id, item=item, rater=rater, task="verdict", round=round_,
            verdict=_says(rng, bool(right[item]), skill), confidence=int(rng.integers(1, 4)), seconds=float(rng.uniform(4, 30)),
        )
        for round_, items in enumerate((order, back))
        for item in items
    ]  # fmt: skip


def _says(rng: np.random.Generator, is_right: bool, skill: float) -> Verdict:
    if rng.random() > skill:
        return rng.choice(["correct", *OTHERS])
    return "correct" if is_right else rng.choice(OTHERS, p=[0.3, 0.2, 0.4, 0.1])


def judged(audit: Audit, right: np.ndarray, rater: str, task: Task, n: int = 20) -> list[Rating]:
    """A judge's task on every item: eight answers in ten are right where the explanation is, half where it is not."""
    rng = np.random.default_rng([audit.seed, 1, *rater.encode()])
    made = []
    for item in audit.items:
        truths = np.arange(n) % 2 == 0
        hits = rng.random(n) < (0.85 if right[item.i] else 0.5)
        examples = tuple(
            JudgedExample(i, i, 0, 32, bool(truth), answer=bool(truth == hit))
            for i, (truth, hit) in enumerate(zip(truths, hits, strict=True))
        )
        made.append(Rating(audit_id=audit.id, item=item.i, rater=rater, task=task, judged=examples))
    return made
