"""Does the instance know what a rules file says?

`rules_versions` asks before a version is taken. Whether the file is good by itself was judged before; here it is read
once more for the values that it sets and the places where they stand.

A fault is what cannot work: a field that does not exist, a choice that the instance would drop, a reference that names
no record or several. What could not be asked is a remark, and so is a value that would be cut. Templates are left out,
because their values are known at an alert alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Final

import yaml

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError
from itsm_bridge.rules.faults import Fault
from itsm_bridge.rules.ruling import Reference
from itsm_bridge.servicenow.dictionary import Column, Dictionary
from itsm_bridge.servicenow.references import References

#: How long all questions together may take.
BUDGET: Final = timedelta(seconds=30)

#: The one in C reads a large file in a second; not every platform has it.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What begins a template.
_TEMPLATE: Final = re.compile(r"\{[{%#]")
_SYS_ID: Final = re.compile(r"[0-9a-f]{32}")
_MERGE: Final = "<<"
#: How deep values may be merged into each other.
_MOST_MERGES: Final = 20
#: How many choices a hint lists.
_MOST_CHOICES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One value that a rules file sets."""

    field: str
    #: Where its name stands, from 1.
    line: int
    column: int
    value: str | Reference
    #: Where its value stands, from 1.
    value_line: int
    value_column: int

    @property
    def is_template(self) -> bool:
        """Whether the value depends on the alert."""
        text = self.value.value if isinstance(self.value, Reference) else self.value
        return bool(_TEMPLATE.search(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the instance says to a rules file."""

    faults: tuple[Fault, ...] = ()
    #: What could not be asked, and what will be cut, in sentences.
    remarks: tuple[str, ...] = ()


def said_in(text: str) -> tuple[Said, ...]:
    """Return what a good rules file sets, in its order: its defaults, those of a severity, and each rule."""
    parts = dict(_pairs(yaml.compose(text, Loader=_LOADER)))
    defaults, rules = dict(_pairs(parts.get("defaults"))), parts.get("rules")
    sets = [defaults.get("set"), *dict(_pairs(defaults.get("by_severity"))).values()]
    sets += [dict(_pairs(rule)).get("set") for rule in (rules.value if isinstance(rules, yaml.SequenceNode) else ())]
    return tuple(each for node in sets for each in _said_by(node))


def verdict_on(text: str, dictionary: Dictionary, references: References, *, deadline: Deadline) -> Verdict:
    """Return what is wrong with a good rules file on this instance; never raises because of what it cannot ask."""
    said = said_in(text)
    if not said:
        return Verdict()
    try:
        columns = dictionary.columns({each.field for each in said}, deadline=deadline)
    except BridgeError as error:
        return Verdict(remarks=(f"Nothing was checked against the instance: {error}.",))
    faults: list[Fault] = []
    remarks: list[str] = []
    for each in said:
        try:
            found = _judged(each, columns.get(each.field), dictionary, references, deadline)
        except BridgeError as error:
            remarks.append(f"{each.field} was not checked against the instance: {error}.")
            continue
        if isinstance(found, Fault):
            faults.append(found)
        elif found:
            remarks.append(f"Line {each.value_line}: {found}")
    return Verdict(faults=tuple(faults), remarks=tuple(dict.fromkeys(remarks)))


def _judged(
    said: Said, column: Column | None, dictionary: Dictionary, references: References, deadline: Deadline
) -> Fault | str:
    """Return the fault of one value, a remark about it, or "".

    Raises:
        BridgeError: the instance could not be asked.
    """
    if column is None:
        hint = "its dictionary lists the fields of incident and task"
        return Fault(said.line, said.column, f"an incident has no field {said.field} on this instance", hint)
    if said.is_template:
        return ""
    if isinstance(said.value, Reference) or column.reference:
        return _judged_reference(said, column, references, deadline)
    choices = dictionary.choices(said.field, deadline=deadline)
    if choices and said.value not in choices:
        message = f"{said.field} has no choice {said.value!r} on this instance, which would drop it"
        return Fault(said.value_line, said.value_column, message, _hint(said.value, choices))
    if column.length and len(said.value) > column.length:
        return f"{said.field} keeps {column.length} characters, and the rest of this value is cut."
    return ""


def _judged_reference(said: Said, column: Column, references: References, deadline: Deadline) -> Fault | str:
    value = said.value
    if not column.reference:
        return Fault(said.value_line, said.value_column, f"{said.field} is no reference", "write a plain value")
    if not isinstance(value, Reference):
        if not value:
            return ""
        if not _SYS_ID.fullmatch(value):
            message = f"{said.field} is a reference, and ServiceNow would keep this text as one that leads nowhere"
            return Fault(said.value_line, said.value_column, message, f"write {{name: {value[:40]}}}")
        value = Reference(field="sys_id", value=value)
    end = references.find(said.field, value, deadline=deadline)
    if end.id:
        return ""
    if not end.was_asked:
        return end.reason
    return Fault(said.value_line, said.value_column, end.reason.rstrip("."))


def _hint(value: str, choices: Collection[str]) -> str:
    close = get_close_matches(value, choices, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    listed = sorted(choices)
    more = ", …" if len(listed) > _MOST_CHOICES else ""
    return f"there are {', '.join(map(repr, listed[:_MOST_CHOICES]))}{more}"


def _said_by(node: yaml.Node | None) -> Iterator[Said]:
    """Yield what a `set` says. Of a name that is merged and set again, what is set counts, and both are yielded."""
    for key, name, node_of_value in _items(node, _MOST_MERGES):
        value = _value_of(node_of_value)
        if value is not None:
            yield Said(
                field=name,
                line=key.start_mark.line + 1,
                column=key.start_mark.column + 1,
                value=value,
                value_line=node_of_value.start_mark.line + 1,
                value_column=node_of_value.start_mark.column + 1,
            )


def _value_of(node: yaml.Node) -> str | Reference | None:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    pairs: Mapping[str, yaml.Node] = dict(_pairs(node))
    if len(pairs) == 1:
        [(field, value)] = pairs.items()
        if isinstance(value, yaml.ScalarNode):
            return Reference(field=field, value=str(value.value))
    return None


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    return ((name, value) for _, name, value in _items(node, _MOST_MERGES))


def _items(node: yaml.Node | None, merges: int) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
    """Yield the keys and values of a mapping; those that are merged into it come first, so that its own ones win."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == _MERGE and merges:
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _items(each, merges - 1)
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
            yield key, str(key.value), value
