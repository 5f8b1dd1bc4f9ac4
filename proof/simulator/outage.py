"""What if ServiceNow is away for days, under steady alerts?

The tests of the simulation play these histories and ask them for figures.
"""

import hashlib
import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.reconcile.desired import News
from proof.simulator.azure import BEGIN, Role, Word, a_notification
from proof.simulator.history import ALL_WORK, SPLIT, History, Options
from proof.simulator.memory import Message, SysIds
from proof.simulator.processes import SERVICENOW

#: When ServiceNow goes away.
LEAVES_AT = BEGIN + timedelta(minutes=1)

_QUIET = Options(
    people=False,
    deaths=0,
    storage=0,
    servicenow=0,
    refusals=0,
    sys_ids=SysIds.HONOURED,
    rules="",
    rows="",
    slots=4,
    target=SERVICENOW,
)


class Outage(History):
    """An alert every `step` while ServiceNow is away for `span`; `looks` is how its absence looks.

    `troubled` alerts fire before that and end meanwhile, and their incidents can never be read again.
    """

    def __init__(
        self,
        *,
        span: timedelta,
        looks: str,
        step: timedelta,
        troubled: int = 0,
        processes: Sequence[frozenset[str]] = (ALL_WORK, ALL_WORK),
        slots: int | None = None,
    ) -> None:
        random.seed(0)  # the reconciler's own jitter
        self.returns_at = LEAVES_AT + span
        self._looks = looks
        self._step = step
        self._span = span
        self._troubled = troubled
        #: When messages can be seen, the oldest of each moment first; some are gone, or hidden anew.
        self._visible: list[tuple[datetime, int, str]] = []
        #: By the minute while ServiceNow is away: how many messages the queue holds, and whether any can be seen.
        self.lengths: list[tuple[int, bool]] = []
        super().__init__(0, replace(_QUIET, processes=processes, slots=slots))

    def _draw(self, *, has_people: bool) -> datetime:  # noqa: ARG002 - nobody is at work
        self.weather.outages.append((LEAVES_AT, self.returns_at, self._looks))
        spans = self._spans()
        self.alerts = [
            a_notification(_key(number), f"k{number}-fired", signal="a", at=span, opens=True, closes=False)
            for number, span in enumerate(spans)
        ]
        for span, alert in [*zip(spans, self.alerts, strict=True), *self._troubles()]:
            self.oracle.expect(_word(span, alert))
            self._at(span, partial(self._deliver, alert, 0))
        minutes = range(5, int(self._span / timedelta(minutes=1)))
        for minute in minutes:
            self._at((LEAVES_AT - BEGIN).total_seconds() + 60 * minute, self._measure)
        for span, alert in self._afterwards():
            self.oracle.expect(_word(span, alert))
            self._at(span, partial(self._deliver, alert, 0))
        return self.returns_at + timedelta(minutes=90)

    def _spans(self) -> list[float]:
        """Return when the alerts come that wait, in seconds."""
        return [
            (self._step * number + timedelta(minutes=2)).total_seconds() for number in range(self._span // self._step)
        ]

    def _afterwards(self) -> Iterator[tuple[float, News]]:
        """Return an alert every five minutes for an hour, from half an hour after the return on."""
        self.later = []
        for number in range(12):
            at = (self.returns_at - BEGIN + timedelta(minutes=30 + 5 * number)).total_seconds()
            alert = a_notification(_key(1000 + number), f"l{number}", signal="a", at=at, opens=True, closes=False)
            self.later.append(alert)
            yield at, alert

    def _troubles(self) -> Iterator[tuple[float, News]]:
        if self._troubled:
            self.weather.unreadable_from = self.returns_at
        for number in range(self._troubled):
            key = _key(-1 - number)
            for at, opens in ((1.0, True), (100.0, False)):
                word = f"t{number}-{'fired' if opens else 'resolved'}"
                yield at, a_notification(key, word, signal="a", at=at, opens=opens, closes=not opens)

    def _measure(self) -> None:
        messages = self.wakeups.messages.values()
        self.lengths.append((len(messages), any(each.visible_at <= self.schedule.now for each in messages)))

    def _expect_message(self, message: Message) -> None:
        heapq.heappush(self._visible, (message.visible_at, int(message.message_id[1:]), message.message_id))
        super()._expect_message(message)

    def _next(self, message_id: str) -> Message | None:  # noqa: ARG002 - whichever is due, the first goes first
        """Return the message that has been visible for longest: as a queue does unless something is in the way."""
        while self._visible and self._visible[0][0] <= self.schedule.now:
            visible_at, _, first = self._visible[0]
            message = self.wakeups.messages.get(first)
            if message is not None and message.visible_at == visible_at:
                return message
            heapq.heappop(self._visible)
        return None

    def lateness_of(self, alert: News) -> timedelta:
        """Return how long after its alert the incident was created."""
        (row,) = self.instance.of(alert.key)
        assert alert.at is not None
        return row.created_at - alert.at

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


class Waiting(Outage):
    """So many alerts come within minutes and wait for hours; `looks` is "read-only" if reads go on working."""

    def __init__(self, *, count: int, span: timedelta, looks: str, processes: Sequence[frozenset[str]] = SPLIT) -> None:
        self._count = count
        super().__init__(span=span, looks=looks, step=timedelta(seconds=1), processes=processes, slots=4)

    def _draw(self, *, has_people: bool) -> datetime:
        end = super()._draw(has_people=has_people)
        if self._looks == "read-only":
            self.weather.outages.clear()
            self.weather.writes_fail = (LEAVES_AT, self.returns_at)
        return end

    def _spans(self) -> list[float]:
        return [(LEAVES_AT - BEGIN).total_seconds() + 0.5 * number for number in range(self._count)]

    @property
    def most_wake_ups(self) -> int:
        """How many wake-ups were sent for one of the alerts that waited, at most."""
        return max(self.wakeups.sent[alert.key] for alert in self.alerts)


class Backlog(Outage):
    """So many alerts come at once, at a ServiceNow so slow that working them off takes long; nothing is away."""

    def __init__(self, *, count: int, slowness: float) -> None:
        self._count = count
        super().__init__(span=timedelta(hours=1), looks="", step=timedelta(seconds=1), processes=SPLIT, slots=4)
        self.weather.slowness = slowness

    def _draw(self, *, has_people: bool) -> datetime:
        end = super()._draw(has_people=has_people)
        self.weather.outages.clear()
        return end

    def _spans(self) -> list[float]:
        return [0.01 * number for number in range(self._count)]

    @property
    def wake_ups_each(self) -> float:
        """How many wake-ups were sent for each alert, on average."""
        return sum(self.wakeups.sent[alert.key] for alert in self.alerts) / self._count

    @property
    def took(self) -> timedelta:
        """How long it took until the last had its incident."""
        keys = {alert.key for alert in self.alerts}
        return max(row.created_at for row in self.instance.rows.values() if row.key in keys) - BEGIN


class Slow(History):
    """An alert every `step`, for a while, at a ServiceNow that takes so many seconds more."""

    def __init__(self, *, slowness: float, step: timedelta) -> None:
        random.seed(0)  # the reconciler's own jitter
        self._slowness = slowness
        self._step = step
        super().__init__(0, replace(_QUIET, processes=(ALL_WORK, ALL_WORK)))

    def _draw(self, *, has_people: bool) -> datetime:  # noqa: ARG002 - nobody is at work
        self.weather.slowness = self._slowness
        self.fired_at: dict[str, datetime] = {}
        for number in range(60):
            at = (self._step * number).total_seconds()
            alert = a_notification(_key(number), f"k{number}-fired", signal="a", at=at, opens=True, closes=False)
            self.fired_at[alert.key] = BEGIN + self._step * number
            self.oracle.expect(_word(at, alert))
            self._at(at, partial(self._deliver, alert, 0))
        return BEGIN + self._step * 60

    @property
    def lateness(self) -> timedelta:
        """How long after its alert the last incident was created, at most."""
        return max(row.created_at - self.fired_at[row.correlation_id] for row in self.instance.rows.values())


def _word(span: float, alert: News) -> Word:
    return Word(span=span, role=Role.BEGIN if alert.opens else Role.END, notification=alert)


def _key(number: int) -> str:
    return hashlib.sha256(f"outage|{number}".encode()).hexdigest()
