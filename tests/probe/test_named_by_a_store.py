"""A store names its model and coders, and its maker may be anybody: nothing is fetched for that."""

import json
from typing import Any

import pytest

from autointerp import settings
from autointerp.errors import CoderLoadError, ModelLoadError
from autointerp.models.coders import hub
from autointerp.pipeline.resources import Resources
from autointerp.probe import Prober
from autointerp.probe.recorded import load_coder
from autointerp.store import Store
from autointerp.store.annotations import Annotations


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each look at the hub was told to stay on this machine."""
    import huggingface_hub
    import transformers

    noticed: list[bool] = []

    def look(*args: Any, **options: Any) -> None:
        noticed.append(bool(options.get("local_files_only")))
        raise OSError("not here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", look)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", look)
    return noticed


def renamed(store: Store, source: str) -> Store:
    path = store.path / "store.json"
    meta = json.loads(path.read_text())
    meta["model"]["source"] = source
    path.write_text(json.dumps(meta))
    return Store.open(store.path)


@pytest.mark.parametrize("source", ["someone/bait", "bait"])
def test_no_model_is_fetched_that_only_a_store_names(tiny_store: Store, fetches: list[bool], source: str):
    with pytest.raises(ModelLoadError, match=f"run: hf download {source}"):
        Prober(renamed(tiny_store, source)).run("a text")
    assert fetches == [True]
    assert settings.may_fetch(), "what the owner names is fetched"


def test_no_judge_is_fetched_that_only_a_store_names(tiny_store: Store, fetches: list[bool]):
    store = renamed(tiny_store, "someone/bait")
    with (
        Annotations(store.path) as annotations,
        pytest.raises(ModelLoadError, match="hf download someone/bait"),
    ):
        Resources(store, annotations).text_model()
    assert fetches == [True]


def test_no_coder_is_fetched_that_only_a_store_names(tiny_store: Store, fetches: list[bool]):
    from dataclasses import replace

    info = replace(tiny_store.coders()[0], source="someone/bait")
    with pytest.raises(CoderLoadError, match="run: hf download someone/bait"):
        load_coder(info, None)  # type: ignore[arg-type]
    assert fetches
    assert all(fetches)
    with pytest.raises(CoderLoadError):
        hub.download("someone/bait")
    assert fetches[-1] is False


@pytest.mark.parametrize("source", ["; rm -rf ~", "--help", "a b/c", "/nowhere/model", "../x", "a/b/c"])
def test_no_command_is_made_of_odd_names(tiny_store: Store, fetches: list[bool], source: str):
    with pytest.raises(ModelLoadError) as raised:
        Prober(renamed(tiny_store, source)).run("a text")
    assert "hf download" not in str(raised.value)
