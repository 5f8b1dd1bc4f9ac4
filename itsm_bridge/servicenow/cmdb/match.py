"""What do the rows of a CMDB say about an alert's resources?

`lookup` asks for rows and calls this; nothing is sent here.
One live item is the configuration item, several are ambiguous, or there is none. In each case a work note tells people
why.

Source of truth: https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from itsm_bridge.servicenow.cmdb.classes import SUBSCRIPTION, Question, Resource
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


class CiMatch(NamedTuple):
    """The configuration item of an alert, or why it has none."""

    #: For a work note: a sentence about the resources.
    reason: str
    #: The value to write into `cmdb_ci`; "" if the alert has no configuration item.
    sys_id: str = ""
    name: str = ""
    #: For an operator who asks: where it was looked for, and what was found there.
    detail: str = ""
    #: The name of a resource that is not there; "" if it is, or is there more than once.
    missing: str = ""


class Rows(NamedTuple):
    """The rows that a CMDB has for a question."""

    rows: tuple[Row, ...] = ()
    #: Whether there may be more.
    is_cut: bool = False
    #: For people: why there are no rows, or not all; "" if there is nothing to say.
    remark: str = ""


def live_rows(rows: Sequence[Row], *, is_cut: bool) -> Rows:
    """Return the live ones of the items that were read; `is_cut` if there may be more."""
    live = tuple(
        row for row in rows if row.get("install_status") not in _GONE and SYS_ID.fullmatch(row.get("sys_id", ""))
    )
    gone = len(rows) - len(live)
    return Rows(rows=live, is_cut=is_cut, remark=f"{gone} retired or absent" if gone else "")


def match_of(resource: Resource, target: Resource, question: Question, found: Rows) -> CiMatch | None:
    """Return what `found` says of `resource`, or of the `target` that it is a part of; None if nothing."""
    rows = _meant(target, question, found.rows)
    if not rows:
        return None
    if len(rows) > 1 or found.is_cut:
        count = f"{len(rows)}{' or more' if found.is_cut else ''} records"
        name = _shown(target.name)
        return CiMatch(reason=f"{name} is in the CMDB more than once", detail=f"{name}: {count}, {_place(question)}")
    name, table = _shown(rows[0].get("name", "")), rows[0].get("sys_class_name") or question.table
    part = "" if target is resource else f" {_shown(resource.name)} is a part of it."
    detail = f"{name} ({_shown(table)}), found in {_place(question)}"
    return CiMatch(sys_id=rows[0]["sys_id"], name=name, reason=f"Configuration item: {name}.{part}", detail=detail)


def not_found(resource: Resource, asked: Sequence[tuple[Question, Rows]]) -> CiMatch:
    """Return that nothing was found where it was asked for."""
    places = []
    for question, found in asked:
        remark = found.remark or ("those of other resources" if found.rows else "")
        places.append(f"{_place(question)} ({remark})" if remark else _place(question))
    name = "the subscription" if resource.type == SUBSCRIPTION else _shown(resource.name)
    where = ", ".join(dict.fromkeys(places)) or "not looked for"
    return CiMatch(reason=f"{name} is not in the CMDB", detail=f"{name} was not found: {where}", missing=name)


def first_of(resources: Sequence[str], find: Callable[[str], CiMatch | None]) -> CiMatch | None:
    """Return the first match that binds, else why none does; None as soon as `find` does not know."""
    unique: dict[str, str] = {}
    for resource in resources:
        unique.setdefault(key_of(resource), resource)
    unique.pop("", None)
    failed = []
    for resource in islice(unique.values(), MOST_RESOURCES):
        match = find(resource)
        if match is None or match.sys_id:
            return match
        failed.append(match)
    more = len(unique) - MOST_RESOURCES
    left_out = [f"{more} more resources were not looked up"] if more > 0 else []
    said = [*_missing(failed), *(match.reason for match in failed if not match.missing), *left_out]
    details = [*(match.detail for match in failed), *left_out]
    return CiMatch(
        reason=clip(f"No configuration item: {'; '.join(said) or 'the alert names no resource'}.", _REASON_LENGTH),
        detail=clip("; ".join(details), _REASON_LENGTH),
    )


def _missing(failed: Sequence[CiMatch]) -> list[str]:
    """Return that some resources are not in the CMDB, in one sentence."""
    names = list(dict.fromkeys(match.missing for match in failed if match.missing))
    if not names:
        return []
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return [f"{listed} {'are' if names[1:] else 'is'} not in the CMDB"]


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
