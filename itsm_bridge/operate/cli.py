"""What can an operator ask and do at the command line?

`python -m itsm_bridge` calls `main`. The commands themselves are in `alerts` and in `entra.setup`.

    status            how many alerts are in which state, the oldest unsettled, the parked ones with their reasons
    show WHAT         one alert and what was decided about it: WHAT is a key, an alertId, or an incident's number
    replay WHAT       look at it again now; a parked one is no longer parked
    replay --parked   all that are parked
    preview ALERT     the incident that an alert would become, and which rule says so: a file, or a folder of them
    rules WHAT        check a rules file, show the rules
    setup             register the application that Azure Monitor calls

App settings come from the environment, and where that lacks one from `local.settings.json` in the current folder.

    exit status   means
    ───────────   ────────────────────────────────────────────────────────────────
    0             done; for `status`: no operator has to act
    1             an operator has to act: parked or overdue alerts, or nothing was found
    2             the command line or the app settings are wrong
    3             storage did not answer
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from itsm_bridge import __version__, app
from itsm_bridge.entra import setup as setup_entra
from itsm_bridge.errors import Damaged, InvalidSettings, NewerVersion, TemporaryError
from itsm_bridge.operate import preview, rules_commands
from itsm_bridge.operate.alerts import Desk, replay, replay_parked, show, status
from itsm_bridge.operate.exit_status import ACT, NO_ANSWER, WRONG

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


def _desk(asked: argparse.Namespace) -> Desk:
    return Desk(stored=app.stored(environment()), now=lambda: datetime.now(UTC), out=sys.stdout, as_json=asked.json)


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
        name="setup",
        summary="register the application that Azure Monitor calls",
        add_arguments=setup_entra.add_arguments,
        run=setup_entra.run,
    ),
)
