"""Rules files for tests: text in, rules or faults out."""

from datetime import datetime
from typing import Any

from itsm_bridge.app import compile_rules
from itsm_bridge.rules.engine import Rules
from itsm_bridge.rules.faults import Fault, InvalidRules
from itsm_bridge.rules.ruling import Ruling
from tests.alert_files import alert_of
from tests.builders import NOW


def rules(*each: str, before: str = "") -> Rules:
    """The rules of a file; each is the YAML of one rule in one line, without its name."""
    lines = [f"  - {{ name: rule {number}, {text} }}" for number, text in enumerate(each, 1)]
    return compile_rules("\n".join(["version: 1", before, "rules:" if lines else "", *lines]))


def ruling(sample: Any, *each: str, before: str = "", now: datetime = NOW) -> Ruling:
    """What a file says of a sample alert, by its name or as a document."""
    return rules(*each, before=before).apply(alert_of(sample), now)


def applies(sample: Any, match: str, *, before: str = "", now: datetime = NOW) -> bool:
    """Whether a match fits a sample alert."""
    return ruling(sample, f"match: {{ {match} }}, action: ignore", before=before, now=now).is_ignored


def faults(source: str | bytes) -> list[Fault]:
    """The faults of a file; none if it is right."""
    try:
        compile_rules(source)
    except InvalidRules as error:
        return list(error.faults)
    return []


def told(source: str | bytes) -> list[str]:
    """The faults of a file as people read them."""
    return [str(fault) for fault in faults(source)]
