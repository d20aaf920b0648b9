"""Every page on every kind of store, and at hostile addresses: a message, never a traceback."""

import json
import shutil
from pathlib import Path

import pytest
import streamlit as st

from autointerp import settings
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.reading import draft, links, messages, record, records
from tests.explained import Explained

PAGES = ["overview", "features", "feature", "compare", "audit", "probe", "jobs", "settings"]


@pytest.mark.parametrize("name", PAGES)
def test_no_store_says_what_to_do(open_page, tmp_path: Path, name: str):
    app = open_page(tmp_path / "nothing", name)
    assert not app.exception
    assert app.error
    assert "make demo" in messages(app) + "".join(block.value for block in [*app.code, *app.markdown])
    assert len(records(app, "connection")) == len(records(app, "store")) == 1, (
        "it hears of the server all the same"
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_foreign_folder_is_no_store(open_page, tmp_path: Path, name: str):
    (tmp_path / "notes.txt").write_text("hello")
    app = open_page(tmp_path, name)
    assert not app.exception
    assert app.error


@pytest.mark.parametrize("name", PAGES)
def test_a_newer_store_is_refused_with_a_reason(open_page, tiny_store: Store, name: str):
    manifest = tiny_store.path / "store.json"
    meta = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(meta | {"format": 99}))
    app = open_page(tiny_store, name)
    assert not app.exception
    assert app.error


@pytest.mark.parametrize("name", ["overview", "features", "feature"])
def test_a_store_without_coders_says_how_to_cache_one(open_page, tiny_store: Store, name: str):
    for file in (tiny_store.path / "coders").glob("*"):
        file.unlink()
    app = open_page(tiny_store, name)
    assert not app.exception
    assert "autointerp cache" in messages(app) + "".join(block.value for block in app.code)


def test_a_damaged_coder_is_named_and_the_rest_works(open_page, tiny_store: Store):
    broken = tiny_store.path / "coders" / "transcoder.duckdb"
    broken.write_bytes(broken.read_bytes()[:5000])
    app = open_page(tiny_store, "overview")
    assert not app.exception
    assert "transcoder" in messages(app)
    table = record(app, "list")
    assert table is not None
    assert [row["go"]["coder"] for row in table["rows"]] == ["sae"]
    app = open_page(tiny_store, "settings")
    assert not app.exception
    assert app.error


@pytest.mark.parametrize(
    ("name", "params", "heading", "tab"),
    [
        ("overview", {}, "tiny\\: 2 coders of tiny", "Overview"),
        ("features", {}, "Features", "Features"),
        ("features", {"coder": "sae"}, "sae features", "sae features"),
        ("feature", {"coder": "transcoder", "latent": "3"}, "transcoder \\#3", "transcoder #3"),
        ("feature", {"coder": "transcoder", "latent": "3", "list": "coder=transcoder", "at": "1"},
         "transcoder \\#3 :small[· 1 of 5]", "transcoder #3"),
        ("probe", {}, "Probe", "Probe"),
        ("jobs", {}, "Jobs", "Jobs"),
        ("jobs", {"job": "nothing"}, "Jobs", "Jobs"),
        ("settings", {}, "Settings", "Settings"),
    ],
)  # fmt: skip
def test_every_page_has_one_heading_and_a_tab_of_its_own(
    open_page,
    tiny_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    params: dict,
    heading: str | None,
    tab: str,
):
    titles: list[str] = []
    monkeypatch.setattr(st, "set_page_config", lambda **config: titles.append(config.get("page_title", "")))
    app = open_page(tiny_store, name, **params)
    assert not app.exception
    (shown,) = app.title
    assert heading in (None, shown.value)
    assert titles[-1] == f"{tab} · {tiny_store.path.name} · autointerp"


def test_overview_lists_coders_with_their_figures(open_page, tiny_store: Store):
    app = open_page(tiny_store, "overview")
    assert not app.exception
    table = record(app, "list")
    assert table is not None
    sae, transcoder = table["rows"]
    assert sae["go"] == {"coder": "sae"}
    titles = [column["title"] for column in table["columns"]]
    figures = dict(zip(titles, sae["cells"], strict=True))
    on = "Measured on 1,024 tokens."
    assert (figures["FVU"], figures["L0"], figures["CE +"], figures["CE + share"]) == (
        ["0.250", on],
        "3.5",
        ["+0.250", on],
        "17 % of +1.500",
    )
    assert figures["Kind"] == "SAE"
    assert dict(zip(titles, transcoder["cells"], strict=True))["FVU"] == ["–", "Not measured."]
    assert len(app.get("plotly_chart")) == 1


def test_settings_shows_integrity_and_files(open_page, tiny_store: Store):
    app = open_page(tiny_store, "settings")
    assert not app.exception
    assert app.success
    files = record(app, "list")
    assert files is not None
    assert [row["cells"][0] for row in files["rows"]] == ["corpus", "sae", "transcoder"]


def test_settings_switches_stores_for_this_session(
    open_page, tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autointerp.settings.stores_folder", lambda: tiny_store.path.parent)
    app = open_page(tmp_path / "nothing", "settings")
    assert app.error
    app.selectbox(key="store_choice").set_value(str(tiny_store.path)).run()
    assert not app.exception
    assert app.success


def test_another_store_knows_nothing_of_the_one_before(
    open_page, tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = Path(shutil.copytree(tiny_store.path, tmp_path / "stores" / "other"))
    monkeypatch.setattr("autointerp.settings.stores_folder", lambda: other.parent)
    app = open_page(tiny_store, "features", coder="sae", min_density="1")
    for page in ("feature", "settings"):
        app.switch_page(f"pages/{page}.py")
        app.query_params.clear()
        if page == "feature":
            app.query_params["latent"] = "3"
        app.run()
    draft(app, "of the store before")
    app.selectbox(key="store_choice").set_value(str(other)).run()
    assert not app.exception
    assert records(app, "drafts")[0]["texts"] == {}
    app.switch_page("pages/features.py").run()
    assert record(app, "go") is None, "the list with the filters of the store before"
    app.switch_page("pages/feature.py").run()
    assert (record(app, "contexts") or {})["latent"] == 0


def test_read_only_hides_the_switch(open_page, tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    app = open_page(tiny_store, "settings")
    assert "store_choice" in {box.key for box in app.selectbox}
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.run()
    assert not app.exception
    assert "store_choice" not in {box.key for box in app.selectbox}


@pytest.mark.parametrize(
    ("params", "shown"), [({}, ("sae", 0)), ({"coder": "transcoder"}, ("transcoder", 1))]
)
def test_feature_without_a_number_shows_the_first_live_one(open_page, tiny_store: Store, params, shown):
    app = open_page(tiny_store, "feature", **params)
    assert not app.exception
    drawn = record(app, "contexts")
    assert drawn is not None
    assert (drawn["coder"], drawn["latent"]) == shown


def test_dead_feature_says_so_and_links_to_live_ones(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="5")
    assert not app.exception
    assert "Dead feature" in messages(app)
    assert any("#4" in label for label in links(app))
    assert record(app, "contexts") is None
    panel = record(app, "panel")
    assert panel is not None
    assert panel["promoted"]


def test_coder_without_unembedding_or_neighbours_says_so(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="transcoder", latent="3")
    panel = record(app, "panel")
    assert panel is not None
    assert panel["promoted"] == []
    assert panel["no_logits"]
    assert not any(relation["rows"] for relation in panel["neighbours"])


def test_next_previous_random_and_back_walk_and_keep_the_address(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="4", group="top", context="3")

    def press(key: str) -> int:
        app.button(key=key).click().run()
        assert not app.exception
        drawn = record(app, "contexts")
        assert drawn is not None
        assert app.query_params["latent"] == str(drawn["latent"])
        return drawn["latent"]

    assert press("next") == 6  # 5 is dead
    assert "context" not in app.query_params
    assert app.query_params["group"] == "top"
    assert press("previous") == 4
    assert press("random") not in {4, 5}
    assert press("back") == 4
    assert press("back") == 6
    assert press("back") == 4


def test_linked_example_comes_first_and_is_marked(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="4", context="3", start="8")
    drawn = record(app, "contexts")
    assert drawn is not None
    first = drawn["groups"][0]
    assert first["key"] == "linked"
    assert (first["rows"][0]["c"], first["rows"][0]["s"], first["rows"][0]["linked"]) == (3, 8, True)


@pytest.mark.parametrize(("window", "length"), [("short", 16), ("medium", 32), ("full", 64)])
def test_window_and_group_are_what_the_address_says(open_page, tiny_store: Store, window: str, length: int):
    app = open_page(tiny_store, "feature", coder="sae", latent="4", group="top", window=window)
    drawn = record(app, "contexts")
    assert drawn is not None
    assert [group["key"] for group in drawn["groups"]] == ["top"]
    assert all(len(row["t"]) == length for row in drawn["groups"][0]["rows"])


def test_list_is_sorted_filtered_and_counts_the_dead(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", coder="sae")
    assert "1 dead hidden" in messages(app)
    rows = record(app, "list")["rows"]  # type: ignore[index]
    assert rows[0]["go"]["latent"] == 4
    app = open_page(tiny_store, "features", coder="sae", sort="latent", dead="show")
    rows = record(app, "list")["rows"]  # type: ignore[index]
    assert [row["go"]["latent"] for row in rows] == list(range(8))
    assert rows[5]["dead"]
    app = open_page(tiny_store, "features", coder="sae", min_density="10")
    rows = record(app, "list")["rows"]  # type: ignore[index]
    assert [row["go"]["latent"] for row in rows] == [4]


def test_list_of_all_coders_names_them(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features")
    rows = record(app, "list")["rows"]  # type: ignore[index]
    assert {row["go"]["coder"] for row in rows} == {"sae", "transcoder"}
    assert rows[0]["cells"][0].startswith("sae #")


def test_search_finds_contexts_and_the_features_that_fire_there(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", search="<script>alert(1)</script>")
    assert not app.exception
    hits, listed = records(app, "list")
    assert hits["rows"][0]["cells"][1][1] == "<script>alert(1)</script>"
    assert {"coder": "sae", "latent": 0} in [row["go"] for row in listed["rows"]]
    app = open_page(tiny_store, "features", search="no such words anywhere")
    assert "No context" in messages(app)
    app = open_page(tiny_store, "features", search="(unclosed", regex="1")
    assert not app.exception
    assert app.error


def test_list_narrowed_to_one_context(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", context="1", coder="sae")
    assert not app.exception
    latents = {row["go"]["latent"] for row in record(app, "list")["rows"]}  # type: ignore[index]
    acts = {n for n in range(8) if any(tiny_store.coder("sae").activations(n).token // 64 == 1)}
    assert latents == acts


def test_page_beyond_the_last_says_so(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", page="900")
    assert not app.exception
    assert "1 page" in messages(app)


HOSTILE = [
    "nothing",
    "<script>alert(1)</script>",
    "![x](http://x)",
    "-1",
    "9" * 300,
    "1.5",
    "\x00",
    "²",
    "",
    "$x$ `y`",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_coders_and_latents_get_links_to_valid_ones(open_page, tiny_store: Store, value: str):
    app = open_page(tiny_store, "feature", coder=value)
    assert not app.exception
    assert "sae" in links(app)
    app = open_page(tiny_store, "feature", coder="sae", latent=value)
    assert not app.exception
    assert links(app)
    assert "](" not in messages(app).replace("\\]\\(", "")
    app = open_page(tiny_store, "features", coder=value)
    assert not app.exception
    assert "sae" in links(app)


@pytest.mark.parametrize("latent", ["8", "-1", "1000000", str(2**70)])
def test_latents_out_of_range_name_the_range(open_page, tiny_store: Store, latent: str):
    app = open_page(tiny_store, "feature", coder="sae", latent=latent)
    assert not app.exception
    assert "0 to 7" in messages(app)
    assert links(app)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_groups_windows_and_contexts(open_page, tiny_store: Store, value: str):
    app = open_page(
        tiny_store, "feature", coder="sae", latent="3", group=value, window=value, context=value, start=value,
        align=value, whitespace=value, peek=value,
    )  # fmt: skip
    assert not app.exception
    drawn = record(app, "contexts")
    assert drawn is not None
    assert [group["key"] for group in drawn["groups"] if group["key"] != "linked"] == [
        "random", "top", "quantiles", "non_activating",
    ]  # fmt: skip
    assert any("context" in label for label in links(app))


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_lists(open_page, tiny_store: Store, value: str):
    app = open_page(
        tiny_store, "features", sort=value, order=value, dead=value, page=value, min_density=value, max_density=value,
        min_max=value, min_share=value, search=value, regex="1",
    )  # fmt: skip
    assert not app.exception
    app = open_page(tiny_store, "features", context=value)
    assert not app.exception


def test_the_tiny_store_holds_hostile_tokens_as_data_only(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="0")
    assert not app.exception
    drawn = record(app, "contexts")
    assert drawn is not None
    texts = {text for _, text, _ in drawn["table"]}
    assert "<script>alert(1)</script>" in texts
    assert not any("\u202e" in text or "\x00" in text for text in texts)
    assert not app.get("html")


def test_copy_of_a_store_is_a_store(open_page, tiny_store: Store, tmp_path: Path):
    shutil.copytree(tiny_store.path, tmp_path / "copy")
    app = open_page(tmp_path / "copy", "overview")
    assert not app.exception
    assert len(records(app, "list")) == 1


def test_the_address_names_another_store(open_page, tiny_store: Store, tmp_path: Path, monkeypatch):
    other = Path(shutil.copytree(tiny_store.path, tmp_path / "other")).resolve()
    app = open_page(tiny_store, "overview")
    app.query_params["store"] = str(other)
    app.run()
    assert app.title[0].value.startswith("tiny")  # a link alone opens no folder
    assert "which has not been chosen here" in app.toast[0].value
    monkeypatch.setattr(settings, "stores_folder", lambda: tmp_path)
    app = open_page(tiny_store, "overview")
    app.query_params["store"] = str(other)
    app.run()
    assert app.title[0].value.startswith("other")
    app.switch_page("pages/features.py").run()
    app.text_input(key="url_search").set_value("cat").run()
    assert app.query_params["store"] in (str(other), [str(other)])
    app = open_page(tiny_store, "overview")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.query_params["store"] = str(other)
    app.run()
    assert app.title[0].value.startswith("tiny")


@pytest.mark.parametrize(
    ("page", "params"),
    [("features", {"coder": "say"}), ("feature", {"coder": "say"}), ("feature", {"latent": "999"})],
)
def test_a_page_that_finds_nothing_still_has_its_heading(open_page, tiny_store: Store, page: str, params):
    app = open_page(tiny_store, page, **params)
    assert [title.value for title in app.title] == [page.capitalize()]
    assert "does not exist" in messages(app)


@pytest.mark.parametrize("page", ["features", "feature", "probe"])
def test_a_store_without_coders_has_pages_with_headings(open_page, tiny_store: Store, page: str):
    for file in (tiny_store.path / "coders").glob("*"):
        file.unlink()
    app = open_page(tiny_store, page)
    assert [title.value for title in app.title] == [page.capitalize()]
    assert "no coders yet" in messages(app)


@pytest.mark.parametrize(
    ("page", "params"),
    [
        ("feature", {"coder": "nope"}),
        ("feature", {"coder": "sae", "latent": "99999"}),
        ("features", {"coder": "nope"}),
    ],
)
def test_a_page_that_ends_early_has_its_elements(
    page: str, params: dict[str, str], open_page, tiny_store: Store
):
    app = open_page(tiny_store, page, **params)
    assert not app.exception
    assert len(records(app, "connection")) == len(records(app, "store")) == 1
    if page == "feature":
        assert len(records(app, "keyboard")) == len(records(app, "drafts")) == 1


def test_settings_choose_which_version_of_an_explanation_is_shown(open_page, explained_store: Explained):
    app = open_page(explained_store.store, "settings")
    assert not app.exception
    assert app.selectbox(key="shown_by").value == "newest"
    app.selectbox(key="shown_by").set_value("embedding").run()
    assert not app.exception
    with Annotations(explained_store.path, read_only=True) as annotations:
        assert annotations.shown_by == "embedding"


def test_an_endless_path_of_a_store_is_a_message(open_page):
    for name in ("overview", "settings", "jobs"):
        app = open_page("/tmp/" + "x" * 5_000, name)
        assert not app.exception
        assert "too long" in messages(app)
    app.query_params["store"] = "y" * 5_000
    app.run()
    assert not app.exception
