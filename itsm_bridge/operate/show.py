"""How is the row of an alert shown to a person, or to a script?

The commands in `alerts` and `status` call it. It looks nothing up and prints nothing: records in, text or JSON content
out. States are told in words, because ServiceNow's numbers say nothing to a person.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from itsm_bridge.operate.terminal import Screen
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import WAKE_UP_GRACE, Step
from itsm_bridge.rules.ruling import AutoResolve
from itsm_bridge.servicenow.incident import IncidentState
from itsm_bridge.storage.listing import state_of_record

#: After so long an alert that waits for its incident is told.
LONG_WAIT: Final = timedelta(minutes=10)

#: How many rows a table shows.
SHOWN: Final = 20

#: Digits of a key that a table shows, and that `show`, `replay` and `forget` accept.
KEY_SHOWN: Final = 12

#: The name of a rule in the field by which incidents of the bridge are recognised.
_RULE_PREFIX: Final = "Azure Monitor: "

#: States of an incident by their numbers, as the steps of a row name them.
_STATE_NUMBER = re.compile(r"\bin state (-?[0-9]+)\b")
_STATE_NAMES = {str(int(state)): state.name.replace("_", " ").title() for state in IncidentState}


def why(row: Record, now: datetime) -> str:
    """Say in a sentence what happens next with the row, and why."""
    error = in_words(row.work.last_error)
    if row.work.is_parked:
        return f"Parked until somebody acts: {error}"
    if row.is_settled and row.work.links_later:
        what = f"{row.observed.number} says what Azure Monitor said, and waits for its configuration item. "
        return what + _what_comes(row, now, f" after: {error}" if error else "")
    if row.is_settled and row.desired.is_shadowed:
        return f'Nothing: it is on trial by the rule "{row.desired.shadowed_by}". {would_be(row).capitalize()}.'
    if row.is_settled:
        what = f"the incident {row.observed.number}" if row.observed.number else "no incident"
        return f"Nothing: {what} is as Azure Monitor's last word wants it."
    return _what_comes(row, now, f" after: {error}" if error else "")


def would_be(row: Record) -> str:
    """Say what ServiceNow would hold of a row that is on trial."""
    desired = row.desired
    if desired.firing_count == 0:
        return "there would be no incident: only the end was seen"
    if desired.is_firing:
        return "its incident would be open"
    if desired.cleared_firing_count == desired.firing_count:
        return "there would be no incident: it was over before its hold was"
    ends = desired.is_expired or desired.lifecycle.auto_resolve is AutoResolve.RESOLVE
    return "its incident would be resolved" if ends else "its incident would be left to people"


def is_overdue(row: Record, now: datetime) -> bool:
    """Whether the wake-up of a row that awaits work is overdue."""
    return now >= row.work.wake_up_at + WAKE_UP_GRACE


def is_waiting_long(row: Outline, now: datetime) -> bool:
    """Whether Azure Monitor said so long ago what the incident does not say yet that an operator should know."""
    return not row.is_settled and not row.is_parked and now - row.told_at > LONG_WAIT


def rule_of(row: Record) -> str:
    """Return the name of the alert rule, as the incident has it; "" if only the end was seen."""
    return row.desired.fields_at_creation.get("correlation_display", "").removeprefix(_RULE_PREFIX)


def resources_of(row: Record) -> Sequence[str]:
    """Return what the alert affects, the most specific first: ARM ids and names."""
    return tuple(dict.fromkeys(each for wanted in row.desired.links.values() for each in wanted))


def in_words(text: str) -> str:
    """Return what a worker noted, with the states of incidents by their names, and nothing said twice in a row."""
    first, then, second = text.partition("; then ")
    if then and second in first:
        text = first
    return _STATE_NUMBER.sub(lambda found: f"in state {_STATE_NAMES.get(found[1], found[1])}", text)


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
        "state": str(state_of_record(row)),
        "next": why(row, now),
        "incident": {"number": seen.number, "sys_id": seen.incident_id} if seen.incident_id else None,
        "shadowed_by": desired.shadowed_by or None,
        "short_description": desired.fields.get("short_description", ""),
        "rule": rule_of(row),
        "resources": list(resources_of(row)),
        "generation": seen.generation,
        "signals": {
            name or "(one voice)": {"is_firing": signal.is_firing, "at": time_of(signal.at) or None}
            for name, signal in desired.signals.items()
        },
        "revision": desired.revision,
        "observed_revision": seen.revision,
        "notes_owed": len(work.notes),
        "attempts": work.attempts,
        "last_error": work.last_error,
        "decisions": _told(work.steps),
        "people": _told(row.followed.steps),
        **{name: time_of(moment) or None for name, moment in times.items()},
    }


def sheet(row: Record, now: datetime, screen: Screen) -> str:
    """Return everything about an alert, for people."""
    desired, seen, work = row.desired, row.observed, row.work
    lines = {
        "Key": row.key,
        "Alert": desired.fields.get("short_description", "(only its end was seen)"),
        "Rule": rule_of(row) or "not told",
        "State": str(state_of_record(row)),
        "Next": why(row, now),
        "Incident": f"{seen.number}  {seen.incident_id}" if seen.incident_id else "none known",
        "Generation": f"{seen.generation}" + (f", after {seen.previous_number}" if seen.previous_number else ""),
        "Revision": f"{desired.revision} said, {seen.revision} told to ServiceNow, {len(work.notes)} notes owed",
        "Attempts": f"{work.attempts} failed" + (f" since {time_of(work.failing_since)}" if work.failing_since else ""),
        "Not stored": ", ".join(seen.fields_not_stored),
        "Seen first": time_of(row.created_at),
        "Changed": time_of(desired.changed_at),
    }
    signals = [
        f"{'fires' if signal.is_firing else 'is over'}  {time_of(signal.at)}  {name}".rstrip()
        for name, signal in row.desired.signals.items()
    ]
    told = [
        *((name, text) for name, text in lines.items() if text),
        *(("Signal", text) for text in signals),
        *(("" if number else "Decisions", text) for number, text in enumerate(_lines(row.work.steps))),
        *(("" if number else "People", text) for number, text in enumerate(_lines(row.followed.steps))),
    ]
    return "\n".join(screen.wrapped(text, first=f"{name:<11} ", indent=12) for name, text in told)


def table(title: str, rows: Sequence[Record], now: datetime, screen: Screen) -> str:
    """Return the first of the rows as a table with a title, for people."""
    cells = [("KEY", "INCIDENT", "CHANGED", "TRIES", "NEXT")] + [
        (
            row.key[:KEY_SHOWN],
            row.observed.number or "-",
            time_of(row.desired.changed_at),
            str(row.work.attempts),
            why(row, now),
        )
        for row in rows[:SHOWN]
    ]
    return titled(title, screen.columns(cells), len(rows), screen)


def overview(rows: Sequence[Record], screen: Screen) -> str:
    """Return rows as the table that `list` prints, for people."""
    cells = [("KEY", "STATE", "INCIDENT", "CHANGED", "ALERT")] + [
        (
            row.key[:KEY_SHOWN],
            str(state_of_record(row)),
            row.observed.number or "-",
            time_of(row.desired.changed_at),
            row.desired.fields.get("short_description", "(only its end was seen)"),
        )
        for row in rows
    ]
    return "\n".join(screen.columns(cells))


def titled(title: str, lines: Sequence[str], count: int, screen: Screen) -> str:
    """Return lines under a title that says how many there are, if that are more than are shown."""
    more = f" (the first {SHOWN} of {count})" if count > SHOWN else ""
    return "\n".join([screen.bold(f"{title}{more}"), *lines])


def _what_comes(row: Record, now: datetime, because: str) -> str:
    if row.work.is_leased(now):
        return f"Being worked on, or its worker died; free at {time_of(row.work.leased_until)}."
    if row.work.is_waiting:
        return f"Waits for ServiceNow; a few of those who wait are tried every 5 minutes{because}"
    if is_overdue(row, now):
        return f"Its wake-up is overdue since {time_of(row.work.wake_up_at)}; resync will wake it{because}"
    if row.is_in_doubt(now):
        until = time_of(row.observed.in_doubt_until)
        return f"A write of unknown outcome may take effect until {until}; then again{because}"
    return f"Looked at again at {time_of(row.work.wake_up_at)}{because}"


def _told(steps: Iterable[Step]) -> Sequence[dict[str, object]]:
    return [{**asdict(each), "result": in_words(each.result), "at": time_of(each.at)} for each in steps]


def _lines(steps: Iterable[Step]) -> Sequence[str]:
    return [
        f"{time_of(each.at)}  {each.action:<7}  {each.reason:<40}  {in_words(each.result)}{_times(each.times)}"
        for each in steps
    ]


def _times(times: int) -> str:
    return f" ({times} times, the last is shown)" if times > 1 else ""


def time_of(moment: datetime | None) -> str:
    """Return a moment as people and scripts read it, in UTC; "" if there is none."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
