"""`autointerp audit` but for its report: from drawing one to merging another person's answers."""

import json
import shutil
from pathlib import Path

import pytest

from autointerp.ratings import Rating
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.cli.conftest import RunJson, RunText
from tests.explained import Explained, explain


@pytest.fixture
def explained(tiny_store: Store) -> Explained:
    return explain(tiny_store)


def test_an_audit_is_drawn_once_it_was_looked_at(explained: Explained, run_json: RunJson, run_text: RunText):
    path = explained.path
    looked = run_json("audit", "create", path, "--dry-run", "--n", 8, "--by", "none")
    assert looked["population"] == sum(each["population"] for each in looked["strata"])
    assert looked["kind"] is None
    assert run_json("audit", "list", path)["audits"] == []
    drawn = run_json(
        "audit", "create", path, "--n", 8, "--by", "none", "--name", "Pilot", "--author", "Ann", "--purpose", "A try",
        "--task", "verdict", "detection", "--controls", 0.25, "--seed", 3,
    )  # fmt: skip
    assert (drawn["strata"], drawn["population"]) == (looked["strata"], looked["population"])
    assert (drawn["n_items"], drawn["n_controls"], drawn["tasks"]) == (10, 2, ["verdict", "detection"])
    (listed,) = run_json("audit", "list", path)["audits"]
    assert (listed["id"], listed["name"], listed["author"], listed["purpose"]) == (
        drawn["id"],
        "Pilot",
        "Ann",
        "A try",
    )
    with Annotations(path) as annotations:
        audit = annotations.audits.get(drawn["id"])
        assert audit.config == drawn["options"]
        annotations.audits.rate(
            Rating(audit_id=audit.id, item=2, rater="Ben", task="verdict", verdict="wrong"),
            Rating(audit_id=audit.id, item=3, rater="Ben", task="verdict", skipped=True),
        )
    (listed,) = run_json("audit", "list", path)["audits"]
    (ben,) = listed["raters"]
    assert (ben["rater"], ben["done"], ben["skipped"]) == ("Ben", 1, 1)
    code, text, _ = run_text("audit", "list", path)
    assert code == 0
    assert f"Ben 1/{ben['asked']}" in text
    assert ben["asked"] >= 20


def test_strata_follow_the_kind_that_most_have(explained: Explained, run_json: RunJson, run_text: RunText):
    path = explained.path
    drawn = run_json("audit", "create", path, "--dry-run", "--n", 6)
    assert drawn["kind"].startswith("detection~offline")
    assert all(stratum["score"] for stratum in drawn["strata"])
    few = run_json("audit", "create", path, "sae", "--dry-run", "--n", 6, "--by", "detection", "--most", 0.8)
    assert few["population"] < drawn["population"]
    every = run_json("audit", "create", path, "sae", "--dry-run", "--n", 6, "--by", "none")
    assert few["left_out"] == every["population"] - few["population"]
    none = run_json("audit", "create", path, "--dry-run", "--by", "fuzzing")
    assert none["coders_without"] == ["sae"], "there only an older version has that score"
    assert all(stratum["score"][1] <= 0.8 for stratum in few["strata"])
    one = run_json("audit", "create", path, "sae", "--dry-run", "--latents", "0-3", "--by", "none")
    assert one["population"] == 3
    with Annotations(path) as annotations:
        annotations.collections.add("mine", [("sae", 1), ("transcoder", 1)], author="Ann")
    both = run_json("audit", "create", path, "--dry-run", "--collection", "mine", "--by", "none")
    assert [(stratum["coder"], stratum["population"]) for stratum in both["strata"]] == [
        ("sae", 1),
        ("transcoder", 1),
    ]
    code, text, _ = run_text("audit", "create", path, "--dry-run", "--n", 6)
    assert code == 0
    assert "Strata by detection~offline" in text


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["create", "STORE", "nobody"], "unknown coder 'nobody'"),
        (["create", "STORE", "--n", "0"], "n is 0; accepted"),
        (["create", "STORE", "--collection", "none"], "unknown collection"),
        (["create", "STORE", "--latents", "1"], "needs exactly one coder"),
        (["create", "STORE", "--explainer", "nobody", "--by", "none"], "no explanation by “nobody”"),
        (["create", "STORE", "--by", "guess"], "none of these coders was scored that way"),
        (["create", "STORE", "sae", "--latents", "1", "--collection", "x"], "not both"),
        (["export", "STORE", "a.jsonl"], "no audits in this store"),
        (["import", "STORE", "nowhere.jsonl"], "no such file"),
        (["cite", "STORE", "sae", "x"], "not the number of a latent"),
        (["cite", "STORE", "a", "b", "c"], "Give an audit, or a coder"),
        (["report", "STORE"], "no audits in this store"),
    ],
)
def test_wrong_input_is_said_plainly(explained: Explained, argv: list[str], says: str, run_text: RunText):
    code, out, err = run_text("audit", *(str(explained.path) if word == "STORE" else word for word in argv))
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_from_one_copy_to_another_and_back(
    explained: Explained, tmp_path: Path, ending: str, run_json: RunJson, run_text: RunText
):
    path, copy = explained.path, tmp_path / "copy"
    audit = run_json("audit", "create", path, "--n", 6, "--by", "none", "--name", "Pilot")["id"]
    shutil.copytree(path, copy)
    with Annotations(path) as here, Annotations(copy) as there:
        here.audits.rate(Rating(audit_id=audit, item=0, rater="Ann", task="verdict", verdict="correct"))
        there.audits.rate(
            Rating(audit_id=audit, item=0, rater="Ann", task="verdict", verdict="wrong"),
            Rating(audit_id=audit, item=0, rater="Ben", task="verdict", verdict="wrong", note="<b>no</b>"),
        )
    file = tmp_path / f"there.{ending}"
    assert run_json("audit", "export", copy, "Pilot", file)["n_ratings"] == 2
    done = run_json("audit", "import", path, file)
    assert (done["new_ratings"], done["known_ratings"], done["is_new"]) == (1, 0, False)
    (conflict,) = done["conflicts"]
    assert (conflict["here"]["verdict"], conflict["there"]["verdict"]) == ("correct", "wrong")
    code, text, _ = run_text("audit", "import", path, file)
    assert code == 0
    assert "0 ratings added, 1 already here" in text
    assert "item 1, Ann: here “Correct”, in the file “Wrong”" in text
    done = run_json("audit", "import", path, file, "--overwrite")
    assert done["new_ratings"] == 1
    assert run_json("audit", "import", path, file, "--overwrite")["conflicts"] == []
    rows = run_json("audit", "export", path, "-")["rows"]
    ratings = [(row["rater"], row["verdict"], row["is_current"]) for row in rows if row["record"] == "rating"]
    assert ratings == [("Ann", "correct", False), ("Ben", "wrong", True), ("Ann", "wrong", True)]
    code, text, _ = run_text("audit", "export", path, "-")
    assert [json.loads(line) for line in text.splitlines()] == rows


def test_lines_to_cite(explained: Explained, run_json: RunJson):
    audit = run_json("audit", "create", explained.path, "--n", 6, "--by", "none", "--name", "Pilot")["id"]
    assert audit in run_json("audit", "cite", explained.path)["citation"]
    assert "Feature 4 of sae" in run_json("audit", "cite", explained.path, "sae", 4)["citation"]


def test_an_audit_that_is_not_named_must_be_the_only_one(
    explained: Explained, run_json: RunJson, run_text: RunText
):
    for name in ("One", "Two"):
        run_json("audit", "create", explained.path, "--n", 6, "--by", "none", "--name", name)
    code, _, err = run_text("audit", "cite", explained.path)
    assert code == 2
    assert "Choose one of 2 audits: Two" in err
    assert "Two" in run_json("audit", "cite", explained.path, "Two")["citation"]


def test_audits_in_sql(explained: Explained, run_json: RunJson):
    run_json("audit", "create", explained.path, "--n", 6, "--by", "none", "--name", "Pilot")
    query = (
        "SELECT a.name, count(*) AS n FROM audits a JOIN audit_items i ON i.audit_id = a.id GROUP BY a.name"
    )
    assert run_json("sql", explained.path, query)["rows"] == [{"name": "Pilot", "n": 7}]
    assert run_json("sql", explained.path, "SELECT rater, verdict, is_current FROM ratings")["rows"] == []
