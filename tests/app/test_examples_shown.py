"""The examples of the Feature page: the same in every size, continued, widened, and those of an interval of the histogram."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import streamlit as st

from autointerp.store import Store
from autointerp.types import Group
from autointerp.ui.feature import contexts as contexts_of_feature
from autointerp.ui.feature import examples
from autointerp.ui.feature.state import FeatureState
from autointerp.ui.shared import context_rows, feature_data, payload
from autointerp.ui.shared.context_rows import Wide
from tests.app.reading import record

GROUPS = ("random", "top", "quantiles", "non_activating")


def contexts(open_page, store: Store, **params: Any) -> dict[str, Any]:
    """What the element of the densest feature draws."""
    app = open_page(
        store, "feature", **{"coder": "sae", "latent": "4", **{k: str(v) for k, v in params.items()}}
    )
    assert not app.exception
    drawn = record(app, "contexts")
    assert drawn is not None
    return drawn


def rows(drawn: dict[str, Any], group: str) -> list[dict[str, Any]]:
    return next(each["rows"] for each in drawn["groups"] if each["key"] == group)


def places(drawn: dict[str, Any], group: str) -> list[tuple[int, int]]:
    return [(row["c"], row["a"]) for row in rows(drawn, group)]


def peaks(drawn: dict[str, Any], group: str) -> list[tuple[int, int, str]]:
    """Context, position and activation of the tokens that the rows are shown for."""
    return [(row["c"], row["s"] + row["k"], row["m"]) for row in rows(drawn, group) if row["k"] >= 0]


@pytest.mark.parametrize("align", ["", "1"])
def test_every_size_shows_the_same_examples_with_their_peaks(open_page, tiny_store: Store, align: str):
    medium, short, full = (
        contexts(open_page, tiny_store, window=window, align=align) for window in ("medium", "short", "full")
    )
    for group in GROUPS:
        assert places(medium, group)
        for other in (short, full):
            assert places(other, group) == places(medium, group)
            assert peaks(other, group) == peaks(medium, group)
    for row in (row for group in GROUPS for row in rows(short, group)):
        assert len(row["t"]) <= 16
        assert row["k"] < len(row["t"])
    for row in (row for group in GROUPS for row in rows(full, group)):
        assert (row["s"], len(row["t"]), row["w"]) == (0, 64, [row["a"], row["a"] + 32])


def test_a_group_alone_begins_with_what_the_view_of_all_shows(open_page, tiny_store: Store):
    together = contexts(open_page, tiny_store)
    for group in GROUPS:
        alone = contexts(open_page, tiny_store, group=group)
        if group in ("random", "top"):
            assert places(alone, group)[: len(places(together, group))] == places(together, group)
        else:
            assert set(places(together, group)) <= set(places(alone, group))


@pytest.fixture
def few_on_a_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    few = examples.Sizes(random=5, top=5, per_quantile=1, non_activating=2, hard=2)
    monkeypatch.setattr(examples, "PAGE", 4)
    monkeypatch.setattr(examples, "FIRST", few)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.mark.usefixtures("few_on_a_page")
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_continued_until_there_is_no_more(tiny_store: Store, group: Group):
    feature = feature_data.load(tiny_store, tiny_store.coder("sae"), 2)
    before: list[tuple[int, int]] = []
    for pages in range(1, 12):
        shown, more = examples.of_group(feature, group, pages)
        now = [(row.context, row.start) for row in shown]
        assert now[: len(before)] == before, "what was there stays where it was"
        assert len(set(now)) == len(now) > len(before), "it was said that others follow"
        before = now
        if not more:
            break
    else:
        assert group == "non_activating", "of those there are many"


def test_a_click_continues_a_group_in_place(open_page, tiny_store: Store):
    drawn = contexts(open_page, tiny_store, more_random=1)
    assert len(rows(drawn, "random")) > len(rows(contexts(open_page, tiny_store), "random"))
    assert places(drawn, "top") == places(contexts(open_page, tiny_store), "top")
    assert drawn["rev"] == contexts(open_page, tiny_store)["rev"], "the element adds, and draws nothing anew"


def test_what_a_page_has_no_room_for_is_not_offered(open_page, tiny_store: Store, monkeypatch):
    def offered(group: str, **params: Any) -> bool:
        drawn = contexts(open_page, tiny_store, **params)
        return next(each["more"] for each in drawn["groups"] if each["key"] == group)

    assert offered("random", more_random=1)
    monkeypatch.setattr(contexts_of_feature, "MAX_PAGES", 1)
    assert not offered("random", more_random=1)
    assert offered("top")


def test_an_interval_of_the_histogram(open_page, tiny_store: Store):
    acts = tiny_store.coder("sae").activations(4)
    counts = contexts(open_page, tiny_store)["hist"]["counts"]
    filled = int(np.flatnonzero(counts)[len(np.flatnonzero(counts)) // 2])
    drawn = contexts(open_page, tiny_store, bin=filled)
    (group,) = drawn["groups"]
    edges = drawn["hist"]["names"][filled][0]
    assert (group["key"], group["title"]) == ("interval", f"Activation {edges}")
    assert drawn["hist"]["chosen"] == filled
    width = acts.activation.max() / len(counts)
    assert group["rows"]
    for row in group["rows"]:
        value = dict(zip(row["p"], row["v"], strict=True))[row["k"]]
        assert filled * width - 1e-3 <= value <= (filled + 1) * width + 1e-3
    gone = contexts(open_page, tiny_store, bin=999)
    assert "no such interval" in gone["groups"][0]["empty"]


def test_a_row_is_widened_to_its_context_and_its_document(open_page, tiny_store: Store):
    (context, start), *_ = places(contexts(open_page, tiny_store), "top")
    assert contexts(open_page, tiny_store)["wide"] is None
    for to in ("context", "document"):
        drawn = contexts(open_page, tiny_store, wide=f"{to}.{context}.{start}")
        wide = drawn["wide"]
        shown = [wide["table"][i][0] for i in wide["row"]["t"]]
        first = context * tiny_store.ctx_len + wide["row"]["s"]
        assert shown == tiny_store.tokens.reshape(-1)[first : first + len(shown)].tolist()
        assert peaks(drawn, "top")[0][:2] == (context, wide["row"]["s"] + wide["row"]["k"])
        if to == "context":
            assert (wide["row"]["s"], len(shown)) == (0, tiny_store.ctx_len)
        else:
            document = tiny_store.document_of(context * tiny_store.ctx_len + start)
            assert document is not None
            assert (first, len(shown)) == (document.first_token, document.n_tokens)
            assert document.name in wide["note"]
    for wrong in ("document.999999.0", "context.1.77777", "novel.1.2", "document", "context..", "\x00.1.1"):
        assert contexts(open_page, tiny_store, wide=wrong)["wide"] is None


def test_the_peak_is_a_link_to_its_context(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="4")
    panel = record(app, "panel")
    assert panel is not None
    (place,) = [fact[4] for fact in panel["facts"] if len(fact) > 4]
    drawn = contexts(open_page, tiny_store, **place)
    (linked,) = rows(drawn, "linked")
    assert linked["m"] == drawn["top"]


def test_places_in_an_address_are_read_or_ignored():
    state = FeatureState.parse({"wide": "document.3.8", "more_top": "3", "more_random": "-1", "group": "top"})
    assert state.wide == Wide("document", 3, 8)
    assert (state.pages["top"], state.pages["random"], state.bin) == (3, 0, None)
    assert FeatureState.parse({"bin": "7", "group": "top"}).group == "interval"


def test_documents_are_found_by_their_tokens(tiny_store: Store):
    listed = tiny_store.sql("select name, first_token, n_tokens from documents order by document").to_pylist()
    for row in listed:
        for token in (row["first_token"], row["first_token"] + row["n_tokens"] - 1):
            assert tiny_store.document_of(token) == (row["name"], row["first_token"], row["n_tokens"])
    assert tiny_store.document_of(10**9) is None


def test_rows_are_labelled_with_decile_duplicates_and_hard_negatives(tiny_store: Store):
    feature = feature_data.load(tiny_store, tiny_store.coder("sae"), 4)
    table = payload.token_table(tiny_store)
    shown = context_rows.linked(feature, 0, 0).example

    def row(group: str, **more: Any) -> dict[str, Any]:
        return context_rows.row(feature, group, context_rows.sight(replace(shown, **more)), table)

    assert [row("quantiles", quantile=quantile)["label"] for quantile in (0, 9)] == ["decile 1", "decile 10"]
    assert "label" not in row("top", quantile=0)
    assert row("top", n_duplicates=2)["tag"] == "×3"
    assert row("non_activating", source="neighbours", neighbour=7)["h"] == 7
    assert "h" not in row("non_activating", source="random")
