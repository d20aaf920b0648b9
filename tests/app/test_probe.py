"""The Probe page and “Test your own text”, on a store whose model can be run and on one whose model cannot."""

import numpy as np
import pytest

from autointerp.probe import Prober, ProbeResult, TextActivations
from autointerp.records import Explanation, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.feature import try_text
from autointerp.ui.probe.record import excerpt
from autointerp.ui.probe.state import MAX_ROWS, ProbeState
from autointerp.ui.shared import payload
from tests.app.reading import links, messages, record
from tests.app.test_pages import HOSTILE
from tests.caching.conftest import Lab, lab, store, subject
from tests.quantiles import quantile_edges

__all__ = ["Lab", "lab", "store", "subject"]

TYPED = "The quick brown fox"


@pytest.fixture
def runnable(store: Store, tmp_path) -> Store:
    """A copy: pages make annotations beside the files."""
    import shutil

    return Store.open(shutil.copytree(store.path, tmp_path / "runnable"))


def test_empty_page_offers_examples(open_page, tiny_store: Store):
    app = open_page(tiny_store, "probe")
    assert not app.exception
    assert record(app, "probe") is None
    examples = [button for button in app.button if str(button.key).startswith("example_")]
    assert len(examples) == 5
    assert "](" not in "".join(button.label for button in examples).replace("\\]\\(", "")


def test_an_example_is_run(open_page, runnable: Store):
    app = open_page(runnable, "probe")
    app.button(key="example_1").click().run()
    assert not app.exception
    assert app.query_params["text"].startswith("Returns the number")
    drawn = record(app, "probe")
    assert drawn is not None
    assert drawn["rows"]


def test_without_coders_it_says_how_to_cache_one(open_page, tiny_store: Store):
    for file in (tiny_store.path / "coders").glob("*"):
        file.unlink()
    app = open_page(tiny_store, "probe", text="abc")
    assert not app.exception
    assert "autointerp cache" in "".join(block.value for block in app.code)


def test_a_model_that_is_gone_is_a_plain_message(open_page, tiny_store: Store):
    app = open_page(tiny_store, "probe", text="abc")
    assert not app.exception
    assert "AUTOINTERP\\_WEIGHTS" in messages(app)
    app = open_page(tiny_store, "feature", coder="sae", latent="3", text="abc")
    assert not app.exception
    assert "AUTOINTERP\\_WEIGHTS" in messages(app)
    assert record(app, "contexts") is not None


def test_rows_are_what_the_library_ranks(open_page, runnable: Store):
    app = open_page(runnable, "probe", text=TYPED, coders="sae,residual", scale="activation")
    drawn = record(app, "probe")
    assert drawn is not None
    prober = Prober(runnable)
    result = prober.run(TYPED, ["residual", "sae"])
    ranking = prober.rank(result, limit=30)
    assert [row["go"] for row in drawn["rows"]] == [
        {"coder": r.coder, "latent": r.latent} for r in ranking.rows
    ]
    assert [entry[0] for entry in drawn["table"]] == result.token_ids.tolist()
    first = drawn["rows"][0]
    acts = result.coders[first["go"]["coder"]].of(first["go"]["latent"])
    assert first["v"] == acts[acts > 0].tolist()
    assert acts[first["peak"]] == acts.max()


def test_ranks_scales_and_densities(open_page, runnable: Store):
    prober = Prober(runnable)
    result = prober.run(TYPED, ["sae"])

    def latents(**params: str) -> list[int]:
        app = open_page(runnable, "probe", text=TYPED, coders="sae", **params)
        assert not app.exception
        drawn = record(app, "probe")
        assert drawn is not None
        return [row["go"]["latent"] for row in drawn["rows"]]

    assert latents(rank="sum") == [row.latent for row in prober.rank(result, "sum", limit=30).rows]
    assert latents(scale="share") == [row.latent for row in prober.rank(result, relative=True, limit=30).rows]
    assert latents(rank="token", token="2") == [
        row.latent for row in prober.rank(result, "token", token=2).rows
    ]
    assert latents(density="5") == [
        row.latent for row in prober.rank(result, max_density=0.05, limit=30).rows
    ]
    assert latents(rank="token") == []
    assert latents(rank="token", token="99999") == []
    assert len(latents(rows="3")) == 3


def test_explanations_are_shown_with_their_score(open_page, runnable: Store):
    app = open_page(runnable, "probe", text=TYPED, coders="sae")
    top = record(app, "probe")["rows"][0]["go"]["latent"]  # type: ignore[index]
    with Annotations(runnable.path) as annotations:
        said = Explanation(coder="sae", latent=top, text="<b>fires</b> on \u202efoxes", explainer="pattern")
        score = Score(
            explanation_id=said.id, scorer="detection", judge="offline", value=0.8, ci_low=0.7, ci_high=0.9,
            n_pos=30, n_neg=30, floor=0.5,
        )  # fmt: skip
        annotations.add(said, score)
    app = open_page(runnable, "probe", text=TYPED, coders="sae")
    row = record(app, "probe")["rows"][0]  # type: ignore[index]
    assert row["explanation"] == "<b>fires</b> on \u27e8202E\u27e9foxes"
    assert row["score"] == "Detection 0.80 (0.70 to 0.90), n 60, floor 0.50, offline judge"


def test_long_texts_say_how_they_were_cut(open_page, runnable: Store):
    app = open_page(runnable, "probe", text="1 2 " * 900, coders="sae")
    assert not app.exception
    said = messages(app)
    assert "separate contexts" in said
    assert "to its first" in said


def test_unknown_coders_get_the_nearest(open_page, runnable: Store):
    app = open_page(runnable, "probe", text=TYPED, coders="sea,skip")
    assert not app.exception
    assert "sae" in links(app)
    assert {row["go"]["coder"] for row in record(app, "probe")["rows"]} == {"skip"}  # type: ignore[index]
    app = open_page(runnable, "probe", text=TYPED, coders="")
    assert "Choose at least one coder" in messages(app)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_addresses(open_page, runnable: Store, value: str):
    app = open_page(
        runnable,
        "probe",
        text=value or "x",
        coders=value,
        rank=value,
        scale=value,
        token=value,
        density=value,
        rows=value,
    )
    assert not app.exception
    app = open_page(runnable, "probe", text=value or "x", coders="sae", rank="token", token="1")
    assert not app.exception
    assert "](" not in messages(app).replace("\\]\\(", "")


def test_state_is_always_valid():
    state = ProbeState.parse(
        {"rows": "99999", "density": "nan", "token": "-1", "rank": "x", "coders": ",,a,a"}
    )
    assert (state.rows, state.density, state.token, state.rank) == (MAX_ROWS, None, None, "max")
    assert state.coders == ["a"]
    assert state.scale is None


@pytest.mark.parametrize(
    ("n", "peak", "first"), [(5, 2, 1), (41, 40, 1), (100, 0, 0), (100, 0, 1), (100, 99, 1), (1000, 500, 1)]
)
def test_an_excerpt_holds_the_peak(n: int, peak: int, first: int):
    start, end = excerpt(n, peak, first=first)
    assert 0 <= start <= peak < end <= n
    assert end - start <= 40


# Test your own text ------------------------------------------------------------------------------


def test_a_text_on_the_feature_page(open_page, runnable: Store):
    prober = Prober(runnable)
    result = prober.run(TYPED, ["sae"])
    latent = prober.rank(result).rows[0].latent
    app = open_page(runnable, "feature", coder="sae", latent=str(latent))
    assert record(app, "tried") is None
    app.text_area(key="url_text").set_value(TYPED).run()
    assert not app.exception
    assert app.query_params["text"] == TYPED
    drawn = record(app, "tried")
    assert drawn is not None
    acts = prober.latent(result, "sae", latent)
    assert drawn["row"]["v"] == acts[acts > 0].tolist()
    assert drawn["verdict"][0]
    assert f"Fires on {(acts > 0).sum()} of {len(acts) - 1} tokens" in drawn["verdict"][1]
    assert "All features on this text" in links(app)
    app.button(key="next").click().run()
    assert record(app, "tried")["latent"] != latent  # type: ignore[index]  # the text stays


@pytest.mark.parametrize(
    "text", ["\x00", "\u202e\U0001f600", " ", "<script>alert(1)</script>", "$x$ `y` [a](b)"]
)
def test_odd_texts_on_the_feature_page(open_page, runnable: Store, text: str):
    app = open_page(runnable, "feature", coder="sae", latent="3", text=text)
    assert not app.exception
    drawn = record(app, "tried")
    assert drawn is not None
    assert not any("\u202e" in entry[1] or "\x00" in entry[1] for entry in drawn["table"])


def a_result(acts: list[float]) -> tuple[np.ndarray, ProbeResult]:
    values = np.array([0.0, *acts], np.float32)
    ids = np.arange(len(values))
    found = TextActivations(ids[values > 0], ids[values > 0] * 0, values[values > 0], values < 0)
    return values, ProbeResult(ids, tuple(f" t{i}" for i in ids), 8, 1, False, 0, {"sae": found})


@pytest.mark.parametrize(
    ("acts", "maxima", "fires", "said"),
    [
        ([0, 0], [1.0, 2.0], False, "Does not fire on any of the 2 tokens."),
        (
            [0, 3],
            [1.0, 2.0, 3.0, 4.0],
            True,
            "stronger than 50 % of the 4 windows in which it fires (decile 5)",
        ),
        (
            [0, 4],
            [1.0, 2.0, 3.0, 4.0],
            True,
            "stronger than 75 % of the 4 windows in which it fires (decile 3)",
        ),
        ([0.5, 0], [1.0, 2.0], True, "stronger than 0 % of the 2 windows in which it fires (decile 10)"),
        ([9, 0], [1.0, 2.0], True, "450 % of its maximum: stronger than anywhere in the corpus"),
        ([9, 0], [], True, "It never fires in the corpus"),
        ([0, 0], [], False, "dead"),
    ],
)
def test_verdicts(acts: list[float], maxima: list[float], fires: bool, said: str):
    values, result = a_result(acts)
    top = max(maxima, default=0.0)
    verdict = try_text.verdict(values, result, np.array(maxima, np.float32), top)
    assert verdict.fires == fires
    assert said in f"{verdict.headline} {verdict.detail}"


def test_window_maxima_are_those_of_the_stores_quantiles(store: Store):
    """The store's edges are the lowest and highest of each tenth of the same maxima."""
    for latent in range(0, 64, 5):
        acts = store.coder("sae").activations(latent)
        maxima = try_text.window_maxima(acts.token, acts.activation, store.ctx_len)
        edges = quantile_edges(store, "sae", latent)
        if len(maxima):
            assert maxima[-1] == np.nanmax(edges) == store.coder("sae").stats(latent).max_activation
            assert maxima[0] == np.nanmin(edges)


def test_text_rows_have_no_context():
    table = payload.TokenTable(lambda ids: [f"t{i}" for i in ids], lambda _: False)
    row = payload.text_row(np.array([4, 5, 4]), np.array([0.0, 2.0, 1.0]), table)
    assert row == {"s": 0, "t": [0, 1, 0], "p": [1, 2], "v": [2.0, 1.0], "k": 1}
