"""A scorer and an explainer that are registered appear wherever the app names any, with their own options."""

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.explain.registry import EXPLAINERS
from autointerp.llm.messages import ChatReply
from autointerp.records import JudgedExample, Score
from autointerp.registry import Option
from autointerp.score.compare import difference
from autointerp.score.options import options_of
from autointerp.score.registry import SCORERS
from autointerp.score.resampling import Resamples
from autointerp.store.annotations import Annotations
from autointerp.ui.feature.actions import explain_options
from tests.app.reading import card, page, record, records
from tests.app.test_explanations_work import finish
from tests.app.test_features_list import cells, latents, listed
from tests.cli.toys import ECHO, LENGTH, RHYME
from tests.explained import Explained, graded

pytestmark = pytest.mark.usefixtures("no_model")
KIND = "length~ruler~held-out~random"
LOUDNESS = Option(
    name="loudness", label="Loudness", help="Of the echo", default=0.5, kind=float, minimum=0, maximum=1
)
PITCH = Option(
    name="pitch",
    label="Pitch",
    help="Of a loud echo",
    default=2,
    kind=int,
    minimum=1,
    maximum=3,
    when={"loudness": 1.0},
)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORERS, LENGTH.name, LENGTH)
    monkeypatch.setitem(SCORERS, RHYME.name, RHYME)
    monkeypatch.setitem(EXPLAINERS, ECHO.name, replace(ECHO, options=(*ECHO.options, PITCH, LOUDNESS)))


@pytest.fixture
def scored(explained_store: Explained) -> Explained:
    """`length` scores of the versions shown of `sae` 0, 1 and 4: 0 the worst, 4 the best."""
    with Annotations(explained_store.path) as annotations:
        for name, good in (("edited", 0.4), ("plain", 0.6), ("long", 1.0)):
            score = graded(explained_store.store, explained_store.explanations[name], good, floor=0.45)
            config = {"scorer": "length", "power": 2}
            score = replace(score, scorer="length", judge="ruler", model=None, config=config)
            explained_store.scores[f"{name}/length"] = score
            annotations.add(score)
    return explained_store


def pills(app: AppTest, label: str) -> Any:
    return next(group for group in app.pills if group.label == label)


def power(app: AppTest) -> Any:
    """The widget of the scorer's own option, `None` where it is not drawn."""
    return next((number for number in app.number_input if number.label == "Power"), None)


def test_regenerate_and_rescore_offer_them_with_their_options(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=4, panel="regenerate")
    app.selectbox(key="explain_explainer").set_value("echo").run()
    assert "Echo" in app.selectbox(key="explain_explainer").options
    loudness = next(number for number in app.number_input if number.label == "Loudness")
    assert (loudness.value, loudness.min, loudness.max) == (0.5, 0, 1)
    assert "Length" in pills(app, "Score it too").options
    pills(app, "Score it too").set_value(["length"])
    loudness.set_value(0.75).run()
    app.button(key="run_explain").click().run()
    finish(app, explained_store, lambda a: a.explanations("sae", 4)[0].explainer == "echo")
    finish(app, explained_store, lambda a: any(s.scorer == "length" for s in a.scores_of_latent("sae", 4)))
    drawn = card(app)
    assert drawn["meta"][0] == "Echo"
    assert {(row["name"], row["judge"]) for row in drawn["scores"]} == {("Length", "ruler")}
    with Annotations(explained_store.path, read_only=True) as annotations:
        assert annotations.explanations("sae", 4)[0].config["loudness"] == 0.75
    app = page(open_page, explained_store, latent=4, panel="rescore")
    assert power(app) is not None, "a scorer that needs no language model is chosen unless someone chooses"
    assert (power(app).min, power(app).max) == (1, 3)
    pills(app, "Scorers").set_value(["detection"]).run()
    assert power(app) is None
    pills(app, "Scorers").set_value(["length"]).run()
    power(app).set_value(3).run()
    app.button(key="run_score").click().run()
    finish(app, explained_store, lambda a: len(a.scores_of_latent("sae", 4)) >= 3)
    with Annotations(explained_store.path, read_only=True) as annotations:
        score = next(score for score in annotations.scores_of_latent("sae", 4) if score.scorer == "length")
    assert score.config["power"] == 3
    assert options_of(score, None).value("power") == 3, "a retry keeps it"


def test_an_option_that_would_change_nothing_is_not_drawn(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=4, panel="regenerate")
    app.selectbox(key="explain_explainer").set_value("echo").run()
    numbers = {number.label: number for number in app.number_input}
    assert "Pitch" not in numbers
    numbers["Loudness"].set_value(1.0).run()
    assert "Pitch" in {number.label for number in app.number_input}
    assert not app.exception, app.exception


def test_an_explainers_own_option_is_kept_when_it_runs_again(explained_store: Explained):
    first = explained_store.explanations["first"]
    echo = replace(first, explainer="echo", config={"explainer": "echo", "loudness": 0.25, "version": None})
    assert explain_options(echo, None).value("loudness") == 0.25


def test_the_batch_form_and_the_job_tell_them(open_page, explained_store: Explained):
    app = open_page(explained_store.store, "jobs", new="1")
    app.radio(key="batch_which").set_value("all").run()
    app.selectbox(key="batch_e_explainer").set_value("echo").run()
    app.pills(key="batch_s_scorers").set_value(["length"]).run()
    assert {"Power", "Loudness"} <= {number.label for number in app.number_input}
    power(app).set_value(2).run()
    assert not app.exception
    assert not app.button(key="batch_start").disabled
    with Annotations(explained_store.path) as annotations:
        payload = {
            "coder": "sae",
            "explain": {"explainer": "echo", "loudness": 0.5},
            "then": [{"scorer": "length", "power": 2, "judge": "offline"}],
        }
        job, _ = annotations.jobs.submit("explain", payload, [0], label="echo")
    app = open_page(explained_store.store, "jobs", job=job.id)
    assert not app.exception, app.exception
    options = {tuple(row["cells"][:2]): row["cells"][2] for row in records(app, "list")[0]["rows"]}
    assert options["Then score", "Power"] == "2"
    assert options["Explain", "Loudness"] == "0.5"
    assert ("Then score", "Judge") not in options, "it asks none"
    assert "Echo, Length" in app.expander[0].label


def test_overview_shows_the_distribution_of_its_scores(open_page, scored: Explained):
    app = open_page(scored.store, "overview", score=KIND)
    assert not app.exception, app.exception
    coverage = records(app, "list")[1]
    assert "Length · ruler" in [column["title"] for column in coverage["columns"]]
    best = next(
        drawn
        for drawn in records(app, "list")
        if str(drawn["rows"][0]["go"].get("list")).startswith("score=")
    )
    assert best["rows"][0]["go"].items() >= {"coder": "sae", "latent": 4}.items()
    assert any(chart.proto.id.partition("spread_")[2].startswith(KIND) for chart in app.get("plotly_chart"))


def test_features_show_sort_and_filter_by_it(open_page, scored: Explained):
    app = open_page(scored.store, "features", coder="sae", sort="low", score=KIND)
    column = next(column for column in listed(app)["columns"] if column["kind"] == "score")
    assert column["title"] == "Length · ruler"
    best = scored.scores["long/length"]
    assert cells(app, column["title"])["sae", 4]["value"] == f"{best.value:.2f}"
    assert latents(app)[:3] == [("sae", 4), ("sae", 1), ("sae", 0)]
    app = open_page(scored.store, "features", coder="sae", score=KIND, min_low=f"{best.ci_low:.3f}")
    assert latents(app) == [("sae", 4)]


def test_its_judged_examples(open_page, scored: Explained):
    app = page(open_page, scored, score=scored.scores["edited/length"].id)
    assert not app.exception, app.exception
    drawn = record(app, "judged")
    assert drawn is not None
    rows = [row for group in drawn["groups"] for row in group["rows"]]
    assert len(rows) == len(scored.scores["edited/length"].judged or ())
    assert all(row["rank"].startswith("above ") for row in rows), "graded: what its AUROC is made of"
    assert drawn["bars_note"].startswith("AUROC")


def test_one_that_judges_written_texts_says_so(open_page, explained_store: Explained):
    first, second = (explained_store.explanations[name] for name in ("long", "plain"))

    def rhymed(hits: list[bool]) -> Score:
        own = [
            JudgedExample(i, -1, i, 2, True, hit, float(hit), reply_ref="verses")
            for i, hit in enumerate(hits)
        ]
        other = JudgedExample(len(hits), -1, 0, 2, False, True, 1.0, reply_ref="verses")
        return Score(
            explanation_id=first.id, scorer="rhyme", judge="poet", value=0.5, negatives="none", n_pos=len(hits), n_neg=1,
            floor=1.0, n_floor=1, floor_explanation_id=second.id, unparsed=1, judged=(*own, other),
        )  # fmt: skip

    score, worse = rhymed([True, True, False, False]), rhymed([False] * 6)
    with Annotations(explained_store.path) as annotations:
        annotations.replies.put("verses", {"messages": []}, ChatReply("{}", "m").to_dict())
        annotations.add(score)
    app = page(open_page, explained_store, latent=first.latent, score=score.id)
    drawn = record(app, "judged")
    assert drawn is not None
    assert [group["title"] for group in drawn["groups"]][
        -1
    ] == "Fires in texts written from the explanation: 2"
    assert drawn["overlay"] is True
    assert {row["where"] for group in drawn["groups"] for row in group["rows"]} == {
        f"text {i}" for i in range(1, 5)
    }
    figures = {row[0]: row for row in record(app, "facts") or []}  # type: ignore[misc]
    assert figures["Floor"][1] == "1.00 (n 1)"
    assert "written from" in figures["n"][2]
    assert "Not counted" in figures
    assert not any(box.label in ("Decile", "Class") for box in app.selectbox)
    gap = difference(score, worse, Resamples())
    assert (gap.value, gap.n_pos, gap.n_neg) == (-0.5, 6, 4), "each on texts of its own"
