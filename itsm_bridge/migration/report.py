"""What do people need to know who decide on the migration, and what is left of it?

`operate.migrate` writes `report_of` as Markdown, `content_of` as JSON, and tells `left_of` for `--check`. No address
and no key of a receiver is in any of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from itsm_bridge.migration.inventory import Group, Inventory, ItsmAction, Use
from itsm_bridge.migration.rules_text import differences_of, lines_of
from itsm_bridge.migration.steps import SECRETS

_SIGNS: Final = re.compile(r"([\\`*_{}\[\]<>|#])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left to be done with one action group."""

    group: Group
    #: "today": nothing is done; "trial": the secure webhook is beside the ITSM actions.
    step: str

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        names = ", ".join(action.name for action in self.group.chosen)
        beside = "have the secure webhook beside them" if self.step == "trial" else "have no secure webhook beside them"
        return f"{self.group.name}: the ITSM actions {names} are still there, and {beside}"


def left_of(inventory: Inventory) -> tuple[Left, ...]:
    """Return what is left; () if no ITSM action is that is to be moved."""
    groups = [group for group in inventory.groups if group.chosen]
    return tuple(Left(group=group, step="trial" if group.bridge else "today") for group in groups)


def content_of(inventory: Inventory) -> dict[str, Any]:
    """Return the inventory, to be printed as JSON."""
    return {
        "action_groups_seen": inventory.seen,
        "action_groups": [_group(group) for group in inventory.groups],
        "connections": list(inventory.connections),
        "suppressions": [_use(use) for use in inventory.suppressions],
        "remarks": list(inventory.remarks),
    }


def report_of(inventory: Inventory) -> str:
    """Return the report in Markdown; pure."""
    parts = [*_summary(inventory), *_plan(inventory)]
    for group in inventory.groups:
        parts += _section(group)
    if inventory.suppressions:
        parts += [
            "## Alert processing rules that suppress",
            "They keep alerts from all action groups, so also from the bridge. They stay as they are.",
            "\n".join(
                f"- {_text(use.name)}{'' if use.is_enabled else ' (disabled)'}" for use in inventory.suppressions
            ),
        ]
    if inventory.remarks:
        parts += ["## Remarks", "\n".join(f"- {_text(each)}" for each in inventory.remarks)]
    return "\n\n".join(parts) + "\n"


def _summary(inventory: Inventory) -> Iterator[str]:
    actions = inventory.actions
    yield "# From the ITSM connector to itsm-bridge"
    if not actions:
        yield f"{inventory.seen} action groups were looked at. None has an ITSM action, so there is nothing to migrate."
        return
    yield (
        f"{len(inventory.groups)} of {inventory.seen} action groups have {len(actions)} ITSM actions, over"
        f" {len(inventory.connections)} connections. Nothing has been changed."
    )
    if inventory.unreadable:
        names = ", ".join(f"{_text(group.name)} / {_text(action.name)}" for group, action in inventory.unreadable)
        yield f"**Somebody has to decide:** the configuration of {names} cannot be read."
    rows = [
        (
            _text(group.name) + ("" if group.is_enabled else " (disabled)"),
            _text(action.name) + ("" if action.is_chosen else " (stays)"),
            _text(action.ticket.work_item_type or "?"),
            "?" if action.ticket.fault else str(action.ticket.mode),
            str(len(group.used_by)),
            str(sum(1 for _ in differences_of(group, action))),
            {True: "beside it", False: "none"}[bool(group.bridge)],
        )
        for group, action in actions
    ]
    yield _table(("action group", "ITSM action", "work item", "log search", "used by", "no equal", "webhook"), rows)
    if len(inventory.connections) > 1:
        yield (
            "There are several connections. The bridge writes to one ServiceNow instance; `--connection ID` moves the"
            " actions of one of them, and another installation of the bridge takes the others."
        )
        yield "\n".join(f"- {_text(each)}" for each in inventory.connections)


def _plan(inventory: Inventory) -> Iterator[str]:
    if not inventory.actions:
        return
    yield "## What is done, and how it is taken back"
    yield _table(
        ("step", "what changes", "risk", "the way back"),
        [
            (
                "1 rules",
                "`rules push rules-trial.yaml`",
                "none: the bridge gets no alerts yet",
                "`rules restore` with the number of the version before",
            ),
            (
                "2 trial",
                "`az-trial.sh`: a secure webhook beside each ITSM action",
                "none for ServiceNow: the rule of action shadow keeps it out; the connector goes on",
                "`az-trial-back.sh`",
            ),
            (
                "3 go",
                "`rules push rules.yaml`",
                "until step 4 each alert makes an incident of the bridge and a work item of the connector",
                "`rules push rules-trial.yaml`: open incidents are followed to their end, and new ones are not made",
            ),
            (
                "4 final",
                "`az-final.sh`: the ITSM actions are removed",
                "Microsoft may refuse to take them back",
                "`az-final-back.sh`, tried with one group before",
            ),
        ],
    )
    yield "`migrate --check` says what is left after each step. Work items that the connector made stay with people."


def _section(group: Group) -> Iterator[str]:
    state = "" if group.is_enabled else " It is **disabled**: it sends nothing, today and afterwards."
    yield f"## {_text(group.name)}"
    place = f"{_text(group.id)}." if group.id else "Its id is not in the export."
    others = ", ".join(f"{count} {kind}" for kind, count in group.others.items())
    yield f"{place}{state} Beside the ITSM actions: {others or 'nothing'}; all of it stays."
    for action in group.actions:
        yield from _of_action(group, action)
    if group.used_by:
        yield "Alerts come from:"
        yield "\n".join(f"- {_said(use)}" for use in group.used_by)
    else:
        yield "No alert rule of the export uses it."


def _of_action(group: Group, action: ItsmAction) -> Iterator[str]:
    said = action.ticket
    yield f"### {_text(action.name)}"
    if not action.is_chosen:
        yield "It stays as it is, because its connection is not moved."
        return
    fields = [
        (_text(line.name), _text(line.value), _text(line.reason) if not line.yaml else f"`{_code(line.yaml)}`")
        for line in lines_of(action)
    ]
    facts = [
        ("connection", _text(action.connection_id)),
        ("workspace", _text(action.workspace_id)),
        ("region", _text(action.region)),
        ("work item", _text(said.work_item_type or "not said")),
        ("alerts of log search", "not known" if said.fault else str(said.mode)),
        ("all other alerts", "one for each alert"),
        ("fields", _source(action)),
    ]
    yield _table(("today", ""), facts)
    if fields:
        yield _table(("field", "value today", "in the rules"), fields)
    if differences := list(differences_of(group, action)):
        yield "What has no equal:"
        yield "\n".join(f"- {_text(each)}" for each in differences)
    if said.remarks:
        yield "\n".join(f"- {_text(each)}" for each in said.remarks)


def _source(action: ItsmAction) -> str:
    if action.ticket.uses_template and action.ticket.knows_template:
        return f"{len(action.ticket.fields)} of the template {_text(action.ticket.template)}"
    if action.ticket.uses_template:
        return f"template {_text(action.ticket.template or '(no name)')}"
    return f"{len(action.ticket.fields)} fixed" if action.ticket.fields else "none"


def _said(use: Use) -> str:
    state = "" if use.is_enabled else " (disabled)"
    names = [name for name in use.alert_names if name != use.name]
    more = f"; its alerts are called {', '.join(map(_text, names))}" if names else ""
    scopes = f"; for {', '.join(map(_text, use.scopes))}" if use.scopes else ""
    conditions = f"; if {'; '.join(map(_text, use.conditions))}" if use.conditions else ""
    return f"{use.kind} **{_text(use.name)}**{state}{more}{scopes}{conditions}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Return a text of somebody as Markdown that shows it as it is."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return text.replace("`", "'").replace("|", "\\|")


def _group(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "enabled": group.is_enabled,
        "secure_webhook": group.bridge or None,
        "other_receivers": dict(group.others),
        "used_by": [_use(use) for use in group.used_by],
        "itsm_actions": [_action(group, action) for action in group.actions],
    }


def _action(group: Group, action: ItsmAction) -> dict[str, Any]:
    said = action.ticket
    return {
        "name": action.name,
        "connection_id": action.connection_id,
        "workspace_id": action.workspace_id,
        "region": action.region,
        "is_moved": action.is_chosen,
        "work_item_type": said.work_item_type,
        "mode": None if said.fault else str(said.mode),
        "uses_template": said.uses_template,
        "template": said.template,
        "fields": [
            {"name": line.name, "value": line.value, "rule": line.yaml or None, "reason": line.reason}
            for line in lines_of(action)
        ],
        "unknown": dict(said.unknown),
        "fault": said.fault or None,
        "no_equal": list(differences_of(group, action)),
        "remarks": list(said.remarks),
        "raw": {name: value for name, value in action.raw.items() if name not in SECRETS},
    }


def _use(use: Use) -> Mapping[str, Any]:
    return {
        "kind": use.kind,
        "name": use.name,
        "id": use.id,
        "enabled": use.is_enabled,
        "alert_names": list(use.alert_names),
        "scopes": list(use.scopes),
        "conditions": list(use.conditions),
    }
