"""What people type is kept: in the session, and in the browser, which tells a new session what the one before it had."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.store.annotations import Annotations
from autointerp.ui.shared import drafts
from tests.app.reading import card, draft, keys, messages, page, records, say_name
from tests.explained import Explained

TEXT = "Half a thought about <b>tags</b>"

pytestmark = pytest.mark.usefixtures("no_model")


def editor(app: AppTest) -> dict:
    return records(app, "editor")[0]


def browser(app: AppTest) -> dict:
    """What the browser is told to keep."""
    return records(app, "drafts")[0]


def test_a_draft_is_offered_wherever_its_feature_is_seen_again(open_page, explained_store: Explained):
    edited = explained_store.explanations["edited"]
    app = page(open_page, explained_store, panel="edit")
    draft(app, TEXT, parent=edited.id).run()
    assert editor(app)["value"] == TEXT
    app.button(key="open_versions").click().run()
    assert "Draft of your edit of version 3, not saved" in messages(app)
    app.button(key="next").click().run()
    assert "not saved" not in messages(app)
    app.button(key="previous").click().run()
    app.button(key=f"continue_{edited.id}").click().run()
    assert editor(app)["value"] == TEXT
    assert app.query_params["version"] == edited.id
    app.button(key="discard_open").click().run()
    assert editor(app)["value"] == edited.text
    assert browser(app)["texts"] == {}
    assert [drop[1:] for drop in browser(app)["dropped"]] == [[drafts.name("sae", 0, edited.id), TEXT]]
    assert app.button(key="discard_open").disabled


def test_each_edited_version_and_the_text_from_nothing_have_drafts_of_their_own(
    open_page, explained_store: Explained
):
    edited, pinned = (explained_store.explanations[name] for name in ("edited", "pinned"))
    app = page(open_page, explained_store, panel="write")
    draft(app, TEXT).run()
    assert editor(app)["value"] == TEXT
    app.segmented_control(key="url_panel").set_value("edit").run()
    assert editor(app)["value"] == edited.text
    assert "Draft of your explanation, not saved" in messages(app)
    assert drafts.slot(drafts.name("sae", 0, edited.id)) != drafts.slot(drafts.name("sae", 0, pinned.id))


def test_only_a_saved_draft_is_gone(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=1, panel="write")
    draft(app, "x" * 10_001, latent=1)
    app.button(key="run_write").click().run()
    assert editor(app)["value"] == "x" * 10_001
    draft(app, TEXT, latent=1)
    app.button(key="run_write").click().run()
    assert browser(app)["texts"], "who wrote it is asked first"
    say_name(app)
    assert card(app)["text"] == TEXT
    assert browser(app)["texts"] == {}
    assert not {key for key in keys(app) if key.startswith("continue_")}


def test_a_version_that_arrives_leaves_the_text_box_where_it_is(open_page, explained_store: Explained):
    edited = explained_store.explanations["edited"]
    app = page(open_page, explained_store)
    app.button(key="open_edit").click().run()
    draft(app, TEXT, parent=edited.id).run()
    with Annotations(explained_store.path) as annotations:
        annotations.unpin("sae", 0)
        annotations.add(edited.__class__(coder="sae", latent=0, text="Newer.", explainer="pattern"))
    app.run()
    assert editor(app)["label"].startswith("Edit version 3")
    assert editor(app)["value"] == TEXT


def test_the_choices_of_a_form_last(open_page, explained_store: Explained):
    app = open_page(explained_store.store, "jobs", new="1")
    app.radio(key="batch_which").set_value("some").run()
    app.text_input(key="batch_latents").set_value("3-5").run()
    app.button(key="close_batch").click().run()
    app.button(key="new_batch").click().run()
    assert app.text_input(key="batch_latents").value == "3-5"
    assert browser(app)["forms"]["batch_latents"] == "3-5"
    assert {"batch_latents", "batch_e_seed"} <= set(browser(app)["keys"])


def test_the_browser_is_told_to_keep_no_api_key(open_page, explained_store: Explained):
    app = open_page(explained_store.store, "settings")
    app.text_input(key="llm_key").set_value("sk-secret").run()
    assert "llm_key" not in browser(app)["keys"]
    assert "sk-secret" not in json.dumps(browser(app))
