"""The judged examples of one score as plain records: each one as the judge saw it, the errors first.

A scorer that asks for yes or no has false positives and false negatives. One that grades (embedding, surprisal) has no
threshold: an example counts as wrong when it loses at least half of its pairs against the other class, which is what its
AUROC is made of. Where examples are held against each other (example embedding), one is wrong that is nearer to the other
class. A token-wise one has neither; its examples are ordered by correlation, lowest first. A text that was written from the
explanation is wrong where the feature does not fire in it, one written from another explanation where it does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autointerp.records import Explanation, JudgedExample, Score
from autointerp.sampling import visible_marks
from autointerp.sampling.windows import cut
from autointerp.score.judges import offline
from autointerp.score.judges.matched import matched
from autointerp.score.registry import N_TEXTS, SCORERS, writes_texts
from autointerp.types import Example
from autointerp.ui.feature.judged_titles import bars_note, judges_marks, legend, titles
from autointerp.ui.feature.state import ExplanationState
from autointerp.ui.feature.written import NOTHING, Written
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import payload, score_text
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.text import visible

MAX_ROWS = 240
UNSPLIT = ("correlation", "nats")
"""Metrics of examples that are neither right nor wrong."""
SOURCE_NAMES = {
    "activating": "wrong marks",
    "random": "random",
    "neighbours": "hard: similar feature",
    "embedding": "hard: similar text",
}


@dataclass(frozen=True)
class JudgedWindow:
    """A judged example with its text and what follows from it. `example` is `None` when the text is gone. `right`: `None`
    where there is no right and wrong, or no usable answer. `lost`: share of its pairs that a graded example loses; `r`:
    correlation of a token-wise one; `question`: from 0, where several texts make one, with its `decile`."""

    judged: JudgedExample
    example: Example | None
    right: bool | None
    lost: float | None = None
    r: float | None = None
    question: int | None = None
    decile: int | None = None

    @property
    def positive(self) -> bool | None:
        """What the judge should have answered; where it is not asked, or is asked for an intruder, whether the latent fires
        (`None`: the text is gone)."""
        if self.question is not None:
            return not self.judged.truth
        if self.judged.truth is not None or self.example is None:
            return self.judged.truth
        return bool(self.example.max_activation > 0)


@dataclass(frozen=True)
class Part:
    """A titled list of examples."""

    key: str
    title: str
    note: str
    rows: list[JudgedWindow]


def judged_windows(
    feature: Feature, score: Score, judged: Sequence[JudgedExample], written: Written = NOTHING
) -> list[JudgedWindow]:
    """Joins the judged examples with their windows, or with what was `written`, and works out what was right."""
    lost = lost_pairs(judged) if score.metric == "auroc" else {}

    if score.metric == "intruder_accuracy":
        return _of_questions(feature, judged)

    def joined(answer: JudgedExample) -> JudgedWindow:
        example = _example(feature, answer) if answer.context >= 0 else written.example(answer)
        if score.metric == "auroc":
            share = lost.get(answer.i)
            return JudgedWindow(answer, example, None if share is None else share < 0.5, lost=share)
        if score.metric == "triplet_auroc":
            delta = answer.value
            return JudgedWindow(answer, example, None if delta is None else (delta > 0) is bool(answer.truth))
        if score.metric == "nats":
            return JudgedWindow(answer, example, None)
        if score.metric == "correlation":
            return JudgedWindow(answer, example, None, r=_correlation(answer, example))
        return JudgedWindow(answer, example, answer.correct)

    return [joined(answer) for answer in judged]


def _of_questions(feature: Feature, judged: Sequence[JudgedExample]) -> list[JudgedWindow]:
    """All texts of a question are right or wrong together."""
    windows = []
    for first in range(0, len(judged), N_TEXTS):
        texts = judged[first : first + N_TEXTS]
        read = all(text.answer is not None for text in texts)
        right = all(text.correct for text in texts) if read else None
        deciles = {text.quantile for text in texts if not text.truth}
        decile = next(iter(deciles)) if len(deciles) == 1 else None
        windows += [
            JudgedWindow(text, _example(feature, text), right, question=first // N_TEXTS, decile=decile)
            for text in texts
        ]
    return windows


def _example(feature: Feature, judged: JudgedExample) -> Example | None:
    store = feature.store
    inside = 0 <= judged.context < store.n_contexts and 0 <= judged.start < store.ctx_len
    if not inside or judged.window <= 0:
        return None
    stop = min(judged.start + judged.window, store.ctx_len)
    return cut(feature.activations, store.tokens, judged.context, judged.start, stop)


def lost_pairs(judged: Sequence[JudgedExample]) -> dict[int, float]:
    """For each graded example, the share of the other class on the wrong side of it; ties count half."""
    graded = [
        (example.i, example.truth, example.value)
        for example in judged
        if example.value is not None and example.truth is not None
    ]
    sides = {
        side: np.sort(np.array([value for _, truth, value in graded if truth is side], dtype=np.float64))
        for side in (True, False)
    }
    lost = {}
    for i, truth, value in graded:
        others = sides[not truth]
        if len(others):
            below = np.searchsorted(others, value, "left") / len(others)
            above = 1 - np.searchsorted(others, value, "right") / len(others)
            tied = 1 - below - above
            lost[i] = float((above if truth else below) + tied / 2)
    return lost


def _correlation(judged: JudgedExample, example: Example | None) -> float | None:
    """Of predicted and true activations over the tokens of one text; `None` where one of them does not vary."""
    if example is None or judged.predicted is None or len(judged.predicted) != len(example.activations):
        return None
    predicted = np.asarray(judged.predicted, dtype=np.float64)
    true = example.activations.astype(np.float64)
    if not predicted.std() or not true.std():
        return None
    return float(np.corrcoef(predicted, true)[0, 1])


def narrowed(windows: Iterable[JudgedWindow], state: ExplanationState) -> list[JudgedWindow]:
    """Those that pass the filters of the address."""

    def passes(window: JudgedWindow) -> bool:
        positive, judged = window.positive, window.judged
        return (
            (state.verdict == "all" or window.right is (state.verdict == "right"))
            and (state.examples == "all" or positive is (state.examples == "activating"))
            and (state.quantile is None or _decile(window) == state.quantile)
            and (state.source == "all" or (not positive and judged.source == state.source))
        )

    return [window for window in windows if passes(window)]


def _decile(window: JudgedWindow) -> int | None:
    """Of an activating example; of all texts of a question."""
    return (
        window.decile if window.question is not None else window.judged.quantile if window.positive else None
    )


def parts(score: Score, windows: Sequence[JudgedWindow]) -> list[Part]:
    """Errors first, the two kinds apart, worst first in each."""
    unparsed = Part("unparsed", "Unparsed", "unreadable answers, left out of every figure", [])
    if score.metric in UNSPLIT:
        read = [window for window in windows if window.judged.parsed]
        if score.metric == "nats":
            rows = sorted(read, key=lambda window: window.judged.value or 0.0)
            texts = Part("texts", "Prompts", "lowest first", rows)
        else:
            rows = sorted(read, key=lambda window: (window.r is None, window.r or 0.0))
            texts = Part("texts", "Texts", "lowest correlation first", rows)
        unread = [window for window in windows if not window.judged.parsed]
        return [part for part in (texts, replace(unparsed, rows=unread)) if part.rows]
    if score.metric == "intruder_accuracy":
        lists = [
            Part(key, name, "in the order shown to the judge", [w for w in windows if w.right is right])
            for right, key, name in (
                (False, "fn", "Texts of questions answered wrong"),
                (None, "unparsed", "Texts of questions without a readable answer"),
                (True, "tp", "Texts of questions answered right"),
            )
        ]
        return [part for part in lists if part.rows]
    names = titles(score)
    if writes_texts(score.scorer, score.metric):
        unparsed = replace(unparsed, title="Not counted", note="left out of every figure")
    buckets: dict[str, list[JudgedWindow]] = {key: [] for key in ("fp", "fn", "unparsed", "tp", "tn")}
    for window in windows:
        if window.right is None:
            buckets["unparsed"].append(window)
        elif window.judged.truth:
            buckets["tp" if window.right else "fn"].append(window)
        else:
            buckets["tn" if window.right else "fp"].append(window)
    for key, rows in buckets.items():
        falling = key in ("fp", "tn")  # what a judge was surest of, or came nearest to getting wrong
        rows.sort(key=lambda window: window.judged.value or 0.0, reverse=falling)
    return [
        replace(unparsed, rows=rows) if key == "unparsed" else Part(key, *names[key], rows)
        for key, rows in buckets.items()
        if rows
    ]


def record(
    feature: Feature,
    score: Score,
    judged: Sequence[JudgedExample],
    state: ExplanationState,
    explanation: Explanation | None = None,
    written: Written = NOTHING,
) -> dict[str, Any]:
    """Everything that the element draws. `explanation`: what was judged, to mark what the offline judge found of it."""
    windows = judged_windows(feature, score, judged, written)
    overlay = state.overlay or writes_texts(
        score.scorer, score.metric
    )  # where the activations are what was found out
    reads = explanation is not None and score.judge == "offline" and score.prompt_version == offline.VERSION
    table = payload.token_table(feature.store)
    shown = parts(score, narrowed(windows, state))
    room, groups = MAX_ROWS, []
    for part in shown:
        rows = [_row(window, score, table, written, overlay=overlay) for window in part.rows[:room]]
        if reads:
            for row, window in zip(rows, part.rows, strict=False):
                row["found"] = _found(explanation, window, table)
        room -= len(rows)
        cut_off = f"; first {len(rows)}, filter to see others" if len(rows) < len(part.rows) else ""
        title = f"{part.title}: {len(part.rows)}"
        groups.append({"key": part.key, "title": title, "note": part.note + cut_off, "rows": rows})
    return {
        "rev": repr((score.id, replace(state, example=None, version=None, panel=None))),
        "score": score.id,
        "home": feature.address,
        "params": feature.address | {"score": score.id},
        "judges": score.metric not in UNSPLIT,
        "quantile": state.quantile,
        "bars_note": bars_note(score),
        "key": legend(score, overlay=overlay, reads=reads),
        "max": feature.top,
        "overlay": overlay,
        "table": table.entries,
        "bars": bars(score, windows),
        "groups": groups,
        "empty": "" if windows else "No judged examples are stored with this score.",
        "none": "No example passes these filters." if windows and not shown else "",
    }


def _row(
    window: JudgedWindow, score: Score, table: payload.TokenTable, written: Written, *, overlay: bool
) -> dict[str, Any]:
    judged = window.judged
    row: dict[str, Any] = {"i": judged.i, "s": judged.start, "ok": window.right}
    row |= {"t": [], "k": -1, "p": [], "v": []}
    if judged.context >= 0:
        row["c"] = judged.context
    if window.example is None and judged.context < 0:
        row["gone"] = "No text." if judged.error else "This text is no longer in the store."
    elif window.example is None:
        row["gone"] = "This text is no longer in the store's corpus."
    else:
        drawn = payload.row(window.example, table)
        row["t"] = drawn["t"]
        if overlay:
            row |= {name: drawn[name] for name in ("p", "v", "k")}
        if judged.marks is not None:  # as the judge saw them: never on the empty rest of a split character
            pieces = table.decode(window.example.token_ids.tolist())
            row["mk"] = sorted(visible_marks(pieces, judged.marks))
    if judged.predicted is not None:
        row["pr"] = [round(min(max(value, 0.0), 10.0), 1) for value in judged.predicted]
    row["said"], row["true"] = answer_and_truth(window, score)
    if window.lost is not None:
        # An activating example is right above the others, a non-activating one below them.
        others = "non-activating" if judged.truth else "activating"
        above = 1 - window.lost if judged.truth else window.lost
        row["rank"] = f"above {fmt.share(above)} of {others} texts"
    if window.question is not None:
        row["rank"] = f"question {window.question + 1}"
    if writes_texts(score.scorer, score.metric):
        row["where"] = f"text {judged.start + 1}"
    elif window.positive and judged.quantile is not None:
        row["where"] = payload.decile(min(judged.quantile, 9))
    elif not window.positive:
        row["where"] = SOURCE_NAMES.get(judged.source, judged.source)
    if judged.error:
        row["error"] = visible(judged.error)
    if score.metric == "nats":
        row |= written.after(judged.i)
    elif judged.reply_ref:
        row["reply"] = True
    return row


def _found(explanation: Explanation | None, window: JudgedWindow, table: payload.TokenTable) -> list[int]:
    """Positions of what the offline judge found in the text."""
    if explanation is None or window.example is None:
        return []
    return matched(explanation, table.decode(window.example.token_ids.tolist()), window.judged.marks)


def answer_and_truth(window: JudgedWindow, score: Score) -> tuple[str, str]:
    """What the judge answered, and the truth."""
    judged = window.judged
    if judges_marks(score):
        true = "right marks" if judged.truth else "wrong marks"
    else:
        true = "activating" if window.positive else "non-activating"
    if window.question is not None:
        said = "unparsed" if judged.answer is None else "picked" if judged.answer else "not picked"
        return said, "intruder" if judged.truth else "activating"
    if score.metric == "correlation":
        return "no correlation" if window.r is None else f"r {fmt.decimal(window.r, 2)}", true
    if writes_texts(score.scorer, score.metric):
        true = "written from it" if judged.truth else "from the other"
        fires = f"fires, {fmt.activation(judged.value or 0.0)}" if judged.answer else "does not fire"
        return fires if judged.parsed else "not counted", true
    if not judged.parsed:
        return "unparsed", true
    if score.metric == "nats":
        return f"{fmt.signed(judged.value)} nats", true
    if score.metric in ("auroc", "triplet_auroc"):
        grade = SCORERS[score.scorer].grade if score.scorer in SCORERS else ""
        return f"{grade} {fmt.decimal(judged.value, 2)}".lstrip(), true
    answer = "yes" if judged.answer else "no"
    if judged.value is None:
        return answer, true
    at = " (at the threshold)" if judged.value == 0.5 else ""
    return f"{answer}, p {fmt.probability(judged.value)}{at}", true


def bars(score: Score, windows: Sequence[JudgedWindow]) -> list[dict[str, Any]]:
    """Per decile of activating examples, strongest first, how well they did and how many there were; then the
    non-activating ones."""
    graded = score.metric != "balanced_accuracy"
    values = score.value_by_quantile if graded else score.tpr_by_quantile
    if not any(value is not None for value in values):
        return []
    read = [window.judged for window in windows if window.judged.parsed]
    counts = Counter(example.quantile for example in read if example.truth is not False)
    if score.metric == "intruder_accuracy":  # of questions: their first texts stand for them
        counts = Counter(w.decile for w in windows[::N_TEXTS] if w.right is not None)
    low, high = score_text.axis(score.metric)
    what = "score on this decile alone" if graded else "true positive rate"
    columns: list[dict[str, Any]] = [
        {
            "label": str(q + 1),
            "value": None if value is None else (value - low) / (high - low),
            "text": fmt.decimal(value, 2),
            "title": f"{payload.decile(q)}: {what} {fmt.decimal(value, 2)}, n {counts[q]}",
            "n": counts[q],
            "quantile": q,
        }
        for q, value in enumerate(values)
    ]
    if score.tnr is not None:
        rate, n = fmt.decimal(score.tnr, 2), sum(example.truth is False for example in read)
        title = f"non-activating: true negative rate {rate}, n {n}"
        columns.append(
            {
                "label": "non-act.",
                "value": score.tnr,
                "text": rate,
                "title": title,
                "n": n,
            }
        )
    return columns
