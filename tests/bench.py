"""A reconciler with everything around it real, a clock that tests turn, and the means to die at any call."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from azure.data.tables import TableClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from itsm_bridge.cmdb import Cmdb
from itsm_bridge.credentials import credentials_of
from itsm_bridge.notification import Notification
from itsm_bridge.pressure import Pressure
from itsm_bridge.reconcile import INLINE_BUDGET, Reconciler, Result
from itsm_bridge.record import Record
from itsm_bridge.servicenow import ServiceNow
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.store import AlertStore
from itsm_bridge.table_api import TableApi
from itsm_bridge.wakeups import WakeUps
from local.azurite import Azurite
from local.servicenow import ServiceNowStandIn
from tests.builders import KEY, NOW


class Crash(BaseException):
    """The process is gone: nothing catches this."""


class Fuse:
    """Counts calls and burns at the chosen one, before or after it took effect."""

    def __init__(self, *, at: int = 0, before: bool = True) -> None:
        self.calls = 0
        self._at = at
        self._before = before

    def around(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        burns = self.calls == self._at
        if burns and self._before:
            raise Crash
        answer = call(*args, **kwargs)
        if burns:
            raise Crash
        return answer


class Fused:
    """Another object's methods, each behind the fuse; what is no method is handed through."""

    def __init__(self, target: object, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._fuse.around(value, *args, **kwargs)


class Bench:
    """One table, one queue, one instance; reconcilers come and go."""

    def __init__(self, azurite: Azurite, instance: ServiceNowStandIn, *, slots: int = 4) -> None:
        name = uuid.uuid4().hex[:12]
        self.now = NOW
        self.instance = instance
        self.queue = QueueClient.from_connection_string(
            azurite.connection_string, f"wakeups-{name}", message_encode_policy=TextBase64EncodePolicy()
        )
        self.store = AlertStore(TableClient.from_connection_string(azurite.connection_string, f"alerts{name}"))
        self.wakeups = WakeUps(self.queue)
        self.pressure = Pressure(slots=slots, now=self.clock)
        self.table_api = self.sign_in()
        self.servicenow = ServiceNow(self.table_api)
        self.cmdb = Cmdb(self.table_api)
        self.reconciler = self.make()

    def clock(self) -> datetime:
        return self.now

    def sign_in(self) -> TableApi:
        """Return a client of the instance."""
        known = self.instance.credentials
        settings = ServiceNowSettings(
            instance_url=self.instance.url,
            client_id="",
            client_secret="",
            api_key=known.api_key,
            username="",
            password="",
            max_concurrency=4,
        )
        return TableApi(settings.instance_url, credentials_of(settings))

    def make(self, fuse: Fuse | None = None) -> Reconciler:
        """Return a reconciler, as a new process would have it; with `fuse`, one that dies."""
        parts: dict[str, Any] = {"store": self.store, "wakeups": self.wakeups, "servicenow": self.servicenow}
        if fuse is not None:
            parts = {name: Fused(part, fuse) for name, part in parts.items()}
        return Reconciler(
            **parts,
            cmdb=self.cmdb,
            pressure=Pressure(slots=4, now=self.clock) if fuse else self.pressure,
            retry_horizon=timedelta(hours=72),
            retention=timedelta(days=90),
            now=self.clock,
        )

    def receive(self, notification: Notification, reconciler: Reconciler | None = None) -> Result:
        return (reconciler or self.reconciler).receive(notification, deadline=self.now + INLINE_BUDGET)

    def wake(self, key: str = KEY, reconciler: Reconciler | None = None) -> None:
        """Let the wake-up come that the row counts on."""
        row = self.store.read(key)
        (reconciler or self.reconciler).reconcile(key, wake_up_id=row.wake_up_id if row else "")

    def row(self, key: str = KEY) -> Record:
        row = self.store.read(key)
        assert row is not None
        return row

    def drain(self, key: str = KEY) -> None:
        """Let time pass and wake-ups come until nothing is left to do; resync finds what was lost."""
        for _ in range(20):
            row = self.store.read(key)
            if row is None or not row.awaits_work:
                return
            self.now += timedelta(minutes=11)
            self.reconciler.resync()
            self.wake(key)
        raise AssertionError(f"still unsettled: {self.row(key).last_error}")

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
    return [part.strip() for part in re.split(r"\(ref [0-9a-f]{10}\)", entry) if part.strip()]


@contextmanager
def bench(azurite: Azurite, **options: Any) -> Iterator[Bench]:
    with ServiceNowStandIn() as instance:
        yield Bench(azurite, instance, **options)
        assert instance.crashes == []
