"""What would the bridge have done during a trial, and what did another connector do with the same alerts?

`cli` calls it for `list --shadow`. It reads the rows that a rule of action shadow keeps from ServiceNow, and with
`--against` an export of incidents: JSON of the Table API or of a list in ServiceNow, or CSV with a heading. Incidents
are matched by the GUIDs of alertIds that their texts hold; Microsoft's connector writes the whole alert into the
description. It changes nothing and calls nothing but the table.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-definition
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itsm_bridge.operate.alerts import Wanted
from itsm_bridge.operate.desk import Desk
from itsm_bridge.operate.exit_status import DONE, NotUnderstood
from itsm_bridge.operate.servicenow_export import rows_of, text_of
from itsm_bridge.operate.show import KEY_SHOWN, content, time_of, would_be
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.storage.listing import RowState

_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
#: These differ between any two programs, and say nothing about routing.
_NEVER_COMPARED: Final = frozenset({"description", "short_description", "correlation_display"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An incident that another connector made."""

    number: str
    fields: Mapping[str, str]
    #: Lower-cased, all that its texts hold.
    guids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One alert on trial, and the incidents of the same alert that another connector made."""

    row: Record
    made: tuple[Made, ...]

    @property
    def wanted(self) -> Mapping[str, str]:
        """The fields that would be sent; a reference as the value that it would be looked up by."""
        desired = self.row.desired
        references = {
            name: ends[0].partition("=")[2] for name, ends in desired.links.items() if name != CONFIGURATION_ITEM
        }
        return {**desired.fields_at_creation, **desired.fields, **references}

    @property
    def differences(self) -> Mapping[str, tuple[str, str]]:
        """By field that both have: what would be sent, and what the first other incident has."""
        if not self.made:
            return {}
        theirs = self.made[0].fields
        both = {name: (text, theirs[name]) for name, text in self.wanted.items() if name in theirs}
        return {name: pair for name, pair in both.items() if name not in _NEVER_COMPARED and pair[0] != pair[1]}


def list_trial(desk: Desk, wanted: Wanted, against: Path | None) -> int:
    """Tell what is on trial, those that changed last first, beside the incidents of an export if there is one.

    Raises:
        NotUnderstood: the export cannot be read.
    """
    found = desk.stored.listing.changed(state=RowState.SHADOW, since=wanted.since)
    rows = sorted((row for row in found if wanted.fits(row)), key=lambda row: row.desired.changed_at, reverse=True)
    others = exported(text_of(against)) if against else ()
    compared = [Comparison(row=row, made=_made_of(row, others)) for row in rows]
    known = {each.number for one in compared for each in one.made}
    unknown = [each.number for each in others if each.guids and each.number not in known]
    shown = compared[: wanted.limit]
    contents = [_content(desk, each) for each in shown]
    told = {"alerts": contents, "only_there": unknown} if against else contents
    desk.tell("\n\n".join(_parts(desk, compared, shown, unknown, is_compared=against is not None)), told)
    return DONE


def exported(text: str) -> tuple[Made, ...]:
    """Return the incidents of an export.

    Raises:
        NotUnderstood: it is neither JSON of incidents nor CSV with the column number.
    """
    rows = rows_of(text)
    made = []
    for fields in rows:
        guids = frozenset(guid.lower() for value in fields.values() for guid in _GUID.findall(value))
        if number := fields.get("number", ""):
            made.append(Made(number=number, fields=fields, guids=guids))
    if rows and not made:
        raise NotUnderstood("the export has no column number; export number, description and what is to be compared")
    return tuple(made)


def _made_of(row: Record, others: Iterable[Made]) -> tuple[Made, ...]:
    guids = {guid.lower() for name in row.desired.signals for guid in _GUID.findall(name)[-1:]}
    return tuple(each for each in others if guids & each.guids)


def _content(desk: Desk, each: Comparison) -> Mapping[str, object]:
    trial = {
        "would_be": would_be(each.row),
        "fields": dict(each.wanted),
        "made_by_others": [made.number for made in each.made],
        "differences": {name: {"bridge": ours, "other": theirs} for name, (ours, theirs) in each.differences.items()},
    }
    return {**content(each.row, desk.now()), "trial": trial}


def _parts(
    desk: Desk,
    compared: Sequence[Comparison],
    shown: Sequence[Comparison],
    unknown: Sequence[str],
    *,
    is_compared: bool,
) -> list[str]:
    if not compared:
        parts = ["Nothing is on trial."]
    else:
        head = ("KEY", "CHANGED", *(("OTHERS", "DIFFERS") if is_compared else ()), "WOULD BE", "ALERT")
        cells = [head, *(_cells(each, is_compared=is_compared) for each in shown)]
        parts = ["\n".join(desk.screen.columns(cells))]
    if len(compared) > len(shown):
        parts.append(f"{len(compared) - len(shown)} more; --limit shows more of them.")
    if is_compared and compared:
        none, many = sum(not each.made for each in compared), sum(len(each.made) > 1 for each in compared)
        parts.append(
            f"{len(compared)} on trial: {len(compared) - none - many} with one incident of the other connector,"
            f" {many} with several, {none} with none in the export."
        )
    if unknown:
        parts.append(
            desk.screen.wrapped(f"Of alerts that the bridge does not have on trial: {', '.join(sorted(unknown))}")
        )
    return parts


def _cells(each: Comparison, *, is_compared: bool) -> tuple[str, ...]:
    row = each.row
    beside = (", ".join(made.number for made in each.made) or "-", ", ".join(each.differences) or "-")
    title = row.desired.fields.get("short_description", "(only its end was seen)")
    changed = time_of(row.desired.changed_at)
    return (row.key[:KEY_SHOWN], changed, *(beside if is_compared else ()), would_be(row), title)
