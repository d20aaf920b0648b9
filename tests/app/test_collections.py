"""Collections in the app: the star, the panel on the Feature page, the list of one, a whole list put into one."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.ratings import MAX_NAME
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store
from autointerp.store.annotations import STARRED, Annotations
from autointerp.ui.shared.person import ASKED, KEY
from tests.app.auditing import said
from tests.app.reading import keys, links, messages, record, records, say_name
from tests.explained import HOSTILE_TEXT, Explained


def rows(app: AppTest) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows of the list of features."""
    assert not app.exception, app.exception
    found = [table for table in records(app, "list") if table["page"] == "feature"]
    return {(row["go"]["coder"], row["go"]["latent"]): row for row in found[0]["rows"]} if found else {}


def collected(store: Any, name: str = STARRED) -> dict[str, list[int]]:
    with Annotations(store.path) as annotations:
        return annotations.collections.latents(name)


def put(store: Any, name: str, *places: tuple[str, int], note: str = "") -> None:
    with Annotations(store.path) as annotations:
        annotations.collections.add(name, places, author="ada", note=note)


def test_a_feature_is_starred_collected_and_noted_on_its_page(
    open_page: Any, explained_store: Explained
) -> None:
    app = open_page(explained_store, "feature", coder="sae", latent="3")
    app.button("star").click().run()
    say_name(app)
    assert collected(explained_store) == {"sae": [3]}
    assert app.button("star").label.startswith("★")
    app.button("open_collections").click().run()
    assert app.query_params["panel"] == "collections"
    app.text_input("collection_new_sae_3").input(" years ").run()
    assert not app.exception
    assert collected(explained_store, "years") == {"sae": [3]}
    app.text_input("collection_note_sae_3_years").input("four digits").run()
    assert not app.exception
    app.button_group("collections_of_sae_3").set_value(["years"]).run()
    with Annotations(explained_store.path) as annotations:
        (member,) = annotations.collections.of("sae", 3)
        assert (member.collection, member.note) == ("years", "four digits")
    assert app.button("star").label.startswith("☆")
    assert "to_collection_years" in keys(app)
    app.text_input("collection_new_sae_3").input("\u202e").run()
    assert "visible characters" in messages(app)


def authors(store: Any, name: str = STARRED) -> set[str]:
    with Annotations(store.path) as annotations:
        latents = annotations.collections.latents(name)
        places = [(coder, latent) for coder, of in latents.items() for latent in of]
        return {member.author for member in annotations.collections.among(name, places).values()}


def test_who_it_is_is_asked_where_it_is_first_needed_and_once(
    open_page: Any, explained_store: Explained
) -> None:
    app = open_page(explained_store, "feature", coder="sae", latent="3")
    app.button("star").click().run()
    assert collected(explained_store) == {}
    assert app.button("star").label.startswith("☆")
    say_name(app, " ")
    say_name(app, "x" * (MAX_NAME + 1))
    assert f"Your name has {MAX_NAME + 1} characters; at most {MAX_NAME} are kept." in said(app)
    assert app.text_input(ASKED).value == "x" * (MAX_NAME + 1)
    assert collected(explained_store) == {}
    say_name(app, " Ada ")
    assert app.button("star").label.startswith("★"), "what was wanted is done"
    app.button("next").click().run()
    app.button("star").click().run()
    assert ASKED not in {field.key for field in app.text_input}
    assert collected(explained_store) == {"sae": [3, 4]}
    assert authors(explained_store) == {"Ada"}
    assert records(app, "drafts")[0]["forms"][KEY] == "Ada", "which the browser keeps"


@pytest.mark.parametrize("name", ["feature", "features", "compare", "probe", "jobs", "settings", "overview"])
def test_every_page_hears_the_name_that_the_browser_keeps(
    open_page: Any, explained_store: Explained, name: str
) -> None:
    app = open_page(explained_store, name)
    assert KEY in records(app, "drafts")[0]["lasting"]


def test_a_name_that_the_browser_keeps_is_used_and_not_asked(
    open_page: Any, explained_store: Explained
) -> None:
    app = open_page(explained_store, "feature", coder="sae", latent="3")
    app.session_state["drafts_found"] = {KEY: "Ada"}  # as it has told
    app.button("star").click().run()
    assert ASKED not in {field.key for field in app.text_input}
    assert authors(explained_store) == {"Ada"}


@pytest.mark.parametrize("key", ["collection_new_sae_3", "collection_note_sae_3_years"])
def test_what_is_too_long_is_refused_and_stays(open_page: Any, explained_store: Explained, key: str) -> None:
    put(explained_store, "years", ("sae", 3))
    app = open_page(explained_store, "feature", coder="sae", latent="3", panel="collections")
    for field in app.text_input:
        assert not field.max_chars, f"{field.label} takes no more characters and says nothing"
    app.text_input(key).input("x" * 2_001).run()
    assert re.search(r"has 2,001 characters; at most (80|2,000) are kept. Shorten it", said(app))
    assert app.text_input(key).value == "x" * 2_001


def test_a_dead_feature_can_be_collected_too(open_page: Any, tiny_store: Store) -> None:
    app = open_page(tiny_store, "feature", coder="sae", latent="5", panel="collections")
    assert not app.exception
    app.button("star").click().run()
    say_name(app)
    assert collected(tiny_store) == {"sae": [5]}
    app = open_page(tiny_store, "features", collection=STARRED)
    assert "No feature passes these filters · 1 more in the collection" in messages(app)
    assert list(rows(open_page(tiny_store, "features", collection=STARRED, dead="show"))) == [("sae", 5)]


def test_a_list_of_a_collection_can_be_shared_and_keeps_its_other_filters(
    open_page: Any, explained_store: Explained
) -> None:
    name = "a&b=\u05d0, 'c' & more"
    put(explained_store, name, ("sae", 0), ("sae", 3), ("transcoder", 2), ("gone", 1), note="<b>x</b>")
    app = open_page(explained_store, "features", collection=name)
    assert set(rows(app)) == {("sae", 0), ("sae", 3), ("transcoder", 2)}
    assert "1 more in the collection" in messages(app)
    assert "note: <b>x</b>" in rows(app)["sae", 0]["cells"][1]["marks"], (
        "as data, which the page draws as text"
    )
    assert set(rows(open_page(explained_store, "features", collection=name, coder="sae"))) == {
        ("sae", 0),
        ("sae", 3),
    }
    assert set(rows(open_page(explained_store, "features", collection=name, human="pinned"))) == {("sae", 3)}
    feature = open_page(
        explained_store, "feature", coder="sae", latent="0", list=f"collection={quote(name)}", at="0"
    )
    assert feature.title[0].value.endswith("1 of 3]"), "Next and Previous stay in it"


@pytest.mark.parametrize("name", ["years ago", HOSTILE_TEXT, "x" * 5000, "%00", "any"])
def test_a_collection_that_does_not_exist_is_a_message_with_ways_out(
    open_page: Any, tiny_store: Store, name: str
) -> None:
    put(tiny_store, "years", ("sae", 0))
    app = open_page(tiny_store, "features", collection=name)
    assert not app.exception
    assert "does not exist" in messages(app)
    assert "All features" in links(app)
    assert rows(open_page(tiny_store, "features", collection="")), "no name is no filter"


def test_a_whole_list_goes_into_a_collection_and_out_of_it(
    open_page: Any, explained_store: Explained
) -> None:
    app = open_page(explained_store, "features", coder="sae", explained="yes")
    listed = sorted(latent for _, latent in rows(app))
    app.button("collect_add").click().run()
    assert "Choose a collection" in messages(app)
    app.text_input("collect_new").input("explained ones").run()
    app.text_input("collect_note").input("by hand").run()
    app.button("collect_add").click().run()
    say_name(app)
    assert not app.exception
    assert collected(explained_store, "explained ones") == {"sae": listed}
    app.selectbox("collect_into").set_value(STARRED).run()
    app.button("collect_add").click().run()
    assert collected(explained_store) == {"sae": listed}
    app = open_page(explained_store, "features", collection="explained ones", human="pinned")
    app.button("collect_remove").click().run()
    assert collected(explained_store, "explained ones") == {
        "sae": [latent for latent in listed if latent != 3]
    }


def test_a_collection_is_described_renamed_and_deleted_where_it_is_listed(
    open_page: Any, tiny_store: Store
) -> None:
    put(tiny_store, "years", ("sae", 0))
    put(tiny_store, "names", ("sae", 1))
    app = open_page(tiny_store, "features", collection="years")
    app.text_area("collection_note_years").input("four digits").run()
    app.text_input("collection_name_years").input("names").run()
    app.button("collection_save").click().run()
    assert "already" in messages(app)
    app.text_input("collection_name_years").input("dates").run()
    app.button("collection_save").click().run()
    assert not app.exception
    assert app.query_params["collection"] == "dates"
    with Annotations(tiny_store.path) as annotations:
        assert annotations.collections.get("dates").note == "four digits"
    app.button("collection_delete").click().run()
    assert "collection" not in app.query_params
    assert collected(tiny_store, "dates") == {}


def test_stars_in_the_list(open_page: Any, tiny_store: Store) -> None:
    put(tiny_store, STARRED, ("sae", 0), ("sae", 3))
    app = open_page(tiny_store, "features", coder="sae", sort="latent")
    assert {latent: row["star"] for (_, latent), row in rows(app).items()} == {
        0: True, 1: False, 2: False, 3: True, 4: False, 6: False, 7: False,
    }  # fmt: skip


def test_nothing_can_be_changed_where_the_app_is_read_only(
    open_page: Any, explained_store: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(explained_store, "years", ("sae", 0))
    open_page(explained_store, "features")
    with monkeypatch.context() as patch:
        app = open_page(explained_store, "features", collection="years")
        patch.setenv(ENV_READ_ONLY, "1")
        app.run()
        assert keys(app).isdisjoint({"collect_add", "collection_save", "collection_delete"})
        assert all("star" not in row for row in rows(app).values())
        assert list(rows(app)) == [("sae", 0)]


def test_an_empty_collection_says_how_to_fill_it(open_page: Any, tiny_store: Store) -> None:
    with Annotations(tiny_store.path) as annotations:
        annotations.collections.create("later", author="ada")
    app = open_page(tiny_store, "features", collection="later")
    assert "This collection is empty" in messages(app)
    assert json.dumps(record(app, "list")) == "null"
