"""Input that is wrong, and a disk that is full: an error with a name, and nothing half-written."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from autointerp.caching import cache
from autointerp.errors import BadActivations, CorpusError, StoreError, StoreReadOnly
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from tests.caching.conftest import Lab
from tests.caching.plain import dense_from_store
from tests.models.tiny import save_coder, save_neox


def leftovers(path: Path) -> list[Path]:
    return [
        file for file in path.rglob("*") if file.name.startswith(".") or file.suffix in (".duckdb", ".npy")
    ]


def test_nan_weights_of_the_subject(lab: Lab, tmp_path: Path) -> None:
    model = save_neox(tmp_path / "m")
    weights = load_file(model / "model.safetensors")
    weights["gpt_neox.embed_in.weight"][1:] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadActivations, match=r"layers\.1\.mlp \(output\).*context \d+, position \d+"):
        cache(tmp_path / "s", model=model, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=24)
    assert not [file for file in leftovers(tmp_path / "s") if "coders" in file.parts]


def test_coder_that_overflows(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp")
    weights = load_file(folder / "sae.safetensors")
    weights["encoder.weight"][5] = 1e38
    save_file(weights, folder / "sae.safetensors")
    with pytest.raises(BadActivations, match=r"'big'.*context"):
        cache(tmp_path / "s", model=subject, coders={"big": str(folder)}, text=[lab.text], ctx_len=24)


def test_context_longer_than_the_model_takes(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"65.*64 at most"):
        cache(tmp_path / "s", model=subject, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=65)
    assert not (tmp_path / "s").exists()


def test_ids_outside_the_vocabulary(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    for bad in (300, -1):
        ids = np.full((4, 24), 5)
        ids[2, 3] = bad
        with pytest.raises(CorpusError, match=f"token id {bad} is outside"):
            cache(tmp_path / "s", model=subject, coders={"sae": lab.specs["sae"]}, token_ids=ids)
        assert not leftovers(tmp_path / "s")


def test_token_ids_as_text(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """The same ids from a file give the same activations as from text."""
    cache(tmp_path / "a", model=subject, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=24)
    one = Store.open(tmp_path / "a")
    np.save(tmp_path / "ids.npy", np.asarray(one.tokens).reshape(-1).astype(np.int32))
    cache(
        tmp_path / "b",
        model=subject,
        coders={"sae": lab.specs["sae"]},
        token_ids=tmp_path / "ids.npy",
        ctx_len=24,
    )
    two = Store.open(tmp_path / "b")
    assert np.array_equal(one.tokens, two.tokens)
    assert np.array_equal(dense_from_store(one, "sae"), dense_from_store(two, "sae"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"ctx_len": 12}, "contexts of 24 tokens, not 12"),
        ({"n_tokens": 48}, "not 48"),
        ({"dataset": "other"}, "not 'other'"),
        ({"coders": {"sae": "random:layers.1.mlp:64:4"}}, "another coder called 'sae'"),
        ({"skip_bos": False}, "BOS positions left out"),
    ],
)
def test_contradicting_the_store(
    asked: dict[str, Any], says: str, lab: Lab, subject: SubjectModel, store: Store
) -> None:
    with pytest.raises(StoreError, match=says):
        cache(store.path, **({"model": subject, "coders": {"sae": lab.specs["sae"]}} | asked))


def test_another_model(lab: Lab, store: Store, tmp_path: Path) -> None:
    other = save_neox(tmp_path / "other", seed=9)
    with pytest.raises(StoreError, match="not of other"):
        cache(store.path, model=other, coders={"sae": lab.specs["sae"]})


def test_no_text_for_a_new_store(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no store yet"):
        cache(tmp_path / "s", model=subject, coders={"sae": lab.specs["sae"]})


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_empty_text(text: str, lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(CorpusError, match="empty"):
        cache(tmp_path / "s", model=subject, coders={"sae": lab.specs["sae"]}, text=[tmp_path / "empty.txt"])
    assert not leftovers(tmp_path / "s")


def test_text_shorter_than_a_context(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("hello")
    with pytest.raises(CorpusError, match="less than one context"):
        cache(
            tmp_path / "s",
            model=subject,
            coders={"sae": lab.specs["sae"]},
            text=[tmp_path / "short.txt"],
            ctx_len=64,
        )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["append", "finish"])
def test_disk_full_or_read_only(
    code: int, where: str, lab: Lab, subject: SubjectModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.store import coder_writer
    from autointerp.store.coders import spool

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "s"
    cache(path, model=subject, coders={"random": "random:layers.1.mlp:48:3"}, text=[lab.text], ctx_len=24)
    if where == "append":
        monkeypatch.setattr(spool, "write_array", fail)
    else:
        monkeypatch.setattr(coder_writer.DatabaseWriter, "insert", fail)
    with pytest.raises(StoreReadOnly):
        cache(path, model=subject, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=24)
    assert not (path / "coders" / "sae.duckdb").exists()
    assert not list(path.rglob(".*.tmp-*"))
