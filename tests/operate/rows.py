"""Which rows and settings do the tests of commands begin with, and how do they run a command?"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from itsm_bridge.operate import cli
from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.account import QUEUE
from local.azurite import Azurite
from tests.builders import HOUR, KEY, changed, incident, notification, worked, write

SETTINGS = {
    "ENTRA_TENANT_ID": "00000000-0000-0000-0000-000000000000",
    "ENTRA_AUDIENCE": "api://itsm-bridge",
    "SERVICENOW_INSTANCE_URL": "https://example.service-now.com",
    "SERVICENOW_API_KEY": "made-up",
}


def messages(account: Azurite) -> int:
    with QueueClient.from_connection_string(account.connection_string, QUEUE) as queue:
        return int(queue.get_queue_properties().approximate_message_count or 0)


def now() -> datetime:
    return datetime.now(UTC)


def unsettled(key: str = KEY, **changes: Any) -> Record:
    return changed(first_record(notification(key=key), now()), **changes)


def settled(key: str = KEY) -> Record:
    first = unsettled(key)
    return first.written(incident(), sent=first, write=write(fields=first.desired.fields)).settled(first)


def parked(key: str = KEY) -> Record:
    return worked(unsettled(key, failing_since=now() - 3 * HOUR, attempts=9), "parked", "ServiceNow says no")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(arguments)
    return code, capsys.readouterr().out


def told_as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, text = run(capsys, *arguments, "--json")
    return code, json.loads(text)
