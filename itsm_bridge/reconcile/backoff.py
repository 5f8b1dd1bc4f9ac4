"""When is a failed attempt repeated?

The worker asks after each failure, and the circuit for the length of a pause. The delay doubles from `FIRST_RETRY` to
`LAST_RETRY`, has jitter on top, and is never shorter than the target asked for. Nothing waits here.
"""

import random
from datetime import timedelta

FIRST_RETRY = timedelta(seconds=15)
#: The first look after a write of unknown outcome comes sooner, because mostly only its answer was lost.
FIRST_LOOK = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=5)


def backoff(attempts: int, retry_after: timedelta | None = None) -> timedelta:
    """Return how long to wait after the attempt number `attempts`, counted from 0."""
    delay = min(FIRST_RETRY * (1 << min(attempts, 10)), LAST_RETRY)
    return with_jitter(max(delay, retry_after or delay))


def with_jitter(delay: timedelta) -> timedelta:
    """Return `delay` and up to a quarter more, at most a minute: rows that failed together must not return together."""
    longest = min(delay / 4, timedelta(minutes=1))
    return delay + timedelta(seconds=random.uniform(0, longest.total_seconds()))  # noqa: S311 - hides nothing
