"""`autointerp collections`, and what else the command line says and does with them."""

from pathlib import Path

import pytest

from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.cli.conftest import RunJson, RunText


def test_a_collection_from_the_first_latent_to_its_end(
    tiny_store: Store, run_json: RunJson, run_text: RunText
) -> None:
    here = ("collections", tiny_store.path)
    assert run_json(*here)["collections"] == []
    added = run_json(*here, "add", "dates", "sae", "0-2,4", "--note", "years", "--author", "ada")
    assert (added["collection"], added["added"]) == ("dates", 4)
    assert run_json(*here, "add", "dates", "sae", "4,6", "--author", "bob")["added"] == 1
    assert run_json(*here, "remove", "dates", "sae", "0")["removed"] == 1
    run_json(*here, "note", "dates", "numbers that name a year")
    run_json(*here, "rename", "dates", "years")
    shown = run_json(*here, "show", "years")
    assert (shown["n"], shown["note"], shown["author"]) == (4, "numbers that name a year", "ada")
    assert [(m["coder"], m["latent"], m["note"], m["author"]) for m in shown["latents"]] == [
        ("sae", 1, "years", "ada"),
        ("sae", 2, "years", "ada"),
        ("sae", 4, "years", "ada"),
        ("sae", 6, "", "bob"),
    ]
    (latent,) = run_json("latent", tiny_store.path, "sae", "1")["collections"]
    assert (latent["collection"], latent["note"]) == ("years", "years")
    assert "in the collection years: years" in run_text("latent", tiny_store.path, "sae", "1")[1]
    assert run_json("info", tiny_store.path)["collections"] == [
        {"name": "years", "n": 4, "note": "numbers that name a year"}
    ]
    assert "years (4)" in run_text("info", tiny_store.path)[1]
    assert "years" in run_text(*here)[1]
    assert run_json(*here, "delete", "years")["removed"] == 4
    assert run_json(*here)["collections"] == []


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_carries_collections_to_a_copy_of_the_store(
    tiny_store: Store, tmp_path: Path, run_json: RunJson, run_text: RunText, ending: str
) -> None:
    here, file = ("collections", tiny_store.path), tmp_path / f"lists.{ending}"
    run_json(*here, "add", "dates", "sae", "1,2", "--note", "mine")
    run_json(*here, "add", "names", "transcoder", "3")
    exported = run_json(*here, "export", file, "dates")
    assert (exported["collections"], exported["latents"]) == (["dates"], 2)
    run_json(*here, "delete", "dates")
    assert run_json(*here, "import", file)["added"] == 2
    again = run_json(*here, "import", file)
    assert (again["added"], again["known"], again["clashes"]) == (0, 2, [])
    with Annotations(tiny_store.path) as annotations:
        annotations.collections.annotate("dates", ("sae", 1), "other")
    (clash,) = run_json(*here, "import", file)["clashes"]
    assert (clash["here"], clash["there"], clash["latent"]) == ("other", "mine", 1)
    code, out, _ = run_text(*here, "import", file, "--overwrite")
    assert code == 0
    assert "the file's were taken" in out
    assert run_json(*here, "import", file, "--into", "both")["collections"] == ["both"]
    assert {each["name"]: each["n"] for each in run_json(*here)["collections"]} == {
        "both": 2,
        "dates": 2,
        "names": 1,
    }


def test_a_collection_says_what_to_explain_and_to_score(
    tiny_store: Store, run_json: RunJson, run_text: RunText
) -> None:
    run_json("collections", tiny_store.path, "add", "mixed", "sae", "3-5")  # 5 is dead
    assert run_json("explain", tiny_store.path, "sae", "--collection", "mixed")["wanted"] == 2
    scored = run_json(
        "score", tiny_store.path, "sae", "--collection", "mixed", "--scorer", "detection", "--dry-run"
    )
    assert scored
    for flags, said in (
        (["--collection", "mixed", "--latents", "1"], "both"),
        (["--collection", "none"], "none"),
    ):
        code, _, err = run_text("explain", tiny_store.path, "sae", *flags)
        assert code == 2
        assert said in err
    code, _, err = run_text("explain", tiny_store.path, "transcoder", "--collection", "mixed")
    assert (code, "no latents of 'transcoder'" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show"], "`show` takes NAME"),
        (["list", "x"], "`list` takes nothing more"),
        (["show", "none"], "none"),
        (["add", "dates", "sae", "99"], "99"),
        (["add", "", "sae", "1"], "name"),
        (["add", "dates", "gone", "1"], "gone"),
        (["show", "dates", "--note", "x"], "--note only goes with `add`"),
        (["export", "lists.txt"], ".csv"),
        (["import", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_wrong_input_is_a_plain_message(
    tiny_store: Store, run_text: RunText, words: list[str], said: str
) -> None:
    code, out, err = run_text("collections", tiny_store.path, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
