"""What do the rows of a CMDB say about an alert's resources?

`lookup` asks for rows and calls this; nothing is sent here.
One live item is the configuration item, several are ambiguous, or there is none. In each case a work note tells people
why.

Source of truth: https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from itsm_bridge.servicenow.cmdb.classes import Question, Resource
from itsm_bridge.text import clip, one_line, plain

Row = Mapping[str, str]

#: How many resources of one alert are looked up.
MOST_RESOURCES = 5

#: The fields in which classes keep an ARM id; the second is for Kubernetes clusters. A row has only its own.
_ID_FIELDS = ("object_id", "cluster_resource_id")

#: The fields that are read of an item.
FIELDS = ("name", "install_status", "sys_class_name", *_ID_FIELDS)

SYS_ID = re.compile(r"[0-9a-f]{32}")

#: `install_status`: retired, absent. An empty one, as many items have that people made, is neither.
_GONE = frozenset({"7", "100"})

#: Characters of a name and of a reason, so that several fit into a work note.
_NAME_LENGTH = 80
_REASON_LENGTH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CiMatch:
    """The configuration item of an alert, or why it has none."""

    #: The value to write into `cmdb_ci`; "" if the alert has no configuration item.
    sys_id: str = ""
    name: str = ""
    #: For a work note: where the item was looked for, and what was found.
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a CMDB has for a question."""

    rows: tuple[Row, ...] = ()
    #: Whether there may be more.
    is_cut: bool = False
    #: For people: why there are no rows, or not all; "" if there is nothing to say.
    remark: str = ""


def live_rows(rows: Sequence[Row], *, limit: int) -> Rows:
    """Return the live ones of the items that were read."""
    live = tuple(
        row for row in rows if row.get("install_status") not in _GONE and SYS_ID.fullmatch(row.get("sys_id", ""))
    )
    gone = len(rows) - len(live)
    return Rows(rows=live, is_cut=len(rows) >= limit, remark=f"{gone} retired or absent" if gone else "")


def match_of(resource: Resource, target: Resource, question: Question, found: Rows) -> CiMatch | None:
    """Return what `found` says of `resource`, or of the `target` that it is a part of; None if nothing."""
    rows = _meant(target, question, found.rows)
    if not rows:
        return None
    if len(rows) > 1 or found.is_cut:
        count = f"{len(rows)}{' or more' if found.is_cut else ''} records"
        return CiMatch(reason=f"{_shown(target.name)} is ambiguous, {count}: {_place(question)}")
    name, table = _shown(rows[0].get("name", "")), rows[0].get("sys_class_name") or question.table
    part = "" if target is resource else f"; {_shown(resource.name)} is a part of it"
    reason = f"Configuration item: {name} ({_shown(table)}), found in {_place(question)}{part}."
    return CiMatch(sys_id=rows[0]["sys_id"], name=name, reason=reason)


def not_found(resource: Resource, asked: Sequence[tuple[Question, Rows]]) -> CiMatch:
    """Return the match that says where nothing was found."""
    places = []
    for question, found in asked:
        remark = found.remark or ("those of other resources" if found.rows else "")
        places.append(f"{_place(question)} ({remark})" if remark else _place(question))
    return CiMatch(reason=f"{_shown(resource.name)} was not found: {', '.join(dict.fromkeys(places))}")


def first_of(resources: Sequence[str], find: Callable[[str], CiMatch | None]) -> CiMatch | None:
    """Return the first match with an item, else one that says why there is none; None as soon as `find` gives None."""
    unique: dict[str, str] = {}
    for resource in resources:
        unique.setdefault(key_of(resource), resource)
    unique.pop("", None)
    reasons = []
    for resource in islice(unique.values(), MOST_RESOURCES):
        match = find(resource)
        if match is None or match.sys_id:
            return match
        reasons.append(match.reason)
    if len(unique) > MOST_RESOURCES:
        reasons.append(f"{len(unique) - MOST_RESOURCES} more resources were not looked up")
    text = f"No configuration item. {'; '.join(reasons) or 'The alert names no resource'}."
    return CiMatch(reason=clip(text, _REASON_LENGTH))


def key_of(resource: str) -> str:
    """Return a key that is equal for every spelling of a resource."""
    return resource.strip().rstrip("/").casefold()


def _meant(target: Resource, question: Question, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows that can be `target`: of those with its name, none that has another resource's ARM id."""
    if question.field != "name" or not target.arm_id:
        return rows
    ids = [{key_of(row.get(field, "")) for field in _ID_FIELDS} for row in rows]
    exact = tuple(row for row, known in zip(rows, ids, strict=True) if key_of(target.arm_id) in known)
    if exact or target.parent_id:
        return exact
    return tuple(row for row, known in zip(rows, ids, strict=True) if not any("/" in each for each in known))


def _place(question: Question) -> str:
    return f"{question.table} by {({'name': 'name', 'fqdn': 'domain name'}).get(question.field, 'Azure id')}"


def _shown(text: str) -> str:
    return clip(plain(one_line(text)), _NAME_LENGTH)
