"""How do operators look at alerts and have them tried again?

`cli` calls the commands `status`, `show` and `replay`. They do not call ServiceNow: `replay` wakes the worker, and the
worker does.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TextIO

from itsm_bridge.app import Stored
from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.operate.exit_status import ACT, DONE
from itsm_bridge.operate.show import SHOWN, content, is_overdue, sheet, table, titled
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.storage.listing import RowState
from itsm_bridge.storage.row_format import is_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The parts, the clock and the output that a command works with."""

    stored: Stored
    now: Callable[[], datetime]
    out: TextIO
    as_json: bool

    def tell(self, text: str, content: object) -> None:
        """Print `text` for people, or `content` as JSON."""
        print(json.dumps(content, indent=2, ensure_ascii=False) if self.as_json else text, file=self.out)


def status(desk: Desk) -> int:
    """Tell how many alerts are in which state; 1 if an operator has to act."""
    listing, now = desk.stored.listing, desk.now()
    counts = listing.counts()
    unsettled = sorted(listing.unsettled(), key=_age) if counts[RowState.UNSETTLED] else []
    parked = sorted(listing.parked(), key=_age) if counts[RowState.PARKED] else []
    overdue = sum(is_overdue(row, now) for row in unsettled if not row.work.is_waiting)
    unreadable = [*listing.unreadable, *listing.set_aside()]
    parts = ["  ".join(f"{state} {count}" for state, count in counts.items())]
    if unsettled:
        parts.append(table("Oldest unsettled", unsettled, now))
    if parked:
        parts.append(table("Parked", parked, now))
    if overdue:
        parts.append(f"{overdue} without a wake-up in time: `resync` runs every 5 minutes. Is the app up?")
    if unreadable:
        title = "Cannot be read (damaged, or of a newer version)"
        parts.append(titled(title, unreadable[:SHOWN], len(unreadable)))
    told = {
        "counts": {str(state): count for state, count in counts.items()},
        "overdue": overdue,
        "unreadable": unreadable,
        "unsettled": [content(row, now) for row in unsettled[:SHOWN]],
        "parked": [content(row, now) for row in parked],
    }
    desk.tell("\n\n".join(parts), told)
    return ACT if parked or overdue or unreadable else DONE


def show(desk: Desk, what: str) -> int:
    """Tell everything about one alert; 1 if there is none."""
    rows = _found(desk, what)
    if not rows:
        return _nothing(desk, what)
    now = desk.now()
    desk.tell("\n\n".join(sheet(row, now) for row in rows), [content(row, now) for row in rows])
    return DONE


def replay(desk: Desk, what: str) -> int:
    """Have one alert looked at now; 1 if there is none or nothing is left to do."""
    rows = _found(desk, what)
    if not rows:
        return _nothing(desk, what)
    return _replay(desk, rows)


def replay_parked(desk: Desk) -> int:
    """Have every parked alert looked at now."""
    return _replay(desk, list(desk.stored.listing.parked()))


def _replay(desk: Desk, rows: Iterable[Record]) -> int:
    woken = [row for row in rows if _wake(desk, row)]
    lines = [f"{row.key}  {row.observed.number or 'no incident yet'}" for row in woken]
    text = "\n".join([*lines, f"{len(woken)} will be looked at now."])
    desk.tell(text, {"replayed": [row.key for row in woken]})
    return DONE if woken else ACT


def _wake(desk: Desk, row: Record) -> bool:
    """Unpark the row and wake it; return False if nothing is left to do.

    The row says first that it awaits work: if anything fails after that, `resync` finds it.

    Raises:
        Unavailable: storage did not answer.
        Conflict: workers or webhooks kept changing the row.
    """

    def unparked(row: Record | None) -> Record | None:
        is_done = row is None or (row.is_settled and not row.work.is_parked)
        return None if is_done or row is None else row.replayed(desk.now())

    woken = swap(desk.stored.store, row.key, unparked, row=row)
    if woken is None or not woken.awaits_work:
        return False
    desk.stored.wakeups.send(row.key, delay=timedelta(0))
    return True


def _found(desk: Desk, what: str) -> list[Record]:
    """Return the rows that a key, an alertId, or an incident's number names."""
    if is_key(what.lower()):
        row = desk.stored.store.read(what.lower())
        return [row] if row else []
    if "/" in what:
        row = desk.stored.store.read(key_of_alert_id(what))
        return [row] if row else []
    return list(desk.stored.listing.with_number(what.upper()))


def _nothing(desk: Desk, what: str) -> int:
    hint = " Health alerts go by their event or resource, not by alertId: use the incident's number." * ("/" in what)
    desk.tell(f"There is no alert {what}.{hint}", [])
    return ACT


def _age(row: Record) -> datetime:
    return row.work.failing_since or row.desired.changed_at
