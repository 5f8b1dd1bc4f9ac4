"""What does an operator ask and do at the command line?

    status            how many alerts are in which state, the oldest unsettled, the parked ones with their reasons
    show WHAT         one alert and what was decided about it: WHAT is a key, an alertId, or an incident's number
    replay WHAT       look at it again now; a parked one is no longer parked
    replay --parked   all that are parked

App settings come from the environment, and where that is silent from `local.settings.json` in the current folder.

    exit status   means
    ───────────   ────────────────────────────────────────────────────────────────
    0             done; for `status`: nobody has to act
    1             somebody has to act: parked or overdue alerts, or nothing was found
    2             the command line or the app settings are wrong
    3             storage did not answer
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from itsm_bridge import __version__, app
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.correlation import correlate
from itsm_bridge.entra import setup as setup_entra
from itsm_bridge.errors import Conflict, Damaged, InvalidSettings, NewerVersion, TemporaryError
from itsm_bridge.reconcile.record import WAKE_UP_GRACE, Record
from itsm_bridge.storage.alert_table import AlertStore
from itsm_bridge.storage.listing import Listing, RowState, state_of
from itsm_bridge.storage.row_format import is_key
from itsm_bridge.storage.wakeup_queue import WakeUps

DONE: Final = 0
ACT: Final = 1
WRONG: Final = 2
NO_ANSWER: Final = 3

#: Rows that `status` shows of each kind.
_SHOWN = 20
_ATTEMPTS_TO_WRITE = 5

_LOCAL_SETTINGS = Path("local.settings.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One word after `python -m itsm_bridge`."""

    name: str
    #: One line, for `--help`.
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    #: Returns the exit status.
    run: Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the commands here work with."""

    listing: Listing
    store: AlertStore
    wakeups: WakeUps
    now: Callable[[], datetime]
    out: TextIO
    as_json: bool

    def tell(self, text: str, content: object) -> None:
        """Print `text` for people, or `content` as JSON."""
        print(json.dumps(content, indent=2, ensure_ascii=False) if self.as_json else text, file=self.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m itsm_bridge", description="Look after itsm-bridge.")
    parser.add_argument("--version", action="version", version=f"itsm-bridge {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.summary, description=f"{command.summary.capitalize()}.")
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    asked = parser.parse_args(arguments)
    try:
        return int(asked.run(asked))
    except InvalidSettings as error:
        sys.stderr.write(f"The app settings are wrong: {error}\n")
        return WRONG
    except (Damaged, NewerVersion) as error:
        sys.stderr.write(f"{error}.\n")
        return ACT
    except TemporaryError as error:
        sys.stderr.write(f"Try again: {error}\n")
        return NO_ANSWER


def environment(folder: Path = Path()) -> Mapping[str, str]:
    """Return the app settings of this process, completed by the `local.settings.json` of `folder` if there is one.

    Raises:
        InvalidSettings: the file is not what the Functions tools write.
    """
    path = folder / _LOCAL_SETTINGS
    if not path.exists():
        return os.environ
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
        return {**{name: str(value) for name, value in values.items()}, **os.environ}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSettings(f"{_LOCAL_SETTINGS} is not a JSON object with Values") from error


# Status.


def status(desk: Desk) -> int:
    """Tell how many alerts are in which state; 1 if somebody has to act."""
    counts = desk.listing.counts()
    unsettled = sorted(desk.listing.unsettled(), key=_age) if counts[RowState.UNSETTLED] else []
    parked = sorted(desk.listing.parked(), key=_age) if counts[RowState.PARKED] else []
    now = desk.now()
    overdue = sum(now >= row.wake_up_at + WAKE_UP_GRACE for row in unsettled if not row.is_waiting)
    damaged = [*desk.listing.unreadable, *desk.listing.set_aside()]
    parts = ["  ".join(f"{state} {count}" for state, count in counts.items())]
    if unsettled:
        parts.append(_titled("Oldest unsettled", _table(unsettled[:_SHOWN], now), len(unsettled)))
    if parked:
        parts.append(_titled("Parked", _table(parked[:_SHOWN], now), len(parked)))
    if overdue:
        parts.append(f"{overdue} without a wake-up in time: `resync` runs every 5 minutes. Is the app up?")
    if damaged:
        parts.append(
            _titled("Cannot be read (damaged, or of a newer version)", "\n".join(damaged[:_SHOWN]), len(damaged))
        )
    content = {
        "counts": {str(state): count for state, count in counts.items()},
        "overdue": overdue,
        "unreadable": damaged,
        "unsettled": [_content(row, now) for row in unsettled[:_SHOWN]],
        "parked": [_content(row, now) for row in parked],
    }
    desk.tell("\n\n".join(parts), content)
    return ACT if parked or overdue or damaged else DONE


def show(desk: Desk, what: str) -> int:
    """Tell everything about one alert; 1 if there is none."""
    rows = _found(desk, what)
    if not rows:
        return _nothing(desk, what)
    now = desk.now()
    desk.tell(
        "\n\n".join(_sheet(row, now) for row in rows),
        [_content(row, now) for row in rows],
    )
    return DONE


def replay(desk: Desk, what: str) -> int:
    """Have one alert looked at now; 1 if there is none or nothing is left to do."""
    rows = _found(desk, what)
    if not rows:
        return _nothing(desk, what)
    return _replayed(desk, rows)


def replay_parked(desk: Desk) -> int:
    """Have every parked alert looked at now."""
    return _replayed(desk, list(desk.listing.parked()))


def _replayed(desk: Desk, rows: Iterable[Record]) -> int:
    woken = [row for row in rows if _woken(desk, row)]
    lines = [f"{row.key}  {row.number or 'no incident yet'}" for row in woken]
    text = "\n".join([*lines, f"{len(woken)} will be looked at now."])
    desk.tell(text, {"replayed": [row.key for row in woken]})
    return DONE if woken else ACT


def _woken(desk: Desk, row: Record) -> bool:
    """Unpark the row and wake it; return False if nothing is left to do.

    The row says first that it awaits work: whatever fails then, `resync` finds it.

    Raises:
        Unavailable: storage did not answer.
        Conflict: others kept changing the row.
    """
    for _ in range(_ATTEMPTS_TO_WRITE):
        if row.is_settled and not row.is_parked:
            return False
        try:
            desk.store.replace(row.replayed(desk.now()))
        except Conflict:
            newer = desk.store.read(row.key)
            if newer is None:
                return False
            row = newer
        else:
            desk.wakeups.send(row.key, delay=timedelta(0))
            return True
    raise Conflict(f"the row {row.key} keeps changing")


# Finding.


def _found(desk: Desk, what: str) -> list[Record]:
    if is_key(what.lower()):
        row = desk.store.read(what.lower())
        return [row] if row else []
    if "/" in what:
        row = desk.store.read(key_of_alert(what))
        return [row] if row else []
    return list(desk.listing.with_number(what.upper()))


def key_of_alert(alert_id: str) -> str:
    """Return the key of an alert that is told apart by its alertId."""
    essentials = {"alertId": alert_id, "monitorCondition": "Fired", "monitoringService": "Platform"}
    body = {"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": essentials, "alertContext": {}}}
    return correlate(parse_alert(json.dumps(body).encode())).key


def _nothing(desk: Desk, what: str) -> int:
    hint = " Health alerts go by their event or resource, not by alertId: use the incident's number." * ("/" in what)
    desk.tell(f"There is no alert {what}.{hint}", [])
    return ACT


# Showing.


def why(row: Record, now: datetime) -> str:
    """Say in a sentence what happens next with the row, and why."""
    if row.is_parked:
        return f"Parked until somebody acts: {row.last_error}"
    if row.is_settled:
        what = f"the incident {row.number}" if row.number else "no incident"
        return f"Nothing: {what} is as Azure Monitor's last word wants it."
    return _what_comes(row, now, f" after: {row.last_error}" if row.last_error else "")


def _what_comes(row: Record, now: datetime, because: str) -> str:
    if row.is_leased(now):
        return f"Being worked on, or its worker died; free at {_time(row.leased_until)}."
    if row.is_waiting:
        return f"Waits for ServiceNow; a few of those who wait are tried every 5 minutes{because}"
    if now >= row.wake_up_at + WAKE_UP_GRACE:
        return f"Its wake-up is overdue since {_time(row.wake_up_at)}; resync will wake it{because}"
    if row.is_in_doubt(now):
        return f"A write of unknown outcome may take effect until {_time(row.in_doubt_until)}; then again{because}"
    return f"Looked at again at {_time(row.wake_up_at)}{because}"


def _content(row: Record, now: datetime) -> dict[str, object]:
    times = {
        name: _time(getattr(row, name)) or None
        for name in ("created_at", "changed_at", "wake_up_at", "leased_until", "in_doubt_until", "failing_since")
    }
    return {
        "key": row.key,
        "state": str(_state(row)),
        "next": why(row, now),
        "incident": {"number": row.number, "sys_id": row.sys_id} if row.sys_id else None,
        "short_description": row.fields.get("short_description", ""),
        "generation": row.generation,
        "signals": {
            name or "(one voice)": {"is_firing": signal.is_firing, "at": _time(signal.at) or None}
            for name, signal in row.signals.items()
        },
        "revision": row.revision,
        "observed_revision": row.observed_revision,
        "notes_owed": len(row.notes),
        "attempts": row.attempts,
        "last_error": row.last_error,
        "decisions": [{**asdict(each), "at": _time(each.at)} for each in row.decisions],
        **times,
    }


def _sheet(row: Record, now: datetime) -> str:
    lines = {
        "Key": row.key,
        "Alert": row.fields.get("short_description", "(only its end was seen)"),
        "State": str(_state(row)),
        "Next": why(row, now),
        "Incident": f"{row.number}  {row.sys_id}" if row.sys_id else "none known",
        "Generation": f"{row.generation}" + (f", after {row.previous_number}" if row.previous_number else ""),
        "Revision": f"{row.revision} said, {row.observed_revision} told to ServiceNow, {len(row.notes)} notes owed",
        "Attempts": f"{row.attempts} failed" + (f" since {_time(row.failing_since)}" if row.failing_since else ""),
        "Seen first": _time(row.created_at),
        "Changed": _time(row.changed_at),
    }
    signals = [
        f"{'fires' if signal.is_firing else 'is over'}  {_time(signal.at)}  {name}".rstrip()
        for name, signal in row.signals.items()
    ]
    decisions = [
        f"{_time(each.at)}  {each.action:<7}  {each.reason:<40}  {each.result}{_times(each.times)}"
        for each in row.decisions
    ]
    return "\n".join(
        [
            *(f"{name:<11} {text}" for name, text in lines.items()),
            *(f"{'Signal':<11} {text}" for text in signals),
            *(f"{'' if number else 'Decisions':<11} {text}" for number, text in enumerate(decisions)),
        ]
    )


def _times(times: int) -> str:
    return f" ({times} times, the last is shown)" if times > 1 else ""


def _table(rows: Sequence[Record], now: datetime) -> str:
    cells = [("KEY", "INCIDENT", "CHANGED", "TRIES", "NEXT")] + [
        (row.key[:12], row.number or "-", _time(row.changed_at), str(row.attempts), why(row, now)) for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line[:4], widths, strict=True)), line[4]])
        for line in cells
    )


def _titled(title: str, table: str, count: int) -> str:
    more = f" (the first {_SHOWN} of {count})" if count > _SHOWN else ""
    return f"{title}{more}\n{table}"


def _state(row: Record) -> RowState:
    return state_of(awaits_work=row.awaits_work, is_parked=row.is_parked, is_firing=row.is_firing)


def _age(row: Record) -> datetime:
    return row.failing_since or row.changed_at


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


# The commands.


def _desk(asked: argparse.Namespace) -> Desk:
    stored = app.stored(environment())
    return Desk(
        listing=stored.listing,
        store=stored.store,
        wakeups=stored.wakeups,
        now=lambda: datetime.now(UTC),
        out=sys.stdout,
        as_json=asked.json,
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="a key, an alertId, or an incident's number")
    _add_json(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("what", metavar="WHAT", nargs="?", help="a key, an alertId, or an incident's number")
    one.add_argument("--parked", action="store_true", help="all that are parked")
    _add_json(parser)


def _run_replay(asked: argparse.Namespace) -> int:
    desk = _desk(asked)
    return replay_parked(desk) if asked.parked else replay(desk, asked.what)


#: In the order of `--help`. Another command needs nothing but a line here.
COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="status",
        summary="how many alerts are in which state, and which need somebody",
        add_arguments=_add_json,
        run=lambda asked: status(_desk(asked)),
    ),
    Command(
        name="show",
        summary="everything about one alert, the last decisions included",
        add_arguments=_add_what,
        run=lambda asked: show(_desk(asked), asked.what),
    ),
    Command(name="replay", summary="have alerts looked at again now", add_arguments=_add_replay, run=_run_replay),
    Command(
        name="setup",
        summary="register the application that Azure Monitor calls",
        add_arguments=setup_entra.add_arguments,
        run=setup_entra.run,
    ),
)
