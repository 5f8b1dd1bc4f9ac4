"""How many alerts wait for their incidents, and how many does nobody look at any more?

The timer `resync` tells it every five minutes, in one line of the log for which the alert rules and the workbook in
`infra` look, and to whoever measures. Source of truth: what the index says of the open rows.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from itsm_bridge.errors import TemporaryError
from itsm_bridge.operate.show import LONG_WAIT, is_waiting_long, time_of
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.record import Record
from itsm_bridge.telemetry import Metric, Telemetry

log = logging.getLogger(__name__)

_MINUTES: Final = int(LONG_WAIT.total_seconds() // 60)


def tell_backlog(
    rows: Iterable[Outline], *, read: Callable[[str], Record | None], telemetry: Telemetry, now: datetime
) -> None:
    """Tell how many of `rows` wait, how many of those for long, and how many are parked.

    Args:
        rows: Those that are open.
        read: Returns the row of a key, for what the oldest met last.
        telemetry: Who is told besides the log.
        now: Our clock, aware UTC.
    """
    waiting, parked, late = 0, 0, []
    for row in rows:
        parked += row.is_parked
        waiting += row.awaits_work
        if is_waiting_long(row, now):
            late.append(row)
    telemetry.tell(Metric.WAITING, waiting)
    telemetry.tell(Metric.PARKED, parked)
    counted = f"backlog: {waiting} waiting, {len(late)} of them longer than {_MINUTES} minutes, {parked} parked"
    if not late:
        log.info("%s", counted)
        return
    oldest = min(late, key=lambda row: row.told_at)
    log.warning("%s; the oldest since %s%s", counted, time_of(oldest.told_at), _error_of(oldest.key, read))


def _error_of(key: str, read: Callable[[str], Record | None]) -> str:
    """Say what a row met last, if it can be read."""
    with suppress(TemporaryError):
        row = read(key)
        return f": {row.work.last_error}" if row is not None and row.work.last_error else ""
    return ""
