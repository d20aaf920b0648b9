from hypothesis import given
from hypothesis import strategies as st

from autointerp.ui.state import (
    DEAD,
    GROUPS,
    MAX_NUMBER,
    SORTS,
    WINDOWS,
    FeaturesState,
    FeatureState,
    number,
    whole,
)

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
        "density",
        True,
        "hide",
        1,
        "",
    )


def test_words_and_numbers_are_read():
    state = FeatureState.parse(
        {"coder": "sae", "latent": "12", "group": "top", "window": "full", "align": "1", "context": "3"}
    )
    assert (state.coder, state.latent, state.group, state.window, state.align, state.context) == (
        "sae", "12", "top", "full", True, "3",
    )  # fmt: skip
    listed = FeaturesState.parse({"sort": "latent", "page": "4", "min_density": "0.5"})
    assert (listed.sort, listed.descending, listed.page, listed.min_density) == ("latent", False, 4, 0.5)


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
        st.sampled_from(["sort", "order", "dead", "page", "min_density", "min_max", "search", "regex"]),
        HOSTILE,
    )
)
def test_any_address_gives_a_valid_list_state(params):
    state = FeaturesState.parse(params)
    assert state.sort in SORTS
    assert state.dead in DEAD
    assert 1 <= state.page <= MAX_NUMBER
    assert state.min_density is None or state.min_density >= 0
