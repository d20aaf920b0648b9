"""The Jobs page and the strip as AppTest runs them: every state of a job, every kind of address."""

import json
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.errors import Failure
from autointerp.records import Explanation
from autointerp.settings import ENV_READ_ONLY, ENV_STORE
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Job, Outcome, new_owner
from tests.app.reading import links, messages, record, records
from tests.app.test_pages import HOSTILE

OTHER = "made-elsewhere"
"""A kind that the app's own runner does not know, so that queued jobs stay queued."""

TOLD = {
    "coder": "sae",
    "explain": {
        "explainer": "default",
        "seed": 0,
        "llm": {"model": "m<b>", "base_url": "vllm", "key_ref": "key-XYZ", "prices": {}},
    },
    "then": [{"scorer": "detection", "judge": "offline", "negatives": ["random"]}],
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_model")


@pytest.fixture
def annotations(tiny_store: Store) -> Iterator[Annotations]:
    with Annotations(tiny_store.path) as opened:
        yield opened


@pytest.fixture
def jobs(annotations: Annotations) -> dict[str, Job]:
    """One job in every state, by name."""
    table = annotations.jobs
    explained = Explanation(coder="sae", latent=3, text="x", explainer="pattern", author="t")
    annotations.add(explained)
    made: dict[str, Job] = {}

    def add(name: str, items, payload=None, **options) -> Job:
        made[name], _ = table.submit(OTHER, payload or {"n": name}, items, label=f"the {name} one", **options)
        return made[name]

    def work_on(name: str, results: list[Outcome]):
        claim = table.claim(new_owner(), [OTHER], job_id=made[name].id)
        assert claim is not None
        table.complete(claim, list(enumerate(results)))
        return claim

    add("done", [1, 2])
    table.finish(work_on("done", [Outcome(tokens_in=1500, tokens_out=20, cost=0.25), Outcome()]))
    add("unpriced", [1])
    table.finish(work_on("unpriced", [Outcome(tokens_in=10, tokens_out=2, cost=None)]))
    add("partly", [0, 3, 4, 7, explained.id, 99], TOLD)
    few = "latent {} fires in {} contexts: too few"
    results = [
        Outcome(failure=Failure(few.format(0, 1))),
        Outcome(failure=Failure(few.format(3, 2))),
        Outcome(failure=Failure(few.format(4, 9))),
    ]
    results += [
        Outcome(),
        Outcome(failure=Failure("![x](http://x) <b>bad</b>")),
        Outcome(failure=Failure("boom")),
    ]
    table.finish(work_on("partly", results))
    add("failed", [1, 2])
    table.finish(work_on("failed", []), state="failed", failure=Failure("the key is <b>wrong</b>", "auth"))
    add("cancelled", [1, 2])
    table.cancel(made["cancelled"].id)
    add("waiting", [5])
    add("running", range(1000))
    claim = work_on("running", [Outcome()] * 250)
    table.beat(claim, rate=5.0)
    return {name: table.get(job.id) for name, job in made.items()}


def rows(app: AppTest) -> dict[str, dict]:
    table = record(app, "jobs")
    assert table is not None
    titles = [column.get("title") or column["kind"] for column in table["columns"]]
    return {row["id"]: dict(zip(titles, row["cells"], strict=True)) for row in table["rows"]}


def test_without_jobs_it_says_how_to_start_one(open_page, tiny_store: Store):
    app = open_page(tiny_store, "jobs")
    assert not app.exception
    assert "No jobs yet" in messages(app)
    assert "autointerp explain" in app.code[0].value
    assert app.button(key="new_batch")


def test_every_state_is_told_in_sign_and_word(open_page, tiny_store: Store, jobs: dict[str, Job]):
    app = open_page(tiny_store, "jobs")
    assert not app.exception
    table = rows(app)
    assert list(table)[:2] == [jobs["running"].id, jobs["waiting"].id]
    words = {
        name: (table[job.id]["State"]["sign"], table[job.id]["State"]["word"]) for name, job in jobs.items()
    }
    assert words == {
        "done": ("✓", "done"),
        "unpriced": ("✓", "done"),
        "partly": ("!", "done, some failed"),
        "failed": ("✕", "failed"),
        "cancelled": ("–", "cancelled"),
        "waiting": ("○", "waiting"),
        "running": ("▶", "running"),
    }
    running = table[jobs["running"].id]
    assert running["Progress"]["text"] == "250 of 1,000"
    assert running["Progress"]["done"] == 0.25
    assert (running["Rate"], running["Left"], running["By"][0]) == ("5.0 / s", "2 min 30 s", "this app")
    assert table[jobs["done"].id]["Cost"][0] == "0.25"
    assert table[jobs["unpriced"].id]["Cost"][0] == "unknown"
    assert table[jobs["failed"].id]["Job"]["note"] == "the key is <b>wrong</b>"
    acts = {name: [act[:2] for act in table[job.id]["actions"]] for name, job in jobs.items()}
    assert acts["running"] == acts["waiting"] == [["cancel", "Cancel"]]
    assert acts["partly"] == [["retry", "Retry 5 failed"]]
    assert acts["failed"] == [["retry", "Retry"]]
    assert acts["done"] == []


def test_columns_that_no_job_fills_are_left_out(open_page, tiny_store: Store, annotations: Annotations):
    job, _ = annotations.jobs.submit(OTHER, {}, [1])
    claim = annotations.jobs.claim(new_owner(), [OTHER])
    assert claim is not None
    annotations.jobs.complete(claim, [(0, Outcome())])
    annotations.jobs.finish(claim)
    assert set(rows(open_page(tiny_store, "jobs"))[job.id]) == {"State", "Job", "Progress", "Started", "Took"}
    annotations.jobs.submit(OTHER, {"n": 1}, [1])
    assert {"By", "actions"} <= set(rows(open_page(tiny_store, "jobs"))[job.id])


def test_an_ended_job_keeps_its_row(
    open_page, tiny_store: Store, jobs: dict[str, Job], annotations: Annotations
):
    app = open_page(tiny_store, "jobs")
    before = list(rows(app))
    second, _ = annotations.jobs.submit(OTHER, {"second": 2}, [1])
    annotations.jobs.cancel(jobs["waiting"].id)
    app.run()
    assert list(rows(app)) == [*before[:2], second.id, *before[2:]]
    assert rows(app)[jobs["waiting"].id]["State"]["word"] == "cancelled"
    other = open_page(tiny_store, "jobs")  # who comes later sees it where it belongs
    assert list(rows(other))[:2] == [jobs["running"].id, second.id]


def test_retry_is_offered_only_where_it_can_help(open_page, tiny_store: Store, annotations: Annotations):
    made = {}
    for kind in ("no_pattern", "busy"):
        made[kind], _ = annotations.jobs.submit(OTHER, {"kind": kind}, [1, 2])
        claim = annotations.jobs.claim(new_owner(), [OTHER])
        assert claim is not None
        failure = Failure("nothing in common", kind, kind == "busy")
        annotations.jobs.complete(claim, [(0, Outcome()), (1, Outcome(failure=failure))])
        annotations.jobs.finish(claim)
    table = rows(open_page(tiny_store, "jobs"))
    assert table[made["no_pattern"].id]["actions"] == []
    assert [act[0] for act in table[made["busy"].id]["actions"]] == ["retry"]
    app = open_page(tiny_store, "jobs", job=made["no_pattern"].id)
    causes, items = records(app, "list")[-2:]
    assert causes["rows"][0]["cells"][:2] == ["1", "nothing in common"]
    assert [column["title"] for column in items["columns"]] == [
        "Feature",
        "Attempts",
    ]  # the cause is said once


@pytest.mark.parametrize(("show", "names"), [
    ("active", {"running", "waiting"}), ("done", {"done", "unpriced", "partly"}), ("failed", {"failed", "cancelled"}),
])  # fmt: skip
def test_the_address_narrows_the_table(
    open_page, tiny_store: Store, jobs: dict[str, Job], show: str, names: set[str]
):
    app = open_page(tiny_store, "jobs", show=show)
    assert set(rows(app)) == {jobs[name].id for name in names}


def test_read_only_shows_and_starts_nothing(
    open_page, tiny_store: Store, jobs: dict[str, Job], monkeypatch: pytest.MonkeyPatch
):
    app = open_page(tiny_store, "overview")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.switch_page("pages/jobs.py")
    app.query_params["new"] = "1"
    app.run()
    assert not app.exception
    assert all(not row.get("actions") for row in rows(app).values())
    assert not [button for button in app.button if button.key in ("new_batch", "batch_start", "close_batch")]
    app.query_params["job"] = jobs["partly"].id
    app.run()
    assert not app.exception
    assert all(not row.get("actions") for row in rows(app).values())


def test_read_only_without_any_annotations(open_page, tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    app = open_page(tiny_store.path / "nothing", "overview")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    monkeypatch.setenv(ENV_STORE, str(tiny_store.path))
    app.switch_page("pages/jobs.py")
    app.run()
    assert not app.exception
    assert "No jobs yet" in messages(app)
    assert not (tiny_store.path / "annotations.sqlite").exists()


def test_older_jobs_are_on_further_pages(open_page, tiny_store: Store, annotations: Annotations):
    for number in range(60):
        job, _ = annotations.jobs.submit(OTHER, {"n": number}, [0], label=f"job {number}")
        annotations.jobs.cancel(job.id)
    app = open_page(tiny_store, "jobs")
    assert [row["Job"]["label"] for row in rows(app).values()] == [f"job {n}" for n in range(59, 34, -1)]
    app.button(key="page_older").click().run()
    app.button(key="page_older").click().run()
    assert not app.exception
    assert len(rows(app)) == 10
    assert app.button(key="page_older").disabled
    app.button(key="page_newer").click().run()
    assert app.query_params["page"] == "2"


def test_details_tell_configuration_causes_and_features(open_page, tiny_store: Store, jobs: dict[str, Job]):
    app = open_page(tiny_store, "jobs", job=jobs["partly"].id)
    assert not app.exception
    options, causes, items = (table["rows"] for table in records(app, "list"))
    told = {tuple(row["cells"][:2]): row["cells"][2] for row in options}
    assert told[("", "Coder")] == "sae"
    assert told[("Explain", "Explainer")] == "default"
    assert told[("Language model", "Model")] == "m<b>"
    assert told[("Language model", "Prices")] == "unknown"
    assert "key-XYZ" not in json.dumps(options)
    assert [row["cells"][0] for row in causes] == ["3", "1", "1"]
    assert causes[0]["go"] == {"coder": "sae", "latent": 0}
    assert causes[1]["go"] == {"coder": "sae", "latent": 3}  # through its explanation
    assert "go" not in causes[2]  # latent 99 does not exist
    assert [row["cells"][0] for row in items] == ["sae #0", "sae #3", "sae #4", "sae #3", "99"]
    app = open_page(tiny_store, "jobs", job=jobs["partly"].id, items="done")
    assert [row["cells"][0] for row in records(app, "list")[2]["rows"]] == ["sae #7"]


def test_details_of_every_state(open_page, tiny_store: Store, jobs: dict[str, Job]):
    for job in jobs.values():
        app = open_page(tiny_store, "jobs", job=job.id)
        assert not app.exception
        assert list(rows(app)) == [job.id]
        assert any("All jobs" in button.label for button in app.button)
    assert "\\<b\\>wrong" in messages(open_page(tiny_store, "jobs", job=jobs["failed"].id))


def test_a_wrong_job_leads_to_others_by_name(open_page, tiny_store: Store, annotations: Annotations):
    made = [annotations.jobs.submit(OTHER, {"n": n}, [1], label="the same again")[0] for n in range(3)]
    app = open_page(tiny_store, "jobs", job="nope")
    assert not app.exception  # two jobs may be called alike
    named = links(app)
    assert [label.split(",")[0] for label in named] == ["the same again"] * 3
    assert not any(job.id in label for job in made for label in named)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_addresses(open_page, tiny_store: Store, jobs: dict[str, Job], value: str):
    app = open_page(tiny_store, "jobs", job=value)
    assert not app.exception
    assert links(app)
    assert "](" not in messages(app).replace("\\]\\(", "")
    app = open_page(tiny_store, "jobs", show=value, page=value, new=value, items=value)
    assert not app.exception
    app = open_page(tiny_store, "jobs", job=jobs["partly"].id, items=value, items_page=value)
    assert not app.exception


def test_a_page_beyond_the_last(open_page, tiny_store: Store, jobs: dict[str, Job]):
    app = open_page(tiny_store, "jobs", page="9999999")
    assert not app.exception
    assert "No older jobs" in messages(app)


# The strip ---------------------------------------------------------------------------------------


def _strip_page() -> None:
    import streamlit as st

    from autointerp.ui.shared import job_strip

    st.session_state.setdefault("ended", [])
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    for job_id in st.session_state.pop("start", []):
        job_strip.remember(job_id)
    job_strip.draw(on_done=lambda job: st.session_state["ended"].append((job.id, job.state)))


@pytest.fixture
def strip(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(ENV_STORE, str(tiny_store.path))
    return AppTest.from_function(_strip_page, default_timeout=180)


def test_the_strip_follows_a_job_to_its_end_and_tells_it_once(strip: AppTest, annotations: Annotations):
    table = annotations.jobs
    job, _ = table.submit(OTHER, {}, [1, 2], label="a <b>")
    strip.run()
    assert record(strip, "jobs") is None
    strip.session_state["start"] = [job.id]
    strip.run()
    assert not strip.exception
    assert list(rows(strip)) == [job.id]
    claim = table.claim(new_owner(), [OTHER])
    assert claim is not None
    table.complete(claim, [(0, Outcome()), (1, Outcome())])
    table.finish(claim)
    before = strip.session_state["runs"]
    strip.run()
    assert not strip.exception
    assert strip.session_state["ended"] == [(job.id, "done")]
    assert strip.session_state["runs"] == before + 2  # the page ran once more, by itself
    assert record(strip, "jobs") is None
    strip.run()
    assert len(strip.session_state["ended"]) == 1


def test_the_strip_keeps_what_went_wrong(strip: AppTest, jobs: dict[str, Job]):
    strip.session_state["start"] = [job.id for job in jobs.values()] + ["nothing"]
    strip.run()
    assert not strip.exception
    shown = rows(strip)
    assert set(shown) == {jobs[name].id for name in ("partly", "failed", "cancelled", "waiting", "running")}
    assert {act[0] for act in shown[jobs["partly"].id]["actions"]} == {"retry", "dismiss"}
    assert len(strip.session_state["ended"]) == 5
