"""Collections: what is in them, and that nothing is lost beside other processes."""

import multiprocessing
from pathlib import Path

import pytest

from autointerp.errors import UnknownName, UserError
from autointerp.ratings import MAX_NOTE
from autointerp.store.annotations import STARRED, Annotations
from autointerp.store.annotations.collections import MAX_NAME


def test_a_collection_is_made_on_first_use_and_lists_what_was_put_in(annotations: Annotations) -> None:
    table = annotations.collections
    assert (table.all(), table.of("sae", 3), table.latents("dates")) == ([], [], {})
    assert table.add("dates", [("sae", 12), ("sae", 3), ("mlp", 4)], author="ada") == 3
    assert table.add("dates", [("sae", 3), ("sae", 5)], author="bob", note="years") == 1
    table.add(STARRED, [("sae", 3)], author="bob")
    assert [(each.name, each.n, each.author) for each in table.all()] == [
        (STARRED, 1, "bob"),
        ("dates", 4, "ada"),
    ]
    assert table.latents("dates") == {"mlp": [4], "sae": [3, 5, 12]}
    assert [(m.place, m.author, m.note) for m in table.features("dates")] == [
        (("mlp", 4), "ada", ""),
        (("sae", 3), "ada", ""),
        (("sae", 5), "bob", "years"),
        (("sae", 12), "ada", ""),
    ]
    assert [member.collection for member in table.of("sae", 3)] == [STARRED, "dates"]
    assert set(table.among("dates", [("sae", 3), ("mlp", 3), ("sae", 99)])) == {("sae", 3)}


def test_taking_out_keeps_the_collection_and_deleting_ends_it(annotations: Annotations) -> None:
    table = annotations.collections
    table.add("dates", [("sae", 3), ("sae", 4)], author="ada")
    assert table.remove("dates", [("sae", 3), ("sae", 7)]) == 1
    assert table.remove("dates", [("sae", 4)]) == 1
    assert [(each.name, each.n) for each in table.all()] == [("dates", 0)]
    table.add("dates", [("sae", 4)], author="ada")
    assert table.delete("dates") == 1
    assert table.all() == []
    assert table.of("sae", 4) == []
    for act in (
        lambda: table.features("dates"),
        lambda: table.remove("dates", []),
        lambda: table.delete("dates"),
    ):
        with pytest.raises(UnknownName, match="dates"):
            act()


def test_notes_and_names_can_be_changed(annotations: Annotations) -> None:
    table = annotations.collections
    table.add("dates", [("sae", 3)], author="ada")
    table.create("empty", author="ada", note="to fill")
    table.annotate("dates", ("sae", 3), " four\ndigits ")
    table.describe("dates", "numbers that name a year")
    table.rename("dates", "  years   and dates ")
    (member,) = table.of("sae", 3)
    assert (member.collection, member.note) == ("years and dates", "four\ndigits")
    assert table.get("years and dates").note == "numbers that name a year"
    with pytest.raises(UserError, match="already"):
        table.rename("empty", "years and dates")
    with pytest.raises(UserError, match="not in the collection"):
        table.annotate("empty", ("sae", 3), "x")


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "x" * (MAX_NAME + 1), "\u202e"])
def test_what_cannot_be_a_name_makes_nothing(annotations: Annotations, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        annotations.collections.add(name, [("sae", 1)], author="ada")
    assert annotations.collections.all() == []


def test_a_long_note_is_refused_and_the_old_one_stays(annotations: Annotations) -> None:
    table = annotations.collections
    table.add("dates", [("sae", 3)], author="ada", note="short")
    for act in (
        lambda: table.annotate("dates", ("sae", 3), "x" * (MAX_NOTE + 1)),
        lambda: table.add("dates", [("sae", 4)], author="ada", note="x" * (MAX_NOTE + 1)),
    ):
        with pytest.raises(UserError, match="at most 2,000"):
            act()
    assert [(m.latent, m.note) for m in table.features("dates")] == [(3, "short")]


def _add_many(folder: Path, first: int) -> None:
    with Annotations(folder) as annotations:
        for latent in range(first, first + 40, 2):
            annotations.collections.add(STARRED, [("sae", latent), ("sae", latent + 1)], author=str(first))


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_many, args=(tmp_path, first)) for first in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with Annotations(tmp_path) as annotations:
        assert annotations.collections.latents(STARRED) == {"sae": list(range(60))}
