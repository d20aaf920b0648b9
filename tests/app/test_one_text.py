"""Compare: one text, two coders."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.store import Store
from tests.app.conftest import OpenPage
from tests.app.reading import keys, links, messages, record, records
from tests.conftest import CoderSpec, StoreFactory
from tests.explained import Explained


def text(open_page: OpenPage, store: object, **params: str) -> AppTest:
    app = open_page(store, "compare", view="text", **params)
    assert not app.exception, app.exception
    return app


def drawn(app: AppTest) -> dict[str, Any]:
    found = record(app, "strips")
    assert found is not None, messages(app)
    return found


def test_the_strongest_features_of_each_coder_token_by_token(open_page: OpenPage, explained_store: Explained):
    store = explained_store.store
    shown = drawn(text(open_page, store, a="sae", b="transcoder", context="3", depth="5"))
    assert [layer["coder"] for layer in shown["layers"]] == ["sae", "transcoder"]
    for layer in shown["layers"]:
        coder = store.coder(layer["coder"])
        truth: dict[int, list[tuple[float, int]]] = {}
        for latent in coder.table().live.tolist():
            acts = coder.activations(latent)
            for token, value in zip(acts.token.tolist(), acts.activation.tolist(), strict=True):
                if token // store.ctx_len == 3:
                    truth.setdefault(token % store.ctx_len, []).append((-value, latent))
        assert truth
        for at, cells in enumerate(layer["cells"]):
            found = [(-value, layer["latents"][place]) for place, value in cells]
            assert found == sorted(truth.get(at, []))[:5]
    said = dict(zip(shown["layers"][0]["latents"], shown["layers"][0]["says"], strict=True))
    assert any(text != "not explained" for text in said.values())


def test_a_token_lists_what_fires_on_it_and_leads_to_a_pair(open_page: OpenPage, tiny_store: Store):
    sae, other = (tiny_store.coder(name) for name in ("sae", "transcoder"))
    both = next(
        (int(t), latent, there)
        for latent in sae.table().live.tolist()
        for there in other.table().live.tolist()
        for t in set(sae.activations(latent).token.tolist()) & set(other.activations(there).token.tolist())
    )
    context, token = divmod(both[0], tiny_store.ctx_len)
    params = {"a": "sae", "b": "transcoder", "context": str(context), "token": str(token)}
    app = text(open_page, tiny_store, **params)
    tables = records(app, "list")
    assert both[1] in [row["go"]["latent"] for row in tables[0]["rows"]]
    assert both[2] in [row["go"]["latent"] for row in tables[1]["rows"]]
    app.button(key="strips_compare").click().run()
    assert not app.exception, app.exception
    assert record(app, "pair") is not None


@pytest.mark.parametrize("context", ["24", "-1", "x<b>", "1e9"])
def test_a_context_that_does_not_exist_has_a_way_out(open_page: OpenPage, tiny_store: Store, context: str):
    app = text(open_page, tiny_store, context=context)
    assert "does not exist" in messages(app)
    assert "context 0" in links(app)


def test_hostile_parameters_give_a_valid_page(open_page: OpenPage, tiny_store: Store):
    app = text(open_page, tiny_store, depth="99", token="9999", a="sae", b="transcoder")
    shown = drawn(app)
    assert (shown["depth"], shown["token"]) == (3, -1)
    app = text(open_page, tiny_store, a="nothing", b="<i>")
    assert "does not exist" in messages(app)


def test_a_typed_text_without_the_models_weights_says_what_is_missing(open_page: OpenPage, tiny_store: Store):
    app = text(open_page, tiny_store, text="the cat", a="sae", b="transcoder")
    assert app.error
    assert record(app, "strips") is None


def test_one_coder_alone_cannot_be_compared(open_page: OpenPage, store_factory: StoreFactory):
    store = store_factory([[1, 2, 3, 4]], {"sae": CoderSpec({0: [(1, 1.0)]}, 2)})
    app = text(open_page, store)
    assert "a comparison needs two" in messages(app)
    assert "strips_compare" not in keys(app)
