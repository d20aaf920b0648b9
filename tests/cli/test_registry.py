"""A scorer and an explainer that are registered are seen wherever the command line names any."""

from importlib import import_module
from math import isnan

import pytest

from autointerp.cli.main import main
from autointerp.explain.registry import EXPLAINERS
from autointerp.score.registry import METRICS, SCORERS
from autointerp.store import Store
from tests.batch.conftest import make_store
from tests.cli.conftest import RunJson, RunText
from tests.cli.toys import ECHO, LENGTH
from tests.conftest import StoreFactory

FEW = ("--n-examples", 6, "--n-negatives", 6)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORERS, LENGTH.name, LENGTH)
    monkeypatch.setitem(EXPLAINERS, ECHO.name, ECHO)


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    return make_store(store_factory, 3)


def test_help_names_them_and_their_options(capsys: pytest.CaptureFixture[str]):
    for command, words in (
        ("score", ["length", "longer texts score higher", "--power", "length only"]),
        ("explain", ["echo", "says what pattern says"]),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert all(word in shown for word in words), shown


def test_they_explain_and_score_end_to_end(store: Store, run_json: RunJson, run_text: RunText):
    explained = run_json("explain", store.path, "sae", "--explainer", "echo")
    assert (explained["explainer"], explained["succeeded"]) == ("echo", 3)
    command = ("score", store.path, "sae", "--scorer", "length", *FEW, "--power", 2)
    dry = run_json(*command, "--dry-run")
    assert [scorer["scorer"] for scorer in dry["scorers"]] == ["length"]
    (scored,) = run_json(*command)["scorers"]
    assert (scored["scorer"], scored["judge"], scored["succeeded"]) == ("length", "ruler", 3)
    assert scored["config"]["power"] == 2
    assert run_json(*command)["scorers"][0]["already"] == 3, "the same configuration is done"
    (other,) = run_json("score", store.path, "sae", "--scorer", "length", *FEW)["scorers"]
    assert other["succeeded"] == 3, "another power is another configuration"
    shown = run_json("latent", store.path, "sae", 0)["explanations"][0]
    assert (shown["explainer"], {score["scorer"] for score in shown["scores"]}) == ("echo", {"length"})


def test_an_option_out_of_bounds_or_of_another_scorer_is_refused(store: Store, run_text: RunText):
    code, _, error = run_text("score", store.path, "sae", "--scorer", "length", "--power", 9)
    assert code == 2
    assert "power is 9; accepted: 1 to 3" in error


def test_entries_are_what_their_classes_say():
    from autointerp.score.scorer import Scorer

    for entry in SCORERS.values():
        import_module(entry.build.split(":")[0])
    kinds = {kind.name: kind for kind in _subclasses(Scorer) if hasattr(kind, "name")}
    for name, entry in SCORERS.items():
        assert kinds[name].metric == entry.metric
        low, chance, high = (
            METRICS[entry.metric].low,
            METRICS[entry.metric].chance,
            METRICS[entry.metric].high,
        )
        assert low < high
        assert isnan(chance) or low <= chance < high


def _subclasses(kind: type) -> list:
    import autointerp.score.classify
    import autointerp.score.embedding
    import autointerp.score.simulation
    import autointerp.score.surprisal  # noqa: F401

    return [each for child in kind.__subclasses__() for each in [child, *_subclasses(child)]]
