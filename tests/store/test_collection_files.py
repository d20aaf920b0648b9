"""Collections in files: what is exported comes back the same, and an import loses and doubles nothing."""

import json
import string
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.records import Explanation
from autointerp.store import LatentQuery, Store, list_table
from autointerp.store.annotations import Annotations
from autointerp.store.collection_files import Clash, collections_table, import_collections
from autointerp.store.table_files import FORMATS, FileFormat, to_file

NAMES = st.text(st.sampled_from(string.ascii_letters + " ,;\"'=#äß\u05d0😀"), min_size=1, max_size=12).filter(
    str.strip
)
NOTES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLACES = st.tuples(st.sampled_from(["sae", "transcoder"]), st.integers(0, 5))
COLLECTIONS = st.dictionaries(NAMES, st.tuples(NOTES, st.dictionaries(PLACES, NOTES, max_size=6)), max_size=4)


def snapshot(annotations: Annotations) -> list[object]:
    table = annotations.collections
    return [(each, table.features(each.name)) for each in table.all()]


def fill(annotations: Annotations, wanted: dict[str, tuple[str, dict[tuple[str, int], str]]]) -> None:
    for name, (note, members) in wanted.items():
        annotations.collections.create(name, author="ada", note=note)
        for place, said in members.items():
            annotations.collections.add(name, [place], author="bob", note=said)


@settings(max_examples=30)
@given(COLLECTIONS, st.sampled_from(FORMATS))
def test_what_is_exported_comes_back_the_same(
    tiny_template: Path, wanted: dict[str, tuple[str, dict[tuple[str, int], str]]], file_format: FileFormat
) -> None:
    store = Store.open(tiny_template)
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        file = Path(first) / f"lists.{file_format}"
        with Annotations(first) as mine, Annotations(second) as theirs:
            fill(mine, wanted)
            file.write_bytes(to_file(collections_table(store, mine), file_format))
            done = import_collections(store, theirs, file)
            assert snapshot(theirs) == snapshot(mine)
            n = sum(each.n for each in mine.collections.all())
            assert (done.added, done.known, done.clashes, done.refused) == (n, 0, (), {})
            again = import_collections(store, theirs, file)
            assert snapshot(theirs) == snapshot(mine)
            assert (again.added, again.known, again.noted, again.clashes) == (0, n, 0, ())


def _write(tmp_path: Path, rows: Sequence[object], name: str = "lists.jsonl") -> Path:
    file = tmp_path / name
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


def test_notes_that_differ_are_shown_and_taken_only_if_asked_for(tiny_store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"collection": "dates", "note": "about"},
        {"collection": "dates", "coder": "sae", "latent": 1, "note": "theirs"},
        {"collection": "dates", "coder": "sae", "latent": 2, "note": "new here"},
        {"collection": "dates", "coder": "sae", "latent": 3},
    ]
    file = _write(tmp_path, rows)
    with Annotations(tiny_store.path) as annotations:
        for latent, note in ((1, "mine"), (2, ""), (3, "only mine")):
            annotations.collections.add("dates", [("sae", latent)], author="ada", note=note)
        done = import_collections(tiny_store, annotations, file)
        assert done.clashes == (Clash("dates", "sae", 1, "mine", "theirs"),)
        assert (done.added, done.known, done.noted) == (0, 3, 2)
        notes = [member.note for member in annotations.collections.features("dates")]
        assert notes == ["mine", "new here", "only mine"]
        assert annotations.collections.get("dates").note == "about"
        import_collections(tiny_store, annotations, file, overwrite=True)
        assert [m.note for m in annotations.collections.features("dates")] == [
            "theirs",
            "new here",
            "only mine",
        ]


def test_what_the_store_lacks_is_counted_by_reason_and_the_rest_comes(
    tiny_store: Store, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [
        {"coder": "gone", "latent": 1},
        {"coder": "sae", "latent": 99},
        {"coder": "sae", "latent": -1},
    ]
    rows += [{"coder": "gone", "latent": 2}, {"coder": "sae", "latent": "7"}, {"coder": "sae", "latent": 6.0}]
    with Annotations(tiny_store.path) as annotations:
        done = import_collections(tiny_store, annotations, _write(tmp_path, rows), into="from far")
        assert sorted(done.refused.values()) == [2, 2]
        assert any("'gone'" in reason for reason in done.refused)
        assert annotations.collections.latents("from far") == {"sae": [6, 7]}


def test_features_of_other_weights_are_refused(
    tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_store.coder("sae").info.config, "weights", "aaa")
    rows = [{"coder": "sae", "latent": n, "weights": weights} for n, weights in enumerate(["aaa", "bbb", ""])]
    with Annotations(tiny_store.path) as annotations:
        done = import_collections(tiny_store, annotations, _write(tmp_path, rows))
        assert list(done.refused.values()) == [1]
        assert annotations.collections.latents("lists") == {"sae": [0, 2]}, "named after the file"


def test_a_whole_list_exported_from_the_app_can_be_imported(tiny_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "best ones.csv"
    with Annotations(tiny_store.path) as annotations:
        annotations.add(Explanation(coder="sae", latent=3, text="words", explainer="person", author="Ada"))
        file.write_bytes(
            to_file(list_table(tiny_store, ["sae"], LatentQuery(), annotations=annotations), "csv")
        )
        import_collections(tiny_store, annotations, file)
        members = annotations.collections.features("best ones")
        assert {member.latent for member in members} == {0, 1, 2, 3, 4, 6, 7}
        assert {member.author for member in members} == {"someone"}, "not who explained them"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lists.txt", "coder,latent\nsae,1"),
        ("lists.csv", "feature\n1"),
        ("lists.jsonl", "[1, 2]"),
        ("lists.jsonl", "{"),
        ("lists.parquet", "no parquet"),
        ("lists.csv", 'collection,coder,latent\n"",sae,1'),
        ("lists.jsonl", json.dumps({"coder": "sae", "latent": 1, "note": "x" * 2001})),
    ],
)
def test_a_bad_file_is_a_plain_error_and_changes_nothing(
    tiny_store: Store, tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with Annotations(tiny_store.path) as annotations:
        with pytest.raises(UserError):
            import_collections(tiny_store, annotations, file)
        with pytest.raises(UserError, match="no such file"):
            import_collections(tiny_store, annotations, tmp_path / "missing.csv")
        assert annotations.collections.all() == []


def test_sql_shows_them(tiny_store: Store) -> None:
    with Annotations(tiny_store.path) as annotations:
        annotations.collections.add("dates", [("sae", 3)], author="ada", note="years")
    query = (
        "SELECT c.collection, c.note, l.n_activations FROM collections c JOIN latents l USING (coder, latent)"
    )
    assert tiny_store.sql(query).to_pylist() == [
        {"collection": "dates", "note": "years", "n_activations": 60}
    ]
