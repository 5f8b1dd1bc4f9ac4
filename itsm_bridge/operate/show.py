"""How is the row of an alert shown to a person, or to a script?

The commands in `alerts` call it. It looks nothing up and prints nothing: records in, text or JSON content out.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.storage.listing import RowState, state_of

#: How many rows a table shows.
SHOWN: Final = 20


def why(row: Record, now: datetime) -> str:
    """Say in a sentence what happens next with the row, and why."""
    if row.work.is_parked:
        return f"Parked until somebody acts: {row.work.last_error}"
    if row.is_settled:
        what = f"the incident {row.observed.number}" if row.observed.number else "no incident"
        return f"Nothing: {what} is as Azure Monitor's last word wants it."
    return _what_comes(row, now, f" after: {row.work.last_error}" if row.work.last_error else "")


def is_overdue(row: Record, now: datetime) -> bool:
    """Whether the wake-up of a row that awaits work is overdue."""
    return now >= row.work.wake_up_at + WAKE_UP_GRACE


def content(row: Record, now: datetime) -> dict[str, object]:
    """Return everything about an alert, to be printed as JSON."""
    desired, seen, work = row.desired, row.observed, row.work
    times = {
        "created_at": row.created_at,
        "changed_at": desired.changed_at,
        "wake_up_at": work.wake_up_at,
        "leased_until": work.leased_until,
        "in_doubt_until": seen.in_doubt_until,
        "failing_since": work.failing_since,
    }
    return {
        "key": row.key,
        "state": str(_state(row)),
        "next": why(row, now),
        "incident": {"number": seen.number, "sys_id": seen.incident_id} if seen.incident_id else None,
        "short_description": desired.fields.get("short_description", ""),
        "generation": seen.generation,
        "signals": {
            name or "(one voice)": {"is_firing": signal.is_firing, "at": _time(signal.at) or None}
            for name, signal in desired.signals.items()
        },
        "revision": desired.revision,
        "observed_revision": seen.revision,
        "notes_owed": len(work.notes),
        "attempts": work.attempts,
        "last_error": work.last_error,
        "decisions": [{**asdict(each), "at": _time(each.at)} for each in work.steps],
        **{name: _time(moment) or None for name, moment in times.items()},
    }


def sheet(row: Record, now: datetime) -> str:
    """Return everything about an alert, for people."""
    desired, seen, work = row.desired, row.observed, row.work
    lines = {
        "Key": row.key,
        "Alert": desired.fields.get("short_description", "(only its end was seen)"),
        "State": str(_state(row)),
        "Next": why(row, now),
        "Incident": f"{seen.number}  {seen.incident_id}" if seen.incident_id else "none known",
        "Generation": f"{seen.generation}" + (f", after {seen.previous_number}" if seen.previous_number else ""),
        "Revision": f"{desired.revision} said, {seen.revision} told to ServiceNow, {len(work.notes)} notes owed",
        "Attempts": f"{work.attempts} failed" + (f" since {_time(work.failing_since)}" if work.failing_since else ""),
        "Seen first": _time(row.created_at),
        "Changed": _time(desired.changed_at),
    }
    signals = [
        f"{'fires' if signal.is_firing else 'is over'}  {_time(signal.at)}  {name}".rstrip()
        for name, signal in row.desired.signals.items()
    ]
    decisions = [
        f"{_time(each.at)}  {each.action:<7}  {each.reason:<40}  {each.result}{_times(each.times)}"
        for each in row.work.steps
    ]
    return "\n".join(
        [
            *(f"{name:<11} {text}" for name, text in lines.items()),
            *(f"{'Signal':<11} {text}" for text in signals),
            *(f"{'' if number else 'Decisions':<11} {text}" for number, text in enumerate(decisions)),
        ]
    )


def table(title: str, rows: Sequence[Record], now: datetime) -> str:
    """Return the first of the rows as a table with a title, for people."""
    cells = [("KEY", "INCIDENT", "CHANGED", "TRIES", "NEXT")] + [
        (row.key[:12], row.observed.number or "-", _time(row.desired.changed_at), str(row.work.attempts), why(row, now))
        for row in rows[:SHOWN]
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(line[:4], widths, strict=True)), line[4]])
        for line in cells
    ]
    return titled(title, lines, len(rows))


def titled(title: str, lines: Sequence[str], count: int) -> str:
    """Return lines under a title that says how many there are, if that are more than are shown."""
    more = f" (the first {SHOWN} of {count})" if count > SHOWN else ""
    return "\n".join([f"{title}{more}", *lines])


def _what_comes(row: Record, now: datetime, because: str) -> str:
    if row.work.is_leased(now):
        return f"Being worked on, or its worker died; free at {_time(row.work.leased_until)}."
    if row.work.is_waiting:
        return f"Waits for ServiceNow; a few of those who wait are tried every 5 minutes{because}"
    if is_overdue(row, now):
        return f"Its wake-up is overdue since {_time(row.work.wake_up_at)}; resync will wake it{because}"
    if row.is_in_doubt(now):
        until = _time(row.observed.in_doubt_until)
        return f"A write of unknown outcome may take effect until {until}; then again{because}"
    return f"Looked at again at {_time(row.work.wake_up_at)}{because}"


def _state(row: Record) -> RowState:
    return state_of(awaits_work=row.awaits_work, is_parked=row.work.is_parked, is_firing=row.desired.is_firing)


def _times(times: int) -> str:
    return f" ({times} times, the last is shown)" if times > 1 else ""


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
