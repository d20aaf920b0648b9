"""What people said in audits, where it shows outside the Audit page."""

from typing import Any

import pytest

from autointerp.ratings import VERDICTS, Audit, AuditItem, Rating, Stratum
from autointerp.store import LatentQuery, list_latents, list_table
from autointerp.store.annotations import Annotations
from autointerp.store.queries import VERDICT_FILTERS
from autointerp.ui.shared import blind, person, verdict_text
from tests.app.auditing import everything
from tests.app.reading import card, keys, messages, records
from tests.explained import Explained

ITEMS = ("edited", "plain", "pinned", "newer", "transcoder-1")
"""Explanations by their names: of `sae` 0, 1, 3, 3 again (not the shown one), and of `transcoder`."""


@pytest.fixture
def audit(explained_store: Explained) -> Audit:
    made = [explained_store.explanations[name] for name in ITEMS]
    items = [AuditItem(i, e.coder, e.latent, e.id, e.id, e.text, 0, {}) for i, e in enumerate(made)]
    audit = Audit(
        name="<b>First</b> look", author="Ada", tasks=("verdict",), seed=0, items=tuple(items),
        strata=(Stratum(0, "sae", None, None, 30, len(items)),),
    )  # fmt: skip
    answers: list[tuple[int, str, dict[str, Any]]] = [
        (0, "Ada", {"verdict": "correct"}),
        (0, "Bo", {"verdict": "wrong"}),
        (1, "Ada", {"verdict": "too_broad", "note": "also cats"}),
        (3, "Bo", {"verdict": "wrong"}),
        (4, "<i>Cy</i>", {"verdict": "correct"}),
    ]
    with Annotations(explained_store.path) as annotations:
        annotations.audits.create(audit)
        for item, rater, answer in answers:
            annotations.audits.rate(
                Rating(audit_id=audit.id, item=item, rater=rater, task="verdict", **answer)
            )
    return audit


def rows(app: Any) -> dict[tuple[str, int], Any]:
    """The cell of the verdict by feature."""
    assert not app.exception, app.exception
    (table,) = [each for each in records(app, "list") if each["page"] == "feature"]
    titles = [column["title"] for column in table["columns"]]
    at = titles.index("Verdict") if "Verdict" in titles else None
    return {
        (r["go"]["coder"], r["go"]["latent"]): None if at is None else r["cells"][at] for r in table["rows"]
    }


def test_a_column_and_a_filter_of_the_list(open_page: Any, explained_store: Explained, audit: Audit) -> None:
    shown = rows(open_page(explained_store, "features"))
    assert shown["sae", 0][0] == "Raters disagree"
    assert shown["sae", 1] == ["Too broad", "By 1 rater"]
    assert shown["sae", 3][0] == "Wrong, other version"
    assert shown["sae", 4] is None
    transcoder = explained_store.explanations["transcoder-1"].latent
    expected = {
        "mixed": {("sae", 0)},
        "too_broad": {("sae", 1)},
        "wrong": {("sae", 3)},
        "judged": {("sae", 0), ("sae", 1), ("sae", 3), ("transcoder", transcoder)},
    }
    for verdict, wanted in expected.items():
        app = open_page(explained_store, "features", verdict=verdict)
        assert set(rows(app)) == wanted
        (chip,) = [button.label for button in app.button if str(button.key).startswith("chip_")]
        assert verdict_text.FILTERS[verdict] in chip
    unjudged = rows(open_page(explained_store, "features", verdict="unjudged"))
    assert set(unjudged) == set(shown) - expected["judged"]
    assert rows(open_page(explained_store, "features", verdict="<script>")) == shown, "no filter"


def test_without_audits_nothing_is_said_of_verdicts(open_page: Any, explained_store: Explained) -> None:
    assert set(rows(open_page(explained_store, "features")).values()) == {None}
    app = open_page(explained_store, "features", verdict="correct")
    assert not app.exception
    assert "No feature passes these filters" in messages(app)


def test_a_line_under_the_explanation_leads_to_the_audit(
    open_page: Any, explained_store: Explained, audit: Audit
) -> None:
    app = open_page(explained_store, "feature", coder="sae", latent="0")
    said = " ".join(block.value for block in app.markdown)
    assert "**Correct** (Ada), **Wrong** (Bo)" in said
    assert f"to_audit_{audit.id}" in keys(app)
    assert card(app)
    other = open_page(explained_store, "feature", coder="sae", latent="3")
    assert "No verdict on this version · 1 verdict on other versions" in " ".join(
        b.value for b in other.markdown
    )
    plain = open_page(explained_store, "feature", coder="sae", latent="4")
    assert not [key for key in keys(plain) if key.startswith("to_audit")]
    hostile = explained_store.explanations["transcoder-1"].latent
    app = open_page(explained_store, "feature", coder="transcoder", latent=str(hostile))
    assert "<i>" not in " ".join(block.value for block in app.markdown).replace(r"\<", "")


def test_a_rater_sees_nothing_of_what_they_are_still_to_rate_blind(
    open_page: Any, explained_store: Explained, audit: Audit
) -> None:
    transcoder = explained_store.explanations["transcoder-1"].latent

    def see(name: str, rater: str, **address: str) -> Any:
        app = open_page(explained_store, name, **address)
        app.session_state["drafts_found"] = {person.KEY: rater}  # as the browser tells
        return app.run()

    shown = rows(see("features", "Ada"))
    assert {place for place, cell in shown.items() if cell and cell[0] == blind.HIDDEN} == {
        ("sae", 3),
        ("transcoder", transcoder),
    }
    assert shown["sae", 0][0] == "Raters disagree", "which she has rated"
    assert "No feature passes" in messages(see("features", "Ada", verdict="wrong")), "nor by the filter"
    assert ("sae", 3) in rows(see("features", "Ada", verdict="unjudged"))
    app = see("feature", "Ada", coder="sae", latent="3")
    assert f"Verdict: h{blind.HIDDEN[1:]}" in " ".join(block.value for block in app.markdown)
    assert "1 verdict on other versions" not in everything(app)
    assert "Wrong" in everything(see("feature", "Bo", coder="sae", latent="0"))
    assert rows(see("features", "Eve"))["sae", 3][0] == "Wrong, other version", "she does not take part"
    # Once all is rated, and a skipped item is not.
    with Annotations(explained_store.path) as annotations:
        given: list[tuple[int, dict[str, Any]]] = [
            (2, {"skipped": True}), (3, {"verdict": "wrong"}), (4, {"verdict": "wrong"})
        ]  # fmt: skip
        for item, answer in given:
            annotations.audits.rate(
                Rating(audit_id=audit.id, item=item, rater="Ada", task="verdict", **answer)
            )
        hidden = {
            place for place, cell in rows(see("features", "Ada")).items() if cell and cell[0] == blind.HIDDEN
        }
        assert hidden == {("sae", 3)}
        query = LatentQuery(unseen={"sae": [3]})
        table = list_table(explained_store.store, ["sae"], query, annotations=annotations)
        exported = {row["latent"]: row["verdict"] for row in table.to_pylist()}
        assert (exported[3], exported[1]) == (None, "too_broad")


def test_what_was_settled_stands_for_both(explained_store: Explained, audit: Audit) -> None:
    with Annotations(explained_store.path) as annotations:
        annotations.audits.rate(
            Rating(
                audit_id=audit.id, item=0, rater="Ada", task="verdict", verdict="correct", role="adjudicator"
            )
        )
        page = list_latents(
            explained_store.store, ["sae"], LatentQuery(verdict="correct"), annotations=annotations
        )
        (row,) = page.rows
        assert row.stats.latent == 0
        assert row.verdict is not None
        assert (row.verdict.adjudicated, row.verdict.n_raters) == (True, 2)
        table = list_table(
            explained_store.store, ["sae", "transcoder"], LatentQuery(), annotations=annotations
        )
        exported = {
            (r["coder"], r["latent"]): (r["verdict"], r["n_raters"], r["adjudicated"])
            for r in table.to_pylist()
        }
        assert exported["sae", 0] == ("correct", 2, True)
        assert exported["sae", 4] == (None, None, None)


def test_every_filter_is_a_part_of_the_list(explained_store: Explained, audit: Audit) -> None:
    """Each verdict's rows and those without make up the whole list, once."""
    store = explained_store.store
    with Annotations(explained_store.path) as annotations:

        def latents(verdict: str | None) -> list[tuple[str, int]]:
            query = LatentQuery(verdict=verdict, limit=100)
            page = list_latents(store, annotations=annotations, query=query)
            assert page.total == len(page.rows)
            return [(row.coder, row.stats.latent) for row in page.rows]

        parts = [latent for verdict in VERDICT_FILTERS if verdict != "judged" for latent in latents(verdict)]
        assert sorted(parts) == sorted(latents(None))
    assert latents is not None
    assert {verdict_text.group(verdict) for verdict in VERDICTS} == set(verdict_text.GROUPS)
