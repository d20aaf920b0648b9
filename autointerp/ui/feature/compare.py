"""Two versions side by side: what was changed, each one's scores, and the paired difference on the same examples."""

import re
from difflib import SequenceMatcher
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation, Score
from autointerp.score.options import options_of
from autointerp.score.registry import SCORERS, writes_texts
from autointerp.store import Store
from autointerp.ui.feature import actions, drill, flipped
from autointerp.ui.feature.card import plot
from autointerp.ui.feature.judged import UNSPLIT
from autointerp.ui.feature.state import ExplanationState, close_right, open_score
from autointerp.ui.shared import components, differences, long_text, payload, rescoring, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.score_text import FREE_METRICS
from autointerp.ui.shared.state import change, choose
from autointerp.ui.shared.text import beginning, visible
from autointerp.ui.shared.versions import Versions

KEY = "comparison"
MAX_WORDS = 1500
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
    for version in (first, second):
        long_text.offer(
            version.text, f"{versions.coder}_{versions.latent}_version_{versions.number(version)}"
        )
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
                options.setdefault(score.scorer, options_of(score, rescoring.llm_options()))
            except UserError:
                continue  # it asks a model and none is chosen now
    chosen = list(options.values()) or rescoring.default_scores(feature.store)
    names = ", ".join(SCORERS.label(option.scorer).lower() for option in chosen)
    if components.pressed(
        f"Score both: {names}", "score_both", help="On the same examples: same seed, negatives and protocol"
    ):
        actions.attempt(actions.score, feature, second.id, [first.id, second.id], chosen, place="compare")
        st.rerun()
    actions.show_error("compare")


def record(
    resources: Resources, versions: Versions, first: Explanation, second: Explanation
) -> dict[str, Any]:
    """Everything that the element draws."""
    cut, new = diff(beginning(first.text), beginning(second.text))
    return {
        "sides": [_side(versions, first, cut), _side(versions, second, new)],
        "params": {"coder": versions.coder, "latent": versions.latent},
        "scores": [_pair(resources, a, b) for a, b in differences.pairs(versions, first, second)],
        "empty": "Neither version is scored yet.",
    }


def _differences(
    feature: Feature, versions: Versions, first: Explanation, second: Explanation
) -> dict[str, Any]:
    """The examples that flipped, for each score that both have, and the settings that differ."""
    scored = differences.pairs(versions, first, second)
    annotations, table = services.annotations(feature.store), payload.token_table(feature.store)
    flips = [
        flipped.record(feature, a, b, flipped.flips(feature, annotations, a, b), table)
        for a, b in scored
        if a is not None and b is not None
        if a.metric not in (*UNSPLIT, *FREE_METRICS) and not writes_texts(a.scorer, a.metric)
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
    difference, verdict = differences.compared(resources, a, b)
    if difference is None or difference.value is None:
        return row | {"said": verdict}
    figures = (difference.value, difference.ci_low, difference.ci_high)
    # From one length of the metric's axis down to one up, on an axis from 0 to 1.
    low_end, high_end = score_text.axis(score.metric)
    length = high_end - low_end
    value, low, high = (None if figure is None else (figure / length + 1) / 2 for figure in figures)
    return row | {
        "difference": fmt.signed(difference.value),
        "ci": differences.difference_interval(difference),
        "n": differences.counted(difference),
        "plot": plot(value, low, high, 0.5),
        "said": verdict,
        "clear": differences.is_clear(difference),
    }


def new_version(store: Store, versions: Versions) -> dict[str, Any] | None:
    """The version that this session has just made, against the one before: a line for each scorer."""
    made: actions.NewVersion | None = st.session_state.get(actions.NEW_VERSION)
    if made is None or (made.coder, made.latent) != (versions.coder, versions.latent):
        return None
    new, old = versions.find(made.new), versions.find(made.old)
    if new is None or new is not versions.current or old is None or old.status != "ok":
        return None
    lines, remark = differences.lines(services.resources(store), versions, old, new)
    if new.text.strip() == old.text.strip():
        remark = "same text"
    return {
        "title": f"Version {versions.number(new)} against version {versions.number(old)}",
        "said": remark,
        "against": old.id,
        "lines": lines,
    }
