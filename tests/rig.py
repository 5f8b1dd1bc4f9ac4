"""How does a test get a reconciler with everything around it real, and a clock that the test turns?

`test_reconciler` and `test_convergence` make a `rig` per test. Its storage is Azurite, its ServiceNow is the stand-in,
and the adapters call both over HTTP. No process is started or killed here: see `killable`.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient, QueueMessage, TextBase64DecodePolicy, TextBase64EncodePolicy

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.attempt import Result
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, LEASE_MARGIN, Reconciler
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from local.azurite import Azurite
from local.servicenow.instance import ServiceNowStandIn
from tests.builders import KEY, NOW

_MARK = re.compile(r"\(ref [0-9a-f]{10}, by which itsm-bridge knows its note\)")


class PromptWakeUps(WakeUpQueue):
    """The real queue, with messages that are visible at once: when they are due is the virtual clock's affair."""

    def send(self, key: str, *, delay: timedelta) -> WakeUp:  # noqa: ARG002 - the row tells when it is due
        return super().send(key, delay=timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where table, queue and instance are: all that another process needs to know."""

    connection_string: str
    instance_url: str
    api_key: str
    table: str
    queue: str

    def open_queue(self) -> QueueClient:
        return QueueClient.from_connection_string(
            self.connection_string,
            self.queue,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )

    def sign_in(self) -> TableApi:
        """Return a client of the instance."""
        settings = ServiceNowSettings(
            instance_url=self.instance_url,
            client_id="",
            client_secret="",
            api_key=self.api_key,
            username="",
            password="",
            max_concurrency=4,
        )
        return TableApi(settings.instance_url, credentials_of(settings))

    def parts(self) -> dict[str, Any]:
        """Return what a reconciler talks to, as a new process makes it."""
        table_api = self.sign_in()
        return {
            "store": AlertTable(TableClient.from_connection_string(self.connection_string, self.table)),
            "wakeups": PromptWakeUps(self.open_queue),
            "incidents": Incidents(table_api),
            "cmdb": Cmdb(table_api),
            "references": References(table_api),
        }


def reconciler_of(parts: Mapping[str, Any], now: Callable[[], datetime], circuit: Circuit | None = None) -> Reconciler:
    rest = {name: part for name, part in parts.items() if name not in ("incidents", "cmdb", "references")}
    return Reconciler(
        **rest,
        target=ServiceNow(parts["incidents"], parts["cmdb"], references=parts.get("references")),
        circuit=circuit or Circuit(slots=4, now=now),
        retry_horizon=timedelta(hours=72),
        retention=timedelta(days=90),
        now=now,
        clock=lambda: now().timestamp(),
    )


def within(span: timedelta, now: Callable[[], datetime]) -> Deadline:
    """Return the deadline that is `span` from now by the clock that tests turn."""
    return Deadline.after(span, clock=lambda: now().timestamp())


class Rig:
    """One table, one queue, one instance; reconcilers come and go. Their processes may die: see `killable`."""

    def __init__(self, azurite: Azurite, instance: ServiceNowStandIn, *, slots: int = 4) -> None:
        name = uuid.uuid4().hex[:12]
        self.now = NOW
        self.instance = instance
        self.place = Place(
            connection_string=azurite.connection_string,
            instance_url=instance.url,
            api_key=instance.credentials.api_key,
            table=f"alerts{name}",
            queue=f"wakeups-{name}",
        )
        self.queue = self.place.open_queue()
        self.parts = self.place.parts()
        self.store: AlertTable = self.parts["store"]
        self.wakeups: WakeUpQueue = self.parts["wakeups"]
        self.incidents: Incidents = self.parts["incidents"]
        self.circuit = Circuit(slots=slots, now=self.clock)
        self.reconciler = self.make()

    def clock(self) -> datetime:
        return self.now

    def within(self, span: timedelta) -> Deadline:
        return within(span, self.clock)

    def make(self, **parts: Any) -> Reconciler:
        """Return a reconciler over the same parts but those given."""
        return reconciler_of({**self.parts, **parts}, self.clock, self.circuit)

    def receive(self, notification: News, reconciler: Reconciler | None = None) -> Result:
        return (reconciler or self.reconciler).take(notification, deadline=self.within(INLINE_BUDGET))

    def wake(self, key: str = KEY, reconciler: Reconciler | None = None) -> None:
        """Let the wake-up come that the row counts on."""
        row = self.store.read(key)
        (reconciler or self.reconciler).reconcile(key, wake_up_id=row.work.wake_up_id if row else "")

    def row(self, key: str = KEY) -> Record:
        row = self.store.read(key)
        assert row is not None
        return row

    def take(self) -> list[QueueMessage]:
        """Take the messages that are there, as the host does."""
        try:
            return list(self.queue.receive_messages(messages_per_page=32, visibility_timeout=600))
        except ResourceNotFoundError:  # no wake-up was ever sent
            return []

    def due(self, message: QueueMessage) -> None:
        """Let time pass until a message comes: when its row says, or else when the lease of an HTTP call has ended."""
        row = self.store.read(str(message.content))
        if row is not None and row.work.wake_up_id == message.id:
            self.now = max(self.now, row.work.wake_up_at)
        else:
            self.now += INLINE_BUDGET + LEASE_MARGIN + timedelta(seconds=1)

    def drain(self, key: str = KEY) -> None:
        """Let time pass and wake-ups come until nothing is left to do; resync finds what was lost."""
        for _ in range(20):
            row = self.store.read(key)
            if row is None or not row.awaits_work:
                return
            self.now += timedelta(minutes=11)
            self.reconciler.resync()
            self.wake(key)
        raise AssertionError(f"still unsettled: {self.row(key).work.last_error}")

    def messages(self) -> int:
        """Return how many wake-ups there are, due or not."""
        self.wakeups.check()
        return int(self.queue.get_queue_properties().approximate_message_count or 0)

    def story(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return state and notes, each told apart by its mark, of every incident, oldest first."""
        return [
            (row["state"], tuple(part for entry in self.instance.notes(row["sys_id"]) for part in _notes_in(entry)))
            for row in self.instance.incidents
        ]


def _notes_in(entry: str) -> list[str]:
    return [part.strip() for part in _MARK.split(entry) if part.strip()]


@contextmanager
def rig(azurite: Azurite, **options: Any) -> Iterator[Rig]:
    with ServiceNowStandIn() as instance:
        yield Rig(azurite, instance, **options)
        assert instance.crashes == []
