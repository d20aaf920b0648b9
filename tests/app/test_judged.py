"""Judged examples on the Feature page: all of them, errors first, as the judge saw them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.llm.messages import ChatReply
from autointerp.models.effect import Continued, Effect
from autointerp.models.fired import FiredText, FiredTexts
from autointerp.records import Explanation, JudgedExample, Score, new_id
from autointerp.score.judges import offline
from autointerp.store.annotations import Annotations
from tests.app.reading import card, links, messages, page, record
from tests.explained import WINDOW, Explained, answered, graded

pytestmark = pytest.mark.usefixtures("no_model")


def drill(open_page: Any, made: Explained, name: str, **params: str) -> tuple[AppTest, dict[str, Any]]:
    score = made.scores[name]
    of = next(one for one in made.explanations.values() if one.id == score.explanation_id)
    app = open_page(made.store, "feature", coder=of.coder, latent=str(of.latent), score=score.id, **params)
    assert not app.exception, app.exception
    drawn = record(app, "judged")
    assert drawn is not None
    assert record(app, "contexts") is None
    assert card(app)["id"] == of.id
    return app, drawn


def test_detection_shows_every_example_errors_first(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "first/detection")
    order = [group["key"] for group in drawn["groups"]]
    assert order == [key for key in ("fp", "fn", "unparsed", "tp", "tn") if key in order]
    assert sum(len(group["rows"]) for group in drawn["groups"]) == 22
    for group in drawn["groups"]:
        assert all(row["ok"] is (group["key"] in ("tp", "tn")) for row in group["rows"])
        assert all(row["p"] == [] and row["k"] == -1 and "mk" not in row for row in group["rows"])
        assert group["title"].endswith(f": {len(group['rows'])}")
    score = explained_store.scores["first/detection"]
    assert [bar["value"] for bar in drawn["bars"][:10]] == list(score.tpr_by_quantile)
    assert drawn["bars"][10]["value"] == score.tnr
    figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
    assert figures["n"] == "12 + 10"


def test_what_the_offline_judge_found_is_marked(open_page, explained_store: Explained):
    _, unknown = drill(open_page, explained_store, "plain/detection")
    assert not any("found" in row for group in unknown["groups"] for row in group["rows"]), (
        "another version's rules"
    )
    made = explained_store.explanations["transcoder-3"]  # the word cat, or a blank
    score = answered(explained_store.store, made, 0.9, floor=0.5)
    score = replace(score, prompt_version=offline.VERSION)
    with Annotations(explained_store.path) as annotations:
        annotations.add(score)
    explained_store.scores["read"] = score
    _, drawn = drill(open_page, explained_store, "read")
    found = [
        drawn["table"][row["t"][place]][1]
        for group in drawn["groups"]
        for row in group["rows"]
        for place in row["found"]
    ]
    assert found
    assert any("found by the judge" in text for _, text in drawn["key"])


def test_marks_predictions_similarities_as_the_judge_saw_them(open_page, explained_store: Explained):
    _, fuzzing = drill(open_page, explained_store, "first/fuzzing")
    assert all(row["mk"] for group in fuzzing["groups"] for row in group["rows"])
    _, simulation = drill(open_page, explained_store, "second/simulation")
    assert all(len(row["pr"]) == 32 for group in simulation["groups"] for row in group["rows"])
    assert simulation["judges"] is False
    _, embedding = drill(open_page, explained_store, "first/embedding")
    rows = [row for group in embedding["groups"] for row in group["rows"]]
    assert all(row["said"].startswith("similarity ") and row["rank"].startswith("above ") for row in rows)


def test_a_score_that_needs_no_explanation_is_held_against_chance(open_page, explained_store: Explained):
    """No floor, on no page; examples are right by the sign of their Δ."""
    made = explained_store.explanations["plain"]
    for name, low in (("clear", 0.6), ("unclear", 0.4)):
        score = graded(explained_store.store, made, 0.7, floor=None)
        score = replace(
            score, scorer="example_embedding", metric="triplet_auroc", value=0.75, ci_low=low, config={}
        )
        with Annotations(explained_store.path) as annotations:
            annotations.add(score)
        explained_store.scores[name] = score
        app, drawn = drill(open_page, explained_store, name)
        for group in drawn["groups"]:
            deltas = [float(row["said"].removeprefix("Δ ").replace("−", "-")) for row in group["rows"]]
            assert all(delta >= 0 if group["key"] in ("tp", "fp") else delta <= 0 for delta in deltas), group[
                "key"
            ]
        figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
        assert figures["Chance"] == "0.5"
        assert {"Mean Δ, activating", "Mean Δ, non-activating"} <= set(figures)
        assert "same for every version" in messages(app)
        row = next(each for each in card(app)["scores"] if each["id"] == score.id)
        assert (row["reference"], row["plot"]["f"]) == ("chance 0.5", 0.5)
        assert row["said"] == ("" if name == "clear" else "not clearly above chance")


def test_questions_about_an_intruder_are_shown_whole(open_page, explained_store: Explained):
    """Right or wrong together, as marked and in the order shown; a decile's filter keeps the intruder beside its texts."""
    made = explained_store.explanations["plain"]
    whole = answered(explained_store.store, made, 1.0, floor=None, marks=True)
    own = [each for each in whole.judged or () if each.truth][:8]
    others = [each for each in whole.judged or () if not each.truth][:2]
    rows = []
    for question, picked in ((0, 0), (1, 3)):  # the first rightly answered, the second wrongly
        for i, row in enumerate([others[question], *own[4 * question : 4 * question + 4]]):
            quantile = None if i == 0 else question
            rows.append(
                row._replace(
                    i=5 * question + i, truth=i == 0, answer=i == picked, value=None, quantile=quantile
                )
            )
    by_decile = (1.0, 0.0, *[None] * 8)
    score = replace(
        whole, scorer="intruder", metric="intruder_accuracy", value=0.5, ci_low=0.0, n_pos=2, n_neg=0, tnr=None,
        tpr_by_quantile=(), value_by_quantile=by_decile, judged=tuple(rows), config={},
    )  # fmt: skip
    with Annotations(explained_store.path) as annotations:
        annotations.add(score)
    explained_store.scores["intruder"] = score
    app, drawn = drill(open_page, explained_store, "intruder")
    assert [(group["key"], len(group["rows"])) for group in drawn["groups"]] == [("fn", 5), ("tp", 5)]
    wrong = drawn["groups"][0]["rows"]
    assert [row["said"] for row in wrong] == ["not picked"] * 3 + ["picked", "not picked"]
    assert [row["true"] for row in wrong] == ["intruder"] + ["activating"] * 4
    assert {row["rank"] for row in wrong} == {"question 2"}
    assert all(row["mk"] for row in wrong)
    assert [(bar["value"], bar["n"]) for bar in drawn["bars"][:2]] == [(1.0, 1), (0.0, 1)]
    figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
    assert (figures["Chance"], figures["n"]) == ("0.2", "2")
    row = next(each for each in card(app)["scores"] if each["id"] == score.id)
    assert (row["said"], row["n"]) == ("not clearly above chance", "2")
    _, narrow = drill(open_page, explained_store, "intruder", quantile="0")
    assert [(group["key"], len(group["rows"])) for group in narrow["groups"]] == [("tp", 5)]


def test_a_mark_on_the_rest_of_a_split_character_stands_where_the_judge_saw_it(
    open_page, explained_store: Explained
):
    """A prompt shows the whole character at its first token, and has nothing to mark at the others."""
    store, made = explained_store.store, explained_store.explanations["plain"]
    acts = store.coder("sae").activations(made.latent)  # the first half of an emoji
    at = next(int(i) for i in acts.token if store.tokens.reshape(-1)[i + 1] == 14 and i % WINDOW < WINDOW - 1)
    start, first = at // WINDOW * WINDOW, at % WINDOW
    context, place = divmod(start, store.ctx_len)
    texts = store.decode(store.tokens[context, place : place + WINDOW])
    assert texts[first]
    assert not texts[first + 1]
    score = answered(store, made, 0.9, floor=0.5, scorer="fuzzing", marks=True)
    example = JudgedExample(
        i=0, context=context, start=place, window=WINDOW, truth=False, answer=True, quantile=None,
        source="random", marks=(first + 1,),
    )  # fmt: skip
    score = replace(score, judged=(example,))
    with Annotations(store.path) as annotations:
        annotations.add(score)
    app = page(open_page, explained_store, latent=made.latent, score=score.id)
    drawn = record(app, "judged")
    assert drawn is not None
    assert drawn["groups"][0]["rows"][0]["mk"] == [first]


def test_nats_stand_beside_what_was_written_after_each_prompt(open_page, explained_store: Explained):
    store, made = explained_store.store, explained_store.explanations["plain"]
    (context, start), n = (2, 3), 3
    prompts = [Continued(f"prompt {i}", f" as ever {i}", f" <b>raised</b> {i}", 0.5 + i) for i in range(n)]
    effect = Effect(12.5, 1.04, tuple(prompts))
    judged = [
        JudgedExample(
            i=i,
            context=context,
            start=start,
            window=1 + i,
            truth=True,
            value=value,
            quantile=i,
            reply_ref="written",
        )
        for i, value in enumerate([2.5, -0.25, 0.75])
    ]
    score = Score(
        explanation_id=made.id, scorer="intervention", judge="language model", model="gpt", value=1.0, metric="nats",
        negatives="none", ci_low=-0.5, ci_high=2.5, n_pos=n, value_by_quantile=(2.0, -4.0, None), floor=-0.2, n_floor=n,
        judged=tuple(judged),
    )  # fmt: skip
    with Annotations(store.path) as annotations:
        reply = ChatReply(json.dumps(effect.to_json()), "gpt")
        annotations.replies.put("written", {"messages": []}, reply.to_dict())
        annotations.add(score)
    app = page(open_page, explained_store, latent=made.latent, score=score.id)
    drawn = record(app, "judged")
    assert drawn is not None
    assert drawn["judges"] is False
    (group,) = drawn["groups"]
    assert [row["said"] for row in group["rows"]] == ["\u22120.25 nats", "+0.75 nats", "+2.50 nats"]
    assert [row["i"] for row in group["rows"]] == [1, 2, 0]
    assert group["rows"][0]["after"] == [["as it is", " as ever 1"], ["raised", " <b>raised</b> 1"]]
    assert group["rows"][0]["rank"] == "KL 1.50"
    assert [bar["value"] for bar in drawn["bars"][:3]] == [0.75, 0.0, None], "0 nats are half of the height"
    figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
    assert (figures["Strength"], figures["KL"]) == ("12.5", "1.04 nats")
    (row,) = [row for row in card(app)["scores"] if row["name"] == "Intervention"]
    assert row["against"] == "nats, axis \u22124 to +4"
    assert row["plot"]["v"] == pytest.approx(5 / 8)
    assert "nats" in row["metric"]


def test_written_texts_stand_with_what_the_feature_did_on_them(open_page, explained_store: Explained):
    """Coloured unasked, in no context, those not counted apart; the prompt is that of the reply they are from."""
    store, made = explained_store.store, explained_store.explanations["plain"]
    other = explained_store.explanations["emoji"]
    texts = {
        "own": (
            FiredText("a", (10, 11, 12), (0.0, 1.5, 0.5)), FiredText("b", (8, 9), (0.0, 0.0)),
            FiredText("", (), ()), FiredText("a", (10, 11), (0.0, 1.5)),
        ),
        "others": (FiredText("c", (3, 4), (0.25, 0.0)), FiredText("d", (7,), (0.0,))),
    }  # fmt: skip
    outcomes = [
        ("own", True, None), ("own", False, None), ("own", None, "is empty"), ("own", None, "repeats text 1"),
        ("others", True, None), ("others", False, None),
    ]  # fmt: skip
    judged = []
    for i, (key, answer, error) in enumerate(outcomes):
        place = i if key == "own" else i - len(texts["own"])
        value = None if answer is None else texts[key][place].maximum
        judged.append(
            JudgedExample(
                i,
                -1,
                place,
                len(texts[key][place].token_ids),
                key == "own",
                answer,
                value,
                reply_ref=key,
                error=error,
            )
        )
    score = Score(
        explanation_id=made.id, scorer="generation", judge="llm", model="gpt", metric="hit_rate", value=0.5, ci_low=0.0,
        ci_high=1.0, negatives="none", n_pos=2, n_neg=2, unparsed=2, tnr=0.5, floor=0.5, n_floor=2, above_low=-0.9,
        above_high=0.9, floor_explanation_id=other.id, judged=tuple(judged), config={"fires_above": 0.25},
    )  # fmt: skip
    usual = replace(score, id=new_id(), value=1.0, config={}, judged=())
    gone = replace(
        score,
        id=new_id(),
        explanation_id=explained_store.explanations["pinned"].id,
        judged=tuple(row._replace(reply_ref=None if row.i else "foreign") for row in judged),
    )
    with Annotations(store.path) as annotations:
        asked = {"messages": [{"role": "user", "content": "Explanation: <b>halves</b>"}]}
        annotations.replies.put("prompt", asked, {"text": "six texts"})
        for key, kept in texts.items():
            reply = ChatReply(json.dumps(FiredTexts("prompt", kept).to_json()), "gpt")
            annotations.replies.put(key, {"messages": []}, reply.to_dict())
        foreign = FiredTexts("prompt", (FiredText("z", (10**6,), (1.0,)),))  # no token of this store
        annotations.replies.put(
            "foreign", {"messages": []}, ChatReply(json.dumps(foreign.to_json()), "gpt").to_dict()
        )
        annotations.add(score, usual, gone)
    app = page(open_page, explained_store, latent=made.latent, score=score.id)
    drawn = record(app, "judged")
    assert drawn is not None
    rows = {group["key"]: group["rows"] for group in drawn["groups"]}
    assert list(rows) == ["fp", "fn", "unparsed", "tp", "tn"]
    assert [row["i"] for row in [*rows["fp"], *rows["fn"], *rows["tp"], *rows["tn"]]] == [4, 1, 0, 5]
    (fires,) = rows["tp"]
    assert (fires["said"], fires["true"], fires["where"], fires["ok"]) == (
        "fires, 1.50",
        "written from it",
        "text 1",
        True,
    )
    assert (fires["p"], fires["v"], fires["k"], len(fires["t"])) == ([1, 2], [1.5, 0.5], 1, 3)
    assert rows["fn"][0]["said"] == "does not fire"
    assert (rows["fp"][0]["true"], rows["fp"][0]["ok"]) == ("from the other", False)
    assert [(row["said"], row["error"], len(row["t"])) for row in rows["unparsed"]] == [
        ("not counted", "is empty", 0), ("not counted", "repeats text 1", 2),
    ]  # fmt: skip
    assert all("c" not in row and row["reply"] for group in rows.values() for row in group)
    assert drawn["overlay"] is True
    assert drawn["bars"] == []
    figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
    assert (figures["n"], figures["Floor"], figures["Not counted"]) == ("2 + 2", "0.50 (n 2)", "2")
    assert f"of feature {other.latent}" in messages(app)
    assert not any(box.label in ("Decile", "Class") for box in app.selectbox)
    row = next(each for each in card(app)["scores"] if each["id"] == score.id)
    assert (row["examples"], row["metric"]) == ("texts written from it", "share of texts in which it fires")
    assert (row["said"], row["uncounted"]) == ("not above floor", "2 not counted")
    assert row["protocol"] == "fires above 0.25"
    assert r"fires above 0\.25" in messages(app)
    beside = next(each for each in card(app)["scores"] if each["id"] == usual.id)
    assert (beside["protocol"], beside["older"]) == ("", 0), "neither takes the other's place"
    app = page(open_page, explained_store, latent=made.latent, score=score.id, example="4")
    codes = "\n".join(str(block.value) for block in app.code)
    assert "six texts" in codes
    assert "Explanation: <b>halves</b>" in codes
    drawn = record(page(open_page, explained_store, latent=3, score=gone.id), "judged")
    assert drawn is not None
    assert {row["gone"] for group in drawn["groups"] for row in group["rows"]} == {
        "This text is no longer in the store.", "No text.",
    }  # fmt: skip


def test_true_activations_only_on_request(open_page, explained_store: Explained):
    _, drawn = drill(open_page, explained_store, "first/detection", overlay="1")
    rows = {group["key"]: group["rows"] for group in drawn["groups"]}
    assert all(row["p"] for row in rows["tp"])
    assert not any(row["p"] for row in rows.get("tn", []))


@pytest.mark.parametrize(
    ("params", "passes"),
    [
        ({"verdict": "wrong"}, lambda one: one.correct is False),
        ({"verdict": "right"}, lambda one: one.correct is True),
        ({"class": "activating"}, lambda one: one.truth),
        ({"class": "non_activating"}, lambda one: not one.truth),
        ({"quantile": "0"}, lambda one: one.truth and one.quantile == 0),
        ({"source": "neighbours"}, lambda one: not one.truth and one.source == "neighbours"),
    ],
)
def test_filters(open_page, explained_store: Explained, params: dict[str, str], passes):
    _, drawn = drill(open_page, explained_store, "second/llm", **params)
    with Annotations(explained_store.path, read_only=True) as annotations:
        judged = annotations.judged(explained_store.scores["second/llm"].id)
    shown = {row["i"] for group in drawn["groups"] for row in group["rows"]}
    assert shown == {one.i for one in judged if passes(one)}


def test_the_exact_prompt_and_reply(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "second/llm", example="5")
    assert all(row["reply"] for group in drawn["groups"] for row in group["rows"])
    codes = "\n".join(str(block.value) for block in app.code)
    assert '{"answers": [1, 0]}' in codes
    assert "You judge texts. <b>system</b>" in codes
    app, _ = drill(open_page, explained_store, "first/detection", example="5")
    assert "No prompt" in messages(app)


def test_a_failed_score_is_a_failure(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "second/failed")
    assert "rate limited" in messages(app)
    assert drawn["groups"] == []


def test_scores_of_another_feature_and_foreign_versions_are_refused(open_page, explained_store: Explained):
    foreign = explained_store.scores["plain/detection"]
    app = page(open_page, explained_store, score=foreign.id)
    assert not app.exception
    assert "does not exist" in messages(app)
    app = page(open_page, explained_store, version=explained_store.explanations["plain"].id)
    assert any("does not exist" in note for note in card(app)["notes"])


HOSTILE = [
    "nothing",
    "<script>alert(1)</script>",
    "![x](http://x)",
    "-1",
    "9" * 300,
    "1.5",
    "\x00",
    "²",
    "$x$ `y`",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_addresses(open_page, explained_store: Explained, value: str):
    score = explained_store.scores["first/detection"].id
    filters = dict.fromkeys(("verdict", "class", "quantile", "source", "overlay", "example"), value)
    addresses: list[dict[str, Any]] = [
        {"version": value, "panel": value},
        {"score": value},
        {"against": value},
        {"score": score, **filters},
    ]
    for params in addresses:
        app = page(open_page, explained_store, **params)
        assert not app.exception, (params, app.exception)
        assert "](" not in messages(app).replace("\\]\\(", "")
        assert not links(app)


def test_a_step_keeps_the_drill_down_open(open_page, explained_store: Explained):
    """Where the next feature has the same kind of score."""
    with Annotations(explained_store.path) as annotations:
        score = next(
            one for one in annotations.scores_of_latent("sae", 0) if one.scorer == "detection" and one.n
        )
        other = Explanation(coder="sae", latent=1, text="Of another.", explainer="pattern")
        same = replace(score, id=new_id(), explanation_id=other.id)
        annotations.add(other, same)
    app = page(open_page, explained_store, latent=0, score=score.id, verdict="wrong", example="0")
    app.button(key="next").click().run()
    assert not app.exception
    assert (app.query_params["latent"], app.query_params["score"]) == ("1", same.id)
    assert app.query_params["verdict"] == "wrong"
    assert "example" not in app.query_params
    app.button(key="next").click().run()
    assert app.query_params["latent"] == "2"
    assert "score" not in app.query_params


@pytest.mark.parametrize("scorer", ["generation-2", "detection"])
def test_a_hit_rate_of_any_scorer_is_shown(scorer: str, open_page, explained_store: Explained) -> None:
    """Of a newer program, or of nobody's."""
    made, other = (explained_store.explanations[name] for name in ("long", "plain"))
    judged = [JudgedExample(i, -1, i, 2, i < 2, True, 1.0, reply_ref="kept") for i in range(3)]
    score = Score(
        explanation_id=made.id, scorer=scorer, judge="llm", metric="hit_rate", value=1.0, negatives="none", n_pos=2, n_neg=1,
        floor=1.0, n_floor=1, floor_explanation_id=other.id, judged=tuple(judged),
    )  # fmt: skip
    with Annotations(explained_store.path) as annotations:
        annotations.replies.put("kept", {"messages": []}, ChatReply("{}", "gpt").to_dict())
        annotations.add(score)
    app = page(open_page, explained_store, latent=made.latent, score=score.id)
    assert not app.exception
    assert record(app, "judged") is not None
