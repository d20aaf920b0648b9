"""Batches over several workers, which are threads here: what a job is to its workers. On a real cluster: `tests/on_ray`."""

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from autointerp.cli.main import main
from autointerp.cli.shared.batch import Done, explain_latents, open_resources, score_explanations
from autointerp.errors import StoreDamaged, UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs.handlers import Context
from autointerp.jobs.on_ray import workers
from autointerp.jobs.on_ray.desk import Desk
from autointerp.jobs.on_ray.line import Line, Message, RemoteReplies
from autointerp.jobs.on_ray.workers import Spread
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.pending import explanations_to_score
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.score.options import ScoreOptions
from tests.batch.conftest import make_store
from tests.batch.rows import rows
from tests.batch.served import ScriptedServer
from tests.batch.threads import ThreadCluster
from tests.conftest import StoreFactory

N_LATENTS = 12


@pytest.fixture
def resources(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Resources]:
    with open_resources(make_store(store_factory, N_LATENTS, tmp_path / "s").path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.jobs.on_ray.worker.SAY_SECONDS", 0.1)  # no kill interrupts a thread


def explain(resources: Resources, spread: Spread, options: ExplainOptions | None = None) -> Done:
    latents = range(N_LATENTS)
    return explain_latents(resources, "sae", latents, options or ExplainOptions(), quiet=True, spread=spread)


def asking(server: ScriptedServer) -> ExplainOptions:
    llm = LLMOptions(model="m", base_url=server.url, max_in_flight=2)
    return ExplainOptions(explainer="default", llm=llm, n_examples=6)


def test_work_without_a_language_model(
    resources: Resources, store_factory: StoreFactory, tmp_path: Path
) -> None:
    alone = make_store(store_factory, N_LATENTS, tmp_path / "alone").path
    assert main(["explain", str(alone), "sae"]) == 0
    assert main(["score", str(alone), "sae", "--scorer", "detection"]) == 0
    spread = Spread(ThreadCluster(), 2)  # type: ignore[arg-type]
    assert explain(resources, spread).succeeded == N_LATENTS
    ids = explanations_to_score(resources.annotations, "sae")
    scored = score_explanations(resources, "sae", ids, [ScoreOptions()], quiet=True, spread=spread)
    assert scored.succeeded == N_LATENTS
    assert rows(resources.store.path) == rows(alone)


def test_another_store_under_the_path_is_refused(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "fingerprint", lambda store, coder: "of another store")
    done = explain(resources, Spread(ThreadCluster(), 2))  # type: ignore[arg-type]
    assert done.succeeded == 0
    assert "is not the one where the command runs" in (done.stopped or "")
    assert "folder that all machines share" in (done.stopped or "")


@pytest.mark.usefixtures("impatient")
def test_items_of_a_server_that_is_gone_go_to_the_others(
    resources: Resources, server: ScriptedServer
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    done = explain(resources, Spread(ThreadCluster(), 2, [server.url, gone]), asking(server))  # type: ignore[arg-type]
    assert (done.succeeded, done.failed) == (N_LATENTS, 0)
    assert len(list(resources.annotations.iter_explanations("sae", failed=True))) == N_LATENTS


@pytest.mark.usefixtures("impatient")
def test_an_item_is_tried_once_with_each_server_when_all_are_gone(resources: Resources) -> None:
    with ExitStack() as bound:
        gone = []
        for _ in range(2):
            free = bound.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))  # and listens to nobody
            gone.append(f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        cluster = ThreadCluster()
        options = ExplainOptions(
            explainer="default", llm=LLMOptions(model="m", base_url=gone[0], max_in_flight=2)
        )
        spread = Spread(cluster, 2, gone)  # type: ignore[arg-type]
        done = explain_latents(resources, "sae", [1], options, quiet=True, spread=spread)
    assert done.succeeded == 0
    assert [len(actor.items) for actor in cluster.actors] == [1, 1]


def test_what_dies_with_a_worker_is_done_again(resources: Resources, server: ScriptedServer) -> None:
    cluster = ThreadCluster()
    server.latency = 0.1

    def kill() -> None:
        while not server.n_requests:
            threading.Event().wait(0.01)
        cluster.actors[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    done = explain(resources, Spread(cluster, 2), asking(server))  # type: ignore[arg-type]
    killer.join()
    assert (done.succeeded, done.failed) == (N_LATENTS, 0)
    assert len(cluster.actors) == 3


def test_a_cancelled_job_stops_its_workers(resources: Resources, server: ScriptedServer) -> None:
    cluster, cancelled = ThreadCluster(), threading.Event()

    def cancel(question: str, times: int) -> None:
        """At the first request; none is answered before the job has ended."""
        for job in resources.annotations.jobs.active():
            resources.annotations.jobs.cancel(job.id)
        cancelled.wait(60)

    server.fault = cancel
    done = explain(resources, Spread(cluster, 2), asking(server))  # type: ignore[arg-type]
    cancelled.set()
    assert [job.state for job in done.jobs] == ["cancelled"]
    server.idle()
    assert server.n_requests <= 4
    assert all(actor.is_killed for actor in cluster.actors)


def test_calls_in_flight_of_a_lost_worker_count_against_the_budget(resources: Resources) -> None:
    """Nobody knows whether they were billed."""
    job, _ = resources.annotations.jobs.submit("explain", {}, [0])
    said: list[Any] = []
    with Session(resources) as session:
        desk = Desk(resources, session, Context(job, session.cancel, lambda _: None))
        reserve = Message(1, "reserve", (100, None, Usage(50, 10)))
        for worker in (1, 2):
            desk.hear(worker, reserve, lambda value, failure: said.append(value))
        assert said == [True, False], "the second call waits for the first"
        desk.lost(1)
        desk.hear(2, reserve, lambda value, failure: said.append(value))
    assert "60 of 100 tokens" in said[2]


@pytest.mark.parametrize("end", ["kept", "failed", "lost", "unreadable"])
def test_two_workers_with_one_question_ask_it_once(
    resources: Resources, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the first, and asks only where that has no answer."""

    def unreadable(key: str) -> ChatReply | None:
        raise StoreDamaged("a stored reply cannot be read")

    jobs = resources.annotations.jobs
    job, _ = jobs.submit("explain", {}, [0])
    request, reply = ChatRequest.of("?"), ChatReply("yes", "m", "stop")

    async def first(replies: RemoteReplies, holds: asyncio.Event, go: asyncio.Event) -> None:
        async with replies.alone("key"):
            assert await replies.find("key") is None
            holds.set()
            await go.wait()
            if end == "kept":
                assert await replies.keep("key", request, reply)

    async def second(replies: RemoteReplies) -> ChatReply | None:
        async with replies.alone("key"):
            return await replies.find("key")

    async def both(desk: Desk, lines: list[Line]) -> ChatReply | None:
        holds, go = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(first(RemoteReplies(lines[0]), holds, go))
        await holds.wait()
        other = asyncio.create_task(second(RemoteReplies(lines[1])))
        while not heard[1]:
            await asyncio.sleep(0.01)
        assert not other.done()
        if end == "unreadable":
            monkeypatch.setattr(resources.replies, "get", unreadable)
        if end == "lost":
            desk.lost(0)
        else:
            go.set()
        if end == "unreadable":
            with pytest.raises(UserError, match="a stored reply cannot be read"):
                await asyncio.wait_for(other, 10)
        said = None if end == "unreadable" else await asyncio.wait_for(other, 10)
        go.set()
        await one
        return said

    heard = [0, 0]

    with Session(resources) as session:
        desk = Desk(resources, session, Context(job, session.cancel, lambda _: None))
        lines, over = [Line(), Line()], list[bool]()

        def pump(number: int) -> None:
            while not over:
                for message in lines[number].take(0.05):
                    desk.hear(
                        number,
                        message,
                        lambda value, failure, n=message.number: (
                            lines[number].answered(n, value, failure) if n is not None else None
                        ),
                    )
                    heard[number] += 1

        pumps = [threading.Thread(target=pump, args=(number,)) for number in range(2)]
        for thread in pumps:
            thread.start()
        try:
            with ThreadPoolExecutor(1) as apart:  # the browser tests of this process leave a loop running
                said = apart.submit(asyncio.run, both(desk, lines)).result()
        finally:
            over.append(True)
            for thread in pumps:
                thread.join()
    assert (said and said.text) == ("yes" if end == "kept" else None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--workers", "2"), "give --ray too"),
        (("--explainer", "default", "--llm", "m", "--base-url", "a", "--base-url", "b"), "several workers"),
        (("--ray", "local", "--workers", "0"), "at least 1"),
        (("--ray", "local", "--workers", "1000000"), "at most 1,000"),
        (("--ray", ""), "no Ray cluster at ''"),
        (("--ray", "head..node:1"), "no Ray cluster at 'head..node:1'"),
        (("--ray", "head:²"), "no Ray cluster at 'head:²'"),
    ],
)
def test_what_does_not_go_together_is_said(
    given: tuple[str, ...], said: str, resources: Resources, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(resources.store.path), "sae", *given]) == 2
    assert said in capfd.readouterr().err


def test_an_address_that_nobody_answers_at_is_said_at_once(
    resources: Resources, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert main(["explain", str(resources.store.path), "sae", "--ray", address]) == 2
    assert f"no Ray cluster at '{address}' (" in capfd.readouterr().err
    assert resources.annotations.jobs.recent() == []


def test_without_ray_the_command_says_how_to_get_it(
    resources: Resources, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["explain", str(resources.store.path), "sae", "--ray", "local"]) == 2
    assert "pip install 'autointerp[ray]'" in capfd.readouterr().err
    assert resources.annotations.jobs.recent() == []
