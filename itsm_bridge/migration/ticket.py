"""What does the ticket configuration of one ITSM action say?

`inventory` calls it with the text that the action has. It is JSON in a string, which may hold JSON in a string again
(`WorkItemData`); people and tools wrote it, so these generations are met:

    {"PayloadRevision":0,"WorkItemType":"Incident","UseTemplate":false,"WorkItemData":"{}","CreateOneWIPerCI":false}
    the same with single quotes, as in the reference of PowerShell
    WorkItemData as an object, with PayloadRevision null and CreateOneWIPerLog, from Terraform
    CreateMultipleWorkItems in place of CreateOneWIPerCI, which the reference of the API speaks of
    {}, or nothing, which the API took for years

A key that is not known is kept and told; a text that cannot be read says why, and its action is listed all the same.

Sources of truth: https://learn.microsoft.com/powershell/module/az.monitor/new-azactiongroupitsmreceiverobject,
https://github.com/hashicorp/terraform-provider-azurerm/issues/11595,
https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-definition#define-a-template
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self


class Mode(StrEnum):
    """For what the connector makes one work item, of alerts of log search; each other alert has its own."""

    PER_CONFIGURATION_ITEM = "one for each configuration item"
    PER_RULE = "one for each alert rule, to which further configuration items are added"
    PER_LOG_ENTRY = "one for each log entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket configuration says."""

    #: Incident, Event, Alert; "" if it says none.
    work_item_type: str = ""
    mode: Mode = Mode.PER_RULE
    uses_template: bool = False
    #: The template's name or id, if it is said anywhere; "" if not.
    template: str = ""
    #: Whether the fields of the template are among `fields`.
    knows_template: bool = False
    #: Fields with constant values, by ServiceNow's names.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: Keys that nothing here understands, with their values.
    unknown: Mapping[str, Any] = field(default_factory=dict)
    #: Why nothing of it can be read; "" if it can.
    fault: str = ""
    #: What people should know of how it was read.
    remarks: tuple[str, ...] = ()

    def with_template(self, fields: Mapping[str, str]) -> Self:
        """Return what it says with the fields that its template sets; those beside the template win."""
        return replace(self, knows_template=True, fields={**fields, **self.fields})

    @property
    def is_incident(self) -> bool:
        """Whether the work item is an incident, the only kind that the connector still makes."""
        return self.work_item_type.lower() in ("", "incident")


_KNOWN: Final = {
    *("payloadrevision", "workitemtype", "usetemplate", "workitemdata", "createonewiperci", "createonewiperlog"),
    *("createmultipleworkitems", "templatename", "templateid", "template"),
}


def read(text: object) -> Ticket:
    """Return what a ticket configuration says; never raises."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return Ticket(fault="it is empty")
    content, remarks = _object(text)
    if content is None:
        return Ticket(fault=remarks[0])
    if not content:
        return Ticket(fault="it says nothing: {}")
    said = {str(name).replace("_", "").lower(): value for name, value in content.items()}
    fields, of_fields = _fields(said.get("workitemdata"))
    told = [*remarks, *of_fields]
    unknown = {name: value for name, value in content.items() if name.replace("_", "").lower() not in _KNOWN}
    if unknown:
        told.append(f"keys that are not known are kept: {', '.join(sorted(unknown))}")
    if said.get("payloadrevision") not in (None, 0, "0"):
        told.append(f"PayloadRevision is {said['payloadrevision']!r}; 0 is the one that is known")
    uses_template = _is_true(said.get("usetemplate"))
    template = str(said.get("templatename") or said.get("template") or said.get("templateid") or "")
    mode, of_mode = _mode(said)
    return Ticket(
        work_item_type=str(said.get("workitemtype") or ""),
        mode=mode,
        uses_template=uses_template,
        template=template or (fields.get("template", "") if uses_template else ""),
        fields=fields,
        unknown=unknown,
        remarks=(*told, *of_mode),
    )


def _mode(said: Mapping[str, Any]) -> tuple[Mode, list[str]]:
    if _is_true(said.get("createonewiperlog")):
        return Mode.PER_LOG_ENTRY, []
    if "createonewiperci" not in said and "createmultipleworkitems" in said:
        is_each = _is_true(said["createmultipleworkitems"])
        mode = Mode.PER_CONFIGURATION_ITEM if is_each else Mode.PER_RULE
        return mode, ["CreateMultipleWorkItems is taken for CreateOneWIPerCI"]
    if "createonewiperci" not in said:
        return Mode.PER_RULE, ["CreateOneWIPerCI is not said; without it the connector makes one for each alert rule"]
    return (Mode.PER_CONFIGURATION_ITEM if _is_true(said["createonewiperci"]) else Mode.PER_RULE), []


def _fields(data: object) -> tuple[dict[str, str], list[str]]:
    """Return the fields of WorkItemData, and remarks about it."""
    if data in (None, "", {}):
        return {}, []
    content, remarks = _object(data)
    if content is None:
        return {}, [f"WorkItemData cannot be read ({remarks[0]}): {str(data)[:200]}"]
    fields = {}
    for name, value in content.items():
        if isinstance(value, dict):
            # Lists of ServiceNow give a value and what people see of it.
            value = value.get("value", value.get("Value", json.dumps(value)))  # noqa: PLW2901 - what it says
        fields[str(name)] = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return fields, [f"WorkItemData: {each}" for each in remarks]


def _object(text: object) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the object that a text stands for, and remarks; None with the reason if there is none."""
    if not isinstance(text, str):
        told = ["it is an object where a text is expected"]
        return (text, told) if isinstance(text, dict) else (None, [f"it is {type(text).__name__} in place of a text"])
    try:
        content = json.loads(text)
    except ValueError as error:
        content = _hand_written(text)
        can_be_read = "it is not JSON, but can be read: single quotes or a comma too many"
        return content, [can_be_read if content is not None else f"it is not JSON: {str(error)[:80]}"]
    if isinstance(content, str):
        # Escaped once more than it should be.
        content, remarks = _object(content)
        return content, [*remarks, "it is JSON within JSON once more than usual"] if content is not None else remarks
    if not isinstance(content, dict):
        return None, [f"it is JSON, but {type(content).__name__} in place of an object"]
    return content, []


def _hand_written(text: str) -> dict[str, Any] | None:
    """Return the object of a text with single quotes, or with a comma after the last value; None if it is neither."""
    words = {"true": "True", "false": "False", "null": "None"}
    spelled = text.strip()
    for word, literal in words.items():
        spelled = _outside_quotes(spelled, word, literal)
    try:
        content = ast.literal_eval(spelled)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _outside_quotes(text: str, word: str, literal: str) -> str:
    """Return the text with a bare word replaced, wherever it stands outside of quotes."""
    made, quote, place = [], "", 0
    while place < len(text):
        character = text[place]
        if quote:
            if character == "\\":
                made.append(text[place : place + 2])
                place += 2
                continue
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif text.startswith(word, place):
            made.append(literal)
            place += len(word)
            continue
        made.append(character)
        place += 1
    return "".join(made)


def _is_true(value: object) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1", "yes")
