"""Previous and Next in the order of the list that a person came from."""

from urllib.parse import urlencode

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.store import LatentQuery, Store, list_latents
from tests.app.reading import record


def press(app: AppTest, key: str) -> tuple[str, int]:
    app.button(key=key).click().run()
    assert not app.exception
    drawn = record(app, "contexts")
    assert drawn is not None
    assert app.query_params["latent"] == str(drawn["latent"])
    return drawn["coder"], drawn["latent"]


def order(store: Store, coders: list[str] | None, **query: object) -> list[tuple[str, int]]:
    page = list_latents(store, coders, LatentQuery(limit=100, **query))  # type: ignore[arg-type]
    return [(row.coder, row.stats.latent) for row in page.rows]


def test_a_step_goes_to_the_next_of_the_list(open_page, tiny_store: Store):
    wanted = order(tiny_store, ["sae"], sort="max_activation")
    coder, latent = wanted[0]
    params = {"list": urlencode({"coder": "sae", "sort": "max"}), "at": "0"}
    app = open_page(tiny_store, "feature", coder=coder, latent=str(latent), **params)
    assert "· 1 of 7" in app.title[0].value
    assert "list you came from" in app.button(key="next").help
    walked = [press(app, "next") for _ in range(len(wanted))]
    assert walked == [*wanted[1:], wanted[0]]  # round the end
    assert press(app, "previous") == wanted[-1]
    assert app.query_params["at"] == "6"
    assert app.query_params["list"] == "coder=sae&sort=max"


def test_a_list_of_all_coders_leads_from_one_to_the_other(open_page, tiny_store: Store):
    wanted = order(tiny_store, None)
    (coder, latent), at = wanted[3], "3"
    app = open_page(tiny_store, "feature", coder=coder, latent=str(latent), list="", at=at)
    assert [press(app, "next") for _ in range(4)] == wanted[4:8]
    assert {coder for coder, _ in wanted[3:8]} == {"sae", "transcoder"}


def test_a_detour_keeps_the_place(open_page, tiny_store: Store):
    wanted = order(tiny_store, ["sae"], bounds={"density": (0.02, None)})
    outside = next(n for n in (2, 6, 7) if ("sae", n) not in wanted)
    params = {"list": urlencode({"coder": "sae", "min_density": "2"}), "at": "1"}
    app = open_page(tiny_store, "feature", coder="sae", latent=str(outside), **params)
    assert press(app, "next") == wanted[2]
    assert press(app, "previous") == wanted[1]
    assert press(app, "back") == wanted[2]
    assert press(app, "next") == wanted[3 % len(wanted)]  # from where one is, not from the last place


def test_another_coder_and_random_leave_the_list(open_page, tiny_store: Store):
    params = {"list": "coder=sae&sort=max", "at": "0"}
    app = open_page(tiny_store, "feature", coder="sae", latent="4", **params)
    press(app, "random")
    assert "list" not in app.query_params
    assert "by number" in app.button(key="next").help
    app = open_page(tiny_store, "feature", coder="sae", latent="4", **params)
    app.selectbox(key="url_coder").set_value("transcoder").run()
    assert "list" not in app.query_params


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"at": "3"},
        {"list": "coder=nothing", "at": "0"},
        {"list": "search=array", "at": "0"},
        {"list": "min_density=100", "at": "0"},
        {"list": "x" * 5000, "at": "0"},
    ],
)
def test_without_a_usable_list_steps_go_by_number(open_page, tiny_store: Store, params: dict[str, str]):
    app = open_page(tiny_store, "feature", coder="sae", latent="4", **params)
    assert press(app, "next") == ("sae", 6)  # 5 is dead


@pytest.mark.parametrize(
    "value", ["\x00", "%%%", "coder=%ff&page=-1&sort=\U0001f600", "=&=&&", "<script>", "9" * 300]
)
def test_hostile_lists(open_page, tiny_store: Store, value: str):
    app = open_page(tiny_store, "feature", coder="sae", latent="4", list=value, at=value)
    assert not app.exception
    press(app, "next")
    press(app, "previous")
