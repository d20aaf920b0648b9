"""The explanation side of the Feature page: what is shown, in the words of its elements."""

import json
from dataclasses import replace

import pytest

from autointerp.records import Explanation, new_id
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import beginning, visible
from tests.app.reading import card, keys, messages, page, record, records, say_name
from tests.explained import Explained, answered

pytestmark = pytest.mark.usefixtures("no_model")
BUTTONS = {"open_edit", "open_regenerate", "open_rescore", "open_versions"}


def test_the_fixture_holds_what_it_says(explained_store: Explained):
    with Annotations(explained_store.path, read_only=True) as annotations:
        shown = annotations.shown("sae", 0)
        assert shown is not None
        assert shown.id == explained_store.explanations["edited"].id
        assert len(annotations.explanations("sae", 0)) == 4
        pinned = annotations.shown("sae", 3)
        assert pinned is not None
        assert pinned.id == explained_store.explanations["pinned"].id
        for score in explained_store.scores.values():
            judged = annotations.judged(score.id)
            assert len(judged) == score.n + score.unparsed


def test_the_newest_good_version_is_shown_with_its_provenance_and_scores(
    open_page, explained_store: Explained
):
    app = page(open_page, explained_store)
    drawn = card(app)
    edited = explained_store.explanations["edited"]
    assert drawn["text"] == edited.text
    assert drawn["meta"][:2] == ["person", "by Ada"]
    assert "version 3 of 4" in drawn["meta"]
    assert "edited from version 2" in drawn["meta"]
    assert drawn["failure"]["name"] == "Version 4, the newest, failed"
    assert "server unreachable" in drawn["failure"]["cause"]
    assert app.button(key="retry").label == "Retry version 4"
    detection, embedding = drawn["scores"]
    assert detection["name"] == "Detection"
    assert detection["judge"] == "offline judge"
    assert detection["standing"] == "below"
    assert detection["said"] == "not above floor"
    assert detection["reference"] == "floor 0.56"
    assert detection["n"] == "12+10"
    assert embedding["judge"] == "embedder MiniLM"
    assert embedding["said"] == "not above chance"
    assert keys(app) >= BUTTONS


def test_a_version_in_the_address(open_page, explained_store: Explained):
    second = explained_store.explanations["second"]
    app = page(open_page, explained_store, version=second.id)
    drawn = card(app)
    assert drawn["text"] == second.text
    assert "writer-model" in drawn["meta"]
    assert any("Other pages show version 3" in note for note in drawn["notes"])
    judges = {(row["name"], row["judge"]) for row in drawn["scores"]}
    assert {
        ("Detection", "offline judge"),
        ("Detection", "judge-model"),
        ("Simulation", "judge-model"),
    } <= judges
    unparsed = next(row for row in drawn["scores"] if row["judge"] == "judge-model" and row.get("unparsed"))
    assert unparsed["unparsed"] == 3
    failed = next(row for row in drawn["scores"] if "failed" in row)
    assert failed["failed"].startswith("rate limited: <i>")
    assert "value" not in failed
    assert "retry" in keys(app)


def test_versions_lists_all_newest_first_with_the_failed_one(open_page, explained_store: Explained):
    app = page(open_page, explained_store, panel="versions")
    rows = records(app, "explanation")[1]["versions"]
    assert [row["number"] for row in rows] == [4, 3, 2, 1]
    assert rows[0]["failed"].startswith("server unreachable")
    assert not rows[0]["comparable"]
    assert rows[1]["shown"]
    assert rows[1]["current"]
    assert rows[2]["comparable"]
    brief = {(score["name"], score["judge"]): score for score in rows[3]["scores"]}
    assert set(brief) == {
        ("Detection", "offline judge"),
        ("Fuzzing", "offline judge"),
        ("Embedding", "embedder MiniLM"),
    }
    detection = brief["Detection", "offline judge"]
    assert detection["value"]
    assert "to" in detection["ci"]
    assert detection["under"] == "floor 0.50 · n 12+10"
    assert ("Detection", "judge-model") in {(score["name"], score["judge"]) for score in rows[2]["scores"]}


def test_what_a_score_was_judged_on_is_said_as_it_is(open_page, explained_store: Explained):
    """Only the held-out protocol keeps out what an explainer was shown, and a person may have read anything."""
    made = explained_store.explanations
    first = card(page(open_page, explained_store, version=made["first"].id))
    assert first["scored_on"] == "on held-out examples"
    assert first["usual"]
    assert first["axis"] == ["0", ".5", "1"]
    edited = card(page(open_page, explained_store))
    assert edited["scored_on"] == "on held-out examples, which the author may have seen"
    assert not edited["usual"]
    with Annotations(explained_store.path) as annotations:
        for name in ("first", "emoji"):
            score = answered(explained_store.store, made[name], 0.8, floor=0.5)
            annotations.add(replace(score, protocol="delphi"))
    first = card(page(open_page, explained_store, version=made["first"].id))
    assert first["scored_on"] == "not all on held-out examples"
    told = {row["protocol"]: row["examples"] for row in first["scores"]}
    assert told == {
        "": "held-out examples",
        "delphi protocol, not held-out": "examples that the explainer may have seen",
    }
    only = card(page(open_page, explained_store, latent=6))
    assert only["scored_on"] == "on examples that the explainer may have seen"
    assert not only["usual"]


def test_the_protocol_of_an_explanation_is_shown_with_how_it_was_made(open_page, explained_store: Explained):
    made = explained_store.explanations["first"]
    usual = page(open_page, explained_store, version=made.id)
    assert "delphi protocol" not in card(usual)["meta"]
    reference = replace(made, id=new_id(), config={**made.config, "protocol": "delphi"}, seed=22)
    with Annotations(explained_store.path) as annotations:
        annotations.add(reference)
    app = page(open_page, explained_store, version=reference.id, panel="versions")
    assert "delphi protocol" in card(app)["meta"]
    facts = [row[:2] for rows in records(app, "facts") for row in rows]
    assert ["Protocol", "delphi"] in facts


def test_the_pinned_version_is_shown_and_can_be_unpinned(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=3)
    drawn = card(app)
    assert drawn["text"] == explained_store.explanations["pinned"].text
    assert "pinned" in drawn["meta"]
    app.button(key="pin").click().run()
    drawn = card(app)
    assert "pinned" not in drawn["meta"]
    assert any("the newest" in note for note in drawn["notes"])
    app.button(key="pin").click().run()
    say_name(app, "Grace")
    assert "pinned" in card(app)["meta"]
    with Annotations(explained_store.path, read_only=True) as annotations:
        pin = annotations.pinned("sae", 3)
        assert pin is not None
        assert pin.author == "Grace"


def test_an_unexplained_feature_says_so_and_offers_what_can_be_done(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="1")
    drawn = card(app)
    assert drawn["text"] == ""
    assert "id" not in drawn
    assert {"open_write", "open_regenerate"} <= keys(app)
    assert "open_versions" not in keys(app)


def test_a_failed_only_version_is_a_failure_with_its_cause_and_a_retry(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=2)
    drawn = card(app)
    assert drawn["text"] == ""
    assert drawn["failed"].startswith("server unreachable")
    assert "retry" in keys(app)
    app.button(key="retry").click().run()
    assert not app.exception
    assert "needs a language model" in messages(app)


def test_a_failed_score_stands_beside_the_good_one_before_it(open_page, explained_store: Explained):
    good = explained_store.scores["edited/detection"]
    failed = replace(
        good, id=new_id(), value=None, status="failed", error="no answer <b>at all</b>", created="2099-01-01T00:00:00.000Z"
    )  # fmt: skip
    with Annotations(explained_store.path) as annotations:
        annotations.add(failed)
    app = page(open_page, explained_store)
    detection = card(app)["scores"][0]
    assert (detection["id"], detection["value"]) == (good.id, fmt.decimal(good.value, 2))
    assert detection["failure"] == {
        "id": failed.id, "name": "A newer run failed", "cause": "no answer <b>at all</b>",
    }  # fmt: skip
    assert app.button(key="retry_scores").label == "Retry 1 score"
    assert not app.button(key="retry_scores").disabled


@pytest.mark.parametrize("name", ["newer", "long", "emoji", "rtl"])
def test_hostile_explanations_are_inert_text(open_page, explained_store: Explained, name: str):
    explanation = explained_store.explanations[name]
    app = page(
        open_page, explained_store, latent=explanation.latent, version=explanation.id, panel="versions"
    )
    drawn = card(app)
    assert not app.get("html")
    for char in "\u202e\u202c\x00\x1b":
        assert char not in drawn["text"]
    if name != "rtl":
        assert drawn["text"] == beginning(explanation.text)
    said = "".join(str(element.value) for element in [*app.markdown, *app.caption])
    assert "<script>" not in said
    assert "![" not in said


def test_read_only_hides_what_writes(open_page, explained_store: Explained, monkeypatch: pytest.MonkeyPatch):
    for panel in ("edit", "regenerate", "rescore", "versions"):
        app = page(open_page, explained_store, panel=panel)
        monkeypatch.setenv(ENV_READ_ONLY, "1")
        app.run()
        assert card(app)["text"] == explained_store.explanations["edited"].text
        assert "open_versions" in keys(app)
        hidden = {
            "open_edit",
            "open_regenerate",
            "open_rescore",
            "pin",
            "retry",
            "retry_scores",
            "run_explain",
            "run_score",
            "run_write",
        }
        assert not keys(app) & hidden
        monkeypatch.delenv(ENV_READ_ONLY)


def test_two_versions_side_by_side(open_page, explained_store: Explained):
    first, second = (explained_store.explanations[name] for name in ("first", "second"))
    app = page(open_page, explained_store, version=second.id, against=first.id)
    assert not app.exception, app.exception
    drawn = record(app, "comparison")
    assert drawn is not None
    left, right = drawn["sides"]
    assert (left["title"], right["title"]) == ("Version 1", "Version 2")
    assert "".join(text for _, text in left["pieces"]) == first.text
    assert "".join(text for _, text in right["pieces"]) == second.text
    assert {kind for kind, _ in left["pieces"]} == {"same", "cut"}
    rows = {(row["name"], row["judge"]): row for row in drawn["scores"]}
    detection = rows["Detection", "offline judge"]
    assert detection["difference"]
    assert detection["n"] == "12+10"
    assert detection["said"]
    assert rows["Detection", "judge-model"]["said"] == "Only one version has this score."
    a, b = (explained_store.scores[f"{name}/detection"].judged or () for name in ("first", "second"))
    flipped = {x.key: bool(y.correct) for x, y in zip(a, b, strict=True) if x.correct is not y.correct}
    (shown,) = drawn["flips"]
    assert shown["name"] == "Detection"
    assert {row["ok"] for group in shown["groups"] for row in group["rows"]} == set(flipped.values())
    assert sum(len(group["rows"]) for group in shown["groups"]) == len(flipped) > 0
    assert all(row["t"] and "→" in row["said"] for group in shown["groups"] for row in group["rows"])
    assert shown["said"].startswith(f"{fmt.plural(len(flipped), 'example')} flipped: ")
    settings = {(what, name): values for what, name, *values in drawn["settings"]}
    assert (
        settings["Explanation", "Explainer"] == ["Pattern", "LLM"]
        or settings["Explanation", "Explainer"][1] == "LLM"
    )
    assert ["40", "20"] in settings.values()
    assert not any(a == b for a, b in settings.values())


def test_a_version_cannot_be_compared_with_itself_or_a_failure(open_page, explained_store: Explained):
    edited = explained_store.explanations["edited"]
    for other in (edited.id, explained_store.explanations["failed"].id):
        app = page(open_page, explained_store, version=edited.id, against=other)
        assert not app.exception
        assert record(app, "comparison") is None
        assert "Choose two different versions" in messages(app)


def test_nothing_is_called_again_that_was_never_done(open_page, explained_store: Explained):
    """A feature without an explanation is explained, one without a score is scored; only then it is done again."""

    def labels(latent: int, coder: str = "sae") -> set[str]:
        return {
            button.label.split(" :")[0]  # without its key
            for button in page(open_page, explained_store, latent=latent, coder=coder).button
        }

    assert {"Write", "Explain"} <= labels(4, "transcoder")
    with Annotations(explained_store.path) as annotations:
        annotations.add(Explanation(coder="transcoder", latent=4, text="New.", explainer="pattern"))
    assert {"Regenerate", "Score"} <= labels(4, "transcoder")
    assert {"Regenerate", "Rescore"} <= labels(0)


def test_neighbours_show_their_explanations_and_scores(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=0)
    panel = record(app, "panel")
    assert panel is not None
    rows = [row for relation in panel["neighbours"] for row in relation["rows"]]
    says = {row["latent"]: row["says"]["text"] for row in rows if "says" in row}
    with Annotations(explained_store.path, read_only=True) as annotations:
        for row in rows:
            shown = annotations.shown("sae", row["latent"])
            assert (says.get(row["latent"]) or "")[:100] == visible(shown.text if shown else "")[:100]
    assert any("95 %" in row["score"]["help"] for row in rows if "score" in row)


def test_a_text_of_any_length_is_drawn_from_its_beginning_with_the_whole_to_download(
    open_page, explained_store: Explained
):
    """A browser that lays out a megabyte stands still, and so does a comparison of two."""
    texts = ["x." * 50_000, "x." * 30_000 + "!" + "x." * 20_000]
    record_of = {"coder": "sae", "latent": 5, "explainer": "person", "author": "Ada"}
    first, second = [
        Explanation(**record_of, text=text, reasoning="y" * 90_000, id=new_id()) for text in texts
    ]
    with Annotations(explained_store.path) as annotations:
        annotations.add(first)
        annotations.add(second)
        annotations.collections.add("long", [("sae", 5)], author="Ada", note="")
    app = page(open_page, explained_store, latent=5, panel="versions", against=first.id)
    drawn = card(app)
    assert drawn["text"] == texts[1][:4_000] + "…"
    assert "The first 4,000 of 100,001 characters" in messages(app)
    assert "The first 4,000 of 90,000 characters" in messages(app)
    downloads = [element.proto.label for element in app.get("download_button")]
    assert downloads.count("Download all") == 4  # the card, the reasoning, both sides of the comparison
    sent = sum(len(json.dumps(each)) for name in ("explanation", "comparison") for each in records(app, name))
    assert sent < 40_000
    assert all(len(element.value) < 5_000 for element in app.code)
    app = page(open_page, explained_store, latent=5, panel="edit")
    assert not app.exception
    assert "only the first 10,000 are here" in messages(app)
    for name, more in (("overview", {}), ("features", {"coder": "sae", "mode": "words", "search": "x"})):
        app = open_page(explained_store.store, name, **more)
        assert not app.exception
        assert sum(len(json.dumps(each)) for each in records(app, "list")) < 60_000
