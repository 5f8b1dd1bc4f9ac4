"""Which fields does a template of ServiceNow set?

`inventory` asks for the template that a ticket configuration names. Templates are rows of the table `sys_template`; the
column `template` holds an encoded query: `impact=2^category=software^EQ`, a caret in a value doubled.

Source of truth: https://www.servicenow.com/docs/r/australia/platform-administration/c_Templates.html
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

#: Where one field ends: a caret that is not doubled.
_END: Final = re.compile(r"(?<!\^)\^(?!\^)")


def templates_of(rows: Iterable[Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    """Return the fields that each template sets, by its name and by its sys_id, lower-cased."""
    found: dict[str, Mapping[str, str]] = {}
    for row in rows:
        fields = fields_of(row.get("template", ""))
        found |= {row[name].strip().lower(): fields for name in ("name", "sys_id") if row.get(name, "").strip()}
    return found


def fields_of(query: str) -> Mapping[str, str]:
    """Return the fields of an encoded query; what is no equation is left to the reader of the template."""
    pairs = (part.partition("=") for part in _END.split(query) if "=" in part)
    return {name.strip(): value.replace("^^", "^") for name, _, value in pairs if name.strip()}
