import logging
import threading
from functools import partial

import pytest

from itsm_bridge.reconcile import background
from itsm_bridge.reconcile.background import Threads


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


def test_what_finds_no_room_is_left_to_its_wake_up() -> None:
    go_on = threading.Event()
    threads = Threads(1)

    def wait() -> None:
        go_on.wait(10)

    took = [threads.begin(wait) for _ in range(background.MOST_WAITING + 2)]
    at_most = threads.waiting
    go_on.set()

    assert took[: background.MOST_WAITING] == [True] * background.MOST_WAITING
    assert took[-1] is False
    assert at_most == background.MOST_WAITING
