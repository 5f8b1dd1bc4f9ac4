"""Which rules make the same incidents as the ITSM actions did?

`operate.migrate` writes what `rules_of` returns. Alerts do not tell which action group sent them, so a rule of the file
matches the names of the alert rules that use the group, and the scopes of the alert processing rules that add it.

What has no equal is a comment beside it, with the reason; each field is tried with the checker of rules before it is
written, so the file has no fault. With `is_trial` the first rule says shadow; a later rule that says ignore wins over
it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from itsm_bridge.migration.inventory import NO_LOG_SEARCH, Group, Inventory, ItsmAction
from itsm_bridge.migration.ticket import Mode
from itsm_bridge.rules.faults import InvalidRules
from itsm_bridge.rules.reading import read

#: The name of the rule that keeps ServiceNow out of it.
TRIAL: Final = "trial: nothing is done in ServiceNow"

#: The services of log search, the only alerts for which the connector has modes:
#: https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-definition
LOG_SEARCH: Final = "[Log Alerts V2, Log Analytics, Application Insights]"
_SYS_ID: Final = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")
_PEOPLE: Final = frozenset({"assigned_to", "caller_id", "opened_by"})
_SEVERITIES: Final = re.compile(r"Severity (Equals|NotEquals) ((?:Sev[0-4](?:, )?)+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A field of a ticket configuration, and what became of it."""

    name: str
    value: str
    #: YAML; "" if it has no equal.
    yaml: str
    #: Why it has no equal, or what to look at; "" if there is nothing to say.
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which alerts an action speaks of: one entry of the file each."""

    #: Keys of `match` in YAML, without service.
    keys: Mapping[str, str]
    #: The same for the alerts of log search among them; empty if there can be none.
    log_search: Mapping[str, str]
    reasons: tuple[str, ...] = ()


def rules_of(inventory: Inventory, *, is_trial: bool) -> str:
    """Return a rules file that reproduces mode and fields of every action that is to be moved; pure."""
    head = [
        "# Written by `python -m itsm_bridge migrate`. Lines that begin with `# no equal` say what the connector did,",
        "# what these rules do not do, and why. The connector resolved nothing: `auto_resolve: note` leaves that to",
        "# people; with `resolve` the bridge resolves an incident when its alert is over.",
        "version: 1",
    ]
    head[-1:-1] = [f"# {_one_line(each)}" for each in inventory.remarks]
    body = list(_trial()) if is_trial else []
    taken = {TRIAL}
    for group in inventory.groups:
        for place, action in enumerate(group.chosen):
            body += _of_action(group, action, taken, is_first=place == 0)
    if any(line.strip() and not line.lstrip().startswith("#") for line in body):
        head.append("rules:")
    return "\n".join([*head, *body]) + "\n"


def lines_of(action: ItsmAction) -> tuple[Line, ...]:
    """Return what becomes of each field of a ticket configuration."""
    return tuple(_line(action, name, value) for name, value in action.ticket.fields.items())


def differences_of(group: Group, action: ItsmAction) -> Iterator[str]:
    """Yield in sentences what the connector did and the rules do not."""
    yield from _of_the_whole(group, action)
    yield from (f"{line.name}: {line.reason}." for line in lines_of(action) if not line.yaml)


def _of_the_whole(group: Group, action: ItsmAction) -> Iterator[str]:
    """Yield what is different, but for single fields."""
    said = action.ticket
    if said.fault:
        yield f"Its configuration cannot be read: {said.fault}. The raw text is in inventory.json."
    if not said.is_incident:
        yield f"It made work items of the type {said.work_item_type}; the bridge makes incidents."
    if said.uses_template:
        name = f'"{said.template}"' if said.template else "whose name the configuration does not tell"
        if said.knows_template:
            yield f"It used the ServiceNow template {name}: a change of it there changes nothing here."
        else:
            yield f"It used the ServiceNow template {name}: write the fields that it sets under `set`."
    if said.mode is Mode.PER_CONFIGURATION_ITEM:
        yield (
            "One alert that names several configuration items makes one incident that lists them; the connector made"
            " one for each."
        )
    if said.mode is Mode.PER_LOG_ENTRY:
        yield "One work item for each log entry was for events alone; a simple log alert sends one alert for each row."
    if len(group.actions) > 1:
        yield "The group has several ITSM actions, of which each made a work item; the bridge makes one incident."


def _trial() -> Iterator[str]:
    yield "  # As long as this rule is in force, the bridge decides and remembers, and does nothing in ServiceNow."
    yield "  # Push the file without it, and within five minutes open alerts become incidents."
    yield f"  - name: {json.dumps(TRIAL)}"
    yield "    action: shadow"


def _of_action(group: Group, action: ItsmAction, taken: set[str], *, is_first: bool) -> Iterator[str]:
    title = f"{group.name} / {action.name}"
    yield ""
    mode = "not known" if action.ticket.fault else str(action.ticket.mode)
    yield f"  # {_one_line(title)}: {action.ticket.work_item_type or 'no type'}, {mode}"
    for difference in _of_the_whole(group, action):
        yield f"  # no equal: {_one_line(difference)}"
    yield from (f"  # {_one_line(each)}" for each in action.ticket.remarks)
    matches = matches_of(group)
    if not is_first:
        yield "  # The alerts are those of the action above, whose rules count. This action's fields, for comparison:"
        yield from (f"  #   {line.yaml or _one_line(f'{line.name}: {line.value}')}" for line in lines_of(action))
        return
    if not matches:
        yield "  # No alert rule and no alert processing rule that is known uses the group: there is nothing to match."
        return
    for number, match in enumerate(matches, 1):
        name = title if len(matches) == 1 else f"{title} ({number})"
        yield from _rule(name, match, action, taken)


def _rule(name: str, match: Match, action: ItsmAction, taken: set[str]) -> Iterator[str]:
    yield from (f"  # no equal: {_one_line(reason)}" for reason in match.reasons)
    yield f"  - name: {_named(name, taken)}"
    yield from _match(match.keys)
    lines = lines_of(action)
    for each in lines:
        if not each.yaml:
            yield f"    # no equal: {_one_line(f'{each.name}: {each.value} ({each.reason})')}"
    if any(each.yaml for each in lines):
        yield "    set:"
        for each in lines:
            if each.yaml:
                yield from (f"      # {_one_line(each.reason)}" for _ in range(bool(each.reason)))
                yield f"      {each.yaml}"
    yield "    correlate: { per: alert }"
    yield "    lifecycle: { auto_resolve: note, after_closed: new }"
    per = {Mode.PER_CONFIGURATION_ITEM: "resource", Mode.PER_RULE: "rule"}.get(action.ticket.mode)
    if per and match.log_search and not action.ticket.fault:
        yield f"  - name: {_named(f'{name}: log search', taken)}"
        yield from _match({**match.log_search, "service": LOG_SEARCH})
        yield f"    correlate: {{ per: {per} }}"


def _match(keys: Mapping[str, str]) -> Iterator[str]:
    yield "    match:"
    yield from (f"      {key}: {value}" for key, value in keys.items())


def matches_of(group: Group) -> tuple[Match, ...]:
    """Return which alerts come to a group: those of alert rules by name, and those that processing rules add."""
    names = dict.fromkeys(name for use in group.used_by for name in use.alert_names if name.strip())
    log_names = [name for use in group.used_by if use.kind not in NO_LOG_SEARCH for name in use.alert_names]
    log_search = {"rule": _list(name for name in names if name in log_names)} if log_names else {}
    named = (Match(keys={"rule": _list(names)}, log_search=log_search),) if names else ()
    adding = (use for use in group.used_by if use.is_processing_rule and use.scopes)
    return (*named, *(_of_scopes(use.scopes, use.conditions, use.name) for use in adding))


def _of_scopes(scopes: Sequence[str], conditions: Iterable[str], name: str) -> Match:
    """Return the match of an alert processing rule: all alerts of resources at or below its scopes."""
    keys = {"resource": f"{{ id: {_list(dict.fromkeys(each for scope in scopes for each in _below(scope)))} }}"}
    unmatched = []
    for condition in conditions:
        severity = _SEVERITIES.fullmatch(condition)
        if severity is None:
            unmatched.append(condition)
        elif severity[1].lower() == "equals":
            keys["severity"] = _list(each.capitalize() for each in severity[2].split(", "))
        else:
            keys["not"] = f"{{ severity: {_list(each.capitalize() for each in severity[2].split(', '))} }}"
    reasons = tuple(f"the condition of the processing rule {name}: {each}; match it by hand" for each in unmatched)
    return Match(keys=keys, log_search=keys, reasons=reasons)


def _below(scope: str) -> tuple[str, str]:
    return scope.rstrip("/"), f"{scope.rstrip('/')}/*"


def _line(action: ItsmAction, name: str, value: str) -> Line:
    if not action.ticket.is_incident:
        return Line(name=name, value=value, yaml="", reason=f"a field of the type {action.ticket.work_item_type}")
    if not value.strip():
        return Line(name=name, value=value, yaml="", reason="it is empty")
    if "{{" in value or "{%" in value:
        return Line(name=name, value=value, yaml="", reason="the connector took it as it stands; here it is a template")
    text, key = json.dumps(value, ensure_ascii=False), name if _FIELD.fullmatch(name) else json.dumps(name)
    if not (why := _faults(f"{key}: {text}")):
        return Line(name=name, value=value, yaml=f"{key}: {text}", reason="")
    if not _SYS_ID.fullmatch(value):
        by = "user_name" if name in _PEOPLE else "name"
        reference = f"{key}: {{ {by}: {text} }}"
        if not _faults(reference):
            look = f"the connector had the text {value}; it is looked up by {by}, so make sure that there is one"
            return Line(name=name, value=value, yaml=reference, reason=look)
    return Line(name=name, value=value, yaml="", reason=why)


def _faults(line: str) -> str:
    """Return why a rules file may not set a field so; "" if it may."""
    try:
        read(f"version: 1\nrules:\n  - name: tried\n    set:\n      {line}\n")
    except InvalidRules as error:
        return "; ".join(f"{each.message} ({each.hint})" if each.hint else each.message for each in error.faults[:1])
    return ""


def _list(values: Iterable[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _named(text: str, taken: set[str]) -> str:
    """Return a name that a rule may have and no other has, as YAML; groups in two subscriptions may be called alike."""
    short = "".join(each for each in _one_line(text) if each.isprintable())[:80]
    names = [short, *(f"{short} [{number}]" for number in range(2, 10_000))]
    name = next(each for each in names if each.casefold() not in taken)
    taken.add(name.casefold())
    return json.dumps(name, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
