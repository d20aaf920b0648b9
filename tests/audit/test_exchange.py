"""Audits between copies of a store: nothing is lost, nothing comes twice, and nobody's answer is settled in silence."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.audit.cite import cite_audit, cite_feature
from autointerp.audit.exchange import export_audit, import_audit
from autointerp.audit.files import audit_rows, read_audit, write_audit
from autointerp.audit.fingerprints import fingerprints
from autointerp.audit.merging import check_lines, merge
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.ratings import CONFIDENCES, VERDICTS, Audit, Rating
from autointerp.records import Explanation, JudgedExample
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.coder_writer import CoderWriter
from autointerp.store.table_files import FORMATS, FileFormat
from tests.audit.test_drawing import of_items
from tests.conftest import CoderSpec, StoreFactory

RATERS = ["Ann", "Ben", "Zoë 🐈", 'Ann, <b>"the" first</b>\n\'']
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
judged = st.builds(
    JudgedExample,
    i=st.integers(0, 50),
    context=st.integers(0, 50),
    start=st.integers(0, 50),
    window=st.just(32),
    truth=st.sampled_from([True, False, None]),
    answer=st.sampled_from([True, False, None]),
    value=st.none() | st.floats(0, 1),
    quantile=st.none() | st.integers(0, 9),
    source=st.sampled_from(["activating", "random"]),
    marks=st.none() | st.lists(st.integers(0, 31), max_size=4).map(tuple),
    predicted=st.none(),
    reply_ref=st.none(),
    error=st.none() | texts,
)


def _rating(draw: st.DrawFn, audit: Audit, *, few: bool) -> Rating:
    """`few`: questions, so that histories meet."""
    task = audit.tasks[0] if few else draw(st.sampled_from(audit.tasks))
    role = draw(st.sampled_from(["rater", "rater", "adjudicator"])) if task == "verdict" else "rater"
    answer: dict[str, Any] = {"skipped": True}
    if draw(st.integers(0, 4)):
        answer = (
            {"verdict": draw(st.sampled_from(sorted(VERDICTS)))}
            if task == "verdict"
            else {"judged": tuple(draw(st.lists(judged, min_size=1, max_size=3)))}
        )
    return Rating(
        audit_id=audit.id, item=draw(st.integers(0, 0 if few else 2)), task=task,
        rater=draw(st.sampled_from(RATERS[:2] if few else RATERS)),
        round=draw(st.integers(0, 1)) if role == "rater" else 0, role=role,  # type: ignore[arg-type]
        confidence=draw(st.none() | st.sampled_from(sorted(CONFIDENCES))), note=draw(texts),
        tags=tuple(draw(st.lists(texts.filter(str.strip), max_size=2))), revealed=draw(st.booleans()),
        seconds=draw(st.none() | st.floats(0, 1e6)), **answer,
    )  # fmt: skip


@st.composite
def histories(
    draw: st.DrawFn, audit: Audit, before: Sequence[Rating] = (), most: int = 12, few: bool = False
) -> list[Rating]:
    """Answers as a store would take them, after `before`: given, changed, taken back."""
    standing: dict[Any, str] = {}
    history: list[Rating] = []
    for rating in [*before, *(_rating(draw, audit, few=few) for _ in range(draw(st.integers(0, most))))]:
        who = rating.rater if rating.role == "rater" else ""
        question = (rating.item, rating.task, rating.round, rating.role, who)
        if len(history) < len(before):
            pass
        elif question in standing and draw(st.integers(0, 3)) == 0:
            empty: dict[str, Any] = {"verdict": None, "judged": (), "skipped": False, "withdrawn": True}
            rating = replace(rating, revises=standing[question], **empty)
        else:
            rating = replace(rating, revises=standing.get(question))
        history.append(rating)
        standing[question] = rating.id
        if rating.withdrawn:
            del standing[question]
    return history


AUDIT = of_items(
    3,
    1,
    tasks=("verdict", "fuzzing"),
    purpose="Do they\nhold?",
    config={"n": 3, "coders": ["sae"], "x": None},
)
QUICK = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


@QUICK
@given(history=histories(AUDIT), file_format=st.sampled_from(FORMATS))
def test_a_file_holds_everything(tmp_path: Path, history: list[Rating], file_format: FileFormat) -> None:
    path = tmp_path / f"audit.{file_format}"
    path.write_bytes(write_audit(audit_rows(AUDIT, history, set()), file_format))
    assert read_audit(path) == (AUDIT, history)


def current(history: Sequence[Rating]) -> dict[Any, Any]:
    """What holds, by question; without what differs between copies."""
    answers: dict[Any, Any] = {}
    for rating in history:
        who = rating.rater if rating.role == "rater" else ""
        question = (rating.item, rating.task, rating.round, rating.role, who)
        answers.pop(question, None)
        if not rating.withdrawn:
            answers[question] = (rating.id, rating.verdict)
    return answers


@st.composite
def two_copies(draw: st.DrawFn) -> tuple[list[Rating], list[Rating]]:
    few = draw(st.booleans())
    before = draw(histories(AUDIT, most=5, few=few))
    return draw(histories(AUDIT, before, few=few)), draw(histories(AUDIT, before, few=few))


@QUICK
@given(two_copies())
def test_merging_adds_what_is_new_and_nothing_twice(two: tuple[list[Rating], list[Rating]]) -> None:
    here, there = two
    merged = merge(here, there)
    both = [*here, *merged.new]
    assert len({rating.id for rating in both}) == len(both)
    check_lines(both)
    assert merge(both, there).new == (), "importing twice changes nothing"
    assert merge(both, both).known == len(both)
    ours, theirs, ends = current(here), current(there), current(both)
    known_there = {rating.id for rating in there}
    for question, answer in ours.items():
        assert answer[0] in known_there or ends[question] == answer, (
            "no answer gives way to one that did not know it"
        )
    contested = {(c.here.id, c.there.id) for c in merged.conflicts}
    for question in ours.keys() | theirs.keys():
        if question in theirs and (ours.get(question, ("",))[0], theirs[question][0]) in contested:
            assert ends[question] == ours[question]
        elif question not in ours and not any(r.id == theirs[question][0] for r in here):
            assert ends[question] == theirs[question]
    taken = merge(here, there, take="there")
    assert taken.conflicts == merged.conflicts
    ends = current([*here, *taken.new])
    for conflict in taken.conflicts:
        assert conflict.there.id in {id_ for id_, _ in ends.values()}
    assert merge([*here, *taken.new], there, take="there").new == ()
    assert merge(there, here).conflicts == tuple(
        type(c)(c.there, c.here) for c in sorted_by(merged.conflicts, here)
    )


def sorted_by(conflicts: Any, here: list[Rating]) -> list[Any]:
    questions: dict[Any, int] = {}
    for rating in here:
        who = rating.rater if rating.role == "rater" else ""
        questions.setdefault((rating.item, rating.task, rating.round, rating.role, who), len(questions))

    def place(conflict: Any) -> int:
        mine = conflict.here
        return questions[
            mine.item, mine.task, mine.round, mine.role, mine.rater if mine.role == "rater" else ""
        ]

    return sorted(conflicts, key=place)


# Between stores -------------------------------------------------------------------------------------


@pytest.fixture
def copy(resources: Resources, audit: Audit, tmp_path: Path) -> "Any":
    """Another copy of the store, made after the audit; closed at the end."""
    store = Store.open(shutil.copytree(resources.store.path, tmp_path / "copy"))
    with Annotations(store.path) as annotations:
        yield store, annotations


def rate(annotations: Annotations, audit: Audit, item: int, rater: str = "Ann", **fields: Any) -> Rating:
    rating = Rating(
        **{
            "audit_id": audit.id,
            "item": item,
            "rater": rater,
            "task": "verdict",
            "verdict": "correct",
            **fields,
        }
    )
    annotations.audits.rate(rating)
    return rating


def exported(annotations: Annotations, audit: Audit, path: Path) -> Path:
    path.write_bytes(write_audit(export_audit(annotations, audit.id), path.suffix[1:]))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_second_persons_file_is_merged(
    resources: Resources, audit: Audit, copy: Any, tmp_path: Path, file_format: str
) -> None:
    here, (store, there) = resources.annotations, copy
    mine = [rate(here, audit, item) for item in range(3)]
    first = rate(there, audit, 0, "Ben", verdict="wrong", note="no, <i>not</i>\nat all", seconds=3.25)
    second = rate(there, audit, 0, "Ben", verdict="too_broad", revises=first.id)
    path = exported(there, audit, tmp_path / f"ben.{file_format}")
    done = import_audit(here, path, resources.store)
    assert (done.is_new, done.new_ratings, done.known_ratings, done.conflicts, done.missing_explanations) == (
        False, 2, 0, (), 0,
    )  # fmt: skip
    assert here.audits.history(audit.id) == [*mine, first, second]
    again = import_audit(here, path, resources.store)
    assert (again.new_ratings, again.known_ratings) == (0, 2)
    back = import_audit(there, exported(here, audit, tmp_path / f"all.{file_format}"), store)
    assert (back.new_ratings, back.known_ratings) == (3, 2)
    key = [(rating.id, rating.verdict) for rating in here.audits.ratings(audit.id)]
    assert sorted(key) == sorted((rating.id, rating.verdict) for rating in there.audits.ratings(audit.id))


def test_conflicts_are_shown_and_settled_only_when_asked(
    resources: Resources, audit: Audit, copy: Any, tmp_path: Path
) -> None:
    here, (_, there) = resources.annotations, copy
    mine, theirs = rate(here, audit, 0), rate(there, audit, 0, verdict="wrong")
    rate(here, audit, 1)
    rate(there, audit, 1)  # the same answer, given twice
    path = exported(there, audit, tmp_path / "there.jsonl")
    for _ in range(2):
        done = import_audit(here, path, resources.store)
        assert [(c.here, c.there) for c in done.conflicts] == [(mine, theirs)]
        assert (done.new_ratings, done.known_ratings) == (0, 1)
        assert here.audits.ratings(audit.id)[0] == mine
    done = import_audit(here, path, resources.store, take="there")
    assert done.new_ratings == 1
    assert here.audits.ratings(audit.id)[-1] == replace(theirs, revises=mine.id)
    done = import_audit(here, path, resources.store, take="there")
    assert (done.new_ratings, done.conflicts) == (0, ())


def test_an_audit_comes_to_a_copy_that_has_never_seen_it(
    resources: Resources, audit: Audit, audited_template: Path, tmp_path: Path
) -> None:
    here = resources.annotations
    by_hand = Explanation(coder="sae", latent=1, text="by hand", explainer="person")
    here.add(by_hand)
    items = (
        replace(audit.items[0], coder="sae", latent=1, explanation_id=by_hand.id, text_id=by_hand.id),
        *audit.items[1:],
    )
    items = (replace(items[0], stratum=0), *items[1:])
    made = replace(audit, id="made-here", items=items)
    here.audits.create(made)
    rating = rate(here, made, 0)
    path = exported(here, made, tmp_path / "audit.parquet")
    store = Store.open(shutil.copytree(audited_template, tmp_path / "fresh"))
    with Annotations(store.path) as there:
        done = import_audit(there, path, store)
        assert (done.is_new, done.new_ratings, done.missing_explanations) == (True, 1, 1)
        assert there.audits.get(made.id) == made
        assert there.audits.history(made.id) == [rating]


def test_a_file_for_others(resources: Resources, audit: Audit, tmp_path: Path) -> None:
    """Read without this program: one row a rating with what it is about."""
    here = resources.annotations
    first = rate(here, audit, 2, note='say "no"')
    rate(here, audit, 2, verdict="wrong", revises=first.id)
    with exported(here, audit, tmp_path / "a.csv").open(encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["record"] == "rating"]
    item = audit.items[2]
    assert [
        (row["coder"], row["latent"], row["verdict"], row["is_current"], row["note"]) for row in rows
    ] == [
        (item.coder, str(item.latent), "correct", "false", 'say "no"'),
        (item.coder, str(item.latent), "wrong", "true", ""),
    ]
    table = pyarrow.parquet.read_table(exported(here, audit, tmp_path / "a.parquet"))
    assert table["record"].to_pylist().count("item") == len(audit.items)
    lines = [
        json.loads(line) for line in exported(here, audit, tmp_path / "a.jsonl").read_text().splitlines()
    ]
    assert (lines[0]["name"], lines[0]["format"], lines[1]["scores"]) == (
        "First look",
        1,
        audit.items[0].scores,
    )


def changed(path: Path, record: str, values: dict[str, Any]) -> Path:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    at = next(i for i, line in enumerate(lines) if line["record"] == record)
    lines[at] |= values
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("record", "values", "says"),
    [
        ("audit", {"format": 2}, "reads formats up to 1. Update"),
        ("audit", {"format": None}, "reads formats up to 1"),
        ("audit", {"seed": None}, "`seed` is missing"),
        ("audit", {"record": "item"}, "cannot be read|holds 0 audits"),
        ("audit", {"store": {"corpus": "f" * 64}}, "another text, corpus ffffffffffff"),
        ("audit", {"name": "Other"}, "differs from the one that this store has"),
        ("audit", {"tasks": ["guess"]}, "The tasks of an audit"),
        ("item", {"record": "thing"}, "is not an audit: in row 2"),
        ("item", {"latent": "x"}, "cannot be read as an audit"),
        ("item", {"i": 99}, "numbered from 0"),
        ("item", {"text": "something else"}, "differs from the one that this store has"),
        ("rating", {"verdict": "fine"}, "unknown verdict 'fine'"),
        ("rating", {"item": 99}, "does not ask"),
        ("rating", {"note": "edited"}, "with different content"),
        ("rating", {"revises": "nobody"}, "does not follow"),
        ("rating", {"skipped": "maybe"}, "cannot be read as an audit"),
        ("rating", {"judged": [{"colour": 1}]}, "cannot be read as an audit"),
        ("rating", {"rater": ""}, "The name of the rater is empty"),
        ("rating", {"seconds": -1}, "seconds is -1"),
        ("rating", {"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_a_file_that_was_tampered_with_changes_nothing(
    resources: Resources, audit: Audit, tmp_path: Path, record: str, values: dict[str, Any], says: str
) -> None:
    rating = rate(resources.annotations, audit, 0)
    path = changed(exported(resources.annotations, audit, tmp_path / "a.jsonl"), record, values)
    with pytest.raises(UserError, match=says):
        import_audit(resources.annotations, path, resources.store)
    assert resources.annotations.audits.history(audit.id) == [rating]
    assert len(resources.annotations.audits.all()) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "", "must end in .csv, .jsonl, .parquet"),
        ("a.jsonl", "", "holds 0 audits"),
        ("a.jsonl", "[1]", "one JSON object"),
        ("a.jsonl", "{", "cannot be read as JSONL"),
        ("a.csv", "coder,latent\nsae,1\n", "is not an audit: in row 1"),
        ("a.parquet", "not parquet", "cannot be read as PARQUET"),
    ],
)
def test_foreign_files_are_refused(
    resources: Resources, tmp_path: Path, name: str, content: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=says):
        import_audit(resources.annotations, path, resources.store)


def test_another_stores_coder_is_refused(
    resources: Resources, audit: Audit, tmp_path: Path, store_factory: StoreFactory
) -> None:
    path = exported(resources.annotations, audit, tmp_path / "a.jsonl")
    store = store_factory(resources.store.tokens, {"sae": CoderSpec({0: [(3, 1.0)]}, 2)})
    with Annotations(store.path) as annotations:
        with pytest.raises(UserError, match=r"about the coder 'tc'|another coder 'sae'"):
            import_audit(annotations, path, store)
        assert annotations.audits.all() == []


def with_weights(store: Store, weights: str) -> Store:
    with CoderWriter(
        store,
        "sae",
        kind="sae",
        hookpoint="h",
        n_latents=4,
        k=None,
        d_in=8,
        source="test",
        config={"weights": weights},
    ) as writer:
        writer.append(np.array([0, 1]), np.array([3, 9]), np.ones(2, dtype=np.float32))
        writer.finish(n_tokens=store.n_contexts * store.ctx_len)
    return store


def test_a_store_built_again_from_the_same_weights_takes_the_audit(
    tmp_path: Path, store_factory: StoreFactory
) -> None:
    tokens = np.arange(64).reshape(2, 32) % 7
    first, again, other = (with_weights(store_factory(tokens), weights) for weights in ("abc", "abc", "xyz"))
    made_on = fingerprints(first, ["sae"])
    assert made_on["coders"] != fingerprints(again, ["sae"])["coders"]
    audit = replace(AUDIT, store=made_on)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(write_audit(audit_rows(audit, (), set()), "jsonl"))
    with Annotations(again.path) as annotations:
        assert import_audit(annotations, path, again).missing_explanations == 4
    with Annotations(other.path) as annotations, pytest.raises(UserError, match="a coder 'sae' that differs"):
        import_audit(annotations, path, other)


def test_lines_to_cite(resources: Resources, audit: Audit) -> None:
    store, annotations = resources.store, resources.annotations
    line = cite_feature(store, annotations, "sae", 3)
    shown = annotations.shown("sae", 3)
    assert shown is not None
    identity = store.generation().coder("sae").identity
    for part in (
        "Feature 3 of sae",
        identity[:12],
        store.meta["corpus"]["sha256"][:12],
        shown.id,
        shown.text,
        "seed 0",
    ):
        assert part in line
    line = cite_audit(audit)
    for part in (
        "First look",
        "Ann",
        audit.id,
        "10 of 24 explanations",
        "2 controls",
        "seed 0",
        identity[:12],
    ):
        assert part in line
    assert "explanation" not in cite_feature(store, annotations, "sae", 12)
    with pytest.raises(UserError, match="latent"):
        cite_feature(store, annotations, "sae", 99)
    with pytest.raises(UserError, match="which store it was made on"):
        cite_audit(replace(audit, store={}))
