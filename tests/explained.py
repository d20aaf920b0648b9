"""Explanations, scores and judged examples for `tiny_store`, written as records: what pages show once work has been done.

Answers are made up and deterministic, but every figure of a score is the one that its judged examples give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.records import Explanation, JudgedExample, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations

WINDOW = 32
HOSTILE_TEXT = (
    "<script>window.__xss=1</script> ![x](http://stranger.example/x.png) $\\frac{1}{2}$ "
    "`code` **bold** [a](javascript:x)"
)
LONG_TEXT = "Words about cats and more words. " * 310
EMOJI_TEXT = "\U0001f408"
RTL_TEXT = "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd and back\x00\x1b[31m"
REPLY_KEY = "reply-of-the-judge"


def scores_of(annotations: Annotations, explanation_id: str) -> list[Score]:
    """All scores of one explanation, newest first, failed ones too."""
    explanation = annotations.explanation(explanation_id)
    scores = annotations.scores_of_latent(explanation.coder, explanation.latent)
    return [score for score in scores if score.explanation_id == explanation_id]


@dataclass
class Explained:
    """A store with annotations. `explanations` by name: `first` (pattern), `second` (a language model's), `edited` (by a
    person, from `second`; the shown one) and `failed`, all of `sae` 0; `bad`, the only and failed one of `sae` 2; `pinned`
    and `newer` of `sae` 3; `long`, `emoji`, `rtl` of `sae` 4, 6, 7; `plain` of `sae` 1; `transcoder-1` to `-3`. `scores` by
    explanation and scorer: `first/detection`, `first/fuzzing`, `first/embedding`, `second/detection`, `second/llm` (detection
    by a language model, with a reply), `second/simulation`, `second/failed`, `edited/detection` (below its floor), ..."""

    store: Store
    explanations: dict[str, Explanation] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.store.path


def explain(store: Store) -> Explained:
    """Writes the annotations described at `Explained` into a copy of the tiny store."""
    made = Explained(store)
    with Annotations(store.path) as annotations:
        annotations.show_by("newest")
        annotations.replies.put(
            REPLY_KEY,
            {
                "model": "judge-model",
                "messages": [
                    {"role": "system", "content": "You judge texts. <b>system</b>"},
                    {"role": "user", "content": "Explanation: cats\n\n[1] the cat"},
                ],
            },
            {"text": '{"answers": [1, 0]}', "usage": {"tokens_in": 100, "tokens_out": 9}},
            tokens_in=100,
            tokens_out=9,
            cost=0.0001,
        )
        for name, explanation in _explanations().items():
            made.explanations[name] = explanation
            annotations.add(explanation)
        annotations.pin(made.explanations["pinned"].id, author="test")
        for name, score in _scores(made).items():
            made.scores[name] = score
            annotations.add(score)
    return made


def _explanations() -> dict[str, Explanation]:
    first = Explanation(
        coder="sae", latent=0, text='The token "<script>alert(1)</script>".', explainer="pattern", prompt_version="pattern-1",
        seed=0, config={"explainer": "pattern", "n_examples": 40}, created="2026-11-20T10:00:00.000Z",
        example_ids=("0:0:32", "1:32:32"), duration=0.004,
    )  # fmt: skip
    second = Explanation(
        coder="sae", latent=0, text="Script tags in web pages, often beside quotation marks.", explainer="default",
        model="writer-model", seed=0, config={"explainer": "default", "n_examples": 20}, reply_ref=REPLY_KEY,
        created="2026-11-20T11:00:00.000Z", tokens_in=900, tokens_out=40, cost=0.002, duration=1.5,
    )  # fmt: skip
    edited = Explanation(
        coder="sae", latent=0, text="Script tags that call alert, in web pages.", explainer="person", author="Ada",
        parent=second.id, created="2026-11-20T12:00:00.000Z",
    )  # fmt: skip
    failed = Explanation(
        coder="sae", latent=0, text="", explainer="default", model="writer-model", status="failed",
        error="server unreachable: no answer from http://localhost:9/v1 <b>after</b> 3 tries",
        config={"explainer": "default", "n_examples": 20}, created="2026-11-20T13:00:00.000Z",
    )  # fmt: skip

    def pattern(coder: str, latent: int, text: str, hour: int = 9) -> Explanation:
        return Explanation(
            coder=coder, latent=latent, text=text, explainer="pattern", seed=0, config={"explainer": "pattern"},
            created=f"2026-11-20T{hour:02}:00:00.000Z",
        )  # fmt: skip

    return {
        "first": first,
        "second": second,
        "edited": edited,
        "failed": failed,
        "plain": pattern("sae", 1, "The first half of an emoji."),
        "bad": replace(failed, id=pattern("sae", 2, "").id, latent=2),
        "pinned": pattern("sae", 3, "Anything at all, drawn at random."),
        "newer": pattern("sae", 3, HOSTILE_TEXT, 10),
        "long": pattern("sae", 4, LONG_TEXT),
        "emoji": pattern("sae", 6, EMOJI_TEXT),
        "rtl": pattern("sae", 7, RTL_TEXT),
        "transcoder-1": pattern("transcoder", 1, "Double quotation marks around words."),
        "transcoder-2": pattern("transcoder", 2, "The end of a code span."),
        "transcoder-3": pattern("transcoder", 3, "The word cat, or a blank."),
    }


def _scores(made: Explained) -> dict[str, Score]:
    found: dict[str, Score] = {}

    def detection(
        name: str, of: str, share_right: float, *, floor: float | None, seed: int = 0, **more: Any
    ) -> None:
        explanation = made.explanations[of]
        found[name] = answered(made.store, explanation, share_right, floor=floor, seed=seed, **more)

    detection("first/detection", "first", 0.9, floor=0.5)
    detection("first/fuzzing", "first", 0.8, floor=0.52, seed=1, scorer="fuzzing", marks=True)
    found["first/embedding"] = graded(made.store, made.explanations["first"], 0.8, floor=0.49)
    detection("second/detection", "second", 0.7, floor=0.5)
    llm = {"judge": "llm", "model": "judge-model", "reply_ref": REPLY_KEY, "unparsed": 3}
    detection("second/llm", "second", 0.8, floor=0.51, seed=2, **llm)
    found["second/simulation"] = simulated(made.store, made.explanations["second"])
    found["second/failed"] = Score(
        explanation_id=made.explanations["second"].id, scorer="fuzzing", judge="llm", model="judge-model", value=None,
        status="failed", error="rate limited: <i>too many requests</i>, retry later", error_kind="rate_limited",
        retryable=True, config={"scorer": "fuzzing", "judge": "llm"},
    )  # fmt: skip
    detection("edited/detection", "edited", 0.5, floor=0.56)
    found["edited/embedding"] = graded(made.store, made.explanations["edited"], 0.3, floor=None)
    for name, right in (("plain", 1.0), ("pinned", 0.55), ("newer", 0.5), ("long", 0.6), ("rtl", 0.75)):
        detection(f"{name}/detection", name, right, floor=0.5)
    for name, right in (("transcoder-1", 0.95), ("transcoder-3", 0.65)):
        detection(f"{name}/detection", name, right, floor=0.5)
        detection(f"{name}/fuzzing", name, 1.2 - right, floor=0.5, scorer="fuzzing", marks=True)
        found[f"{name}/embedding"] = graded(made.store, made.explanations[name], right, floor=0.5)
    return found


def windows(store: Store, coder: str, latent: int, n: int) -> tuple[list[int], list[int], dict[int, float]]:
    """First token indices of at most `n` aligned windows in which the latent fires and as many in which it does not, and
    the maximum of each window that fires."""
    acts = store.coder(coder).activations(latent)
    top: dict[int, float] = {}
    for token, value in zip(acts.token.tolist(), acts.activation.tolist(), strict=True):
        start = token // WINDOW * WINDOW
        top[start] = max(top.get(start, 0.0), value)
    silent = [start for start in range(0, store.n_contexts * store.ctx_len, WINDOW) if start not in top]
    firing = sorted(top, key=lambda start: -top[start])
    return firing[:n], silent[:n], top


def answered(
    store: Store, explanation: Explanation, share_right: float, *, floor: float | None, seed: int = 0,
    scorer: str = "detection", judge: str = "offline", model: str | None = None, marks: bool = False,
    reply_ref: str | None = None, unparsed: int = 0, n: int = 12,
) -> Score:  # fmt: skip
    """A yes-or-no score of which about `share_right` of the answers are right."""
    firing, silent, _ = windows(store, explanation.coder, explanation.latent, n)
    acts = store.coder(explanation.coder).activations(explanation.latent)
    rng = np.random.default_rng([seed, 7])
    judged: list[JudgedExample] = []
    for place, start in enumerate([*firing, *silent]):
        truth = place < len(firing)
        right = bool(rng.random() < share_right)
        answer = None if place < unparsed else truth == right
        fires = acts.token[(acts.token >= start) & (acts.token < start + WINDOW)] - start
        shown = tuple(fires.tolist()) if truth else (4, 5, 20)
        judged.append(
            JudgedExample(
                i=place, context=start // store.ctx_len, start=start % store.ctx_len, window=WINDOW,
                truth=truth, answer=answer, value=None if answer is None else (0.9 if answer else 0.2),
                quantile=place * 10 // max(1, len(firing)) if truth else None,
                source="activating" if truth else ("neighbours" if place % 3 == 0 else "random"),
                marks=shown if marks else None, reply_ref=reply_ref,
            )
        )  # fmt: skip
    yes = [one for one in judged if one.truth and one.answer is not None]
    no = [one for one in judged if not one.truth and one.answer is not None]
    tpr = _share([bool(one.answer) for one in yes])
    tnr = _share([not one.answer for one in no])
    value = (tpr + tnr) / 2
    return Score(
        explanation_id=explanation.id, scorer=scorer, judge=judge, model=model, value=value,
        ci_low=max(0.0, value - 0.12), ci_high=min(1.0, value + 0.1), n_pos=len(yes), n_neg=len(no), tnr=tnr,
        tpr_by_quantile=_by_quantile(yes), unparsed=len(judged) - len(yes) - len(no), floor=floor, seed=seed,
        negatives="neighbours+random", config={"scorer": scorer, "judge": judge},
        judged=tuple(judged),
    )  # fmt: skip


def graded(store: Store, explanation: Explanation, good: float, *, floor: float | None, n: int = 12) -> Score:
    """An embedding score: a similarity each, higher for activating windows the larger `good` is."""
    firing, silent, _ = windows(store, explanation.coder, explanation.latent, n)
    rng = np.random.default_rng(11)
    judged = [
        JudgedExample(
            i=place, context=start // store.ctx_len, start=start % store.ctx_len, window=WINDOW,
            truth=place < len(firing), value=float(rng.uniform(0, 0.5) + (good - 0.5 if place < len(firing) else 0.0)),
            quantile=place * 10 // max(1, len(firing)) if place < len(firing) else None,
            source="activating" if place < len(firing) else "random",
        )
        for place, start in enumerate([*firing, *silent])
    ]  # fmt: skip
    yes = np.array([one.value for one in judged if one.truth], dtype=float)
    no = np.array([one.value for one in judged if not one.truth], dtype=float)
    value = float((yes[:, None] > no[None, :]).mean()) if len(yes) and len(no) else None
    low, high = (None, None) if value is None else (max(0.0, value - 0.15), min(1.0, value + 0.15))
    return Score(
        explanation_id=explanation.id, scorer="embedding", judge="embedder", model="all-MiniLM-L6-v2",
        metric="auroc", value=value, ci_low=low, ci_high=high, n_pos=len(yes), n_neg=len(no), floor=floor, seed=0,
        config={"scorer": "embedding"},
        judged=tuple(judged),
    )  # fmt: skip


def simulated(store: Store, explanation: Explanation, n: int = 6) -> Score:
    """A simulation score: a number per token."""
    firing, silent, _ = windows(store, explanation.coder, explanation.latent, n)
    rng = np.random.default_rng(13)
    judged = [
        JudgedExample(
            i=place, context=start // store.ctx_len, start=start % store.ctx_len, window=WINDOW,
            truth=None, quantile=0 if place < len(firing) else None,
            source="activating" if place < len(firing) else "random",
            predicted=tuple(float(value) for value in rng.integers(0, 11, size=WINDOW)),
        )
        for place, start in enumerate([*firing, *silent])
    ]  # fmt: skip
    return Score(
        explanation_id=explanation.id, scorer="simulation", judge="llm", model="judge-model",
        metric="correlation", value=0.31, ci_low=0.12, ci_high=0.44, n_pos=len(firing), n_neg=len(silent), floor=0.02,
        seed=0, config={"scorer": "simulation"},
        judged=tuple(judged),
    )  # fmt: skip


def _by_quantile(judged: Sequence[JudgedExample]) -> tuple[float | None, ...]:
    rates: list[float | None] = []
    for quantile in range(10):
        answers = [bool(one.answer) for one in judged if one.quantile == quantile]
        rates.append(_share(answers) if answers else None)
    return tuple(rates)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
