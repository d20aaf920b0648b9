"""What is written comes back as it was, whatever it is."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import UnknownName, UserError
from autointerp.records import Explanation, JudgedExample, Score, config_hash, new_id
from autointerp.store.annotations import Annotations
from tests.explained import scores_of

text = st.text(st.characters(codec="utf-8"), max_size=20)
count = st.integers(0, 2**40)
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
configs = st.dictionaries(text, json_values, max_size=4)
explanations = st.builds(
    Explanation,
    coder=text,
    latent=count,
    text=text,
    explainer=text,
    model=st.none() | text,
    author=text,
    config=configs,
    prompt_version=st.none() | text,
    seed=st.none() | count,
    example_ids=st.lists(text, max_size=3).map(tuple),
    tokens_in=count,
    tokens_out=count,
    cost=number,
    duration=number,
)
scores = st.builds(
    Score,
    explanation_id=st.just("?"),
    scorer=text,
    judge=text,
    value=number,
    metric=st.sampled_from(["balanced_accuracy", "auroc", "correlation"]),
    protocol=text,
    negatives=text,
    ci_low=number,
    ci_high=number,
    n_pos=count,
    n_neg=count,
    tpr_by_quantile=st.lists(number, max_size=3).map(tuple),
    tnr=number,
    unparsed=count,
    floor=number,
    config=configs,
    cost=number,
)
judged = st.builds(
    JudgedExample,
    i=st.just(0),
    context=count,
    start=count,
    window=count,
    truth=st.none() | st.booleans(),
    answer=st.none() | st.booleans(),
    value=number,
    quantile=st.none() | st.integers(0, 9),
    source=st.sampled_from(["activating", "random", "neighbours", "embedding"]),
    marks=st.none() | st.lists(count, max_size=4).map(tuple),
    reply_ref=st.none(),
    predicted=st.none() | st.lists(st.floats(-1e9, 1e9), max_size=4).map(tuple),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    return Annotations(tmp_path_factory.mktemp("shared"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(explanation=explanations, score=scores, examples=st.lists(judged, max_size=3))
def test_round_trip(
    shared: Annotations, explanation: Explanation, score: Score, examples: list[JudgedExample]
) -> None:
    judged_ = tuple(example._replace(i=i) for i, example in enumerate(examples))
    score = replace(score, explanation_id=explanation.id, judged=judged_)
    shared.add(explanation, score)
    assert shared.explanation(explanation.id) == explanation
    assert shared.score(score.id) == score
    assert shared.score(score.id).judged is None, "read when asked for"
    assert shared.judged(score.id) == judged_
    assert explanation in shared.explanations(explanation.coder, explanation.latent)
    assert scores_of(shared, explanation.id) == [score]


@settings(max_examples=25, deadline=None)
@given(configs, configs)
def test_config_hash_is_equality(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert config_hash(one) == config_hash(dict(reversed(one.items())))
    if config_hash(one) == config_hash(other):
        assert one == other


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_id() for _ in range(5000)]
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 26 for i in ids)
    assert [i[:10] for i in ids] == sorted(i[:10] for i in ids)


def test_halves_of_surrogate_pairs_do_not_break_a_run(annotations: Annotations) -> None:
    explanation = Explanation(
        coder="sae", latent=0, text="a \ud83d emoji", explainer="default", config={"x": "\ud83d"}
    )
    annotations.add(explanation)
    assert annotations.explanation(explanation.id).text == "a ? emoji"


def test_long_and_short_texts(annotations: Annotations) -> None:
    for text in ("x" * 10_000, "🦊", "", "\0", "<script>alert(1)</script>"):
        explanation = Explanation(coder="sae", latent=0, text=text, explainer="person", author="ada")
        annotations.add(explanation)
        assert annotations.explanation(explanation.id).text == text


def test_nan_becomes_missing(annotations: Annotations) -> None:
    explanation = Explanation(coder="sae", latent=0, text="t", explainer="pattern")
    score = Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=math.nan)
    annotations.add(explanation, score)
    assert annotations.score(score.id).value is None


def test_references_must_exist(annotations: Annotations) -> None:
    explanation = Explanation(coder="sae", latent=3, text="t", explainer="pattern")
    annotations.add(explanation)
    score = Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=0.5)
    place: dict[str, Any] = {"context": 1, "start": 0, "window": 32, "truth": True}
    bad = [
        (replace(explanation, id=new_id(), parent="nobody"), UnknownName, "parent"),
        (replace(explanation, id=new_id(), latent=4, parent=explanation.id), UserError, "latent 3"),
        (replace(explanation, id=new_id(), reply_ref="nothing"), UnknownName, "reply"),
        (replace(score, explanation_id="nobody"), UnknownName, "explanation"),
        (explanation, UserError, "new version"),
        (replace(explanation, id=new_id(), error="but it is ok"), UserError, "CHECK"),
        (replace(explanation, id=new_id(), status="failed"), UserError, "CHECK"),
        (replace(explanation, id=new_id(), latent=-1), UserError, "CHECK"),
        (replace(score, status="failed", error="no judge"), UserError, "CHECK"),
    ]
    for record, error, message in bad:
        with pytest.raises(error, match=message):
            annotations.add(record)
    annotations.add(score)
    for what, wrong in (("source", {"source": "guess"}), ("reply", {"reply_ref": "nothing"})):
        example = JudgedExample(**{"i": 0, **place, **wrong})
        with pytest.raises(UnknownName, match=what):
            annotations.add(replace(score, id=new_id(), judged=(example,)))
    with pytest.raises(TypeError):
        annotations.add("not a record")  # type: ignore[arg-type]
    assert annotations.counts() == {
        "sae": {"explanations": 1, "failed_explanations": 0, "latents": 1, "scores": 1, "failed_scores": 0}
    }


def test_a_batch_is_stored_whole_or_not_at_all(annotations: Annotations) -> None:
    good = [Explanation(coder="sae", latent=i, text="t", explainer="pattern") for i in range(10)]
    with pytest.raises(UserError):
        annotations.add(*good, replace(good[0], text="again"))
    assert annotations.counts() == {}

    annotations.add(*good)
    assert annotations.counts()["sae"]["explanations"] == 10


def test_a_store_folder_is_needed(tmp_path: Path) -> None:
    from autointerp.errors import StoreMissing

    with pytest.raises(StoreMissing, match="Check the path"):
        Annotations(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_many_explanations_at_once(annotations: Annotations) -> None:
    made = [Explanation(coder="sae", latent=i, text=f"text {i}", explainer="pattern") for i in range(5)]
    annotations.add(*made)
    ids = [made[3].id, "01" + "0" * 24, made[0].id]
    assert annotations.explanations_of(ids) == [
        annotations.explanation(made[3].id),
        annotations.explanation(made[0].id),
    ]
    assert annotations.explanations_of([]) == []
