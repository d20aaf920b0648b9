"""Audits as files on the Audit page: out, into another copy of the store, and cited, as on the command line."""

import shutil
from pathlib import Path

import pytest

from autointerp.audit.cite import cite_audit
from autointerp.ratings import Rating, Verdict
from autointerp.settings import ENV_READ_ONLY
from autointerp.store.annotations import Annotations
from autointerp.store.table_files import FileFormat
from autointerp.ui.audit import files
from tests.app.auditing import Bench, said
from tests.app.reading import keys, record, records


def rate(
    annotations: Annotations, audit: str, rater: str, item: int, verdict: Verdict, note: str = ""
) -> None:
    annotations.audits.rate(
        Rating(audit_id=audit, item=item, rater=rater, task="verdict", verdict=verdict, note=note)
    )


@pytest.fixture
def copy(bench: Bench, tmp_path: Path):
    """A second person's copy of the store, with the audit."""
    with Annotations(shutil.copytree(bench.store.path, tmp_path / "copy")) as annotations:
        yield annotations


def written(annotations: Annotations, audit: str, file_format: FileFormat = "jsonl") -> bytes:
    return files.write_audit(files.export_audit(annotations, audit), file_format)


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_a_second_persons_file_is_taken_in(
    open_page, bench: Bench, copy: Annotations, file_format: FileFormat
):
    audit = bench.audit.id
    rate(bench.annotations, audit, "Ann", 0, "correct")
    rate(copy, audit, "Bo", 0, "wrong", "<b>no</b>")
    rate(copy, audit, "Bo", 1, "wrong")
    file = (f"from Bo.{file_format}", written(copy, audit, file_format), "")
    app = open_page(bench.store, "audit")
    app.file_uploader(key="audit_file").set_value(file).run()
    assert bench.ratings("Bo") == [], "a file alone changes nothing"
    app.button(key="audit_import").click().run()
    assert f"“Are they right?” from from Bo.{file_format}: 2 answers added." in said(app)
    assert [rating.note for rating in bench.ratings("Bo")] == ["<b>no</b>", ""]
    app.button(key="audit_import").click().run()
    assert "0 answers added, 2 already known" in said(app)
    app.button(key="audit_taken_open").click().run()
    assert app.query_params["audit"] == audit or app.query_params["audit"] == [audit]


def test_answers_that_differ_are_listed_and_taken_only_when_asked(open_page, bench: Bench, copy: Annotations):
    audit = bench.audit.id
    rate(bench.annotations, audit, "Ann", 0, "correct")
    rate(copy, audit, "Ann", 0, "wrong", "on second thought")
    app = open_page(bench.store, "audit")
    app.file_uploader(key="audit_file").set_value(("there.jsonl", written(copy, audit), "")).run()
    app.button(key="audit_import").click().run()
    assert [rating.verdict for rating in bench.ratings()] == ["correct"]
    assert "1 answer differs in the file. The ones here count" in said(app)
    table = records(app, "list")[0]
    ((item, rater, _, here, there),) = (row["cells"] for row in table["rows"])
    assert (item, rater) == ("1", "Ann")
    assert here.startswith("“Correct”")
    assert there.startswith("“Wrong” · on second thought")
    app.button(key="audit_overwrite").click().run()
    assert [rating.verdict for rating in bench.ratings()] == ["wrong"]
    assert len(bench.annotations.audits.history(audit)) == 2, "what was here is kept"
    assert "the file’s now count" in said(app)
    app.button(key="audit_taken_close").click().run()
    assert "audit_overwrite" not in keys(app)


@pytest.mark.parametrize("name", ["a.jsonl", "x" * 300 + ".csv", "../../etc/a.parquet"])
def test_what_is_no_audit_is_refused_with_its_name(open_page, bench: Bench, name: str):
    app = open_page(bench.store, "audit")
    app.file_uploader(key="audit_file").set_value((name, b"<script>\n", "")).run()
    app.button(key="audit_import").click().run()
    assert not app.exception
    (error,) = app.error
    assert "/tmp" not in error.value
    assert len(bench.annotations.audits.all()) == 1


def test_the_report_cites_the_audit_and_hands_it_out(
    open_page, bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    app = open_page(bench.store, "audit", audit=bench.audit.id, view="report")
    assert "No ratings yet" in said(app)
    assert [code.value for code in app.code] == [cite_audit(bench.audit)]
    assert [each.proto.label for each in app.get("download_button")] == ["CSV", "JSONL", "Parquet"]
    assert files.content(bench.store, bench.audit.id, "jsonl") == written(bench.annotations, bench.audit.id)
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app = open_page(bench.store, "audit")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.run()
    assert not app.file_uploader
    assert record(app, "list") is not None
