"""`autointerp info`."""

from pathlib import Path

from autointerp.store import Store
from tests.cli.conftest import RunJson, RunText


def test_the_contract_of_the_document(tiny_store: Store, run_json: RunJson):
    document = run_json("info", tiny_store.path)
    sae = next(coder for coder in document["coders"] if coder["coder"] == "sae")
    expected = {
        "coder",
        "kind",
        "hookpoint",
        "n_latents",
        "n_tokens",
        "n_activations",
        "bytes_on_disk",
        "fvu",
    }
    assert expected <= set(sae)
    assert (sae["kind"], sae["hookpoint"], sae["n_latents"], sae["fvu"]) == ("sae", "layers.0.mlp", 8, 0.25)
    assert sae["n_activations"] == sum(len(tiny_store.coder("sae").activations(i).token) for i in range(8))
    assert sae["bytes_on_disk"] == (tiny_store.path / "coders" / "sae.duckdb").stat().st_size
    assert document["complete"] is True


def test_a_coder_without_fidelity_has_null(tiny_store: Store, run_json: RunJson):
    coders = {coder["coder"]: coder for coder in run_json("info", tiny_store.path)["coders"]}
    assert coders["transcoder"]["fvu"] is None


def test_the_text_lists_the_coders(tiny_store: Store, run_text: RunText):
    code, out, err = run_text("info", tiny_store.path)
    assert (code, err) == (0, "")
    assert "transcoder" in out
    assert "Nothing is missing." in out


def test_a_damaged_file_is_named(tiny_store: Store, run_json: RunJson):
    (tiny_store.path / "coders" / "broken.duckdb").write_bytes(b"not a database")
    document = run_json("info", tiny_store.path)
    assert document["complete"] is False
    assert any("broken" in problem for problem in document["problems"])


def test_no_store_is_the_users_error(tmp_path: Path, run_text: RunText):
    code, out, err = run_text("info", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "autointerp demo" in err
    assert "Traceback" not in err
