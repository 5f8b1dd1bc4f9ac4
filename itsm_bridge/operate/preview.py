"""What would become of an alert?

`cli` calls the command `preview` with a file or a folder of files. It needs no network and no settings: the rules are
those of `--rules`, else of the file that ITSM_RULES_FILE names, else the built-in ones. `rules_commands` finds its file
here too.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from itsm_bridge import app
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.notification import notification_of
from itsm_bridge.errors import InvalidAlert
from itsm_bridge.operate import preview_text
from itsm_bridge.operate.exit_status import DONE, WRONG
from itsm_bridge.operate.preview_text import Preview
from itsm_bridge.reconcile.gathering import group_of
from itsm_bridge.reconcile.ports import Write
from itsm_bridge.reconcile.record import id_for
from itsm_bridge.servicenow import fields

if TYPE_CHECKING:
    from itsm_bridge.rules.engine import Rules

#: No alert is larger than 256 KB, and the webhook takes no more than this.
_LARGEST = 1024 * 1024


class Unreadable(Exception):
    """A file that was named on the command line cannot be used; the message says which and why, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A file that is no alert."""

    name: str
    reason: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `preview`."""
    parser.add_argument("alert", metavar="ALERT", type=Path, help="a JSON file as Azure Monitor sent it, or a folder")
    parser.add_argument("--rules", metavar="FILE", type=Path, help="a rules file; else ITSM_RULES_FILE, else built-in")
    parser.add_argument("--explain", action="store_true", help="say of each rule whether it applies, and why not")
    parser.add_argument("--at", metavar="TIME", type=_moment, help="when the alert comes, for rules with windows")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print what would become of one alert, or of each in a folder; return the exit status."""
    try:
        rules = rules_of(rules_path(asked.rules, environ))
        now = asked.at or datetime.now(UTC)
        found = [_preview(file, rules, now, explain=asked.explain) for file in _files(asked.alert)]
    except Unreadable as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    previews = [each for each in found if isinstance(each, Preview)]
    refused = [each for each in found if isinstance(each, _Refused)]
    if previews:
        sys.stdout.write(f"{_told(previews, asked)}\n")
    for each in refused:
        sys.stderr.write(f"{each.name}: {each.reason}\n")
    return WRONG if refused else DONE


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise Unreadable(f"{path}: there is no *.json in this folder")
    return files


def _told(previews: Sequence[Preview], asked: argparse.Namespace) -> str:
    first, is_folder = previews[0], asked.alert.is_dir()
    if asked.json:
        contents = preview_text.contents(previews, explain=asked.explain)
        told = contents if is_folder else preview_text.content(first, explain=asked.explain)
        return json.dumps(told, indent=2, ensure_ascii=False)
    return preview_text.table(previews) if is_folder else preview_text.sheet(first, explain=asked.explain)


def rules_path(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the rules file that counts; None for the built-in rules alone."""
    configured = environ.get("ITSM_RULES_FILE", "").strip()
    return named or (Path(configured) if configured else None)


def rules_of(path: Path | None) -> "Rules":
    """Return the rules of a file.

    Raises:
        Unreadable: it is not there or has faults.
    """
    from itsm_bridge.rules.faults import InvalidRules  # noqa: PLC0415 - other commands do not read rules

    if path is None:
        return app.built_in_rules()
    try:
        return app.compile_rules(bytes_of(path))
    except InvalidRules as error:
        raise Unreadable("\n".join(f"{path}:{fault}" for fault in error.faults)) from error


def bytes_of(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or type(error).__name__}") from error


def _preview(file: Path, rules: "Rules", now: datetime, *, explain: bool) -> Preview | _Refused:
    body = bytes_of(file)
    if len(body) > _LARGEST:
        return _Refused(name=str(file), reason="it is larger than 1 MiB; an alert is at most 256 KB")
    try:
        alert = parse_alert(body)
    except InvalidAlert as error:
        return _Refused(name=str(file), reason=str(error))
    # What is not asked for is not worked out: of 200 rules, why each does not apply costs more than what does.
    explanation = rules.explain(alert, now) if explain else None
    ruling = explanation.ruling if explanation else rules.apply(alert, now)
    notification = notification_of(ruling.alert, ruling.wording)
    content = fields.content_of(ruling)
    group = group_of(ruling)
    # Which incident of a group is joined depends on who came before, if the group has a time.
    key = group.key if group and group.within is None else notification.key
    write = Write(
        key=key,
        incident_id=id_for(key, 1),
        fields=content.fields,
        fields_at_creation=content.fields_at_creation,
        links={},
        notes=(),
    )
    return Preview(
        name=file.name,
        key=key,
        opens=notification.opens,
        closes=notification.closes,
        fields=fields.creation(write),
        ruling=ruling,
        verdicts=explanation.verdicts if explanation else (),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
