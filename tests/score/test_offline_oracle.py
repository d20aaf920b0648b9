"""The two ends of the offline judge's scale: an explanation written by hand for a known latent, and one of another latent."""

import numpy as np
import pytest

from autointerp.explain.explainer import Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.explain.pattern import PatternExplainer
from autointerp.records import Explanation
from autointerp.sampling import Window
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.base import Shown
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.scorer import Heldout
from autointerp.types import Example
from tests.score.builders import explained

WORDS = [f" w{chr(97 + i)}{chr(97 + j)}r" for i in range(12) for j in range(12)]
SIGNS = [",", ".", "(", ")", ":", "\n"]
LENGTH = 24

ORACLES = {
    'The word "wabr".': (" wabr",),
    'The words "wccr", "wddr" or "weer".': (" wccr", " wddr", " weer"),
    "Opening brackets.": ("(",),
    "Line breaks": ("\n",),
    'Either the word "wfgr" or a colon.': (" wfgr", ":"),
    'Mostly the words "wghr" or "whhr", sometimes "wiir".': (" wghr", " whhr", " wiir"),
    'Words that begin with "zu".': (" zu",),
    "`wkkr` and `wklr`": (" wkkr", " wklr"),
}
"""Explanation by hand: the tokens its latent fires on."""


def text(rng: np.random.Generator, *, signs: float = 0.02) -> list[str]:
    return [str(rng.choice(SIGNS)) if rng.random() < signs else str(rng.choice(WORDS)) for _ in range(LENGTH)]


def made(texts: list[str], tokens: tuple[str, ...], number: int, quantile: int | None) -> Window:
    activations = np.array([10.0 - (quantile or 0) if t in tokens else 0.0 for t in texts], dtype=np.float32)
    top = float(activations.max())
    source = "activating" if top > 0 else "random"
    example = Example(number, 0, np.arange(len(texts)), activations, top, quantile, source)
    return Window(example, tuple(texts))


def examples(
    tokens: tuple[str, ...], rng: np.random.Generator, n: int = 30
) -> tuple[list[Window], list[Window]]:
    """Windows of random words in which the latent fires on one to three places, and windows in which it does not."""
    firing, silent = [], []
    for i in range(n):
        texts = [t if t not in tokens else WORDS[0] for t in text(rng)]
        silent.append(made(texts, tokens, 1000 + i, None))
        texts = [t if t not in tokens else WORDS[0] for t in text(rng)]
        for place in rng.choice(LENGTH, size=rng.integers(1, 4), replace=False):
            texts[place] = str(rng.choice(tokens))
        firing.append(made(texts, tokens, i, i * 10 // n))
    return firing, silent


@pytest.fixture(scope="module")
def judge() -> OfflineJudge:
    rng = np.random.default_rng(1)
    return OfflineJudge([text(rng) for _ in range(300)])


def score(
    scorer: type[Detection], judge: OfflineJudge, explanation: str | Explanation, tokens: tuple[str, ...]
) -> float:
    firing, silent = examples(tokens, np.random.default_rng(3))
    told = explained(explanation) if isinstance(explanation, str) else explanation
    value = scorer(judge).run(told, Heldout(firing, silent, 10.0), seed=0).value
    assert value is not None
    return value


@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
def test_an_explanation_written_by_hand_is_near_1(scorer: type[Detection], judge: OfflineJudge) -> None:
    values = {text: score(scorer, judge, text, tokens) for text, tokens in ORACLES.items()}
    assert min(values.values()) >= 0.9, values
    assert np.mean(list(values.values())) >= 0.97, values


@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
def test_the_explanation_of_another_latent_is_near_one_half(
    scorer: type[Detection], judge: OfflineJudge
) -> None:
    said, latents = list(ORACLES), list(ORACLES.values())
    values = [
        score(scorer, judge, said[i], latents[j])
        for i in range(len(said))
        for j in range(len(said))
        if i != j
    ]
    # Planting a latent's tokens leaves less room for those of the others, so the mean may lie a little under one half.
    assert -0.04 < np.mean(values) - 0.5 < 0.02, np.mean(values)
    assert np.mean(np.abs(np.array(values) - 0.5) < 0.15) > 0.9


@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
@pytest.mark.parametrize("tokens", ORACLES.values())
def test_the_pattern_explainer_comes_near_the_one_by_hand(
    scorer: type[Detection], tokens: tuple[str, ...], judge: OfflineJudge
) -> None:
    firing, silent = examples(tokens, np.random.default_rng(2), n=40)
    made = PatternExplainer(ExplainOptions(n_examples=100, n_contrast=100)).explain(
        Evidence("sae", 3, firing, 10.0, silent)
    )
    assert score(scorer, judge, made, tokens) >= 0.9, made.text
    assert score(scorer, judge, made.text, tokens) >= 0.85, made.text


def test_a_list_of_common_and_rare_things_is_weighed(judge: OfflineJudge) -> None:
    """Of two named things the rare one says more; how often the common one stands there says something too."""
    common, rare = judge_pair(judge, [" wabr"] * 3), judge_pair(judge, [" never"])
    assert rare > common > judge_pair(judge, [])
    verdict = judge.judge(
        "detection", explained('The words "wabr" or "never".'), [Shown((" wzzr",))]
    ).verdicts[0]
    assert verdict.answer is False


def judge_pair(judge: OfflineJudge, extra: list[str]) -> float:
    shown = Shown(tuple([" waar"] * 10 + extra))
    value = judge.judge("detection", explained('The words "wabr" or "never".'), [shown]).verdicts[0].value
    assert value is not None
    return value


def test_silent_windows_full_of_a_named_sign_are_not_all_yes(judge: OfflineJudge) -> None:
    """A sign that is in most texts is no evidence by itself: the judge does not say yes to everything."""
    rng = np.random.default_rng(5)
    crowded = OfflineJudge([text(rng, signs=0.3) for _ in range(300)])
    shown = [Shown(tuple(text(rng, signs=0.3))) for _ in range(200)]
    said = [
        bool(v.answer)
        for v in crowded.judge("detection", explained('Often the texts "," or ".".'), shown).verdicts
    ]
    assert 0.2 < np.mean(said) < 0.8
