"""What can an operator do with rules at the command line?

`cli` calls the command `rules`, whose second word says what. The first two need files alone, the others storage.

    rules check FILE    every fault of a file, as editors read it: FILE:line:column: message (hint)
    rules show [FILE]   the built-in rules, and all rules in their order if there is a file
    rules push FILE, rules history, rules restore N     see `rules_versions`
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from itsm_bridge import app
from itsm_bridge.operate import rules_versions
from itsm_bridge.operate.exit_status import DONE, WRONG
from itsm_bridge.operate.preview import Unreadable, bytes_of, rules_of, rules_path


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesCommand:
    """One word after `rules`."""

    name: str
    #: One line, for `--help`.
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    #: Takes the app settings too; returns the exit status.
    run: Callable[[argparse.Namespace, Mapping[str, str]], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can stand after `rules`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.summary, description=f"{command.summary.capitalize()}.")
        command.add_arguments(one)
        one.add_argument("--json", action="store_true", help="print JSON")
        one.set_defaults(run_rules=command.run)


def run(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run what stands after `rules`; return the exit status."""
    try:
        return int(asked.run_rules(asked, environ))
    except Unreadable as error:
        sys.stderr.write(f"{error}\n")
        return WRONG


def check(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001 - a file needs no settings
    """Print the faults of a file; 2 if there are any."""
    from itsm_bridge.rules.faults import InvalidRules  # noqa: PLC0415 - other commands do not read rules

    source = bytes_of(asked.file)
    try:
        rules = app.compile_rules(source)
    except InvalidRules as error:
        lines = [f"{asked.file}:{fault}" for fault in error.faults]
        _tell(asked, "\n".join(lines), [asdict(fault) for fault in error.faults])
        return WRONG
    own = sum(not rule.is_built_in for rule in rules.rules)
    _tell(asked, f"{asked.file}: {own} rules, no faults", [])
    return DONE


def show(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the built-in rules, and the rules of a file in their order."""
    built_in = app.built_in_text()
    path = rules_path(asked.file, environ)
    rules = rules_of(path).rules
    listed = [{"name": each.name, "built_in": each.is_built_in, "says": list(each.says)} for each in rules]
    told = {"file": str(path) if path else None, "built_in": built_in, "rules": listed}
    lines = [f"{number:>3}  {each.name}{' (built-in)' if each.is_built_in else ''}: {', '.join(each.says)}"
             for number, each in enumerate(rules, 1)]  # fmt: skip
    order = "\n".join([f"Rules in their order, with those of {path}:", *lines])
    _tell(asked, f"{built_in}\n{order}" if path else built_in.rstrip("\n"), told)
    return DONE


def _desk(asked: argparse.Namespace, environ: Mapping[str, str]) -> rules_versions.RulesDesk:
    return rules_versions.desk_of(
        environ,
        app.compile_rules,
        out=sys.stdout,
        as_json=asked.json,
        is_offline=getattr(asked, "offline", False),
    )


def _tell(asked: argparse.Namespace, text: str, content: object) -> None:
    sys.stdout.write(f"{json.dumps(content, indent=2, ensure_ascii=False) if asked.json else text}\n")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a rules file")


def _add_any_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="a rules file; else ITSM_RULES_FILE")


#: In the order of `--help`. Another command needs nothing but a line here.
COMMANDS: Final[tuple[RulesCommand, ...]] = (
    RulesCommand(name="check", summary="every fault of a rules file", add_arguments=_add_file, run=check),
    RulesCommand(name="show", summary="the rules, in their order", add_arguments=_add_any_file, run=show),
    RulesCommand(
        name="push",
        summary="check a rules file and put it in force, without a deployment",
        add_arguments=rules_versions.add_push,
        run=lambda asked, environ: rules_versions.push(_desk(asked, environ), asked.file),
    ),
    RulesCommand(
        name="history",
        summary="the versions that were pushed",
        add_arguments=lambda _: None,
        run=lambda asked, environ: rules_versions.history(_desk(asked, environ)),
    ),
    RulesCommand(
        name="restore",
        summary="put an older version in force again",
        add_arguments=rules_versions.add_restore,
        run=lambda asked, environ: rules_versions.restore(_desk(asked, environ), asked.number),
    ),
)
