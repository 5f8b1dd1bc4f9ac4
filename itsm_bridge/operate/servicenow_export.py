"""Which records did a person export from ServiceNow?

`trial` reads incidents so, `migrate` templates. The shapes are JSON of the Table API ({"result": […]}), JSON that a
list in ServiceNow exports ({"records": […]}), a plain list, and CSV with a heading.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from itsm_bridge.operate.exit_status import NotUnderstood


def text_of(path: Path) -> str:
    """Return the text of an export.

    Raises:
        NotUnderstood: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NotUnderstood(f"{path}: {reason or type(error).__name__}") from error


def rows_of(text: str) -> Sequence[Mapping[str, str]]:
    """Return the records, each by its lower-cased column names, with the values that people see.

    Raises:
        NotUnderstood: it is neither JSON of records nor CSV.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return [_named(row) for row in csv.DictReader(io.StringIO(text))]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise NotUnderstood("the export is neither JSON nor CSV") from error
    if isinstance(content, dict):
        content = content.get("result", content.get("records"))
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise NotUnderstood("the export holds no records: a list, or an object with result or records")
    return [_named(row) for row in content]


def _named(row: Mapping[str | None, object]) -> Mapping[str, str]:
    return {name.strip().lower(): _text(value) for name, value in row.items() if name}


def _text(value: object) -> str:
    """Return a value as people see it: the Table API may send it together with its display value."""
    if isinstance(value, dict):
        return str(value.get("display_value") or value.get("value") or "")
    return "" if value is None else str(value)
