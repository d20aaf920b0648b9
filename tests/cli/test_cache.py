"""`autointerp cache`, on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.cli.cache import named_coders, split_name
from autointerp.errors import UserError
from autointerp.models.subject import load_subject
from autointerp.probe import Prober
from autointerp.store import Store
from tests.cli.conftest import RunJson, RunText
from tests.models.tiny import TEXT, save_coder, save_neox


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, `coder` and `text.txt`."""
    folder = tmp_path_factory.mktemp("tiny")
    save_neox(folder / "model")
    save_coder(folder / "coder" / "layers.1.mlp")
    (folder / "text.txt").write_text(TEXT * 40, encoding="utf-8")
    return folder


def test_a_store_from_text_files(tiny: Path, tmp_path: Path, run_json: RunJson):
    document = run_json(
        "cache", tmp_path / "s", "--model", tiny / "model",
        "--coder", f"mine={tiny / 'coder'}", "neurons:layers.1.mlp:8", "random:layers.1.mlp:32:4:7",
        "--text", tiny / "text.txt", "--n-tokens", 2000, "--ctx-len", 50,
    )  # fmt: skip
    coders = {coder["coder"]: coder for coder in document["coders"]}
    assert set(coders) == {"mine", "neurons-layers.1.mlp", "random-layers.1.mlp"}
    assert coders["mine"]["hookpoint"] == "layers.1.mlp"
    store = Store.open(tmp_path / "s")
    assert (store.n_contexts, store.ctx_len) == (40, 50)
    again = run_json("cache", tmp_path / "s", "--model", tiny / "model", "--coder", f"mine={tiny / 'coder'}")
    assert again["coders"] == [coders["mine"]]


def test_a_store_from_token_ids_with_bos(tiny: Path, tmp_path: Path, run_json: RunJson):
    ids = np.random.default_rng(0).integers(0, 300, size=(10, 32))
    ids[:, 0] = 0
    np.save(tmp_path / "ids.npy", ids)
    common = [
        "--model",
        tiny / "model",
        "--token-ids",
        tmp_path / "ids.npy",
        "--coder",
        "neurons:layers.0.mlp:8",
    ]
    kept = run_json("cache", tmp_path / "with", *common, "--include-bos")["coders"][0]
    left_out = run_json("cache", tmp_path / "without", *common)["coders"][0]
    assert kept["n_tokens"] == 320
    assert left_out["n_tokens"] == 320 - int((ids == 0).sum())


def test_progress_goes_to_standard_error(tiny: Path, tmp_path: Path, run_text: RunText):
    code, out, err = run_text(
        "cache", tmp_path / "s", "--model", tiny / "model", "--coder", "neurons:layers.0.mlp:8",
        "--text", tiny / "text.txt", "--n-tokens", 640,
    )  # fmt: skip
    assert code == 0
    assert out.startswith("neurons-layers.0.mlp: ")
    assert "640 of 640 tokens" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model", "nowhere/at/all"], "nowhere/at/all"),
        (["--coder", "nowhere"], "no coder at"),
        (["--coder", "neurons:layers.9.mlp"], "layers."),
        (["--coder", "random:layers.0.mlp:4:9"], "k"),
        (["--n-tokens", "0"], "--n-tokens"),
        (["--ctx-len", "4096"], "64"),
        (["--text", "nowhere.txt"], "nowhere.txt"),
        (["--batch-size", "-1"], "--batch-size"),
        (["--device", "toaster"], "toaster"),
        (["--coder", "a/b=c=d"], "'b=c=d' cannot be used"),
    ],
)  # fmt: skip
def test_wrong_input_is_2_and_leaves_nothing(
    change: list[str], message: str, tiny: Path, tmp_path: Path, run_text: RunText
):
    given = {
        "--model": str(tiny / "model"),
        "--coder": "neurons:layers.0.mlp:8",
        "--text": str(tiny / "text.txt"),
    }
    given |= dict(zip(change[::2], change[1::2], strict=True))
    arguments = [part for pair in given.items() for part in pair]
    code, out, err = run_text("cache", tmp_path / "s", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "s" / "store.json").exists()


@pytest.mark.parametrize(
    ("spec", "name", "source"),
    [
        ("a=folder", "a", "folder"),
        ("x/y/layers.2.mlp", "layers.2.mlp", "x/y/layers.2.mlp"),
        ("x/y/", "y", "x/y/"),
        ("neurons:layers.2.mlp:16", "neurons-layers.2.mlp", "neurons:layers.2.mlp:16"),
        ("n=neurons:layers.2.mlp", "n", "neurons:layers.2.mlp"),
        ("random:h:8:2", "random-h", "random:h:8:2"),
        ("folder/a=b", "a=b", "folder/a=b"),
    ],
)
def test_names_of_coders(spec: str, name: str, source: str):
    assert split_name(spec) == (name, source)


def test_two_coders_of_one_name_are_refused():
    with pytest.raises(UserError, match="NAME="):
        named_coders(["x/sae", "y/sae"])


def test_kind_dtype_and_tokenizer(tiny: Path, tmp_path: Path, run_json: RunJson):
    """An early checkpoint does not say that it is a transcoder; the model's weights are in half precision; the tokenizer is
    elsewhere."""
    early = save_coder(tmp_path / "layers.1.mlp", transcode=True)
    config = json.loads((early / "cfg.json").read_text())
    del config["transcode"]
    (early / "cfg.json").write_text(json.dumps(config))
    model = tmp_path / "model"
    subject = load_subject(str(tiny / "model"))
    subject.model.to(torch.bfloat16).save_pretrained(model)  # type: ignore[operator]
    common = ["cache", tmp_path / "s", "--model", model, "--tokenizer", tiny / "model"]
    run_json(
        *common,
        "--coder",
        f"early={early}",
        "--kind",
        "transcoder",
        "--text",
        tiny / "text.txt",
        "--n-tokens",
        640,
    )
    store = Store.open(tmp_path / "s")
    assert store.coder("early").info.kind == "transcoder"
    assert store.meta["model"]["dtype"] == "bfloat16"
    assert store.meta["tokenizer"]["source"] == str(tiny / "model")
    # Later coders and the probe run in the same dtype, with the same tokenizer.
    run_json(*common, "--coder", "neurons:layers.1.mlp:8")
    assert "neurons-layers.1.mlp" in Prober(store).run("text", ["neurons-layers.1.mlp"]).coders
    assert store.coder("neurons-layers.1.mlp").info.has_logits
