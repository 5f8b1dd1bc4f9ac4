"""The app's own table and queue, in Azurite, and commands that find them in the environment."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from itsm_bridge.storage.account import QUEUE, TABLE
from itsm_bridge.storage.alert_table import AlertTable
from local.azurite import Azurite
from tests.operate.rows import SETTINGS


@pytest.fixture(scope="module")
def account() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def table(account: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AlertTable]:
    """The app's own table and queue, empty."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "AzureWebJobsStorage": account.connection_string}.items():
        monkeypatch.setenv(name, value)
    with (
        TableClient.from_connection_string(account.connection_string, TABLE) as rows,
        QueueClient.from_connection_string(account.connection_string, QUEUE) as queue,
    ):
        for create in (rows.create_table, queue.create_queue):
            with suppress(ResourceExistsError):
                create()
        for row in list(rows.list_entities(select=["PartitionKey", "RowKey"])):
            rows.delete_entity(row)
        queue.clear_messages()
        yield AlertTable(rows)
