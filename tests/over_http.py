"""How does a test let days pass in seconds, and still judge what ServiceNow really answers?

`test_wider_world` asks for one process of the app. Its table and its queue are in memory and its clock jumps; the
adapter is the real one, over HTTP against the stand-in. No process dies here.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import TemporaryError
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from itsm_bridge.settings import ServiceNowSettings
from local.servicenow.instance import ServiceNowStandIn
from proof.simulator.memory import MemoryStore, MemoryWakeUps
from tests.builders import KEY, MINUTE, NOW


class OverHttp:
    """One process of the app; wake-ups come when they are due, resync every five minutes."""

    def __init__(self, *, close_code: str = "", instance: Mapping[str, Any] | None = None) -> None:
        self.now = NOW
        self.instance = ServiceNowStandIn(has_demo_cmdb=False, now=self.clock, **(instance or {}))
        self.instance.start()
        self.store = MemoryStore()
        self.wakeups = MemoryWakeUps(now=self.clock)
        self.close_code = close_code
        self.reconciler = self.restart()

    def clock(self) -> datetime:
        return self.now

    def _seconds(self) -> float:
        return self.now.timestamp()

    def restart(self) -> Reconciler:
        """Let another process take over, which knows nothing."""
        settings = ServiceNowSettings(
            instance_url=self.instance.url,
            client_id="",
            client_secret="",
            api_key=self.instance.credentials.api_key,
            username="",
            password="",
            max_concurrency=4,
        )
        table_api = TableApi(settings.instance_url, credentials_of(settings))
        incidents = Incidents(table_api, close_code=self.close_code, clock=self._seconds)
        self.circuit = Circuit(slots=4, now=self.clock, name="ServiceNow")
        self.reconciler = Reconciler(
            store=self.store,
            wakeups=self.wakeups,
            target=ServiceNow(incidents),
            circuit=self.circuit,
            retry_horizon=timedelta(hours=72),
            retention=timedelta(days=90),
            now=self.clock,
            clock=self._seconds,
        )
        return self.reconciler

    def receive(self, said: News) -> str:
        return str(self.reconciler.take(said, deadline=Deadline.after(INLINE_BUDGET, clock=self._seconds)).outcome)

    def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        end, next_resync = self.now + span, self.now
        while True:
            due = min((each.visible_at for each in self.wakeups.messages.values()), default=end)
            self.now = max(self.now, min(due, next_resync, end))
            if self.now >= end:
                return
            if next_resync <= self.now:
                with suppress(TemporaryError):
                    self.reconciler.resync()
                next_resync += 5 * MINUTE
            for message in [each for each in self.wakeups.messages.values() if each.visible_at <= self.now]:
                self.wakeups.messages.pop(message.message_id, None)
                self.reconciler.reconcile(message.key, wake_up_id=message.message_id)

    def row(self, key: str = KEY) -> Record:
        row = self.store.read(key)
        assert row is not None
        return row

    @property
    def states(self) -> list[str]:
        return [row["state"] for row in self.instance.incidents]

    def notes(self, number: int = -1) -> str:
        """The work notes of an incident, the newest by default, as one text."""
        return "\n".join(self.instance.notes(self.instance.incidents[number]["sys_id"]))
