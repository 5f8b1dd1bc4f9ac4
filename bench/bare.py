"""How fast could it be? The bare minimum of I/O that one alert needs, with the libraries that the program uses.

A row and its entry in the index are inserted, an incident is posted, the row is replaced and the entry deleted: one
after the other, in a process of its own, with nothing in between. No token, no parsing, no decision, no lease, no HTTP
server in front: what the program adds is the ratio.
"""

import itertools
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

import requests
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.data.tables import TableClient

from itsm_bridge.app import built_in_rules
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.notification import notification_of
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.orders import write_for
from itsm_bridge.reconcile.plan import decide
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.fields import content_of, creation
from itsm_bridge.storage.index_rows import entry_key, entry_of
from itsm_bridge.storage.row_format import to_entity
from itsm_bridge.storage.transaction import delete, insert, overwrite, submit, update
from local.alerts import MetricAlert
from local.servicenow.table_api import Credentials

#: What the insert, the POST and the replacement take, in seconds.
Steps = tuple[float, float, float]


class Bare:
    """One table and one instance; for `Apart`."""

    def __init__(self, connection_string: str, instance_url: str, table: str = "bare") -> None:
        self._table = TableClient.from_connection_string(connection_string, table)
        with suppress(ResourceExistsError):
            self._table.create_table()
        self._url = f"{instance_url}/api/now/table/incident"
        record = record_of(json.dumps(MetricAlert().fired()).encode(), _now())
        self._entity, self._entry = to_entity(record), dict(entry_of(record) or {})
        decision = decide(record, None, now=_now(), creation_is_repeatable=True)
        self._fields = dict(creation(write_for(decision, record, None, creation_is_repeatable=True)))
        self._local = threading.local()

    def __enter__(self) -> Self:
        """Do nothing: connections are made by the threads that use them."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connections."""
        self._table.close()

    def run(self, clients: int, alerts: int) -> list[Steps]:
        """Bring so many alerts to incidents, so many at a time; return what each step of each took."""
        with ThreadPoolExecutor(clients) as threads:
            list(threads.map(lambda _: self._warm(), range(clients)))
            return list(threads.map(lambda _: self._one(), range(alerts)))

    def _warm(self) -> None:
        """Make connections, unmeasured: Azurite ends those that were idle for five seconds, perhaps at this moment."""
        with suppress(AzureError):
            self._one()

    def _one(self) -> Steps:
        key = uuid.uuid4().hex * 2
        entity = {**self._entity, "PartitionKey": key[:2], "RowKey": key}
        entry = {**self._entry, "PartitionKey": key[:2], "RowKey": entry_key(key)}
        moments = [time.perf_counter()]
        etag = submit(self._table, [insert(entity), overwrite(entry)])[0]
        moments.append(time.perf_counter())
        self._post(key)
        moments.append(time.perf_counter())
        submit(self._table, [update(entity, etag=etag), delete(entry)])
        moments.append(time.perf_counter())
        inserted, posted, updated = (after - before for before, after in itertools.pairwise(moments))
        return inserted, posted, updated

    def _post(self, key: str) -> None:
        fields = {**self._fields, "correlation_id": key, "sys_id": key[:32]}
        session = self._session()
        answer = session.post(self._url, json=fields, timeout=30)
        answer.raise_for_status()

    def _session(self) -> requests.Session:
        session: Any = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["x-sn-apikey"] = Credentials().api_key
        return session  # type: ignore[no-any-return]  # thread-locals are untyped


def _now() -> datetime:
    return datetime.now(UTC)


def record_of(body: bytes, now: datetime) -> Record:
    """Return the record that an alert begins with."""
    ruling = built_in_rules().apply(parse_alert(body), now)
    return first_record(News.of(notification_of(ruling.alert, ruling.wording), content_of(ruling)), now)
