"""How does a test get people on both sides of an alert: in ServiceNow and in Azure, in virtual time?

A `scene` whose ServiceNow has the same clock, and whose app keeps both sides the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from itsm_bridge.app import compile_rules
from itsm_bridge.deadline import Deadline
from itsm_bridge.follow import BothSides, Means, client_of, state_follower
from itsm_bridge.reconcile.followed import Followed
from itsm_bridge.resource_manager.state_parts import StateReport
from itsm_bridge.servicenow.people import People
from itsm_bridge.settings import AzureSettings
from itsm_bridge.webhook import Webhook
from local.alerts import SUBSCRIPTION, MetricAlert
from local.azurite import Azurite
from local.resource_manager.service import ACTION_GROUP, ResourceManagerStandIn
from local.servicenow.instance import ServiceNowStandIn
from tests.builders import MINUTE, NOW
from tests.resource_manager.scene import Scene
from tests.rig import Rig

if TYPE_CHECKING:
    from itsm_bridge.entra.token import TokenVerifier


class BothSidesScene(Scene):
    """One subscription, one instance, one app, and people."""

    subscriptions = frozenset({SUBSCRIPTION})

    def rule(self, text: str) -> None:
        """Let alerts become incidents as these rules want it."""
        rules = compile_rules(text)
        self.webhook = Webhook(
            verifier=cast("TokenVerifier", SimpleNamespace(verify=bool)),
            allowed_subscriptions=frozenset(),
            reconciler=self.rig.reconciler,
            rules=lambda alert: rules.apply(alert, self.rig.now),
            troubles=self.troubles,
        )

    def means(self, **more: Any) -> Means:
        """Return what a process that has just been started has to follow with."""
        return Means(
            settings=AzureSettings(
                action_groups=frozenset({ACTION_GROUP.lower()}),
                recovers_missed_alerts=False,
                syncs_alert_state=True,
                client_id="",
                endpoint=self.azure.url,
            ),
            allowed_subscriptions=self.subscriptions,
            table=self.table,
            token=lambda _: self.azure.identity.token,
            receive=self.webhook.recover,
            now=self.clock,
            troubles=self.troubles,
            retention=timedelta(days=90),
            **more,
        )

    def sides(self) -> BothSides:
        """Return what it takes besides."""
        people = People(self.rig.place.sign_in())
        return BothSides(
            touched=lambda span, deadline: people.touched(span, deadline=deadline), wakeups=self.rig.wakeups
        )

    def sync(self, *, budget: timedelta = timedelta(minutes=5), works: bool = True, **more: Any) -> StateReport:
        """Let two minutes pass and pass on what people did, as a process that has just been started."""
        self.pass_(2 * MINUTE)
        means = self.means(**more)
        report = state_follower(means, client_of(means), self.sides()).run(Deadline.after(budget))
        if works:
            self.work()
        return report

    def fired(self, alert: MetricAlert, **more: Any) -> str:
        """Let an alert fire and reach ServiceNow; return the sys_id of its incident."""
        self.monitor.fires(alert.fired(**more))
        self.pass_(MINUTE / 6)
        self.work()
        self.sync()
        return self.rig.instance.incidents[-1]["sys_id"]

    def over(self, alert: MetricAlert) -> None:
        """Let an alert resolve and reach ServiceNow."""
        self.monitor.fires(alert.resolved())
        self.pass_(MINUTE / 6)
        self.work()

    def take(self, sys_id: str) -> None:
        """Let a person begin to work on an incident."""
        self.rig.instance.edit(sys_id, {"state": "2"})

    def state(self, alert: MetricAlert) -> str:
        """Return the state of an alert in Azure."""
        return str(self.azure.alerts[alert.guid].essentials["alertState"])

    def changes(self, alert: MetricAlert) -> list[tuple[str, str]]:
        """Return who gave an alert which states in Azure, the oldest first."""
        entries = self.azure.alerts[alert.guid].modifications
        return [
            (each["modifiedBy"], each["newValue"]) for each in entries if each["modificationEvent"] == "StateChange"
        ]

    def notes(self, sys_id: str) -> list[str]:
        """Return the work notes that tell of Azure."""
        return [each for each in self.rig.instance.notes(sys_id) if "in Azure at" in each]

    def followed(self, key: str) -> Followed:
        """Return what the row of a key says of its alerts."""
        return self.rig.row(key).followed


@contextmanager
def both_sides(azurite: Azurite) -> Iterator[BothSidesScene]:
    moment = [NOW]

    def now() -> datetime:
        return moment[0]

    class InStep(Rig):
        """A rig whose instance has its clock."""

        @property
        def now(self) -> datetime:
            return moment[0]

        @now.setter
        def now(self, value: datetime) -> None:
            moment[0] = value

    with ResourceManagerStandIn(now=now) as azure, ServiceNowStandIn(now=now) as instance:
        scene = BothSidesScene(InStep(azurite, instance), azure)
        # The looks begin.
        scene.sync()
        yield scene
        assert instance.crashes == []
        assert instance.widened == []
