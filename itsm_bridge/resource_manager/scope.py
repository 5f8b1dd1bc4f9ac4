"""Which subscriptions are followed?

`app` hands `followed` to `missed`. Those that are allowed, if a setting names them; else those of our action groups and
those that rows name. Rows are asked at most once an hour, and only for what changed since.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from itsm_bridge.errors import Conflict
from itsm_bridge.resource_manager.listed_alert import subscription_of
from itsm_bridge.resource_manager.look import Progress

_NAME: Final = "subscriptions"
#: How often rows are asked which subscriptions they name, and how far back at first: Azure keeps no older alerts.
_EVERY: Final = timedelta(hours=1)
_FIRST: Final = timedelta(days=30)
#: A row that was being written at the time of the last look is found by the next one.
_OVERLAP: Final = timedelta(minutes=5)
#: How many subscriptions are remembered, in a property of at most 32,000 characters.
_MOST: Final = 500


def of_groups(groups: Iterable[str]) -> frozenset[str]:
    """Return the subscriptions of these action groups, lower-cased."""
    return frozenset(found for group in groups if (found := subscription_of(group)))


def followed(
    allowed: Collection[str] | None,
    groups: Iterable[str],
    progress: Progress,
    *,
    named_by_rows: Callable[[datetime], Iterable[str]],
    now: datetime,
    is_dry: bool = False,
) -> frozenset[str]:
    """Return the followed subscriptions, lower-cased.

    Args:
        allowed: Those that alerts may come from, without any other word; None: all.
        groups: The ARM ids of our action groups.
        progress: Where it is remembered which ones rows named.
        named_by_rows: Returns those that the rows name that changed since a moment; it may raise Unavailable.
        now: Our clock, aware UTC.
        is_dry: Whether nothing is written down.

    Raises:
        Unavailable: storage did not answer.
    """
    if allowed is not None:
        return frozenset(allowed)
    kept = progress.read(_NAME)
    known, looked_at = _remembered(kept.document)
    if looked_at is None or now - looked_at >= _EVERY:
        since = max(now - _FIRST, looked_at - _OVERLAP if looked_at else now - _FIRST)
        known = frozenset(sorted({*known, *named_by_rows(since)})[:_MOST])
        if not is_dry:
            # Another process that asked meanwhile remembers the same.
            with suppress(Conflict):
                progress.write(_NAME, {"names": sorted(known), "looked_at": now.isoformat()}, etag=kept.etag)
    return known | of_groups(groups)


def _remembered(document: object) -> tuple[frozenset[str], datetime | None]:
    if isinstance(document, dict):
        with suppress(KeyError, TypeError, ValueError):
            return frozenset(map(str, document["names"])), datetime.fromisoformat(document["looked_at"])
    return frozenset(), None
