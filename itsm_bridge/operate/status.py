"""Does anybody have to act?

`cli` calls `status`. It reads storage and nothing else: what goes wrong again and again was counted there by the app,
so that this works from a laptop whose owner may read the table and nothing more.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from itsm_bridge.operate.advice import Meaning, present
from itsm_bridge.operate.desk import Desk
from itsm_bridge.operate.exit_status import ACT, DONE
from itsm_bridge.operate.show import (
    LONG_WAIT,
    SHOWN,
    content,
    in_words,
    is_overdue,
    is_waiting_long,
    table,
    time_of,
    titled,
)
from itsm_bridge.reconcile.outline import outline_of
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.listing import RowState
from itsm_bridge.troubles import Tally, Trouble

#: How often `--watch` looks.
EVERY: Final = timedelta(seconds=5)

_CLEAR = "\033[H\033[2J\033[3J"


def status(desk: Desk) -> int:
    """Tell how many alerts are in which state, and what goes wrong; 1 if an operator has to act."""
    listing, now = desk.stored.listing, desk.now()
    counts = listing.counts()
    unsettled = sorted(listing.unsettled(), key=_age) if counts[RowState.UNSETTLED] else []
    parked = sorted(listing.parked(), key=_age) if counts[RowState.PARKED] else []
    overdue = sum(is_overdue(row, now) for row in unsettled if not row.work.is_waiting)
    waiting = [row for row in unsettled if is_waiting_long(outline_of(row), now)]
    troubles = present(desk.stored.troubles.known(), now)
    unreadable = [*listing.unreadable, *listing.set_aside()]
    must_act = bool(parked or overdue or waiting or unreadable or troubles)
    screen = desk.screen
    counted = "  ".join(f"{state} {count}" for state, count in counts.items())
    parts = [f"{screen.wrapped(counted)}\n{screen.wrapped(_instance_health(troubles, waiting))}"]
    if troubles:
        lines = [_trouble_line(desk, *each) for each in troubles]
        parts.append("\n".join([screen.bold("What goes wrong"), *lines]))
    if waiting:
        oldest = waiting[0]
        error = f": {in_words(oldest.work.last_error)}" if oldest.work.last_error else ""
        minutes = int(LONG_WAIT.total_seconds() // 60)
        told = f"{len(waiting)} waiting longer than {minutes} minutes for their incidents, the oldest since"
        parts.append(screen.wrapped(f"{told} {time_of(oldest.desired.changed_at)}{error}"))
    if unsettled:
        parts.append(table("Oldest unsettled", unsettled, now, screen))
    if parked:
        parts.append(table("Parked", parked, now, screen))
    if overdue:
        parts.append(
            screen.wrapped(f"{overdue} without a wake-up in time: `resync` runs every 5 minutes. Is the app up?")
        )
    if unreadable:
        title = "Cannot be read (damaged, or of a newer version); `forget` takes one away"
        parts.append(titled(title, unreadable[:SHOWN], len(unreadable), screen))
    told_as_json = {
        "counts": {str(state): count for state, count in counts.items()},
        "overdue": overdue,
        "waiting_long": len(waiting),
        "servicenow": "troubled" if _concern_servicenow(troubles) else "slow" if waiting else "ok",
        "troubles": [_trouble_content(*each) for each in troubles],
        "unreadable": unreadable,
        "unsettled": [content(row, now) for row in unsettled[:SHOWN]],
        "parked": [content(row, now) for row in parked],
    }
    desk.tell("\n\n".join(parts), told_as_json)
    return ACT if must_act else DONE


def acknowledge(desk: Desk) -> int:
    """Forget what went wrong so far, so that `status` tells only of what goes wrong from now on."""
    desk.stored.troubles.clear()
    desk.tell("What went wrong so far is forgotten; what goes on going wrong is told again.", {"acknowledged": True})
    return DONE


def watch(desk: Desk, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Tell the status again and again until the person interrupts it; return the last exit status."""
    last = DONE
    try:
        while True:
            if not desk.as_json and desk.screen.has_colours:
                desk.out.write(_CLEAR)
            last = status(desk)
            desk.out.write("" if desk.as_json else f"\n{time_of(desk.now())}, every 5 s; Ctrl-C ends it\n")
            desk.out.flush()
            sleep(EVERY.total_seconds())
    except KeyboardInterrupt:
        return last


def _concern_servicenow(troubles: Sequence[tuple[Trouble, Tally, Meaning]]) -> bool:
    return any(trouble.startswith("servicenow-") for trouble, _, _ in troubles)


def _instance_health(troubles: Sequence[tuple[Trouble, Tally, Meaning]], waiting: Sequence[Record]) -> str:
    """Say how ServiceNow fares, as far as storage tells."""
    if _concern_servicenow(troubles):
        return "ServiceNow: in trouble, see below"
    if waiting:
        return "ServiceNow: alerts wait for it, see below"
    return "ServiceNow: no trouble is known"


def _trouble_line(desk: Desk, _: Trouble, tally: Tally, meaning: Meaning) -> str:
    times = "once" if tally.count == 1 else f"{tally.count} times since {time_of(tally.first_at)}, last"
    detail = f" ({tally.detail})" if tally.detail else ""
    text = f"{meaning.meaning}: {times} {time_of(tally.last_at)}{detail}. To do: {meaning.remedy}."
    return desk.screen.wrapped(text, first="- ", indent=2)


def _trouble_content(trouble: Trouble, tally: Tally, meaning: Meaning) -> Mapping[str, Any]:
    return {
        "trouble": str(trouble),
        "count": tally.count,
        "first_at": time_of(tally.first_at),
        "last_at": time_of(tally.last_at),
        "message": meaning.meaning,
        "detail": tally.detail,
        "remedy": meaning.remedy,
    }


def _age(row: Record) -> datetime:
    return row.work.failing_since or row.desired.changed_at
