"""Replies that are kept: what is free the second time, and what could not be used."""

import itertools

import pytest

from autointerp.llm.errors import BadAnswer, LLMError, RequestRejected
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.llm.parsing import list_answer
from tests.mock_client import MemoryCache, MockClient

HI = ChatRequest.of("hi")


def text(reply: ChatReply) -> str:
    return reply.text


def test_a_second_time_is_free_and_sends_nothing() -> None:
    cache = MemoryCache()
    with MockClient(["[1]"], cache=cache) as client:
        first = client.ask(HI, list_answer(1))
        second = client.ask(HI, list_answer(1))
    assert len(client.requests) == 1
    assert (first.reply.cached, second.reply.cached) == (False, True)
    assert second.value == first.value
    assert second.reply.spent == Usage()
    assert second.reply.usage == first.reply.usage


def test_the_same_question_twice_at_once_is_one_call() -> None:
    with MockClient(itertools.repeat("yes"), cache=MemoryCache(), delay=0.5) as client:
        futures = [client.submit(HI) for _ in range(5)]
        assert [future.result(60).value.text for future in futures] == ["yes"] * 5
    assert len(client.requests) == 1


def test_unusable_replies_are_kept_for_people_and_never_answer_a_question() -> None:
    cache = MemoryCache()
    with MockClient(["no", "", "never", "", "[1]"], cache=cache) as client:
        refs = []
        for first in ("no", "never"):
            with pytest.raises(BadAnswer) as caught:
                client.ask(HI, list_answer(1))
            refs.append(caught.value.reply_ref or "")
            kept = cache.get(refs[-1])
            assert kept is not None
            assert (kept.discarded, kept.text, kept.finish_reason) == ((first,), "", "unusable")
            assert kept.usage == caught.value.usage
            assert "cannot be used" in kept.complaints[0]
        assert len({*refs, HI.key(client.endpoint, client.model)}) == 3
        assert client.ask(HI, list_answer(1)).value == [1]
    assert len(client.requests) == 5


def test_a_question_that_is_only_repeated_has_no_complaint() -> None:
    with MockClient(["", "[1]"], cache=MemoryCache()) as client:
        reply = client.ask(HI, list_answer(1)).reply
    assert (reply.discarded, reply.complaints) == (("",), ("",))
    assert client.requests[0].messages == client.requests[1].messages


def test_replies_of_before_complaints_were_kept_can_be_read() -> None:
    data = ChatReply("text", "m", discarded=("no",)).to_dict()
    del data["complaints"]
    assert ChatReply.from_dict(data) == ChatReply("text", "m", discarded=("no",))


def test_a_first_reply_is_kept_though_the_second_question_failed() -> None:
    cache = MemoryCache()
    with (
        MockClient(["no list", RequestRejected("gone")], cache=cache) as client,
        pytest.raises(RequestRejected) as caught,
    ):
        client.ask(HI, list_answer(1))
    kept = cache.get(caught.value.reply_ref or "")
    assert kept is not None
    assert (kept.text, kept.discarded) == ("no list", ())


def test_without_a_reply_or_a_place_for_it_nothing_is_referred_to(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryCache):
        def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
            raise OSError("disk full")

    caches = [None, Full(), MemoryCache()]
    for cache, line in zip(caches, ["no", "no", RequestRejected("gone")], strict=True):
        with MockClient(lambda _, line=line: line, cache=cache) as client, pytest.raises(LLMError) as caught:
            client.ask(HI, list_answer(1))
        assert caught.value.reply_ref is None


def test_a_re_asked_answer_is_kept_under_the_first_question() -> None:
    with MockClient(["no", "[1]"], cache=MemoryCache()) as client:
        client.ask(HI, list_answer(1))
        again = client.ask(HI, list_answer(1))
    assert again.reply.cached
    assert again.reply.discarded == ("no",)
    assert len(client.requests) == 2
    # The second prompt can be told from what is kept, to the last character.
    said, complaint = client.requests[1].messages[len(HI.messages) :]
    assert (said.content, complaint.content) == (again.reply.discarded[0], again.reply.complaints[0])


class FirstStays(MemoryCache):
    """As the store's: what is kept under a key stays."""

    def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
        if self.get(key) is None:
            super().put(key, request, reply)


def test_a_kept_reply_that_is_no_longer_usable_is_asked_for_once_more_and_never_again() -> None:
    cache = FirstStays()
    with MockClient(["[1]", "no list", "[1, 0]", "[1, 0, 1]"], cache=cache) as client:
        client.ask(HI, list_answer(1))
        new = client.ask(HI, list_answer(2))  # asked twice: the first reply could not be used either
        assert len(client.requests) == 3
        for _ in range(3):
            again = client.ask(HI, list_answer(2))
            assert (again.value, again.reply.cached, again.reply.key) == ([1, 0], True, new.reply.key)
        assert client.ask(HI, list_answer(1)).value == [1]  # the old one is still there for whom it serves
        assert len(client.requests) == 3
        assert client.ask(HI, list_answer(3)).value == [1, 0, 1]
        assert client.ask(HI, list_answer(3)).reply.spent == Usage()
    assert len(client.requests) == 4
    kept = cache.get(new.reply.key)
    assert kept is not None
    assert kept.text == "[1, 0]"


def test_what_fails_is_asked_afresh_also_after_a_reply_that_is_no_longer_usable() -> None:
    with MockClient(["[1]", "no", "no", "[1, 0]"], cache=FirstStays()) as client:
        client.ask(HI, list_answer(1))
        with pytest.raises(BadAnswer):
            client.ask(HI, list_answer(2))
        assert client.ask(HI, list_answer(2)).value == [1, 0]  # a retry: nothing of the failure was kept


def test_a_cache_that_cannot_write_loses_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryCache):
        def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
            raise OSError("disk full")

    with MockClient(["yes"], cache=Full()) as client:
        reply = client.complete(HI)
    assert reply.text == "yes"
    assert reply.key == ""  # rows that named it would be refused: there is no such reply
    assert "disk full" in caplog.text
