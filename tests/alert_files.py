"""The sample alerts in `local/alerts/samples`, and how a reader sees the incident that one makes."""

import json
from typing import Any

from itsm_bridge.azure_monitor.alert import Alert, parse_alert
from itsm_bridge.reconcile.desired import News
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from local.alerts import SAMPLES
from tests.builders import news_of

FOLDER = SAMPLES

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

#: Samples that tell the beginning and the end of the same alert.
PAIRS = [
    (name, f"{name.removesuffix(beginning)}{end}")
    for beginning, end in ((".fired", ".resolved"), (".activated", ".deactivated"), (".activated", ".resolved"))
    for name in NAMES
    if name.endswith(beginning) and f"{name.removesuffix(beginning)}{end}" in NAMES
]


def body_of(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def document_of(name: str) -> Any:
    return json.loads(body_of(name))


def alert_of(sample: Any) -> Alert:
    """Return the alert of a sample, by its name or as a document."""
    return parse_alert(body_of(sample) if isinstance(sample, str) else json.dumps(sample).encode())


def notified(sample: Any) -> News:
    return news_of(alert_of(sample))


def as_read(notification: News) -> str:
    """Return everything that people get to read, and what decides the incident's fate."""
    fate = {(True, False): "opens", (False, True): "closes", (True, True): "opens and closes"}
    content = notification.content
    said = {**content.fields, **content.fields_at_creation}
    fields = [f"{name}: {text}" for name, text in said.items() if name != "description"]
    signal = f"signal: {notification.signal or '(one voice)'}"
    at = f"at: {notification.at}"
    resources = [f"resource: {resource}" for resource in content.links[CONFIGURATION_ITEM]]
    facts = [f"{label}: {text}" for label, text in notification.facts.items()]
    parts = {
        "incident": "\n".join([*fields, fate[notification.opens, notification.closes], at, signal, *resources]),
        "description": said["description"],
        "note": notification.note,
        "facts": "\n".join(facts),
    }
    return "\n\n".join(f"--- {title}\n{text}" for title, text in parts.items()) + "\n"
