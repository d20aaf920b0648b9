"""`autointerp.waiting`."""

import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from autointerp.waiting import MOMENT, result_of


def raising(error: Exception) -> None:
    time.sleep(2 * MOMENT)
    raise error


def test_ctrl_c_taken_by_another_thread_is_heard():
    never: Future[None] = Future()

    def press() -> None:
        time.sleep(2 * MOMENT)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        result_of(never, 60)


def test_results_and_errors_are_those_of_the_work():
    with ThreadPoolExecutor(1) as pool:
        assert result_of(pool.submit(time.sleep, 2 * MOMENT)) is None
        with pytest.raises(ValueError, match="this one"):
            result_of(pool.submit(raising, ValueError("this one")))
        with pytest.raises(TimeoutError, match="of the work"):
            result_of(pool.submit(raising, TimeoutError("of the work")))


@pytest.mark.parametrize("seconds", [-1, 0, MOMENT / 2, 2.5 * MOMENT])
def test_it_waits_no_longer_than_asked(seconds: float):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        result_of(Future(), seconds)
    assert seconds <= time.monotonic() - began < max(seconds, 0) + 5
