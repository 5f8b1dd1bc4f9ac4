"""The loop brings another target than ServiceNow to the right state, and asks nothing of it that is not in its port."""

from datetime import datetime, timedelta

import pytest

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.attempt import Outcome
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from proof.simulator.history import Options
from proof.simulator.ledger import Ledger
from proof.simulator.memory import MemoryIncidents, MemoryInstance, MemoryStore, MemoryWakeUps
from proof.simulator.playing import play
from proof.simulator.processes import LEDGER
from tests.alert_files import alert_of
from tests.builders import HOUR, NOW, ruled


class World:
    """A reconciler whose target is a ledger."""

    def __init__(self) -> None:
        self.now = NOW
        self.ledger = MemoryInstance(now=self.clock)
        self.reconciler = Reconciler(
            store=MemoryStore(),
            wakeups=MemoryWakeUps(now=self.clock),
            target=Ledger(MemoryIncidents(self.ledger)),
            circuit=Circuit(slots=4, now=self.clock),
            retry_horizon=72 * HOUR,
            retention=timedelta(days=90),
            now=self.clock,
        )

    def clock(self) -> datetime:
        return self.now

    def receive(self, alert: Alert) -> Outcome:
        news = self.reconciler.news_of(ruled(alert))
        return self.reconciler.take(news, deadline=Deadline.after(INLINE_BUDGET)).outcome


def test_an_alert_begins_and_ends_in_its_own_words() -> None:
    world = World()

    outcomes = [world.receive(alert_of(f"metric-static.{word}")) for word in ("fired", "fired", "resolved")]

    (page,) = world.ledger.rows.values()
    assert outcomes == [Outcome.CREATED, Outcome.UNCHANGED, Outcome.RESOLVED]
    assert page.fields["title"] == "Percentage CPU above 90 % on vm-web-01"
    assert (page.fields["weight"], page.fields["kind"]) == ("Sev1", "metric")
    assert "short_description" not in page.fields
    assert len(page.journal) == 1


@pytest.mark.no_cover
@pytest.mark.parametrize("first", [0, 40])
def test_histories_end_right(first: int) -> None:
    failed = [ending for seed in range(first, first + 40) if (ending := play(seed, Options(target=LEDGER))).faults]

    assert failed == []
