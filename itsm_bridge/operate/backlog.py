"""How many alerts wait for their incidents, and how many does nobody look at any more?

The timer `resync` tells it every five minutes, in one line of the log for which the alert rules and the workbook in
`infra` look, and to whoever measures. Source of truth: the rows of the table.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from itsm_bridge.operate.show import LONG_WAIT, is_waiting_long, time_of
from itsm_bridge.reconcile.record import Record
from itsm_bridge.telemetry import Metric, Telemetry

log = logging.getLogger(__name__)

_MINUTES: Final = int(LONG_WAIT.total_seconds() // 60)


def tell_backlog(rows: Iterable[Record], *, telemetry: Telemetry, now: datetime) -> None:
    """Tell how many of `rows` wait, how many of those for long, and how many are parked.

    Args:
        rows: Those that await work or are parked.
        telemetry: Who is told besides the log.
        now: Our clock, aware UTC.

    Raises:
        Unavailable: the rows cannot be read.
    """
    waiting, parked, late = 0, 0, []
    for row in rows:
        if row.work.is_parked:
            parked += 1
            continue
        waiting += 1
        if is_waiting_long(row, now):
            late.append(row)
    telemetry.tell(Metric.WAITING, waiting)
    telemetry.tell(Metric.PARKED, parked)
    counted = f"backlog: {waiting} waiting, {len(late)} of them longer than {_MINUTES} minutes, {parked} parked"
    if not late:
        log.info("%s", counted)
        return
    oldest = min(late, key=lambda row: row.told_at)
    error = f": {oldest.work.last_error}" if oldest.work.last_error else ""
    log.warning("%s; the oldest since %s%s", counted, time_of(oldest.told_at), error)
