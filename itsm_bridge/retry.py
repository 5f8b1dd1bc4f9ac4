"""When is what failed tried again?

Exponentially later, with jitter, from `FIRST_RETRY` to `LAST_RETRY`, and never before the other side asked to be.
"""

import math
import random
from datetime import timedelta

FIRST_RETRY = timedelta(seconds=15)
LAST_RETRY = timedelta(minutes=5)

#: Over how long those who waited together come back: half a minute who never tried, and half a minute who did.
PARADE = timedelta(seconds=30)


def backoff(attempts: int, retry_after: timedelta | None = None) -> timedelta:
    """Return how long to wait after the attempt number `attempts`, counted from 0."""
    delay = min(FIRST_RETRY * (1 << min(attempts, 10)), LAST_RETRY)
    return spread(max(delay, retry_after or delay))


def spread(delay: timedelta) -> timedelta:
    """Return `delay` and up to a quarter more, at most a minute: those who fail together do not return together."""
    longest = min(delay / 4, timedelta(minutes=1))
    return delay + timedelta(seconds=random.uniform(0, longest.total_seconds()))  # noqa: S311 - hides nothing


def turn(age: timedelta, oldest: timedelta) -> timedelta:
    """Return how long something of that age lets others go first: the older the sooner, 0 from `oldest` on.

    By the logarithm, because some wait for minutes and some for days.
    """
    share = math.log1p(max(age.total_seconds(), 0)) / math.log1p(oldest.total_seconds())
    return PARADE * max(1 - share, 0)
