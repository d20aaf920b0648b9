"""`autointerp jobs`, and how a batch begins, goes on and is stopped."""

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest
from pytest_httpserver import HTTPServer

from autointerp.cli.main import main
from autointerp.cli.shared import batch
from autointerp.cli.shared.jobs import cost_text, job_report
from autointerp.cli.shared.progress import PlainLines, duration
from autointerp.errors import Failure
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner, kinds
from autointerp.jobs.kinds import explain_job, job_kinds, score_job
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Job, Outcome, new_owner
from tests.batch.conftest import make_store
from tests.cli.conftest import RunJson, RunText
from tests.conftest import StoreFactory
from tests.llm.conftest import FakeServer, failure, reply


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "no-settings.json"))


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    return make_store(store_factory, 5)


def queue(store: Store, latents: list[int], **options: object) -> Job:
    """A job that waits for somebody."""
    with Annotations(store.path) as annotations:
        job = explain_job("sae", latents, ExplainOptions.from_dict(options))
        return annotations.jobs.submit(job["kind"], job["payload"], job["items"], label=job["label"])[0]


def test_an_empty_list_says_where_jobs_come_from(tiny_store: Store, run_text: RunText, run_json: RunJson):
    assert run_json("jobs", tiny_store.path) == {"store": str(tiny_store.path), "jobs": []}
    assert "autointerp explain" in run_text("jobs", tiny_store.path)[1]
    assert not (tiny_store.path / "annotations.sqlite").exists(), "looking creates nothing"


def test_list_and_show(store: Store, run_json: RunJson, run_text: RunText):
    run_json("explain", store.path, "sae", "--latents", "0-1")
    (job,) = run_json("jobs", store.path, "list")["jobs"]
    assert (job["kind"], job["state"], job["total"], job["done"], job["failed"]) == (
        "explain",
        "done",
        2,
        2,
        0,
    )
    assert (job["tokens_in"], job["cost"], job["left"]) == (0, 0, 0)
    shown = run_json("jobs", store.path, "show", job["id"])
    assert (shown["state"], shown["failed_items"], shown["payload"]["coder"]) == ("done", [], "sae")
    assert run_json("jobs", store.path, "show", job["id"][-6:].lower())["id"] == job["id"], "an end is enough"
    assert job["id"] in run_text("jobs", store.path)[1]


def test_failed_items_are_shown_with_their_causes(tiny_store: Store, run_json: RunJson, run_text: RunText):
    code, _, _ = run_text("explain", tiny_store.path, "sae", "--latents", "4-5")  # 5 is dead
    assert code == 0
    (job,) = run_json("jobs", tiny_store.path)["jobs"]
    assert job["failed"] == 1
    shown = run_json("jobs", tiny_store.path, "show", job["id"])
    assert [item["item"] for item in shown["failed_items"]] == [5]
    assert (shown["failed_items"][0]["error_kind"], shown["failed_items"][0]["retryable"]) == (
        "no_examples",
        False,
    )
    assert shown["causes"][0]["items"] == [5]
    _, out, _ = run_text("jobs", tiny_store.path, "show", job["id"])
    assert "never fires" in out
    assert f"retry {job['id']}" in out
    code, out, err = run_text("jobs", tiny_store.path, "retry", job["id"])
    assert code == 2, "nothing that was tried succeeded"
    assert "never fires" in err
    assert run_json("jobs", tiny_store.path, "show", job["id"])["failed_items"][0]["attempts"] == 2


def test_jobs_of_every_release_read_as_on_the_page(store: Store, run_json: RunJson, run_text: RunText):
    with Annotations(store.path) as annotations:
        made = score_job(
            "sae", ["a", "b"], [ScoreOptions.from_dict({"scorer": name}) for name in ("detection", "fuzzing")]
        )
        job, _ = annotations.jobs.submit(
            made["kind"], made["payload"], made["items"], label="score by detection"
        )
        claim = annotations.jobs.claim(new_owner(), ["score"], job_id=job.id)
        assert claim is not None
        errors = [f"detection: no answer in {n}.5 s; fuzzing: no answer in {n}.5 s" for n in (1, 2)]
        annotations.jobs.complete(
            claim, [(i, Outcome(failure=Failure(error))) for i, error in enumerate(errors)]
        )
        annotations.jobs.finish(claim)
    assert "score 2 explanations of sae: Detection, Fuzzing" in run_text("jobs", store.path)[1]
    _, out, _ = run_text("jobs", store.path, "show", job.id)
    assert "score 2 explanations of sae: Detection, Fuzzing" in out
    assert "2 x Detection, Fuzzing: no answer in 1.5 s" in out


def test_cancel_and_retry(store: Store, run_json: RunJson, run_text: RunText):
    job = queue(store, [0, 1, 2])
    assert run_json("jobs", store.path, "cancel", job.id)["state"] == "cancelled"
    assert "already over" in run_text("jobs", store.path, "cancel", job.id)[1]
    waiting = run_json("jobs", store.path, "retry", job.id, "--queue")
    assert (waiting["state"], waiting["left"]) == ("queued", 3)
    done = run_json("jobs", store.path, "retry", job.id)
    assert (done["state"], done["done"], done["succeeded"]) == ("done", 3, 3)
    code, out, err = run_text("jobs", store.path, "retry", job.id)
    assert (code, out) == (2, "")
    assert "nothing left to do" in err


def test_the_same_command_continues_what_waits_instead_of_doing_it_twice(store: Store, run_json: RunJson):
    job = queue(store, [0, 1])
    document = run_json("explain", store.path, "sae", "--latents", "0-3")
    assert document["jobs"][0]["id"] == job.id
    assert [one["total"] for one in document["jobs"]] == [2, 2]
    assert (document["wanted"], document["succeeded"], document["failed"], document["left"]) == (4, 4, 0, 0)
    other = queue(store, [0, 1], seed=7)
    document = run_json("explain", store.path, "sae", "--latents", "4")
    assert other.id not in {one["id"] for one in document["jobs"]}, "other work is left alone"


def test_a_job_of_a_dead_process_is_interrupted_and_continued(store: Store, run_json: RunJson):
    owner = subprocess.run(
        [sys.executable, "-c", "from autointerp.store.annotations import new_owner; print(new_owner())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    with Annotations(store.path) as annotations:
        made = explain_job("sae", [0, 1], ExplainOptions())
        job, _ = annotations.jobs.submit(made["kind"], made["payload"], made["items"], owner=owner)
    (listed,) = run_json("jobs", store.path)["jobs"]
    assert (listed["id"], listed["state"]) == (job.id, "interrupted")
    assert run_json("jobs", store.path, "retry", job.id)["done"] == 2


def test_a_key_typed_into_the_app_cannot_be_used_here(store: Store, run_text: RunText):
    llm = {"model": "m", "base_url": "openai", "key_ref": "key-1"}
    job = queue(store, [0], explainer="default", llm=llm)
    code, out, err = run_text("jobs", store.path, "retry", job.id)
    assert (code, out) == (2, "")
    assert "typed" in err
    assert "--llm m --base-url openai" in err


def test_retry_asks_another_model_from_then_on(
    store: Store,
    run_json: RunJson,
    run_text: RunText,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
):
    """The key is in the environment, what is not named stays as the job has it."""
    server = FakeServer(httpserver)
    server.answer = lambda body, number: (
        reply('{"explanation": "Cats."}')
        if body["model"] == "right"
        else failure(404, "no", "model_not_found")
    )
    monkeypatch.setenv("AUTOINTERP_API_KEY", "key-of-the-environment")
    llm = {
        "model": "wrong",
        "base_url": server.url,
        "key_ref": "key-1",
        "max_tokens": 10**6,
        "max_in_flight": 1,
    }
    job = queue(store, [0, 1], explainer="default", llm=llm)
    with Annotations(store.path) as annotations:
        annotations.jobs.cancel(job.id)
    done = run_json("jobs", store.path, "retry", job.id, "--llm", "right", "--timeout", "5")
    assert (done["state"], done["succeeded"]) == ("done", 2)
    assert server.headers[-1]["Authorization"] == "Bearer key-of-the-environment"
    told = run_json("jobs", store.path, "show", job.id)["payload"]["explain"]["llm"]
    assert told["model"] == "right"
    assert (told["base_url"], told["max_tokens"], told["max_in_flight"]) == (server.url, 10**6, 1)
    assert (told["timeout"], told["key_ref"]) == (5, None)
    code, _, err = run_text("jobs", store.path, "show", job.id, "--llm", "x")
    assert (code, "only goes with `retry`" in err) == (2, True)
    plain = queue(store, [0, 1], explainer="pattern")
    code, _, err = run_text("jobs", store.path, "retry", plain.id, "--llm", "x")
    assert (code, "does not use one" in err) == (2, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show"], "needs a job's id"),
        (["retry", "01ABC"], "unknown job"),
        (["cancel", "u"], "unknown job"),
        (["list", "01ABC"], "takes no id"),
        (["show", "0"], "is ambiguous"),
        (["--limit", "0"], "--limit"),
        (["show", "0", "--queue"], "--queue"),
    ],
)
def test_wrong_input_is_2(argv: list[str], message: str, store: Store, run_text: RunText):
    queue(store, [0])
    queue(store, [1])
    code, out, err = run_text("jobs", store.path, *argv)
    assert (code, out) == (2, "")
    assert message in err


def test_ctrl_c_cancels_and_says_how_to_go_on(
    store: Store,
    run_text: RunText,
    run_json: RunJson,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    """A real SIGINT while the batch works. Without collections: an interrupt that falls into a library's callback at one is
    lost (Python ignores exceptions there), and after a whole suite they take long."""
    request.addfinalizer(gc.enable)
    gc.disable()
    original = kinds.explain
    noticed = threading.Event()

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        raise KeyboardInterrupt

    def interrupted(session: Session, coder: str, latent: int, options: ExplainOptions) -> Explanation:
        """The third item is at work while Ctrl+C is pressed."""
        if latent == 2:
            os.kill(os.getpid(), signal.SIGINT)
            noticed.wait(60)
        return original(session, coder, latent, options)

    request.addfinalizer(lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    signal.signal(signal.SIGINT, notice)
    monkeypatch.setattr(kinds, "explain", interrupted)
    code, out, err = run_text("explain", store.path, "sae")
    assert (code, out) == (130, "")
    (job,) = run_json("jobs", store.path)["jobs"]
    assert job["state"] == "cancelled"
    assert job["done"] in (3, 4), (
        "what was finished or at work is kept, and at most one more was waiting for its turn"
    )
    assert f"{job['done']} of 5 are done and kept" in err
    assert f"retry {job['id']}" in err
    monkeypatch.setattr(kinds, "explain", original)
    document = run_json("explain", store.path, "sae")
    assert (document["already"], document["succeeded"]) == (job["done"], 5 - job["done"])


def test_memory_holds_a_page_of_items(store: Store, monkeypatch: pytest.MonkeyPatch):
    job = queue(store, list(range(5)))
    monkeypatch.setattr(batch, "PAGE", 2)
    with Annotations(store.path) as annotations:
        items = batch.job_items(annotations, job.id)
        assert [one.item for one in items] == list(range(5))


def test_progress_lines(store: Store, tmp_path: Path):
    with Annotations(store.path) as annotations, (tmp_path / "log").open("w+") as stream:
        runner = JobRunner(annotations, job_kinds(Resources(store, annotations)))
        lines = PlainLines(stream, interval_s=1000)
        runner.run(**explain_job("sae", [0, 1], ExplainOptions()), watch=lambda job: lines(job_report(job)))
        stream.seek(0)
        assert stream.read().splitlines() == [
            "explain 2 features of sae: pattern: 0 of 2",
            "explain 2 features of sae: pattern: 2 of 2",
        ]


def test_a_cost_of_which_a_part_is_unknown_is_not_known(store: Store, run_json: RunJson, run_text: RunText):
    """The part that has a price has a name of its own."""
    job = queue(store, [0, 1])
    with Annotations(store.path) as annotations:
        claim = annotations.jobs.claim(new_owner(), ["explain"], job_id=job.id)
        assert claim is not None
        parts = [Outcome(tokens_in=90, cost=0.25), Outcome(tokens_in=10, cost=None)]
        annotations.jobs.complete(claim, list(enumerate(parts)))
        ended = annotations.jobs.finish(claim)
    (shown,) = run_json("jobs", store.path)["jobs"]
    assert (shown["cost"], shown["cost_known"], shown["unpriced"]) == (None, 0.25, 1)
    assert "at least 0.25 (part of it has no price)" in run_text("jobs", store.path)[1]
    done = batch.Done(2, succeeded=2, jobs=[ended])
    assert (done.as_dict()["cost"], done.as_dict()["cost_known"]) == (None, 0.25)
    assert "100 tokens, cost at least 0.25 (part of it has no price)" in batch.report(done, "latents")


def test_words_for_cost_and_time():
    assert cost_text(0.01234) == "cost 0.01234"
    assert "unknown" in cost_text(None)
    assert "unknown" in cost_text(0.0, unknown=True)
    assert "at least 2" in cost_text(2.0, unknown=True)
    assert [duration(s) for s in (5, 600, 36000)] == ["5 s", "10 min", "10.0 h"]


def test_jobs_of_no_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert main(["jobs", str(tmp_path / "nothing")]) == 2
    assert "autointerp demo" in capfd.readouterr().err


def test_a_strangers_job_waits_for_resume(
    store: Store, run_json: RunJson, run_text: RunText, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "stranger.json" / "settings.json"))
    theirs = queue(store, [0, 1])
    asking = queue(
        store, [2], explainer="default", llm=LLMOptions(model="bait", base_url="stranger.example").to_dict()
    )
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "no-settings.json"))
    assert {job["state"] for job in run_json("jobs", store.path)["jobs"]} == {"paused"}
    shown = run_text("jobs", store.path, "show", asking.id)[1]
    assert "queued elsewhere: 1 item, asks bait at stranger.example, budget: no limit" in shown
    assert run_text("jobs", store.path, "retry", theirs.id)[0] == 2
    for more in ((), ("--llm", "other")):
        code, _, err = run_text("jobs", store.path, "resume", asking.id, *more)
        assert (code, "a server that you have not chosen" in err) == (2, True)
    assert run_json("jobs", store.path, "resume", theirs.id)["succeeded"] == 2
    assert run_text("jobs", store.path, "resume", theirs.id)[0] == 2, "nothing is left to resume"
    # The same command does not wait for what a stranger queued.
    assert run_json("explain", store.path, "sae", "--latents", "0-2")["succeeded"] >= 1
