"""Building the demo store: complete, resumed, replaced, refused."""

import json
import shutil
from pathlib import Path

import pytest

from autointerp.demo import build
from autointerp.demo.build import build_demo
from autointerp.demo.subjects import DOCSTRINGS, SMOLLM2
from autointerp.errors import ModelLoadError, UserError
from autointerp.records import Explanation
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.migrations import FORMAT
from tests.demo.conftest import N_TOKENS, Build

NAMES = {"sae", "neurons", "random"}


def test_every_coder_is_cached_over_the_whole_text(build_tiny: Build):
    done = build_tiny()
    assert done.built
    store = Store.open(done.path)
    assert {info.coder for info in store.coders()} == NAMES == set(done.coders)
    assert store.meta["corpus"]["n_tokens"] == N_TOKENS
    assert store.meta["model"]["name"] == DOCSTRINGS.model_name
    assert {info.kind for info in store.coders()} == {"sae", "neurons", "random"}
    assert store.problems() == []


def test_a_complete_store_is_left_alone(build_tiny: Build, tiny_demo: Path):
    before = {file: file.stat().st_mtime_ns for file in tiny_demo.rglob("*")}
    again = build_tiny()
    assert not again.built
    assert {file: file.stat().st_mtime_ns for file in tiny_demo.rglob("*")} == before


def test_an_interrupted_build_goes_on(build_tiny: Build, tiny_demo: Path):
    kept = tiny_demo / "coders" / "sae.duckdb"
    (tiny_demo / "coders" / "random.duckdb").unlink()
    before = kept.stat().st_mtime_ns
    assert build_tiny().built
    assert kept.stat().st_mtime_ns == before
    assert {info.coder for info in Store.open(tiny_demo).coders()} == NAMES


def test_a_build_that_stopped_before_the_text_was_complete(build_tiny: Build, tiny_demo: Path):
    shutil.rmtree(tiny_demo / "corpus")
    shutil.rmtree(tiny_demo / "coders")
    (tiny_demo / "store.json").unlink()
    assert build_tiny().built
    assert {info.coder for info in Store.open(tiny_demo).coders()} == NAMES


@pytest.mark.parametrize("damage", ["coder", "manifest", "mark"])
def test_a_damaged_store_is_built_again(damage: str, build_tiny: Build, tiny_demo: Path):
    file = {"coder": "coders/sae.duckdb", "manifest": "store.json", "mark": build.MARK}[damage]
    (tiny_demo / file).write_bytes(b"x")
    assert build_tiny().built
    assert Store.open(tiny_demo).problems() == []
    assert not build_tiny().built


@pytest.mark.parametrize("state", ["old", "other text", "annotations damaged", "force"])
def test_explanations_come_along_from_an_older_format(state: str, build_tiny: Build, tiny_demo: Path):
    with Annotations(tiny_demo) as annotations:
        annotations.add(Explanation(coder="sae", latent=3, text="closing brackets", explainer="person"))
    meta = json.loads((tiny_demo / "store.json").read_text())
    meta["format"] = 1
    if state == "other text":
        meta["corpus"]["sha256"] = "0" * 64
    (tiny_demo / "store.json").write_text(json.dumps(meta))
    if state == "annotations damaged":
        for file in tiny_demo.glob("annotations.sqlite-*"):
            file.unlink()
        (tiny_demo / "annotations.sqlite").write_bytes(b"x" * 5000)
    assert build_tiny(force=state == "force").built
    assert Store.open(tiny_demo).meta["format"] == FORMAT
    with Annotations(tiny_demo) as annotations:
        texts = [explanation.text for explanation in annotations.explanations("sae", 3)]
    assert texts == (["closing brackets"] if state == "old" else [])


def test_other_weights_replace_the_store(
    build_tiny: Build,
    tiny_demo: Path,
    tiny_weights: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
):
    other = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("other") / "weights")
    shutil.copytree(other / "coders" / "sae", other / "coders" / "sae-2")
    assert build_tiny(weights=other).built
    assert {info.coder for info in Store.open(tiny_demo).coders()} == NAMES | {"sae-2"}
    assert list(tmp_path.glob(".*")) == []


def test_force_keeps_the_old_store_until_the_new_one_is_complete(
    build_tiny: Build, tiny_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autointerp.caching.cache", fail)
        with pytest.raises(KeyboardInterrupt):
            build_tiny(force=True)
    assert {info.coder for info in Store.open(tiny_demo).coders()} == NAMES
    assert list(tmp_path.glob(".*")) == []
    created = Store.open(tiny_demo).meta["created"]
    assert build_tiny(force=True).built
    assert Store.open(tiny_demo).meta["created"] >= created


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_someone_else_is_never_touched(force: bool, build_tiny: Build, tmp_path: Path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="did not make"):
        build_tiny(theirs, force=force)
    assert [file.name for file in theirs.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_will_do(build_tiny: Build, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert build_tiny(tmp_path / "empty").built


def test_without_weights_the_message_says_where_they_should_be(tmp_path: Path):
    with pytest.raises(ModelLoadError, match="checkout"):
        build_demo(tmp_path / "demo", weights=tmp_path)


def test_the_shipped_coders_are_those_of_the_readme():
    shipped = Path(__file__).parents[2] / "data" / "demo"
    of_one_mlp = {"sae", "sae-seed1", "transcoder", "skip-transcoder", "neurons", "random"}
    assert set(DOCSTRINGS.coders(shipped)) == of_one_mlp | {"sae-l1"}
    assert set(SMOLLM2.coders(shipped / "smollm2")) == of_one_mlp | {
        "sae-residual",
        "random-residual",
    }


def test_the_shipped_weights_are_small():
    sizes = [
        file.stat().st_size for file in (Path(__file__).parents[2] / "data" / "demo").rglob("*.safetensors")
    ]
    assert max(sizes) < 8e6
    assert sum(sizes) < 60e6
