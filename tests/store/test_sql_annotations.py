"""SQL over what people and jobs wrote, beside the coders' own tables."""

import pytest

from autointerp.errors import UserError
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.store import Store
from autointerp.store.annotations import Annotations


def fill(store: Store) -> tuple[Explanation, Explanation, Score]:
    """Two versions for latent 3, one failure for latent 4, one score with two judged examples; returns old, new, score."""
    old = Explanation(
        coder="sae", latent=3, text="old", explainer="pattern", example_ids=("0:0:32", "1:0:32")
    )
    new = Explanation(coder="sae", latent=3, text="new", explainer="person", author="ada", parent=old.id)
    failed = Explanation(
        coder="sae",
        latent=4,
        text="",
        explainer="default",
        model="m",
        status="failed",
        error="no",
        error_kind="refused",
        reasoning="hm",
        parts={"tokens": ["a"]},
    )
    judged = (
        JudgedExample(i=0, context=2, start=32, window=32, truth=True, answer=True, marks=(1, 2)),
        JudgedExample(i=1, context=3, start=0, window=32, truth=False, answer=None, error="cut"),
    )
    score = Score(
        explanation_id=old.id,
        scorer="detection",
        judge="offline",
        value=0.75,
        ci_low=0.5,
        ci_high=1.0,
        n_pos=1,
        n_neg=1,
        tpr_by_quantile=(1.0, None),
        floor=0.5,
        config={"seed": 1},
        judged=judged,
    )
    with Annotations(store.path) as annotations:
        annotations.show_by("newest")
        annotations.add(old, new, failed, score)
    return old, new, score


def test_every_row_is_there(tiny_store: Store) -> None:
    old, new, score = fill(tiny_store)
    rows = tiny_store.sql("SELECT * FROM explanations").to_pylist()
    assert [(r["latent"], r["text"], r["status"]) for r in rows] == [
        (3, "old", "ok"),
        (3, "new", "ok"),
        (4, "", "failed"),
    ]
    assert [(r["shown"], r["pinned"], r["n_examples"]) for r in rows] == [
        (False, False, 2),
        (True, False, 0),
        (False, False, 0),
    ]
    assert (rows[1]["parent"], rows[1]["author"], rows[2]["error"]) == (old.id, "ada", "no")
    told = {"reasoning": "hm", "parts": '{"tokens":["a"]}', "error_kind": "refused", "retryable": False}
    assert {name: rows[2][name] for name in told} == told
    (row,) = tiny_store.sql("SELECT * FROM scores").to_pylist()
    assert (row["id"], row["explanation_id"], row["explainer"]) == (score.id, old.id, "pattern")
    assert (row["value"], row["ci_low"], row["floor"], row["shown"]) == (0.75, 0.5, 0.5, False)
    assert (row["tpr_by_quantile"], row["config"]) == ([1.0, None], '{"seed":1}')
    judged = tiny_store.sql("SELECT * FROM judged_examples ORDER BY i").to_pylist()
    assert [(j["score_id"], j["truth"], j["answer"], j["correct"]) for j in judged] == [
        (score.id, True, True, True),
        (score.id, False, None, None),
    ]
    assert [(j["marks"], j["source"], j["error"]) for j in judged] == [
        ([1, 2], "activating", None),
        (None, "activating", "cut"),
    ]
    assert new.id == rows[1]["id"]


def test_they_join_with_the_coders_tables_and_are_never_stale(tiny_store: Store) -> None:
    query = "SELECT e.text, l.n_activations FROM explanations e JOIN latents l USING (coder, latent) WHERE e.shown"
    assert tiny_store.sql(query).to_pylist() == []
    _, new, _ = fill(tiny_store)
    assert tiny_store.sql(query).to_pylist() == [{"text": "new", "n_activations": 60}]
    with Annotations(tiny_store.path) as annotations:
        annotations.add(Explanation(coder="sae", latent=3, text="newer", explainer="person"))
        assert tiny_store.sql(query).to_pylist()[0]["text"] == "newer"
        annotations.pin(new.id, author="ada")
    assert tiny_store.sql(query).to_pylist()[0]["text"] == "new"


@pytest.mark.parametrize("name", ["explanations", "scores", "judged_examples"])
def test_a_store_without_annotations_has_empty_ones(tiny_store: Store, name: str) -> None:
    assert tiny_store.sql(f"SELECT count(*) AS n FROM {name}").to_pydict() == {"n": [0]}
    assert not (tiny_store.path / "annotations.sqlite").exists(), "reading creates nothing"
    assert name in tiny_store.sql("SHOW TABLES").to_pydict()["name"]


def test_a_computed_name_finds_them_too(tiny_store: Store) -> None:
    fill(tiny_store)
    found = tiny_store.sql("SELECT count(*) AS n FROM query_table('expla' || 'nations')").to_pydict()
    assert found == {"n": [3]}


def test_they_cannot_be_written(tiny_store: Store) -> None:
    fill(tiny_store)
    for query in ("DELETE FROM explanations", "DROP VIEW scores", "SELECT * FROM annotations.explanations"):
        with pytest.raises(UserError):
            tiny_store.sql(query)
    assert tiny_store.sql("SELECT count(*) AS n FROM explanations").to_pydict() == {"n": [3]}
