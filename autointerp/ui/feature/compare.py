"""Two versions side by side: what was changed, each one's scores, and the paired difference on the same examples."""

import re
from difflib import SequenceMatcher
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.records import Explanation, Score
from autointerp.score.compare import Difference
from autointerp.score.options import options_of
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.ui.feature import actions, drill, flipped
from autointerp.ui.feature import versions as feature_versions
from autointerp.ui.feature.card import plot
from autointerp.ui.feature.data import Feature
from autointerp.ui.feature.state import ExplanationState, close_right, open_score
from autointerp.ui.feature.versions import Versions
from autointerp.ui.shared import components, payload, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change, choose
from autointerp.ui.shared.text import visible

KEY = "comparison"
MAX_WORDS = 3000
_WORD = re.compile(r"\s+|[^\W_]+|.", re.DOTALL)


def draw(feature: Feature, versions: Versions, state: ExplanationState, *, writable: bool) -> None:
    """The comparison in the address; a message where it cannot be."""
    with_text = [version for version in versions.explanations if version.status == "ok"]
    first, second = versions.find(state.against), versions.current
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        drill.back()
        st.markdown("**Compare**", width="content")
        if len(with_text) > 1:
            _picker(versions, with_text, "against", first)
            st.caption("with", width="content")
            _picker(versions, with_text, "version", second)
    if first is None or second is None or first is second or "failed" in (first.status, second.status):
        alone = "Only one version has a text. Regenerate or edit it first."
        st.info("Choose two different versions." if len(with_text) > 1 else alone)
        return
    drawn = record(services.resources(feature.store), versions, first, second)
    drawn |= _differences(feature, versions, first, second)
    components.comparison(drawn, key=KEY, on_open=_opened)
    if writable:
        _score_both(feature, versions, first, second)


def _picker(versions: Versions, with_text: list[Explanation], name: str, chosen: Explanation | None) -> None:
    numbers = {version.id: f"version {versions.number(version)}" for version in with_text}
    value = chosen.id if chosen and chosen.id in numbers else None
    choose(st.selectbox, name, numbers, name, value, width=130)


def _opened() -> None:
    sent = components.triggered(KEY, "open")
    if isinstance(sent, dict) and "context" in sent:
        change(**close_right(), context=int(sent["context"]), start=int(sent["start"]))
    elif isinstance(sent, dict):
        change(**open_score(str(sent["score"])) | {"version": sent.get("version")})


def _score_both(feature: Feature, versions: Versions, first: Explanation, second: Explanation) -> None:
    """Where a scorer has judged one version only, or each on examples of its own, ask it about both."""
    options = {}
    for version in (first, second):
        for newest in versions.newest_scores(version):
            score = newest.score
            try:
                options.setdefault(score.scorer, options_of(score, actions.llm_options()))
            except UserError:
                continue  # it asks a model and none is chosen now
    chosen = list(options.values()) or actions.default_scores(feature.store)
    names = ", ".join(SCORERS.label(option.scorer).lower() for option in chosen)
    if actions.pressed(
        f"Score both: {names}", "score_both", help="On the same examples: same seed, negatives and protocol"
    ):
        actions.attempt(actions.score, feature, second.id, [first.id, second.id], chosen, place="compare")
        st.rerun()
    actions.show_error("compare")


def record(
    resources: Resources, versions: Versions, first: Explanation, second: Explanation
) -> dict[str, Any]:
    """Everything that the element draws."""
    cut, new = diff(visible(first.text), visible(second.text))
    return {
        "sides": [_side(versions, first, cut), _side(versions, second, new)],
        "params": {"coder": versions.coder, "latent": versions.latent},
        "scores": [_pair(resources, a, b) for a, b in pairs(versions, first, second)],
        "empty": "Neither version is scored yet.",
    }


def _differences(
    feature: Feature, versions: Versions, first: Explanation, second: Explanation
) -> dict[str, Any]:
    """The examples that flipped, for each score that both have, and the settings that differ."""
    scored = pairs(versions, first, second)
    annotations, table = services.annotations(feature.store), payload.token_table(feature.store)
    flips = [
        flipped.record(feature, a, b, flipped.flips(feature, annotations, a, b), table)
        for a, b in scored
        if a is not None and b is not None and a.metric != "correlation"
    ]
    return {"flips": flips, "table": table.entries, "settings": flipped.settings(first, second, scored)}


def _side(versions: Versions, version: Explanation, pieces: list[list[str]]) -> dict[str, Any]:
    return {
        "id": version.id,
        "title": f"Version {versions.number(version)}",
        "meta": " · ".join(visible(part) for part in feature_versions.author_line(version)),
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


def pairs(
    versions: Versions, first: Explanation, second: Explanation
) -> list[tuple[Score | None, Score | None]]:
    """The newest good score of each kind on both sides; `None` where a side lacks it."""
    sides: list[dict[tuple[str | None, ...], Score]] = [{}, {}]
    for side, version in zip(sides, (first, second), strict=True):
        for score in versions.scores_of(version):
            if score.status == "ok":
                side.setdefault(feature_versions.score_kind(score), score)
    kinds = sorted(dict.fromkeys([*sides[0], *sides[1]]), key=lambda kind: SCORERS.place(str(kind[0])))
    return [(sides[0].get(kind), sides[1].get(kind)) for kind in kinds]


def _pair(resources: Resources, a: Score | None, b: Score | None) -> dict[str, Any]:
    score = a or b
    assert score is not None
    row: dict[str, Any] = {
        "name": SCORERS.label(score.scorer),
        "judge": visible(feature_versions.judged_by(score)),
        "against": feature_versions.negatives(score),
        "a": feature_versions.figures(a) if a else None,
        "b": feature_versions.figures(b) if b else None,
    }
    if a is None or b is None:
        return row | {"said": "Only one version has this score."}
    difference, verdict = compared(resources, a, b)
    if difference is None or difference.value is None:
        return row | {"said": verdict}
    figures = (difference.value, difference.ci_low, difference.ci_high)
    # From -1 to 1, on an axis from 0 to 1.
    value, low, high = (None if figure is None else (figure + 1) / 2 for figure in figures)
    return row | {
        "difference": fmt.signed(difference.value),
        "ci": difference_interval(difference),
        "n": counted(difference),
        "plot": plot(value, low, high, 0.5),
        "said": verdict,
        "clear": is_clear(difference),
    }


def counted(difference: Difference) -> str:
    """How many examples of each class both have answered."""
    unpaired = f", {difference.unpaired} unpaired" if difference.unpaired else ""
    return f"{difference.n_pos}+{difference.n_neg}{unpaired}"


def compared(resources: Resources, a: Score, b: Score) -> tuple[Difference | None, str]:
    """The paired difference, second minus first, and what it means in a sentence."""
    try:
        difference = compare_scores(resources, a.id, b.id)
    except UserError as error:
        return None, str(error)
    return difference, sentence(difference)


def is_clear(difference: Difference) -> bool:
    """Whether the interval excludes 0."""
    low, high = difference.ci_low, difference.ci_high
    return low is not None and high is not None and (low > 0 or high < 0)


def is_same(difference: Difference) -> bool:
    """Whether both predict the same on more than one example: a difference of 0 that no interval can be drawn around."""
    return difference.value == 0 and difference.n_pos > 1


def sentence(difference: Difference) -> str:
    """Whether a difference is one."""
    n = difference.n_pos + difference.n_neg
    if difference.value is None and difference.metric == "correlation":
        return f"Not defined on {fmt.plural(n, 'shared text')}: predictions or activations do not vary."
    if difference.value is None:
        return f"Not defined on {fmt.plural(n, 'shared example')}: one class is missing."
    if difference.ci_low is None or difference.ci_high is None:
        if is_same(difference):
            return "Identical predictions: no interval can be computed."
        return "Too few shared examples for an interval."
    if is_clear(difference):
        word = "Better" if difference.value > 0 else "Worse"
        return f"{word} by {fmt.decimal(abs(difference.value), 2)}: 95 % interval excludes 0."
    return "No clear difference: 95 % interval includes 0."


def difference_interval(difference: Difference) -> str:
    if difference.ci_low is None or difference.ci_high is None:
        return fmt.NONE
    return f"{fmt.signed(difference.ci_low)} to {fmt.signed(difference.ci_high)}"


DIFFERENT_EXAMPLES = "open to score both on the same examples"


def new_version(store: Store, versions: Versions) -> dict[str, Any] | None:
    """The version that this session has just made, against the one before: a line for each scorer."""
    made: actions.NewVersion | None = st.session_state.get(actions.NEW_VERSION)
    if made is None or (made.coder, made.latent) != (versions.coder, versions.latent):
        return None
    new, old = versions.find(made.new), versions.find(made.old)
    if new is None or new is not versions.current or old is None or old.status != "ok":
        return None
    lines, different_examples = [], False
    for a, b in pairs(versions, old, new):
        if a is None or b is None:
            continue
        difference, verdict = compared(services.resources(store), a, b)
        # Without an interval a figure says nothing, and in bold type it would be believed.
        sound = difference is not None and (difference.ci_low is not None or is_same(difference))
        unlike = difference is not None and not sound and difference.unpaired > 0
        different_examples = different_examples or unlike
        lines.append(
            {
                "name": SCORERS.label(a.scorer),
                "judge": visible(feature_versions.judged_by(a)),
                "difference": fmt.signed(difference.value) if difference is not None and sound else "",
                "ci": difference_interval(difference) if difference is not None and sound else "",
                "n": "" if difference is None or unlike else f"n {counted(difference)}",
                "said": "on different examples" if unlike else short(verdict),
            }
        )
    remark = DIFFERENT_EXAMPLES if different_examples else "" if lines else "no score in common"
    if new.text.strip() == old.text.strip():
        remark = "same text"
    return {
        "title": f"Version {versions.number(new)} against version {versions.number(old)}",
        "said": remark,
        "against": old.id,
        "lines": lines,
    }


def short(verdict: str) -> str:
    """The short form, as the last part of a line: up to the first colon, without a capital."""
    start = visible(verdict.split(":")[0].rstrip("."))
    return start[:1].lower() + start[1:]
