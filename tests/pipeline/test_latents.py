"""Latents as people write them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.pipeline.pending import parse_latents
from autointerp.store import Store


@pytest.mark.parametrize(
    ("text", "latents"),
    [("0", [0]), ("0-3", [0, 1, 2, 3]), (" 5 , 0 - 1,1", [0, 1, 5]), ("7–7", [7]), ("3,2,1", [1, 2, 3])],
)
def test_numbers_and_ranges(tiny_store: Store, text: str, latents: list[int]):
    assert parse_latents(text, tiny_store.coder("sae")) == latents


@pytest.mark.parametrize(
    "text", ["", ",", "x", "1-", "-1", "3-1", "8", "0-8", "1.5", "²", "1e3", "9" * 400, "0," * 100_001]
)
def test_what_is_none_says_so_briefly(tiny_store: Store, text: str):
    with pytest.raises(UserError) as caught:
        parse_latents(text, tiny_store.coder("sae"))
    assert len(str(caught.value)) < 300


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(wanted=st.sets(st.integers(0, 7), min_size=1))
def test_any_set_reads_back(tiny_store: Store, wanted: set[int]):
    assert parse_latents(",".join(map(str, wanted)), tiny_store.coder("sae")) == sorted(wanted)
