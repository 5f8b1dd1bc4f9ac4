import logging
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial

import pytest

from itsm_bridge.reconcile.background import MOST_ALERTS, MOST_WAITING, Threads


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


class Crowd:
    """A thread that is kept busy, and so many alerts behind it that there is no room for another."""

    def __init__(self, patience: timedelta) -> None:
        self.threads = Threads(1, patience=patience)
        self.go_on = threading.Event()
        is_busy = threading.Event()

        def keep_busy() -> None:
            is_busy.set()
            self.go_on.wait(60)

        self.threads.begin(keep_busy)
        assert is_busy.wait(10)
        self.took = [self.threads.hand_over(nothing) for _ in range(MOST_ALERTS)]


def test_an_alert_that_finds_no_room_in_time_is_left_to_its_wake_up() -> None:
    crowd = Crowd(timedelta(milliseconds=10))
    took = crowd.threads.hand_over(nothing)
    waiting = crowd.threads.waiting
    crowd.go_on.set()

    assert (all(crowd.took), took, waiting) == (True, False, MOST_ALERTS)


def test_an_alert_waits_for_the_room_that_comes() -> None:
    crowd = Crowd(timedelta(seconds=60))
    with ThreadPoolExecutor(1) as caller:
        taken = caller.submit(crowd.threads.hand_over, nothing)
        waits_at_first = not wait([taken], timeout=0.2).done
        crowd.go_on.set()

    assert (waits_at_first, taken.result()) == (True, True)


def test_a_lease_is_given_back_although_there_is_no_room_for_alerts() -> None:
    crowd, is_done = Crowd(timedelta(0)), threading.Event()
    took = crowd.threads.begin(is_done.set)
    crowd.go_on.set()

    assert (took, is_done.wait(10)) == (True, True)


def test_no_more_waits_than_can_be_kept() -> None:
    crowd = Crowd(timedelta(0))
    rest = [crowd.threads.begin(nothing) for _ in range(MOST_WAITING - MOST_ALERTS + 1)]
    crowd.go_on.set()

    assert (all(rest[:-1]), rest[-1]) == (True, False)


def test_room_that_an_alert_could_not_use_is_free_again() -> None:
    threads, go_on, is_busy = Threads(1, patience=timedelta(seconds=60)), threading.Event(), threading.Event()

    def keep_busy() -> None:
        is_busy.set()
        go_on.wait(60)

    threads.begin(keep_busy)
    assert is_busy.wait(10)
    for _ in range(MOST_WAITING):
        threads.begin(nothing)
    refused = [threads.hand_over(nothing) for _ in range(MOST_ALERTS)]
    is_over = threading.Event()
    go_on.set()
    while not threads.begin(is_over.set):
        pass
    assert is_over.wait(10)

    assert (any(refused), threads.hand_over(nothing)) == (False, True)
