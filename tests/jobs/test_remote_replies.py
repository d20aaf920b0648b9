"""A worker's way to the replies of the job's process."""

from concurrent.futures import Future
from typing import Any, cast

from autointerp.jobs.on_ray.line import Line, RemoteReplies
from autointerp.llm.messages import ChatReply, ChatRequest


class Desk:
    """Answers as the job's process does."""

    def __init__(self) -> None:
        self.kept: dict[str, ChatReply] = {}

    def ask(self, what: str, *args: Any) -> "Future[Any]":
        answer: Future[Any] = Future()
        if what == "keep_reply":
            key, _, reply = args
            self.kept[key] = reply
            answer.set_result(True)
        else:
            assert (what, args[:2]) == ("call", ("replies", "get"))
            answer.set_result(self.kept.get(args[2][0]))
        return answer


def test_a_thread_that_may_wait_gets_and_puts() -> None:
    replies = RemoteReplies(cast(Line, Desk()))
    assert replies.get("k") is None
    replies.put("k", ChatRequest.of("question"), ChatReply("answer", "m"))
    found = replies.get("k")
    assert found is not None
    assert found.text == "answer"
