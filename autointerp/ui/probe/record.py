"""What the Probe page's element draws: the text, and a row for each feature of the ranking."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.probe import ProbeResult, Ranked, Ranking
from autointerp.score.registry import SCORERS
from autointerp.store import ScoreKind, ShownExplanation, ShownScore, Store, annotated_store, sorted_kinds
from autointerp.ui.probe.state import ProbeState
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import score_text, services
from autointerp.ui.shared.score_text import judge_label, reference, reference_text
from autointerp.ui.shared.text import MAX_TOKEN, beginning, visible

AROUND = 40
"""Tokens of a row's excerpt: of a long text only what is around the feature's peak."""
MAX_TEXT = 400
"""Characters of an explanation."""


def record(
    store: Store,
    result: ProbeResult,
    ranking: Ranking,
    state: ProbeState,
    token: int | None,
    summary: str,
) -> dict[str, Any]:
    """Everything that the element draws. The text's tokens are the table; rows refer to it by position."""
    special = store.vocabulary().is_special
    table = [
        [token_id, beginning(text, MAX_TOKEN), 1 if special(token_id) else 0]
        for token_id, text in zip(result.token_ids.tolist(), result.texts, strict=True)
    ]
    explained = _explanations(store, ranking)
    rows = [_row(store, result, ranked, explained, state) for ranked in ranking.rows]
    return {
        "text": state.text,
        "table": table,
        "added": result.n_added,
        "token": -1 if token is None else token,
        "by_token": state.rank == "token",
        "summary": summary,
        "value": {"max": "Maximum", "sum": "Sum", "token": "Activation"}[state.rank],
        "rows": rows,
    }


@dataclass(frozen=True)
class _Explained:
    """The shown explanation of each feature of a ranking, where there is one, and the first score of its kinds."""

    text: dict[tuple[str, int], ShownExplanation]
    score: dict[tuple[str, int], tuple[ScoreKind, ShownScore]]


def _explanations(store: Store, ranking: Ranking) -> _Explained:
    explained = _Explained({}, {})
    kept = annotated_store(services.annotations(store))
    for name in dict.fromkeys(row.coder for row in ranking.rows):
        latents = [row.latent for row in ranking.rows if row.coder == name]
        written = kept.coder(name)
        explained.text.update({(name, latent): shown for latent, shown in written.shown(latents).items()})
        for kind in sorted_kinds([written.kinds], score_text.order):
            for latent, score in written.shown_scores(kind, latents).items():
                explained.score.setdefault((name, latent), (kind, score))
    return explained


def _row(
    store: Store, result: ProbeResult, ranked: Ranked, explained: _Explained, state: ProbeState
) -> dict[str, Any]:
    coder = store.coder(ranked.coder)
    stats = coder.stats(ranked.latent)
    acts = result.coders[ranked.coder].of(ranked.latent)
    first, last = excerpt(len(acts), ranked.token, first=result.n_added)
    fires = np.flatnonzero(acts)
    top = stats.max_activation or 0.0
    value = float(
        {"max": acts.max(), "sum": acts.sum(dtype=np.float64), "token": acts[ranked.token]}[state.rank]
    )
    key = (ranked.coder, ranked.latent)
    shown = explained.text.get(key)
    return {
        "go": {"coder": ranked.coder, "latent": ranked.latent},
        "name": f"{ranked.coder} #{ranked.latent}",
        "value": fmt.activation(value),
        "share": fmt.share_of(float(acts[ranked.token]), top),
        "density": fmt.density(stats.density),
        "p": fires.tolist(),
        "v": acts[fires].tolist(),
        "peak": ranked.token,
        "max": max(top, float(acts.max())),
        "from": first,
        "to": last,
        "explanation": None if shown is None else beginning(shown.text, MAX_TEXT),
        "score": _score(*explained.score[key]) if key in explained.score else "",
    }


def excerpt(n: int, peak: int, *, first: int = 0, around: int = AROUND) -> tuple[int, int]:
    """The part of a text of `n` tokens that a row shows: all of a short one from `first` on, else `around` tokens with the
    peak inside."""
    first = min(first, peak)
    if n - first <= around:
        return first, n
    start = min(max(first, peak - around * 2 // 3), n - around)
    return start, start + around


def _score(kind: ScoreKind, score: ShownScore) -> str:
    """A score with all that it takes to read it: `Detection 0.78 (0.70 to 0.85), n 60, floor 0.52, offline judge`."""
    parts = [f"{SCORERS.label(kind.scorer)} {fmt.decimal(score.value, 2)}"]
    if score.ci_low is not None and score.ci_high is not None:
        parts[0] += f" ({fmt.decimal(score.ci_low, 2)} to {fmt.decimal(score.ci_high, 2)})"
    parts.append(f"n {fmt.count(score.n)}")
    parts.append("floor not measured" if reference(score) is None else reference_text(score))
    parts.append(judge_label(kind.judge, kind.model))
    return visible(", ".join(parts))
