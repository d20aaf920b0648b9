"""Two versions side by side: what was changed, each one's scores, and the paired difference on the same examples."""

import re
from difflib import SequenceMatcher
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.score import Difference
from autointerp.store import Store
from autointerp.store.annotations import Explanation, Score
from autointerp.ui.feature.explanations import data, drill
from autointerp.ui.feature.explanations import work as working
from autointerp.ui.feature.explanations.card import plot
from autointerp.ui.feature.explanations.data import Known
from autointerp.ui.feature.explanations.state import ExplanationState, open_score
from autointerp.ui.shared import components, work
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import bound, change
from autointerp.ui.shared.text import plain, visible

KEY = "comparison"
MAX_WORDS = 3000
_WORD = re.compile(r"\s+|[^\W_]+|.", re.DOTALL)


def draw(store: Store, known: Known, state: ExplanationState, *, may_write: bool) -> None:
    """The comparison in the address; a message where it cannot be."""
    good = [one for one in known.versions if one.status == "ok"]
    first, second = known.find(state.against), known.current
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        drill.back()
        st.markdown("**Compare**", width="content")
        if len(good) > 1:
            _picker(known, good, "against", first)
            st.caption("with", width="content")
            _picker(known, good, "version", second)
    if first is None or second is None or first is second or "failed" in (first.status, second.status):
        st.info(
            "Choose two different versions that hold a text."
            if len(good) > 1
            else "There is only one version with a text: regenerate or edit it, then compare."
        )
        return
    drawn = record(work.resources(store), known, first, second)
    components.comparison(drawn, key=KEY, on_open=_opened)
    if may_write:
        _score_both(store, known, first, second)


def _picker(known: Known, good: list[Explanation], name: str, chosen: Explanation | None) -> None:
    numbers = {one.id: f"version {known.number(one)}" for one in good}
    value = chosen.id if chosen and chosen.id in numbers else None
    st.selectbox(
        name, list(numbers), format_func=numbers.__getitem__, label_visibility="collapsed", width=130,
        **bound(name, value),
    )  # fmt: skip


def _opened() -> None:
    sent = components.triggered(KEY, "open")
    if isinstance(sent, dict):
        change(**open_score(str(sent["score"])) | {"version": sent.get("version")})


def _score_both(store: Store, known: Known, first: Explanation, second: Explanation) -> None:
    """Where a scorer has judged one version only, or each on examples of its own, ask it about both."""
    options = {}
    for one in (first, second):
        for score, _ in known.newest(one):
            try:
                options.setdefault(score.scorer, working.score_options(score, working.llm_options()))
            except UserError:
                continue  # it asks a model and none is chosen now
    chosen = list(options.values()) or working.defaults(store)
    names = ", ".join(one.scorer for one in chosen)
    label = f"Score both with {names}"
    if working.pressed(
        label, "score_both", help="On the same examples: same seed, same negatives, same protocol"
    ):
        working.attempt(
            working.score, store, known.coder, known.latent, second.id, [first.id, second.id], chosen, place="compare",
        )  # fmt: skip
        st.rerun()
    working.trouble("compare")


def record(resources: Resources, known: Known, first: Explanation, second: Explanation) -> dict[str, Any]:
    """Everything that the element draws."""
    cut, new = diff(visible(first.text), visible(second.text))
    return {
        "sides": [
            _side(known, first, cut),
            _side(known, second, new),
        ],
        "params": {"coder": known.coder, "latent": known.latent},
        "scores": [_pair(resources, a, b) for a, b in pairs(known, first, second)],
        "empty": "Neither version has a score yet.",
    }


def _side(known: Known, one: Explanation, pieces: list[list[str]]) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": f"Version {known.number(one)}",
        "meta": " · ".join(visible(part) for part in data.author_line(one)),
        "pieces": pieces,
    }


def diff(first: str, second: str) -> tuple[list[list[str]], list[list[str]]]:
    """Both texts in pieces `[kind, text]`: "same", and "cut" in the first or "new" in the second. Very long texts are not
    taken apart."""
    words = [_WORD.findall(text) for text in (first, second)]
    if max(map(len, words)) > MAX_WORDS:
        kind = ("same", "same") if first == second else ("cut", "new")
        return [[kind[0], first]], [[kind[1], second]]
    left: list[list[str]] = []
    right: list[list[str]] = []
    changes = SequenceMatcher(None, *words, autojunk=False).get_opcodes()
    for place, (tag, a, b, c, d) in enumerate(changes):
        old, fresh = "".join(words[0][a:b]), "".join(words[1][c:d])
        # A blank between two changes is no common ground: a phrase reads better in one piece.
        same = tag == "equal" and (bool(old.strip()) or place in (0, len(changes) - 1))
        _add(left, "same" if same else "cut", old)
        _add(right, "same" if same else "new", fresh)
    return left, right


def _add(pieces: list[list[str]], kind: str, text: str) -> None:
    if text and pieces and pieces[-1][0] == kind:
        pieces[-1][1] += text
    elif text:
        pieces.append([kind, text])


def pairs(known: Known, first: Explanation, second: Explanation) -> list[tuple[Score | None, Score | None]]:
    """The newest good score of each kind on both sides; `None` where a side lacks it."""
    sides = []
    for one in (first, second):
        scores = [score for score in known.of(one) if score.status == "ok"]
        kinds: dict[tuple[str | None, ...], Score] = {}
        for score in scores:
            kinds.setdefault(data.kind(score), score)
        sides.append(kinds)
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    keys.sort(key=lambda kind: list(data.SCORERS).index(kind[0]) if kind[0] in data.SCORERS else 99)
    return [(sides[0].get(key), sides[1].get(key)) for key in keys]


def _pair(resources: Resources, a: Score | None, b: Score | None) -> dict[str, Any]:
    some = a or b
    assert some is not None
    row: dict[str, Any] = {
        "name": data.scorer_name(some),
        "judge": visible(data.judged_by(some)),
        "against": some.negatives.replace("+", " + "),
        "a": _figures(a),
        "b": _figures(b),
    }
    if a is None or b is None:
        return row | {"said": "Only one of the two has this score."}
    found, said = compared(resources, a, b)
    if found is None or found.value is None:
        return row | {"said": said}
    return row | {
        "difference": fmt.signed(found.value),
        "ci": difference_interval(found),
        "n": counted(found),
        "plot": plot(_halved(found.value), _halved(found.ci_low), _halved(found.ci_high), 0.5),
        "said": said,
        "clear": is_clear(found),
    }


def counted(found: Difference) -> str:
    """How many examples of each class both have answered."""
    return f"{found.n_pos}+{found.n_neg}" + (f", {found.unpaired} unpaired" if found.unpaired else "")


def _halved(value: float | None) -> float | None:
    """A place between -1 and 1 as one between 0 and 1."""
    return None if value is None else (value + 1) / 2


def _figures(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "id": score.id,
        "version": score.explanation_id,
        "value": fmt.decimal(score.value, 2),
        "ci": data.interval(score),
        "floor": data.floor(score),
        "n": f"{score.n_pos}+{score.n_neg}",
    }


def compared(resources: Resources, a: Score, b: Score) -> tuple[Difference | None, str]:
    """The paired difference, second minus first, and what it means in a sentence."""
    try:
        found = compare_scores(resources, a.id, b.id)
    except UserError as error:
        return None, str(error)
    return found, sentence(found)


def is_clear(found: Difference) -> bool:
    """Whether the interval leaves out 0."""
    return found.ci_low is not None and found.ci_high is not None and (found.ci_low > 0 or found.ci_high < 0)


def is_same(found: Difference) -> bool:
    """Whether both predict the same on more than one example: a difference of 0 that no interval can be drawn around."""
    return found.value == 0 and found.n_pos > 1


def sentence(found: Difference) -> str:
    """Whether a difference is one."""
    n = found.n_pos + found.n_neg
    if found.value is None and found.metric == "correlation":
        return f"Not defined on the {fmt.plural(n, 'shared text')}: predictions or activations do not vary."
    if found.value is None:
        return f"Not defined on the {fmt.plural(n, 'shared example')}: one class is missing."
    if found.ci_low is None or found.ci_high is None:
        if is_same(found):
            return "Both predict the same on these examples: how far that holds for others, an interval cannot tell."
        return "Too few shared examples for an interval: nothing can be said."
    if is_clear(found):
        word = "Better" if found.value > 0 else "Worse"
        return f"{word} by {fmt.decimal(abs(found.value), 2)}: the interval leaves out 0, so the difference is real at 95 %."
    return "No clear difference: the interval includes 0."


def difference_interval(found: Difference) -> str:
    if found.ci_low is None or found.ci_high is None:
        return fmt.NONE
    return f"{fmt.signed(found.ci_low)} to {fmt.signed(found.ci_high)}"


def news(store: Store, known: Known) -> dict[str, Any] | None:
    """The version that this session has just made, against the one before: a line for each scorer."""
    found: working.News | None = st.session_state.get(working.NEWS)
    if found is None or (found.coder, found.latent) != (known.coder, known.latent):
        return None
    new, old = known.find(found.new), known.find(found.old)
    if new is None or new is not known.current:
        return None
    if old is None or old.status != "ok":
        return None
    lines, apart = [], False
    for a, b in pairs(known, old, new):
        if a is None or b is None:
            continue
        difference, said = compared(work.resources(store), a, b)
        # Without an interval a figure says nothing, and in bold type it would be believed.
        sound = difference is not None and (difference.ci_low is not None or is_same(difference))
        figure = fmt.signed(difference.value) if difference is not None and sound else ""
        ci = difference_interval(difference) if difference is not None and sound else ""
        unlike = difference is not None and not sound and difference.unpaired > 0
        apart = apart or unlike
        lines.append(
            {
                "name": data.scorer_name(a),
                "judge": visible(data.judged_by(a)),
                "difference": figure,
                "ci": ci,
                "n": "" if difference is None or unlike else f"n {counted(difference)}",
                "said": "on different examples" if unlike else plain_said(said),
            }
        )
    remark = "" if lines else "no scorer has judged both"
    if apart:
        remark = APART
    if new.text.strip() == old.text.strip():
        remark = "the text is the same"
    return {
        "title": f"Version {known.number(new)} against version {known.number(old)}",
        "said": remark,
        "against": old.id,
        "lines": lines,
    }


APART = "open it to score both on the same examples"


def plain_said(said: str) -> str:
    """The short form, as the last part of a line: up to the first colon, without a capital."""
    short = visible(said.split(":")[0].rstrip("."))
    return short[:1].lower() + short[1:]


__all__ = ["compared", "diff", "draw", "news", "pairs", "plain", "record", "sentence"]
