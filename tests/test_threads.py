import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.threads import ensure_threads, keys_at_once, requests_at_once, room_patience, webhooks_in_line

DEFAULT = ThreadPoolExecutor()._max_workers


class Worker:
    """What the runtime library shows of its threads."""

    def __init__(self, size: int | None, *, obeys: bool = True) -> None:
        self.pool = ThreadPoolExecutor(size) if size else None
        self.obeys = obeys
        self.started = 0

    def get_threadpool_executor(self) -> ThreadPoolExecutor | None:
        return self.pool

    def start_threadpool_executor(self) -> None:
        self.started += 1
        if self.obeys:
            self.pool = ThreadPoolExecutor(16)


@pytest.mark.parametrize(
    ("worker", "setting", "size", "started"),
    [
        (Worker(5), "16", 16, 1),
        (Worker(16), "16", 16, 0),
        (Worker(32), "16", 32, 0),
        (Worker(5), "", 5, 0),
        (Worker(5), "many", 5, 0),
        (Worker(5, obeys=False), "16", 5, 1),
        (Worker(None), "16", 16, 1),
        (None, "16", DEFAULT, 0),
        (None, "1", 1, 0),
        (None, "", DEFAULT, 0),
        (object(), "16", DEFAULT, 0),
    ],
)
def test_the_pool_is_as_large_as_is_said(
    monkeypatch: pytest.MonkeyPatch, worker: Any, setting: str, size: int, started: int
) -> None:
    monkeypatch.setitem(sys.modules, "azure_functions_runtime", worker)

    assert ensure_threads({"PYTHON_THREADPOOL_THREAD_COUNT": setting}) == size
    assert getattr(worker, "started", 0) == started


@pytest.mark.parametrize(("wanted", "threads", "expected"), [(4, 16, 4), (4, 5, 2), (4, 1, 1), (64, 16, 8), (1, 32, 1)])
def test_half_of_the_threads_at_most_wait_for_servicenow(wanted: int, threads: int, expected: int) -> None:
    assert requests_at_once(wanted, threads=threads) == expected


@pytest.mark.parametrize(
    ("slots", "threads", "expected"), [(4, 16, 8), (8, 16, 4), (4, 8, 0), (1, 2, 0), (4, 64, 44), (8, 12, 0)]
)
def test_webhooks_in_line_leave_threads_for_everything_else(slots: int, threads: int, expected: int) -> None:
    assert webhooks_in_line(slots, threads=threads) == expected


@pytest.mark.parametrize(
    ("requests", "threads", "expected"), [(4, 16, 6), (8, 16, 8), (1, 16, 1), (2, 5, 2), (2, 16, 3)]
)
def test_more_keys_are_worked_on_than_requests_are_in_flight_where_threads_are_left(
    requests: int, threads: int, expected: int
) -> None:
    assert keys_at_once(requests, threads=threads) == expected


@pytest.mark.parametrize(("threads", "milliseconds"), [(1, 40), (5, 200), (16, 640), (64, 1000)])
def test_callers_that_wait_for_room_keep_up_with_what_azure_monitor_sends_for_a_subscription(
    threads: int, milliseconds: int
) -> None:
    assert room_patience(threads=threads) == timedelta(milliseconds=milliseconds)
