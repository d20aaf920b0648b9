"""Steering on the Feature page and on Probe, on a store whose model can be run and on one whose model cannot."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from autointerp.errors import UserError
from autointerp.probe import Prober
from autointerp.steering import SteeringOptions
from autointerp.steering.steerer import Steerer
from autointerp.store import Store
from autointerp.types import Progress
from autointerp.ui.shared.format import signed
from autointerp.ui.shared.steering import PARAMS, STRENGTHS, SteerState
from autointerp.ui.shared.text import visible
from tests.app.reading import messages, record
from tests.app.test_pages import HOSTILE
from tests.caching.conftest import Lab, lab, store, subject

__all__ = ["Lab", "lab", "store", "subject"]

PROMPT = "The quick brown fox"
LONG_SECONDS = 120


@pytest.fixture
def runnable(store: Store, tmp_path: Path) -> Store:
    """A copy: pages make annotations beside the files."""
    return Store.open(shutil.copytree(store.path, tmp_path / "runnable"))


@pytest.fixture
def latent(store: Store) -> int:
    return int(np.argmax(store.coder("sae").table().columns["max_activation"]))


def steered(app: AppTest) -> dict[str, Any]:
    """The element's record, as soon as the work is done."""
    until = time.monotonic() + LONG_SECONDS
    while time.monotonic() < until:
        assert not app.exception, app.exception
        drawn = record(app, "steering")
        if drawn is not None:
            return drawn
        app.run()
    raise AssertionError(f"no result: {messages(app)}")


def texts(drawn: dict[str, Any]) -> list[list[str]]:
    return [
        ["".join(drawn["table"][index][1] for index in text["t"]) for text in card["texts"]]
        for card in drawn["cards"]
    ]


def test_the_page_shows_what_the_library_gives(open_page: Any, runnable: Store, latent: int) -> None:
    app = open_page(
        runnable, "feature", coder="sae", latent=str(latent), steer="1", prompt=PROMPT, strengths="2 −1",
        tokens="4", samples="2", **{"from": "prompt"},
    )  # fmt: skip
    drawn = steered(app)
    options = SteeringOptions((latent,), (2.0, -1.0), start="prompt", n_new=4, n_samples=2)
    result = Steerer(runnable, Prober(runnable)).steer("sae", PROMPT, options)
    assert [card["title"] for card in drawn["cards"]] == ["As it is", "2 × maximum", "−1 × maximum"]
    wanted = [result.clean, *(each.continuations for each in result.steered)]
    assert texts(drawn) == [["".join(map(visible, text.texts)) for text in card] for card in wanted]
    for card, each in zip(drawn["cards"][1:], result.steered, strict=True):
        for text, made in zip(card["texts"], each.continuations, strict=True):
            assert text["d"] == pytest.approx(made.changes, abs=1e-3)
            assert text["l"] == pytest.approx(made.log_probs, abs=1e-3)
        assert [row[0].replace("␣", " ") for row in card["raised"]][:1]
        assert f"KL of the next token {each.kl:.3f} nats" in card["notes"][1]
    promoted, suppressed = runnable.coder("sae").promoted(latent)
    [direct] = drawn["direct"]
    assert [len(direct["raised"]), len(direct["lowered"])] == [len(promoted), len(suppressed)]
    assert direct["raised"][0][1] == signed(promoted[0].value, 3)
    assert record(app, "contexts") is None
    app.button(key="close_steer").click().run()
    assert record(app, "contexts") is not None
    assert "steer" not in app.query_params
    assert app.query_params["prompt"] == PROMPT


def test_without_a_prompt_an_example_is_offered(open_page: Any, runnable: Store, latent: int) -> None:
    app = open_page(runnable, "feature", coder="sae", latent=str(latent))
    app.button(key="open_steer").click().run()
    assert record(app, "steering") is None
    app.button(key="steer_example").click().run()
    assert app.query_params["prompt"]
    assert texts(steered(app))[0]


def test_probe_steers_with_several(open_page: Any, runnable: Store, latent: int) -> None:
    other = (latent + 1) % 64
    app = open_page(
        runnable, "probe", text=PROMPT, coders="residual,sae", of="sae", steer=f"#{latent}, {other}",
        by="activation", strengths="3", tokens="2",
    )  # fmt: skip
    drawn = steered(app)
    assert [card["title"] for card in drawn["cards"]] == ["As it is", "3 added"]
    assert drawn["cards"][1]["notes"][0] == "activation +3, +3"
    assert [each["of"] for each in drawn["direct"]] == [f"#{latent}", f"#{other}"]
    assert record(app, "probe") is not None
    app.query_params["steer"] = "99999"
    app.run()
    assert "99999" in messages(app)
    assert record(app, "probe") is not None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"strengths": "much"}, "Strengths are numbers"),
        ({"strengths": "0"}, "other than 0"),
        ({"strengths": "1e99"}, "up to 1,000,000"),
        ({"by": "kl", "strengths": "-1"}, "positive"),
        ({"prompt": "word " * 90}, "more than the 64"),
    ],
)
def test_what_is_wrong_is_said_and_the_page_keeps_its_fields(
    params: dict[str, str], said: str, open_page: Any, runnable: Store, latent: int
) -> None:
    given = {"prompt": PROMPT, **params}
    app = open_page(runnable, "feature", coder="sae", latent=str(latent), steer="1", **given)
    until = time.monotonic() + LONG_SECONDS
    while said not in messages(app).replace("\\", "") and time.monotonic() < until:
        assert not app.exception
        app.run()
    assert said in messages(app).replace("\\", "")
    assert app.text_area(key="url_prompt").value == given["prompt"]
    assert record(app, "steering") is None


def test_the_last_result_stays_until_there_is_another(
    open_page: Any, runnable: Store, latent: int, monkeypatch: Any
) -> None:
    app = open_page(
        runnable, "feature", coder="sae", latent=str(latent), steer="1", prompt=PROMPT, tokens="3"
    )
    first = steered(app)
    assert "Previous result" not in messages(app)
    app.text_input(key="url_strengths").input("much").run()
    assert "Strengths are numbers" in messages(app)
    assert "Previous result" in messages(app)
    assert record(app, "steering") == first
    real, go_on = Steerer.steer, threading.Event()

    def slow(self: Steerer, *args: Any, progress: Any, **more: Any) -> Any:
        progress(Progress("continue", 1, 20, "tokens"))
        go_on.wait(LONG_SECONDS)
        return real(self, *args, progress=progress, **more)

    monkeypatch.setattr(Steerer, "steer", slow)
    app.text_input(key="url_strengths").input("3").run()
    assert app.button(key="steering_stop") is not None
    assert record(app, "steering") == first
    go_on.set()
    until = time.monotonic() + LONG_SECONDS
    while "Previous result" in messages(app) and time.monotonic() < until:
        app.run()
    drawn = record(app, "steering")
    assert drawn is not None
    assert [card["title"] for card in drawn["cards"]] == ["As it is", "3 × maximum"]
    app.query_params["latent"] = str((latent + 1) % 64)
    app.query_params["strengths"] = "much"
    app.run()
    assert record(app, "steering") is None, "that of another feature"


def test_a_model_that_is_gone(open_page: Any, tiny_store: Store) -> None:
    app = open_page(tiny_store, "feature", coder="sae", latent="3", steer="1", prompt=PROMPT)
    until = time.monotonic() + LONG_SECONDS
    while "AUTOINTERP\\_WEIGHTS" not in messages(app) and time.monotonic() < until:
        app.run()
    assert "AUTOINTERP\\_WEIGHTS" in messages(app)
    assert not app.exception


def test_stop_and_run_again(open_page: Any, runnable: Store, latent: int, monkeypatch: Any) -> None:
    real, asked = Steerer.steer, []

    def endless(self: Steerer, coder: str, prompt: str, options: Any, *, progress: Any) -> Any:
        asked.append(prompt)
        until = time.monotonic() + LONG_SECONDS
        while time.monotonic() < until:
            progress(Progress("continue", 1, 20, "tokens"))
            time.sleep(0.01)
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(Steerer, "steer", endless)
    app = open_page(runnable, "feature", coder="sae", latent=str(latent), steer="1", prompt=PROMPT)
    app.button(key="steering_stop").click().run()
    until = time.monotonic() + LONG_SECONDS
    while "Stopped" not in messages(app) and time.monotonic() < until:
        app.run()
    assert "Stopped" in messages(app)
    assert asked == [PROMPT]
    monkeypatch.setattr(Steerer, "steer", real)
    app.button(key="steering_again").click().run()
    assert texts(steered(app))[0]


def test_what_failed_can_be_tried_again(
    open_page: Any, runnable: Store, latent: int, monkeypatch: Any
) -> None:
    """As when too many people ask at once."""

    def busy(*_: Any, **__: Any) -> Any:
        raise UserError("Too many people are asking for this at once.")

    with monkeypatch.context() as patched:
        patched.setattr(Steerer, "steer", busy)
        app = open_page(runnable, "feature", coder="sae", latent=str(latent), steer="1", prompt="Try again")
        until = time.monotonic() + LONG_SECONDS
        while "Too many" not in messages(app) and time.monotonic() < until:
            app.run()
        assert "Too many" in messages(app)
    app.button(key="steering_again").click().run()
    assert texts(steered(app))[0]


def test_another_prompt_stops_what_ran_before(
    open_page: Any, runnable: Store, latent: int, monkeypatch: Any
) -> None:
    ended: list[str] = []
    real = Steerer.steer

    def endless(self: Steerer, coder: str, prompt: str, options: Any, *, progress: Any) -> Any:
        if prompt != PROMPT:
            return real(self, coder, prompt, options, progress=progress)
        try:
            while True:
                progress(Progress("continue", 1, 20, "tokens"))
                time.sleep(0.01)
        finally:
            ended.append(prompt)

    monkeypatch.setattr(Steerer, "steer", endless)
    app = open_page(runnable, "feature", coder="sae", latent=str(latent), steer="1", prompt=PROMPT)
    app.text_area(key="url_prompt").input("Another").run()
    assert texts(steered(app))[0]
    until = time.monotonic() + LONG_SECONDS
    while not ended and time.monotonic() < until:
        time.sleep(0.01)
    assert ended == [PROMPT]


def test_any_address_is_a_state() -> None:
    for name in PARAMS:
        for value in HOSTILE:
            state = SteerState.parse({name: value})
            assert state.by in STRENGTHS
            assert 1 <= state.n_new <= 200
            assert 0 <= state.temperature <= 10


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", "-1", "9" * 40, "\u202e[a](b)"])
def test_hostile_addresses(value: str, open_page: Any, tiny_store: Store) -> None:
    wrong = {name: value for name in PARAMS if name != "prompt"}
    app = open_page(tiny_store, "feature", coder="sae", latent="3", steer="1", prompt="abc", **wrong)
    assert not app.exception
    app = open_page(tiny_store, "probe", steer=value, text="abc", of=value, **wrong)
    assert not app.exception
