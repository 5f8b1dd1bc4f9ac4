"""What can an operator ask and do at the command line?

`python -m itsm_bridge` calls `main`. The commands themselves are in modules of their own.

    status            how many alerts are in which state, the oldest unsettled, the parked ones with their reasons, and
                      what goes wrong again and again
    show WHAT         one alert and what was decided about it: WHAT is a key or its first 6 digits or more, an alertId
                      or the GUID at its end, or an incident's number
    list              which alerts there are, by state, age, rule or resource
    replay WHAT       look at it again now; a parked one is no longer parked
    replay --parked   all that are parked
    preview ALERT     the incident that an alert would become, and which rule says so: a file, or a folder of them
    rules WHAT        check, show, push and restore rules
    forget WHAT       delete what is remembered of it
    send-test         send an alert through the real way
    migrate           what the actions of Microsoft's ITSM connector do, and what says the same here
    follow            look once at Azure's own list for alerts that never reached us; --dry-run changes nothing
    doctor            is everything as it must be, and who can mend it?
    setup             register the application that Azure Monitor calls

Where the settings of a command come from: `sources`. Each command needs those of what it touches.

    exit status   means
    ───────────   ────────────────────────────────────────────────────────────────
    0             done; for `status`: no operator has to act
    1             an operator has to act, or nothing was found
    2             the command line or the app settings are wrong
    3             storage, ServiceNow or another party did not answer
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from itsm_bridge import __version__, app
from itsm_bridge.entra import setup as setup_entra
from itsm_bridge.errors import (
    BridgeError,
    Conflict,
    Damaged,
    InvalidSettings,
    NewerVersion,
    TemporaryError,
    place_of,
)
from itsm_bridge.operate import alerts, follow, migrate, preview, rules_commands, trial
from itsm_bridge.operate.desk import Desk
from itsm_bridge.operate.doctor import Asked, doctor
from itsm_bridge.operate.exit_status import ACT, DONE, NO_ANSWER, WRONG, NotUnderstood
from itsm_bridge.operate.send_test import RESOURCE_MANAGER, Target, send_test
from itsm_bridge.operate.sources import environment, local_world
from itsm_bridge.operate.status import acknowledge, status, watch
from itsm_bridge.operate.terminal import Screen
from itsm_bridge.storage.listing import RowState

_NOWHERE: Final = logging.NullHandler()

_WHAT: Final = "a key or its beginning (6 digits or more), an alertId or the GUID at its end, or an incident's number"
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One word after `python -m itsm_bridge`."""

    name: str
    #: One line, for `--help`.
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    #: Returns the exit status.
    run: Callable[[argparse.Namespace], int]


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    whole = argparse.ArgumentParser(prog="python -m itsm_bridge", description="Look after itsm-bridge.")
    whole.add_argument("--version", action="version", version=f"itsm-bridge {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.summary, description=f"{command.summary.capitalize()}.")
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; whatever happens, a sentence is told and no traceback."""
    asked = parser().parse_args(arguments)
    # A command tells what it has to tell; what the parts log is for the log of the app.
    logging.getLogger().addHandler(_NOWHERE)
    try:
        code = int(asked.run(asked))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has seen enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return ACT
    except BridgeError as error:
        return _told(error)
    except Exception as error:  # noqa: BLE001 - the edge: a traceback tells an operator nothing
        sys.stderr.write(
            f"This is a fault of itsm-bridge; please report it: {type(error).__name__} at {place_of(error)}\n"
        )
        return ACT
    return code


#: By error: what is written, and the exit status. The first class that fits.
_ERRORS: Final[Mapping[type[BridgeError], tuple[str, int]]] = {
    InvalidSettings: ("The app settings are wrong: {}.", WRONG),
    NotUnderstood: ("{}.", WRONG),
    Conflict: ("Try again: {}.", ACT),
    Damaged: ("{}. `forget` takes it away; the next notification of its key sets it aside.", ACT),
    NewerVersion: ("{}. Use the version of itsm-bridge that is deployed.", ACT),
    TemporaryError: ("Try again: {}.", NO_ANSWER),
    BridgeError: ("{}.", ACT),
}


def _told(error: BridgeError) -> int:
    """Tell an error in a sentence; return the exit status."""
    text, code = next(told for kind, told in _ERRORS.items() if isinstance(error, kind))
    sys.stderr.write(text.format(f"{error}".rstrip(".")) + "\n")
    return code


def _desk(asked: argparse.Namespace) -> Desk:
    settings = environment(account=asked.account)
    return Desk(
        stored=app.stored(settings),
        common=lambda: app.common_content(settings),
        now=lambda: datetime.now(UTC),
        out=sys.stdout,
        as_json=asked.json,
        screen=Screen.of(sys.stdout),
    )


def _add_desk(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--account", metavar="NAME", default="", help="the storage account, with your own sign-in (`az login`)"
    )


def _add_status(parser: argparse.ArgumentParser) -> None:
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--watch", action="store_true", help="again every 5 seconds, until Ctrl-C")
    mode.add_argument("--acknowledge", action="store_true", help="forget what went wrong so far")
    _add_desk(parser)


def _run_status(asked: argparse.Namespace) -> int:
    desk = _desk(asked)
    if asked.acknowledge:
        return acknowledge(desk)
    return watch(desk) if asked.watch else status(desk)


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help=_WHAT)
    _add_desk(parser)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=[str(state) for state in RowState], help="only those in this state")
    parser.add_argument(
        "--since", metavar="TIME", type=_moment, help="changed since: 30m, 2h, 7d, or 2026-03-01T10:00Z"
    )
    parser.add_argument("--rule", default="", help="part of the name of the alert rule; * stands for anything")
    parser.add_argument(
        "--resource", default="", help="part of the name or ARM id of a resource; * stands for anything"
    )
    parser.add_argument("--shadow", action="store_true", help="what is on trial, and what would become of it")
    parser.add_argument(
        "--against", metavar="FILE", type=Path, help="with --shadow: an export of incidents to compare with (JSON, CSV)"
    )
    parser.add_argument("--limit", type=_count, default=alerts.LISTED, help="how many at most (%(default)s)")
    _add_desk(parser)


def _run_list(asked: argparse.Namespace) -> int:
    wanted = alerts.Wanted(
        state=RowState(asked.state) if asked.state else None,
        since=asked.since,
        rule=asked.rule,
        resource=asked.resource,
        limit=asked.limit,
    )
    if asked.against and not asked.shadow:
        raise NotUnderstood("--against needs --shadow")
    if asked.shadow:
        return trial.list_trial(_desk(asked), wanted, asked.against)
    return alerts.list_alerts(_desk(asked), wanted)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("what", metavar="WHAT", nargs="?", help=_WHAT)
    one.add_argument("--parked", action="store_true", help="all that are parked")
    _add_desk(parser)


def _run_replay(asked: argparse.Namespace) -> int:
    desk = _desk(asked)
    return alerts.replay_parked(desk) if asked.parked else alerts.replay(desk, asked.what)


def _add_forget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_what(parser)


def _run_forget(asked: argparse.Namespace) -> int:
    ask = alerts.asking(is_terminal=sys.stdin.isatty(), is_agreed=asked.yes)
    return alerts.forget(_desk(asked), asked.what, ask=ask)


def _add_send_test(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--action-group", metavar="ARM_ID", default="", help="have Azure Monitor send its test there")
    where.add_argument("--url", default="", help="the address of the secure webhook, with its key")
    parser.add_argument("--audience", default="", help="with --url: the application ID URI that the token is for")
    parser.add_argument("--resource-manager", default=RESOURCE_MANAGER, help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run_send_test(asked: argparse.Namespace) -> int:
    if asked.url and not asked.audience:
        raise NotUnderstood("--url needs --audience, the application ID URI that the token is for")
    target = Target(
        world=None if asked.url or asked.action_group else local_world(),
        action_group=asked.action_group,
        resource_manager=asked.resource_manager,
        url=asked.url,
        audience=asked.audience,
    )
    return send_test(target, out=sys.stdout, as_json=asked.json)


def _add_follow(parser: argparse.ArgumentParser) -> None:
    follow.add_arguments(parser)
    parser.add_argument(
        "--since", metavar="TIME", type=_moment, help="look back further than the last look: 2h, 7d, 2026-03-01T10:00Z"
    )
    _add_desk(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="also make an incident marked as a test, and resolve it")
    _add_desk(parser)


def _run_doctor(asked: argparse.Namespace) -> int:
    return doctor(
        Asked(environ=environment(account=asked.account), writes=asked.write), out=sys.stdout, as_json=asked.json
    )


def _moment(text: str) -> datetime:
    span = _SPAN.fullmatch(text.strip().lower())
    if span:
        return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 30m, 2h, 7d, or 2026-03-01T10:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 999999")
    return int(text)


#: In the order of `--help`. Another command needs nothing but a line here.
COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="status",
        summary="how many alerts are in which state, and what needs somebody",
        add_arguments=_add_status,
        run=_run_status,
    ),
    Command(
        name="show",
        summary="everything about one alert, the last decisions included",
        add_arguments=_add_what,
        run=lambda asked: alerts.show(_desk(asked), asked.what),
    ),
    Command(
        name="list",
        summary="which alerts there are, those that changed last first",
        add_arguments=_add_list,
        run=_run_list,
    ),
    Command(name="replay", summary="have alerts looked at again now", add_arguments=_add_replay, run=_run_replay),
    Command(name="forget", summary="delete what is remembered of an alert", add_arguments=_add_forget, run=_run_forget),
    Command(
        name="send-test", summary="send an alert through the real way", add_arguments=_add_send_test, run=_run_send_test
    ),
    Command(
        name="preview",
        summary="the incident that an alert would become, and which rule says so",
        add_arguments=preview.add_arguments,
        run=lambda asked: preview.run(asked, environment()),
    ),
    Command(
        name="rules",
        summary="check, show, push and restore rules",
        add_arguments=rules_commands.add_arguments,
        run=lambda asked: rules_commands.run(asked, environment()),
    ),
    Command(
        name="follow",
        summary="bring in alerts that Azure Monitor failed to bring, by Azure's own list",
        add_arguments=_add_follow,
        run=lambda asked: follow.run(asked, environment(account=asked.account), out=sys.stdout),
    ),
    Command(
        name="doctor",
        summary="is everything as it must be, and who can mend it",
        add_arguments=_add_doctor,
        run=_run_doctor,
    ),
    Command(
        name="migrate",
        summary="leave Microsoft's ITSM connector: what its actions do, and what says the same here",
        add_arguments=migrate.add_arguments,
        run=migrate.run,
    ),
    Command(
        name="setup",
        summary="register the application that Azure Monitor calls",
        add_arguments=setup_entra.add_arguments,
        run=setup_entra.run,
    ),
)
