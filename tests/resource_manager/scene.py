"""How does a test get Azure Monitor, its list of alerts, and the app between them and ServiceNow, in virtual time?

Storage is Azurite, ServiceNow and Azure Resource Manager are the stand-ins, all over HTTP. The app is a webhook, a
reconciler and what finds missed alerts; it can be down.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from azure.data.tables import TableClient

from itsm_bridge.deadline import Deadline
from itsm_bridge.follow import Means, client_of, missed_alerts
from itsm_bridge.resource_manager.look import Report
from itsm_bridge.settings import AzureSettings
from itsm_bridge.troubles import Troubles
from itsm_bridge.webhook import Webhook, answer
from local.alerts import SUBSCRIPTION, MetricAlert
from local.azurite import Azurite
from local.resource_manager.azure_monitor import AzureMonitor, VirtualClock
from local.resource_manager.service import ACTION_GROUP, ResourceManagerStandIn
from tests.builders import NOW, ruled
from tests.rig import Rig, rig

if TYPE_CHECKING:
    from itsm_bridge.entra.token import TokenVerifier

#: ServiceNow's words for `incident.state`.
OPEN, RESOLVED = "1", "6"


class RigClock(VirtualClock):
    """The clock of a rig."""

    def __init__(self, of: Rig) -> None:
        self._rig = of

    @property
    def now(self) -> datetime:
        return self._rig.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self._rig.now = moment


class Scene:
    """One subscription, one action group, one app."""

    def __init__(self, of: Rig, azure: ResourceManagerStandIn) -> None:
        self.rig = of
        self.azure = azure
        self.clock = RigClock(of)
        azure.now = self.clock
        self.is_up = True
        self.table = TableClient.from_connection_string(of.place.connection_string, of.place.table)
        self.troubles = Troubles(now=self.clock)
        self.monitor = AzureMonitor(self.clock, azure, self.call)
        self.webhook = Webhook(
            verifier=cast("TokenVerifier", SimpleNamespace(verify=bool)),
            allowed_subscriptions=frozenset(),
            reconciler=of.reconciler,
            rules=lambda alert: ruled(alert, of.now),
            troubles=self.troubles,
        )

    # Azure Monitor.

    def call(self, notification: Mapping[str, Any]) -> int:
        """Call the webhook; 0 if the app is down."""
        body = json.dumps(notification).encode()
        return answer(lambda: self.webhook, lambda: ("Bearer made-up", body)).status if self.is_up else 0

    def miss(self, *notifications: Mapping[str, Any], **more: Any) -> None:
        """Let these be in Azure's list, and no call bring them."""
        for notification in notifications:
            self.azure.told(notification, **more)

    def pass_(self, span: timedelta) -> None:
        """Let time pass, and with it whatever Azure Monitor does."""
        self.monitor.run(self.rig.now + span)

    # The app.

    def follow(
        self, *, allowed: Iterable[str] = (SUBSCRIPTION,), budget: timedelta = timedelta(minutes=5), **more: Any
    ) -> Report:
        """Look at Azure's list once, as a process that has just been started."""
        means = Means(
            settings=AzureSettings(
                action_groups=frozenset({ACTION_GROUP.lower()}),
                recovers_missed_alerts=True,
                syncs_alert_state=False,
                client_id="",
                endpoint=self.azure.url,
            ),
            allowed_subscriptions=frozenset(allowed),
            table=self.table,
            token=lambda _: self.azure.identity.token,
            receive=self.webhook.recover,
            retention=more.pop("retention", timedelta(days=90)),
            now=self.clock,
            troubles=self.troubles,
            **more,
        )
        return missed_alerts(means, client_of(means)).run(Deadline.after(budget))

    def work(self) -> None:
        """Let the wake-ups come that there are, until none is left."""
        for _ in range(50):
            messages = self.rig.take()
            if not messages:
                return
            for message in messages:
                self.rig.due(message)
                self.rig.reconciler.reconcile(str(message.content), wake_up_id=message.id)
                self.rig.queue.delete_message(message)
        raise AssertionError("wake-ups without end")

    def follow_and_work(self, **more: Any) -> Report:
        """Look once, after Azure Monitor's repetitions, and do what follows from it."""
        self.pass_(timedelta(minutes=3))
        report = self.follow(**more)
        self.work()
        return report

    # What came of it.

    def states(self) -> dict[str, list[str]]:
        """Return the states of the incidents by the name of the alert rule."""
        states: dict[str, list[str]] = {}
        for row in self.rig.instance.incidents:
            rule = row["correlation_display"].rpartition(": ")[2]
            states.setdefault(rule, []).append(row["state"])
        return states

    def asked(self) -> list[str]:
        """Return what was asked of Azure since the last call: "list", "history", "alert"."""
        requests = [each.partition("?")[0] for each in self.azure.requests]
        self.azure.requests.clear()
        return [
            "history" if each.endswith("/history") else "list" if each.endswith("/alerts") else "alert"
            for each in requests
        ]


def alert(number: int = 1, **more: Any) -> MetricAlert:
    """Return the alert with this number, fired at the beginning."""
    guid = f"00000000-0000-4000-8000-{number:012}"
    return MetricAlert(**{"rule": f"rule-{number}", "guid": guid, "fired_at": NOW, **more})


@contextmanager
def scene(azurite: Azurite) -> Iterator[Scene]:
    with ResourceManagerStandIn() as azure, rig(azurite) as of:
        yield Scene(of, azure)
