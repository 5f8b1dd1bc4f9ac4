import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from itsm_bridge.reconcile.background import MOST_WAITING, Threads


def test_work_is_done_in_the_order_in_which_it_came() -> None:
    done: list[int] = []
    is_over = threading.Event()
    threads = Threads(1)

    took = [threads.begin(partial(done.append, number)) for number in range(20)]
    threads.begin(is_over.set)

    assert is_over.wait(10)
    assert (done, all(took)) == (list(range(20)), True)


def test_there_are_no_more_threads_than_were_given() -> None:
    here, go_on = threading.Barrier(3), threading.Event()
    threads, inside = Threads(2), set[int]()

    def work() -> None:
        inside.add(threading.get_ident())
        here.wait(10)
        go_on.wait(10)

    for _ in range(4):
        threads.begin(work)
    here.wait(10)
    first = len(inside)
    go_on.set()
    here.wait(10)

    assert (first, len(inside)) == (2, 2)


def test_work_that_fails_is_told_by_its_place_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    is_over = threading.Event()
    threads = Threads(1)

    def fail() -> None:
        raise ZeroDivisionError("an alert is quoted here")

    with caplog.at_level(logging.ERROR):
        threads.begin(fail)
        threads.begin(is_over.set)
        assert is_over.wait(10)

    assert "unexpected ZeroDivisionError at test_background.py" in caplog.text
    assert "quoted" not in caplog.text


def nothing() -> None:
    pass


class Full:
    """Threads of which one is kept busy and for which so much waits that there is no room."""

    def __init__(self, patience: timedelta) -> None:
        self.threads = Threads(1, patience=patience)
        self.go_on = threading.Event()
        is_busy = threading.Event()

        def keep_busy() -> None:
            is_busy.set()
            self.go_on.wait(60)

        self.threads.begin(keep_busy)
        assert is_busy.wait(10)
        self.took = [self.threads.begin(nothing) for _ in range(MOST_WAITING)]

    def begins_later(self) -> Callable[[], bool]:
        """Let a caller wait for room, and go on once it does; return what tells whether it found some."""
        caller = ThreadPoolExecutor(1).submit(self.threads.begin, nothing, may_wait=True)
        self.go_on.set()
        return caller.result


@pytest.fixture(params=[timedelta(hours=1)])
def full(request: pytest.FixtureRequest) -> Iterator[Full]:
    made = Full(request.param)
    yield made
    made.go_on.set()


impatient = pytest.mark.parametrize("full", [timedelta(milliseconds=10)], indirect=True)


def test_what_finds_no_room_is_left_to_its_wake_up(full: Full) -> None:
    assert full.threads.begin(nothing) is False
    assert (all(full.took), full.threads.waiting) == (True, MOST_WAITING)


def test_a_caller_that_may_wait_is_given_the_room_that_comes(full: Full) -> None:
    assert full.begins_later()() is True


@impatient
def test_what_waited_in_vain_is_left_to_its_wake_up(full: Full) -> None:
    assert full.threads.begin(nothing, may_wait=True) is False
    assert full.threads.waiting == MOST_WAITING
