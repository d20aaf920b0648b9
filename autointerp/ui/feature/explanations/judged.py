"""The judged examples of one score as plain records: each one as the judge saw it, the errors first.

A scorer that asks for yes or no has false positives and false negatives. One that grades (embedding, surprisal) has no
threshold: an example counts as wrong when it loses at least half of its pairs against the other class, which is what its
AUROC is made of. A token-wise one has neither; its examples are ordered by correlation, lowest first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autointerp.sampling import visible_marks
from autointerp.sampling.windows import cut
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import JudgedExample, Score
from autointerp.types import Example, LatentActivations
from autointerp.ui.feature.explanations.state import ExplanationState
from autointerp.ui.shared import data, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import visible

MAX_ROWS = 240
SOURCE_NAMES = {
    "activating": "",
    "random": "random",
    "neighbours": "neighbour",
    "embedding": "similar text",
}


@dataclass(frozen=True)
class Seen:
    """One judged example with what follows from it. `right`: `None` where there is no right and wrong, or no usable
    answer. `lost`: share of its pairs that a graded example loses; `r`: correlation of a token-wise one."""

    judged: JudgedExample
    example: Example | None
    right: bool | None
    lost: float | None = None
    r: float | None = None

    @property
    def fires(self) -> bool | None:
        """Whether the latent fires in the text; `None` when the text is gone."""
        return None if self.example is None else bool(self.example.max_activation > 0)

    @property
    def unparsed(self) -> bool:
        one = self.judged
        return one.answer is None and one.value is None and one.predicted is None


@dataclass(frozen=True)
class Part:
    """A titled list of examples."""

    key: str
    title: str
    note: str
    rows: list[Seen]


def see(store: Store, acts: LatentActivations, score: Score, judged: Sequence[JudgedExample]) -> list[Seen]:
    """Joins the judged examples with their windows, and works out what was right."""
    lost = _lost_pairs(judged) if score.metric == "auroc" else {}
    found = []
    for one in judged:
        example = _example(store, acts, one)
        if score.metric == "auroc":
            share = lost.get(one.i)
            found.append(Seen(one, example, None if share is None else share < 0.5, lost=share))
        elif score.metric == "correlation":
            found.append(Seen(one, example, None, r=_correlation(one, example)))
        else:
            found.append(Seen(one, example, one.correct))
    return found


def _example(store: Store, acts: LatentActivations, one: JudgedExample) -> Example | None:
    if not 0 <= one.context < store.n_contexts or not 0 <= one.start < store.ctx_len or one.window <= 0:
        return None
    stop = min(one.start + one.window, store.ctx_len)
    return cut(acts, store.tokens, one.context, one.start, stop)


def _lost_pairs(judged: Sequence[JudgedExample]) -> dict[int, float]:
    """For each graded example, the share of the other class on the wrong side of it; ties count half."""
    graded = [
        (one.i, one.truth, one.value) for one in judged if one.value is not None and one.truth is not None
    ]
    sides = {
        side: np.sort(np.array([value for _, truth, value in graded if truth is side], dtype=np.float64))
        for side in (True, False)
    }
    found = {}
    for i, truth, value in graded:
        others = sides[not truth]
        if len(others):
            below = np.searchsorted(others, value, "left") / len(others)
            above = 1 - np.searchsorted(others, value, "right") / len(others)
            tied = 1 - below - above
            found[i] = float((above if truth else below) + tied / 2)
    return found


def _correlation(one: JudgedExample, example: Example | None) -> float | None:
    """Of predicted and true activations over the tokens of one text; `None` where one of them does not vary."""
    if example is None or one.predicted is None or len(one.predicted) != len(example.activations):
        return None
    predicted = np.asarray(one.predicted, dtype=np.float64)
    true = example.activations.astype(np.float64)
    if not predicted.std() or not true.std():
        return None
    return float(np.corrcoef(predicted, true)[0, 1])


def narrowed(seen: Iterable[Seen], state: ExplanationState) -> list[Seen]:
    """Those that pass the filters of the address."""
    found = []
    for one in seen:
        positive = one.judged.truth if one.judged.truth is not None else one.fires
        if state.verdict != "all" and one.right is not (state.verdict == "right"):
            continue
        if state.examples != "all" and positive is not (state.examples == "activating"):
            continue
        if state.quantile is not None and (not positive or one.judged.quantile != state.quantile):
            continue
        if state.source != "all" and (positive or one.judged.source != state.source):
            continue
        found.append(one)
    return found


def parts(score: Score, seen: Sequence[Seen]) -> list[Part]:
    """Errors first, the two kinds apart, worst first in each."""
    unread = Part("unparsed", "Unparsed", "the answer could not be read; in no figure", [])
    if score.metric == "correlation":
        rows = sorted(
            (one for one in seen if not one.unparsed), key=lambda one: (one.r is None, one.r or 0.0)
        )
        texts = Part(
            "texts", "Texts", "lowest correlation first; a text in which nothing varies has none", rows
        )
        return _filled([texts, replace(unread, rows=[one for one in seen if one.unparsed])])
    names = _NAMES["fuzzing" if score.scorer == "fuzzing" else score.metric]
    buckets: dict[str, list[Seen]] = {key: [] for key in ("fp", "fn", "unparsed", "tp", "tn")}
    for one in seen:
        if one.right is None:
            buckets["unparsed"].append(one)
        elif one.judged.truth:
            buckets["tp" if one.right else "fn"].append(one)
        else:
            buckets["tn" if one.right else "fp"].append(one)
    for key, rows in buckets.items():
        falling = key in ("fp", "tn")  # what a judge was surest of, or came nearest to getting wrong
        rows.sort(key=lambda one: one.judged.value or 0.0, reverse=falling)
    return _filled(
        [
            replace(unread, rows=buckets[key]) if key == "unparsed" else Part(key, *names[key], buckets[key])
            for key in ("fp", "fn", "unparsed", "tp", "tn")
        ]
    )


def _filled(found: Sequence[Part]) -> list[Part]:
    return [part for part in found if part.rows]


_NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "balanced_accuracy": {
        "fp": ("False positives", "it does not fire here; the judge said it does"),
        "fn": ("False negatives", "it fires here; the judge said it does not"),
        "tp": ("True positives", "it fires, and the judge said so"),
        "tn": ("True negatives", "it does not fire, and the judge said so"),
    },
    "fuzzing": {
        "fp": ("False positives", "the marks are wrong; the judge took them for right"),
        "fn": ("False negatives", "the marks are right; the judge took them for wrong"),
        "tp": ("True positives", "right marks, recognised"),
        "tn": ("True negatives", "wrong marks, rejected"),
    },
    "auroc": {
        "fp": ("Too high", "it does not fire here, yet this stands above half of the texts where it does"),
        "fn": ("Too low", "it fires here, yet this stands below half of the texts where it does not"),
        "tp": ("Activating", "above most texts where it does not fire; lowest first"),
        "tn": ("Non-activating", "below most texts where it fires; highest first"),
    },
}  # fmt: skip


def record(
    store: Store, coder: CoderStore, latent: int, score: Score, judged: Sequence[JudgedExample], state: ExplanationState
) -> dict[str, Any]:  # fmt: skip
    """Everything that the element draws."""
    firing = data.firing(store, coder, latent)
    seen = see(store, firing.activations, score, judged)
    table = payload.TokenTable(store.decode, store.vocabulary().is_special)
    shown = parts(score, narrowed(seen, state))
    room = MAX_ROWS
    groups = []
    for part in shown:
        kept = part.rows[:room]
        room -= len(kept)
        note = part.note + (
            "" if len(kept) == len(part.rows) else f"; the first {len(kept)}, filter for others"
        )
        rows = [_row(one, score, table, overlay=state.overlay) for one in kept]
        groups.append(
            {"key": part.key, "title": f"{part.title}: {len(part.rows)}", "note": note, "rows": rows}
        )
    here: dict[str, Any] = {"coder": coder.info.coder, "latent": latent}
    return {
        "rev": repr((score.id, replace(state, example=None, version=None, panel=None))),
        "score": score.id,
        "home": here,
        "params": here | {"score": score.id},
        "judges": score.metric != "correlation",
        "quantile": state.quantile,
        "bars_note": _bars_note(score),
        "key": _key(score, overlay=state.overlay),
        "max": firing.stats.max_activation,
        "overlay": state.overlay,
        "table": table.entries,
        "bars": bars(score, seen),
        "groups": groups,
        "empty": "" if seen else "No judged example was stored with this score.",
        "none": "No example passes these filters." if seen and not shown else "",
    }


def _bars_note(score: Score) -> str:
    if score.metric == "balanced_accuracy":
        return "share answered rightly, by tenth of activation, 1 = strongest; click to filter"
    return f"{score.metric.upper() if score.metric == 'auroc' else score.metric} with only one tenth of the activating texts"


def _key(score: Score, *, overlay: bool) -> list[list[str]]:
    """What the marks in the texts mean: `[class, text]` in a row."""
    found: list[list[str]] = []
    if score.scorer == "fuzzing":
        found += [["t mk", "marked"], ["", " as the judge saw it  "]]
    if score.metric == "correlation":
        found += [["t pr", "underlined"], ["", " predicted strength, 0 to 10  "]]
    if overlay:
        found += [["t a6", "orange"], ["", " true activation, not shown to the judge; "], ["t peak", "peak"]]
    return found


def _row(one: Seen, score: Score, table: payload.TokenTable, *, overlay: bool) -> dict[str, Any]:
    judged = one.judged
    row: dict[str, Any] = {
        "i": judged.i,
        "c": judged.context,
        "s": judged.start,
        "ok": one.right,
        "t": [],
        "k": -1,
    }
    row |= {"p": [], "v": []}
    if one.example is None:
        row["gone"] = "This text is not in the store's corpus any more."
    else:
        drawn = payload.row(one.example, table)
        row["t"] = drawn["t"]
        if overlay:
            row |= {name: drawn[name] for name in ("p", "v", "k")}
        if judged.marks is not None:  # as the judge saw them: never on the empty rest of a split character
            row["mk"] = sorted(visible_marks(table.decode(one.example.token_ids.tolist()), judged.marks))
    if judged.predicted is not None:
        row["pr"] = [round(min(max(value, 0.0), 10.0), 1) for value in judged.predicted]
    row["said"], row["true"] = _words(one, score)
    positive = judged.truth if judged.truth is not None else one.fires
    if positive and judged.quantile is not None:
        row["where"] = payload.QUANTILE_LABELS[min(judged.quantile, 9)]
    elif not positive:
        row["where"] = SOURCE_NAMES.get(judged.source, judged.source) or "wrong marks"
    if judged.error:
        row["error"] = visible(judged.error)
    if judged.reply_ref:
        row["reply"] = True
    return row


def _words(one: Seen, score: Score) -> tuple[str, str]:
    """What the judge answered, and the truth."""
    judged = one.judged
    marks = score.scorer == "fuzzing"
    if score.metric == "correlation":
        return (
            "no correlation" if one.r is None else f"r {fmt.decimal(one.r, 2)}"
        ), "fires" if one.fires else "silent"
    true = ("right marks" if marks else "fires") if judged.truth else ("wrong marks" if marks else "silent")
    if one.unparsed:
        return "unparsed", true
    if score.metric == "auroc":
        graded = f"{'similarity ' if score.scorer == 'embedding' else ''}{fmt.decimal(judged.value, 2)}"
        return graded + ("" if one.lost is None else f", loses {fmt.share(one.lost)}"), true
    said = "said yes" if judged.answer else "said no"
    return said + (f", p {fmt.decimal(judged.value, 2)}" if judged.value is not None else ""), true


def bars(score: Score, seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Per quantile of activating examples, strongest first, how well they did and how many there were; then the
    non-activating ones."""
    graded = score.metric != "balanced_accuracy"
    values = score.value_by_quantile if graded else score.tpr_by_quantile
    if not any(value is not None for value in values):
        return []
    counts = [0] * len(values)
    n_silent = 0
    for one in seen:
        quantile = one.judged.quantile
        if one.unparsed:
            continue
        if one.judged.truth is False:
            n_silent += 1
        elif quantile is not None and quantile < len(counts):
            counts[quantile] += 1
    word = "score with only these" if graded else "recognised"
    found = [
        {
            "label": str(q + 1),
            "value": value,
            "text": fmt.decimal(value, 2),
            "title": f"{payload.QUANTILE_LABELS[q] if q < 10 else q}: {word} {fmt.decimal(value, 2)}, n {n}",
            "n": n,
            "quantile": q,
        }
        for q, (value, n) in enumerate(zip(values, counts, strict=True))
    ]
    if score.tnr is not None:
        title = f"non-activating: rejected {fmt.decimal(score.tnr, 2)}, n {n_silent}"
        found.append(
            {
                "label": "silent",
                "value": score.tnr,
                "text": fmt.decimal(score.tnr, 2),
                "title": title,
                "n": n_silent,
            }
        )
    return found
