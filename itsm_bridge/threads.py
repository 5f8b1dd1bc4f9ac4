"""Are there as many threads as calls that may come at once?

`app.prepare` asks when the host imports the app. Synchronous functions share one pool of threads per worker; its size
is the app setting PYTHON_THREADPOOL_THREAD_COUNT. On Flex Consumption the worker starts as a placeholder and makes the
pool before the settings of the app arrive, so that the setting has no effect and calls wait unseen inside the worker
(https://github.com/Azure/azure-functions-python-worker/pull/1741). When the app is imported its settings are there:
then the worker is asked to make its pool once more.
"""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

#: The library that is the worker from Python 3.13 on. It is there already wherever it can be asked.
_WORKER: Final = "azure_functions_runtime"
_WORKER_BEFORE_3_13: Final = "azure_functions_worker"
_SETTING: Final = "PYTHON_THREADPOOL_THREAD_COUNT"

#: The part of the threads that may wait for ServiceNow; the others answer Azure Monitor.
_PART_THAT_WAITS: Final = 2
#: The threads that neither call ServiceNow nor wait in line: a quarter, and at least as many as wake-ups come at once.
_LEAST_LEFT: Final = 4
_PART_THAT_IS_LEFT: Final = 4

#: The pause between two calls: Azure Monitor calls the webhooks of a subscription 1,500 times a minute at most.
_BETWEEN_CALLS: Final = timedelta(minutes=1) / 1500
_LONGEST_PATIENCE: Final = timedelta(seconds=1)


def ensure_threads(environ: Mapping[str, str]) -> int:
    """Let the worker have as many threads as the app setting says, if it has fewer; return how many it has.

    Nothing runs in the pool while an app is imported, so that it can be replaced. Idempotent.
    """
    worker = sys.modules.get(_WORKER)
    setting = environ.get(_SETTING, "")
    wanted = int(setting) if setting.isdecimal() else 0
    if worker is None:  # before 3.13 the worker cannot be asked, and may or may not have heeded the setting
        return min(wanted or _default_size(), _default_size())
    start = getattr(worker, "start_threadpool_executor", None)
    if start is not None and _size_of(worker) < wanted:
        start()
    return _size_of(worker)


def is_worker() -> bool:
    """Return whether this process is a worker of the Functions host."""
    return any(name in sys.modules for name in (_WORKER, _WORKER_BEFORE_3_13))


def requests_at_once(wanted: int, *, threads: int) -> int:
    """Return how many requests may be in flight to ServiceNow: `wanted`, unless too few threads would be left."""
    return max(1, min(wanted, threads // _PART_THAT_WAITS))


def keys_at_once(requests: int, *, threads: int) -> int:
    """Return how many keys may be worked on at once, where so many requests may be in flight.

    One key in three is at its row in storage meanwhile, so that no request that is allowed goes unused.
    """
    return min(requests + requests // 2, max(requests, threads // _PART_THAT_WAITS))


def room_patience(*, threads: int) -> timedelta:
    """Return how long a webhook may wait for room behind those that were answered 202.

    While all threads wait so, the process takes in as many alerts as Azure Monitor sends for a subscription:
    https://learn.microsoft.com/azure/azure-monitor/service-limits
    """
    return min(_LONGEST_PATIENCE, _BETWEEN_CALLS * threads)


def webhooks_in_line(slots: int, *, threads: int) -> int:
    """Return how many webhooks may wait for a slot, so that threads are left for wake-ups, health and short answers."""
    return max(0, threads - slots - max(_LEAST_LEFT, threads // _PART_THAT_IS_LEFT))


def _size_of(worker: object) -> int:
    """Return the size of the worker's pool; Python's default size if the worker does not tell."""
    pool = getattr(worker, "get_threadpool_executor", lambda: None)()
    return getattr(pool, "_max_workers", 0) or _default_size()


def _default_size() -> int:
    """Return Python's default size of a pool, which depends on its version; no thread is started for that."""
    pool = ThreadPoolExecutor()
    pool.shutdown(wait=False)
    return int(getattr(pool, "_max_workers", 1))
