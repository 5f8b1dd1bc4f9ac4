"""What if ServiceNow is away for days, under steady alerts?"""

import hashlib
import random
from datetime import datetime, timedelta
from functools import partial

from tests.simulator.history import BEGIN, History, Options, a_notification
from tests.simulator.memory import Message, SysIds

#: When ServiceNow goes away.
LEAVES_AT = BEGIN + timedelta(minutes=1)
#: How far apart the alerts are.
STEP = timedelta(hours=3)

_QUIET = Options(people=False, deaths=0, storage=0, servicenow=0, refusals=0, sys_ids=SysIds.HONOURED)


class Outage(History):
    """An alert every three hours while ServiceNow is away for `span`; `looks` is how its absence looks."""

    def __init__(self, *, span: timedelta, looks: str) -> None:
        random.seed(0)  # the reconciler's own jitter
        self.returns_at = LEAVES_AT + span
        self._looks = looks
        self._span = span
        super().__init__(0, _QUIET)

    def _draw(self, *, has_people: bool) -> datetime:  # noqa: ARG002 - nobody is at work
        self.weather.outages.append((LEAVES_AT, self.returns_at, self._looks))
        spans = [(STEP * number + timedelta(minutes=2)).total_seconds() for number in range(self._span // STEP)]
        self.alerts = [
            a_notification(_key(number), f"k{number}-fired", signal="a", at=span, opens=True, closes=False)
            for number, span in enumerate(spans)
        ]
        for span, alert in zip(spans, self.alerts, strict=True):
            self.oracle.expect(alert)
            self._at(span, partial(self._deliver, alert, 0))
        return self.returns_at

    def _next(self, message_id: str) -> Message | None:  # noqa: ARG002 - whichever is due, the first goes first
        """Return the message that has been visible for longest: as a queue does unless something is in the way."""
        visible = [each for each in self.wakeups.messages.values() if each.visible_at <= self.schedule.now]
        return min(visible, key=lambda each: each.visible_at, default=None)

    @property
    def slots(self) -> int:
        """How many requests all processes may have in flight."""
        return sum(process.slots for process in self.processes)

    def age_of(self, key: str) -> timedelta:
        """Return how long an alert had waited when ServiceNow returned."""
        fired_at = next(alert.at for alert in self.alerts if alert.key == key)
        assert fired_at is not None
        return self.returns_at - fired_at

    @property
    def created_after(self) -> list[tuple[str, timedelta]]:
        """The keys in the order of their incidents, and how long after the return each was created."""
        return [(row.correlation_id, row.created_at - self.returns_at) for row in self.instance.rows.values()]


def _key(number: int) -> str:
    return hashlib.sha256(f"outage|{number}".encode()).hexdigest()
