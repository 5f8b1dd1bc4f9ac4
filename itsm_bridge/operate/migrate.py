"""How do people leave Microsoft's ITSM connector?

`cli` calls the command `migrate`. It reads action groups with ITSM actions, from a file or from Resource Graph, tells
what each does today, and with `--out` writes what says the same here: rules, action groups, scripts, a report. It
changes nothing in Azure and nothing in ServiceNow; the files that it wrote before are replaced.

    exit status   means
    ───────────   ──────────────────────────────────────────────────────────────────────────
    0             told or written; with `--check`: no ITSM action is left
    1             a person has to decide about a configuration that cannot be read; with `--check`: some are left
    2             the command line or the file is wrong
    3             Resource Graph did not answer
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from itsm_bridge.entra.person import token_for
from itsm_bridge.migration import az_script, exports, group_bicep, group_terraform, report, rules_text
from itsm_bridge.migration.inventory import Group, Inventory, inventory_of
from itsm_bridge.migration.servicenow_templates import templates_of
from itsm_bridge.migration.steps import Step, symbol
from itsm_bridge.operate.exit_status import ACT, DONE, NotUnderstood
from itsm_bridge.operate.send_test import RESOURCE_MANAGER
from itsm_bridge.operate.servicenow_export import rows_of, text_of
from itsm_bridge.resource_graph import inventory as resource_graph
from itsm_bridge.settings import is_private

#: No export of action groups and rules is larger.
_LARGEST: Final = 64 * 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `migrate`."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--from",
        dest="files",
        metavar="FILE",
        action="append",
        type=Path,
        help="exported JSON: of az, Resource Graph, a template, Terraform; again for more files; - for standard input",
    )
    where.add_argument(
        "--subscription", metavar="ID", action="append", help="ask Resource Graph about it; again for more of them"
    )
    where.add_argument("--management-group", metavar="ID", default="", help="ask about all subscriptions below it")
    parser.add_argument(
        "--connection", metavar="ID", action="append", default=[], help="move the actions of this connection alone"
    )
    parser.add_argument(
        "--templates", metavar="FILE", type=Path, help="an export of ServiceNow's table sys_template (JSON, CSV)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write rules, action groups, scripts and the report")
    parser.add_argument("--check", action="store_true", help="say what is left to be done; 1 if anything is")
    parser.add_argument("--resource-manager", default=RESOURCE_MANAGER, help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(asked: argparse.Namespace, *, out: TextIO | None = None, token: Callable[[str], str] = token_for) -> int:
    """Tell what is there, or what is left, and write the files that were asked for; return the exit status.

    Raises:
        NotUnderstood: the command line or a file is wrong.
        NotSignedIn: there is no token for Resource Graph.
        Unavailable: Resource Graph did not answer.
    """
    out = out or sys.stdout
    if asked.check and asked.out:
        raise NotUnderstood("--check writes no files, so it does not go with --out")
    templates = templates_of(rows_of(text_of(asked.templates))) if asked.templates else {}
    inventory = inventory_of(_export(asked, token), connections=asked.connection, templates=templates)
    if asked.check:
        return _check(inventory, asked, out)
    written = _write(asked.out, files_of(inventory)) if asked.out else []
    if asked.json:
        _print({**report.content_of(inventory), "written": written}, out)
    elif asked.out:
        print("\n".join([*_told(inventory), "", *(f"wrote {name}" for name in written)]), file=out)
    else:
        print(report.report_of(inventory).rstrip(), file=out)
        print("\nNothing was written; --out DIR writes rules, action groups and scripts.", file=out)
    return ACT if inventory.unreadable else DONE


def files_of(inventory: Inventory) -> Mapping[str, str]:
    """Return the text of each file by its path below the folder."""
    groups = [group for group in inventory.groups if group.chosen]
    files = {
        "report.md": report.report_of(inventory),
        "inventory.json": json.dumps(report.content_of(inventory), indent=2, ensure_ascii=False) + "\n",
        "rules-trial.yaml": rules_text.rules_of(inventory, is_trial=True),
        "rules.yaml": rules_text.rules_of(inventory, is_trial=False),
        **az_script.scripts_of(inventory),
    }
    for step in Step:
        for name, some in _by(groups, lambda group: (group.subscription, group.resource_group)):
            files[f"bicep/{step}/{name}.bicep"] = group_bicep.bicep_of(some, step)
        for name, some in _by(groups, lambda group: (group.subscription,)):
            files[f"terraform/{step}/{name}/action_groups.tf"] = group_terraform.terraform_of(some, step)
    return files


def _by(groups: Sequence[Group], place: Callable[[Group], tuple[str, ...]]) -> Iterator[tuple[str, list[Group]]]:
    """Yield the groups of each place, under a name that a file may have."""

    def name(group: Group) -> str:
        return "-".join(symbol(each.lower()) if each else "unknown" for each in place(group))

    for key, some in groupby(sorted(groups, key=lambda group: (name(group), group.name)), key=name):
        yield key, list(some)


def _export(asked: argparse.Namespace, token: Callable[[str], str]) -> exports.Export:
    if asked.files:
        read = [_of_file(path) for path in asked.files]
        return exports.Export(
            resources=tuple(each for export in read for each in export.resources),
            remarks=tuple(each for export in read for each in export.remarks),
        )
    if not asked.management_group and not all(each.strip() for each in asked.subscription):
        raise NotUnderstood("--subscription needs the id of a subscription")
    address = urlsplit(asked.resource_manager)
    if not is_private(address.scheme, address.hostname):
        raise NotUnderstood("--resource-manager must be an https address, because a token goes there")
    scope = resource_graph.Scope(subscriptions=tuple(asked.subscription or ()), management_group=asked.management_group)
    rows = resource_graph.rows_of(scope, token=token(asked.resource_manager), resource_manager=asked.resource_manager)
    return exports.resources_of(rows)


def _of_file(path: Path) -> exports.Export:
    try:
        raw = sys.stdin.buffer.read(_LARGEST + 1) if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise NotUnderstood(f"{path}: {error.strerror or type(error).__name__}") from error
    if len(raw) > _LARGEST:
        raise NotUnderstood(f"{path}: it is larger than 64 MiB")
    try:
        return exports.read(raw)
    except exports.NotAnExport as error:
        raise NotUnderstood(f"{path}: {error}") from error


def _check(inventory: Inventory, asked: argparse.Namespace, out: TextIO) -> int:
    left = report.left_of(inventory)
    if asked.json:
        told = [{"action_group": each.group.name, "id": each.group.id, "step": each.step} for each in left]
        _print({"left": told, "remarks": list(inventory.remarks)}, out)
    else:
        lines = [f"{each.text}." for each in left] or ["No ITSM action is left."]
        print("\n".join([*lines, *inventory.remarks]), file=out)
    return ACT if left else DONE


def _told(inventory: Inventory) -> Iterator[str]:
    count = len(inventory.actions)
    yield f"{len(inventory.groups)} of {inventory.seen} action groups have ITSM actions, {count} in all."
    for group, action in inventory.unreadable:
        yield f"{group.name} / {action.name}: its configuration cannot be read: {action.ticket.fault}."
    yield from inventory.remarks


def _write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write the files and return their paths.

    Raises:
        NotUnderstood: the folder cannot be written.
    """
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            if path.suffix == ".sh":
                path.chmod(0o755)
        except OSError as error:
            raise NotUnderstood(f"{path}: {error.strerror or type(error).__name__}") from error
    return [str(folder / name) for name in files]


def _print(content: Mapping[str, Any], out: TextIO) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False), file=out)
