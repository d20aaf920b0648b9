from hypothesis import given
from hypothesis import strategies as st

from autointerp.store import Store
from autointerp.ui.feature.state import GROUPS, WINDOWS, FeatureState
from autointerp.ui.shared.list_state import (
    DEAD,
    HUMAN,
    MODES,
    STATES,
    FeaturesState,
    ScoreFilter,
    parse_also,
    sorts,
    write_also,
)
from autointerp.ui.shared.state import MAX_NUMBER, number, whole

HOSTILE = st.one_of(
    st.text(st.characters(), max_size=30),
    st.sampled_from(
        [
            "-1",
            "1e999",
            "nan",
            "inf",
            "9" * 400,
            "<script>alert(1)</script>",
            "²",
            "١٢",
            "1_0",
            " 1",
            "0x10",
            "",
        ]
    ),
)


def test_defaults():
    state = FeatureState.parse({})
    assert (state.group, state.window, state.align, state.whitespace, state.peek) == (
        "all",
        "medium",
        False,
        False,
        None,
    )
    listed = FeaturesState.parse({})
    assert (listed.sort, listed.descending, listed.dead, listed.page, listed.search) == (
        "above",
        True,
        "hide",
        1,
        "",
    )
    assert (listed.mode, listed.explained, listed.human, listed.score) == ("text", "any", "any", None)


def test_a_search_brings_its_own_order():
    assert FeaturesState.parse({"search": "x"}).sort == "match"
    assert FeaturesState.parse({"context": "3"}).sort == "match"
    assert FeaturesState.parse({"search": "  ", "sort": "match"}).sort == "above"
    assert FeaturesState.parse({"search": "x", "sort": "low"}).sort == "low"
    assert FeaturesState.parse({"search": "x", "regex": "1"}).mode == "regex"
    assert FeaturesState.parse({"mode": "both", "regex": "1"}).mode == "both"


def test_scores_may_be_below_zero():
    state = FeaturesState.parse({"min_above": "-0.5", "min_low": "nan", "max_score": "inf"})
    assert state.filters == {"min_above": -0.5}


def test_words_and_numbers_are_read():
    state = FeatureState.parse(
        {"coder": "sae", "latent": "12", "group": "top", "window": "full", "align": "1", "context": "3"}
    )
    assert (state.coder, state.latent, state.group, state.window, state.align, state.context) == (
        "sae", "12", "top", "full", True, "3",
    )  # fmt: skip
    listed = FeaturesState.parse({"sort": "latent", "page": "4", "min_density": "0.5"})
    assert (listed.sort, listed.descending, listed.page) == ("latent", False, 4)
    assert listed.filters == {"min_density": 0.5}
    assert listed.bounds(scores=True) == {"density": (0.005, None)}
    assert FeaturesState.parse({"sort": "top_token_share"}).sort == "share"  # as in older addresses


def test_bounds_on_several_scores_survive_the_address():
    filters = (
        ScoreFilter("detection~llm~a;b!c:8b~@1", 0.5, None),
        ScoreFilter("fuzzing~offline~@2", None, -0.25),
    )
    assert parse_also(write_also(filters)) == filters
    assert write_also(()) is None
    assert parse_also("x!nan!1e999;!1!2;y;z!1;" * 9) == (ScoreFilter("x"),)


def test_coders_are_chosen_by_kind_and_hookpoint(tiny_store: Store):
    infos = tiny_store.coders()
    kinds = {info.coder: info.kind for info in infos}
    assert FeaturesState.parse({}).coders(infos) == list(kinds)
    assert FeaturesState.parse({"kind": kinds["transcoder"]}).coders(infos) == ["transcoder"]
    assert FeaturesState.parse({"kind": ",".join(kinds.values())}).coders(infos) == list(kinds)
    assert FeaturesState.parse({"kind": kinds["transcoder"], "coder": "sae"}).coders(infos) == []
    assert FeaturesState.parse({"hookpoint": infos[0].hookpoint}).coders(infos) == [
        info.coder for info in infos if info.hookpoint == infos[0].hookpoint
    ]


def test_whole_and_number_refuse_what_is_none():
    assert whole("12") == 12
    assert [whole(text) for text in ("-1", "1.5", "", None, "²", "١٢", "9" * 400, str(MAX_NUMBER * 10))] == [
        None
    ] * 8
    assert [number(text) for text in ("nan", "inf", "-1", "x", None, "")] == [None] * 6


@given(
    st.dictionaries(
        st.sampled_from(["coder", "latent", "group", "window", "peek", "start", "context", "align"]), HOSTILE
    )
)
def test_any_address_gives_a_valid_feature_state(params):
    state = FeatureState.parse(params)
    assert state.group in GROUPS
    assert state.window in WINDOWS
    assert state.peek is None or 0 <= state.peek <= MAX_NUMBER


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "sort",
                "order",
                "dead",
                "page",
                "min_density",
                "min_max",
                "search",
                "regex",
                "mode",
                "explained",
                "human",
                "min_low",
                "min_score",
                "max_score",
                "min_above",
                "score",
                "context",
            ]
        ),
        HOSTILE,
    )
)
def test_any_address_gives_a_valid_list_state(params):
    state = FeaturesState.parse(params)
    assert state.sort in sorts()
    assert state.dead in DEAD
    assert 1 <= state.page <= MAX_NUMBER
    assert state.mode in MODES
    assert state.explained in STATES
    assert state.human in HUMAN
    assert state.searching or state.sort != "match"
    assert all(abs(bound) < float("inf") for bound in state.filters.values())
    assert state.filters.get("min_density", 0) >= 0


def test_the_kind_of_scores_in_an_old_address_is_read_in_todays_words():
    state = FeaturesState.parse({"score": "fuzzing~offline~ours~random"})
    assert state.score == "fuzzing~offline~held-out~random"
    assert (
        FeaturesState.parse({"score": "fuzzing~llm~delphi~random~ours"}).score
        == "fuzzing~llm~delphi~random~ours"
    )
