"""What happens? Everything is drawn from one seed: what is said, how it arrives, what people do, and what fails.

Azure Monitor repeats a call after 5, 20, 5, 40 and 5 seconds when it was answered 503 or the connection broke
(https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook), in any order, and more than once.
"""

import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from itsm_bridge.errors import TemporaryError, Unavailable
from itsm_bridge.incident import IncidentState
from itsm_bridge.notification import Notification
from itsm_bridge.reconcile import INLINE_BUDGET
from itsm_bridge.record import SETTLE_TIME
from tests.simulator.faults import Weather
from tests.simulator.memory import MemoryInstance, MemoryStore, MemoryWakeUps, Message, SysIds
from tests.simulator.oracle import Act, Oracle
from tests.simulator.processes import (
    MESSAGE_LEASE,
    MESSAGE_RETRY,
    MESSAGES_AT_ONCE,
    MOST_DEQUEUES,
    Cloud,
    Process,
)
from tests.simulator.schedule import Schedule

_T = TypeVar("_T")

BEGIN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
RETRIES = (5, 20, 5, 40, 5)
#: How long it takes Azure Monitor to give up a call, answers included.
LAST_RETRY_WITHIN = timedelta(minutes=3)
RESYNC_EVERY = timedelta(minutes=5)
#: How long after the last trouble everything must have come to rest.
REST_WITHIN = timedelta(hours=3)


ALL_WORK = frozenset({"webhooks", "wake-ups"})
#: Instances of their own for each kind of work, as Flex Consumption has it
#: (https://learn.microsoft.com/azure/azure-functions/event-driven-scaling#function-scaling-groups).
SPLIT = (frozenset({"webhooks"}), frozenset({"wake-ups"}))
_PROCESSES: Sequence[Sequence[frozenset[str]]] = (
    (ALL_WORK,),
    (ALL_WORK, ALL_WORK),
    (ALL_WORK, ALL_WORK, ALL_WORK),
    SPLIT,
    (*SPLIT, *SPLIT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of a history."""

    seed: int
    faults: tuple[str, ...]
    story: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}", *self.story, *(f"!! {fault}" for fault in self.faults)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a history is made of; None means that it is drawn."""

    people: bool | None = None
    sys_ids: SysIds | None = None
    deaths: int | None = None
    storage: float | None = None
    servicenow: float | None = None
    refusals: float | None = None
    processes: Sequence[frozenset[str]] | None = None


def play(seed: int, options: Options | None = None) -> Ending:
    """Play one history and judge it."""
    state = random.getstate()
    random.seed(seed)  # the reconciler's own jitter
    logging.disable(logging.CRITICAL)
    try:
        history = History(seed, options or Options())
        history.play()
        return history.ending()
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(state)


class History:
    """One history, drawn and played."""

    def __init__(self, seed: int, options: Options) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.schedule = Schedule(BEGIN)
        self.oracle = Oracle(self.schedule)
        self.story: list[str] = []
        self.tries = 0
        self._is_over = False
        self._deaths = _or(options.deaths, rng.choice([0, 0, 1, 2, 4, 8]))
        has_people = _or(options.people, rng.random() < 0.5)
        self.weather = Weather(
            rng=rng,
            now=self.clock,
            calm_at=BEGIN,
            storage=_or(options.storage, rng.choice([0, 0, 0.03, 0.1, 0.3])),
            servicenow=_or(options.servicenow, rng.choice([0, 0, 0.1, 0.3, 0.6])),
            refusals=_or(options.refusals, rng.choice([0, 0, 0, 0, 0, 0.1])),
        )
        self.oracle.may_park = self.weather.refusals > 0
        self.store = MemoryStore(on_commit=self.oracle.committed)
        self.wakeups = MemoryWakeUps(now=self.clock)
        self.instance = MemoryInstance(
            now=self.clock,
            sys_ids=_or(options.sys_ids, rng.choice([SysIds.HONOURED, SysIds.HONOURED, *SysIds])),
            protects_closed=rng.random() < 0.7,
            rejects_duplicates=rng.random() < 0.2,
            on_created=self.oracle.created,
        )
        self.oracle.instance, self.oracle.store, self.oracle.wakeups = self.instance, self.store, self.wakeups
        self.cloud = Cloud(
            schedule=self.schedule,
            rng=rng,
            weather=self.weather,
            store=self.store,
            wakeups=self.wakeups,
            instance=self.instance,
            tell=self.tell,
        )
        self.wakeups.on_hidden = self._expect_message
        self._slots = rng.choice([1, 2, 4])
        self._skew = rng.choice([0, 0, 0.5, 1.5])
        self.processes = [
            self._make_process(f"app-{number}", takes)
            for number, takes in enumerate(_or(options.processes, rng.choice(_PROCESSES)), 1)
        ]
        self.end = self._draw(has_people=has_people)
        self.weather.calm_at = self.end + timedelta(seconds=rng.uniform(0, 600))
        self.tell(
            f"{len(self.processes)} processes with {self._slots} slots, {self._deaths} deaths; trouble: storage "
            f"{self.weather.storage}, ServiceNow {self.weather.servicenow}, refusals {self.weather.refusals}"
        )

    def clock(self) -> datetime:
        return self.schedule.now

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.schedule.elapsed:9.2f}  {text}")

    # Drawing.

    def _draw(self, *, has_people: bool) -> datetime:
        """Schedule what Azure Monitor says and people do; return when the last of it begins."""
        rng = self.rng
        last = 0.0
        for number in range(rng.choice([1, 1, 2, 3, 6])):
            key = hashlib.sha256(f"{self.seed}|{number}".encode()).hexdigest()
            said = 0.0
            for span, notification in _words(rng, key, f"k{number}"):
                said = span
                self.oracle.expect(notification)
                for _ in range(rng.choice([1, 1, 1, 2, 3])):
                    delay = rng.uniform(0, rng.choice([0.2, 0.2, 0.2, 15, 200]))
                    self._at(span + delay, partial(self._deliver, notification, 0))
                    last = max(last, span + delay)
            for _ in range(rng.randrange(1, 5) if has_people else 0):
                when = rng.uniform(0.1, said + rng.choice([1, 60, 900]))
                self._at(when, partial(self._act, key))
                last = max(last, when)
        return BEGIN + timedelta(seconds=last)

    def _at(self, seconds: float, call: Callable[[], None]) -> None:
        self.schedule.after(timedelta(seconds=seconds), call)

    # Processes.

    def _make_process(self, name: str, takes: frozenset[str] = ALL_WORK) -> Process:
        dies_at = None
        if self._deaths and self.rng.random() < 0.8:
            self._deaths -= 1
            dies_at = self.rng.randint(1, self.rng.choice([6, 12, 40]))
        process = Process(
            self.cloud,
            name=name,
            skew=timedelta(seconds=self.rng.uniform(-self._skew, self._skew)),
            slots=self._slots,
            dies_at=dies_at,
            settings={"retry_horizon": timedelta(hours=72), "retention": timedelta(days=90)},
        )
        process.takes = takes
        process.mourn(lambda: self._replace(process))
        return process

    def _replace(self, dead: Process) -> None:
        self.processes.remove(dead)
        self.schedule.after(
            timedelta(seconds=self.rng.uniform(0.5, self.rng.choice([3, 60]))),
            lambda: self.processes.append(self._make_process(dead.name + "'", dead.takes)),
        )

    def _living(self, work: str) -> Process | None:
        """Return a process that takes this kind of work: the platform may give each kind instances of its own."""
        living = [process for process in self.processes if not process.is_dead and work in process.takes]
        return self.rng.choice(living) if living else None

    # Azure Monitor.

    def _deliver(self, notification: Notification, attempt: int) -> None:
        process = self._living("webhooks")
        if process is None:
            self._deliver_again(notification, attempt)
            return
        self.tries += 1

        def receive() -> None:
            try:
                result = process.reconciler.receive(notification, deadline=process.clock() + INLINE_BUDGET)
            except TemporaryError as error:
                self.tell(f"{process.name}: {notification.digest} answered 503: {error}")
                self._deliver_again(notification, attempt)
                return
            self.tell(f"{process.name}: {notification.digest} answered {result.outcome}")
            self.oracle.answered(notification)
            if self.rng.random() < self.weather.storage / 3:
                self.tell("the answer is lost on its way back")
                self._deliver_again(notification, attempt)

        self.tell(f"{process.name}: {notification.digest} comes{f', attempt {attempt + 1}' if attempt else ''}")
        process.run(receive, on_death=lambda: self._deliver_again(notification, attempt))

    def _deliver_again(self, notification: Notification, attempt: int) -> None:
        if attempt < len(RETRIES):
            self._at(RETRIES[attempt], lambda: self._deliver(notification, attempt + 1))

    # The host's queue and timer.

    def _expect_message(self, message: Message) -> None:
        wait = max(message.visible_at - self.schedule.now, timedelta(0))
        poll = timedelta(seconds=self.rng.uniform(0.01, self.rng.choice([0.2, 5])))
        self.schedule.after(wait + poll, lambda: self._take(message.message_id))

    def _take(self, message_id: str) -> None:
        message = self._next(message_id)
        if message is None:
            return
        process, message_id = self._living("wake-ups"), message.message_id
        if process is None or process.messages >= MESSAGES_AT_ONCE:
            self.schedule.after(timedelta(seconds=1), lambda: self._take(message_id))
            return
        taken = self.wakeups.take(message_id, lease=MESSAGE_LEASE)
        assert taken is not None
        process.messages += 1

        def look() -> None:
            try:
                process.reconciler.reconcile(message.key, wake_up_id=message_id)
            except TemporaryError as error:
                self.tell(f"{process.name}: wake-up {message_id} failed: {error}")
                self._failed(message)
            else:
                if self.rng.random() >= self.weather.storage / 10:
                    with suppress(Unavailable):  # it was given to somebody else meanwhile
                        self.wakeups.take_back(taken)
            process.messages -= 1

        self.tell(f"{process.name}: wake-up {message_id} for {message.key[:4]}, delivery {message.dequeue_count}")
        process.run(look)

    def _next(self, message_id: str) -> Message | None:
        """Return the message that the queue gives out when that one is due: a queue promises no order."""
        message = self.wakeups.messages.get(message_id)
        return message if message and message.visible_at <= self.schedule.now else None

    def _failed(self, message: Message) -> None:
        if message.dequeue_count >= MOST_DEQUEUES:
            self.tell(f"wake-up {message.message_id} is poison")
            del self.wakeups.messages[message.message_id]
            self.wakeups.poison.append(message.key)
            return
        self.wakeups.hide(message.message_id, MESSAGE_RETRY)

    def _resync(self) -> None:
        process = self._living("wake-ups")
        if process is not None:
            process.run(lambda: self._resync_in(process))
        if not self._is_over:
            self.schedule.after(RESYNC_EVERY, self._resync)

    def _resync_in(self, process: Process) -> None:
        try:
            process.reconciler.resync()
        except TemporaryError as error:
            self.tell(f"{process.name}: resync failed: {error}")

    # People.

    def _act(self, key: str) -> None:
        rows = self.instance.of(key)
        if not rows:
            return
        row = rows[-1]
        acts = {
            "resolve": not row.is_closed,
            "close": not row.is_closed,
            "cancel": not row.is_closed,
            "reopen": row.state == IncidentState.RESOLVED,
            "delete": True,
            "edit": not row.is_closed,
            "comment": not row.is_closed,
        }
        name = self.rng.choice([name for name, is_possible in acts.items() if is_possible])
        self.tell(f"a person: {name} {row.number}")
        known = self.store.read(key)
        is_old = self.schedule.now - row.created_at > SETTLE_TIME
        was_certain = is_old and known is not None and known.sys_id == row.sys_id
        self.oracle.stories[key].acts.append(Act(at=self.schedule.now, name=name, was_certain=was_certain))
        states = {"resolve": 6, "close": 7, "cancel": 8, "reopen": 2}
        if name == "delete":
            del self.instance.rows[row.sys_id]
        elif name == "edit":
            row.fields["urgency"] = "9"
        elif name == "comment":
            row.journal.append("A person was here.")
        else:
            row.state = states[name]

    # Playing.

    def play(self) -> None:
        """Let everything happen, then wait until all is at rest."""
        self._at(self.rng.uniform(0, 300), self._resync)
        self.schedule.run(until=self.weather.calm_at + LAST_RETRY_WITHIN)
        self.rest()
        self._is_over = True
        self.schedule.run(until=self.schedule.now + MESSAGE_LEASE)

    def rest(self) -> None:
        """Let everything happen that is still to come, without new trouble."""
        end = self.schedule.now + REST_WITHIN
        step = timedelta(minutes=5)
        while not self._is_at_rest() and self.schedule.now < end:
            self.schedule.run(until=self.schedule.now + step)

    def _is_at_rest(self) -> bool:
        return not self.wakeups.messages and not any(row.awaits_work for row in self.store.records)

    def ending(self) -> Ending:
        """Judge it."""
        faults = (*self.cloud.faults, *self.oracle.judge())
        return Ending(seed=self.seed, faults=faults, story=tuple(self.story))


def _or(given: _T | None, drawn: _T) -> _T:
    return drawn if given is None else given


def _words(rng: random.Random, key: str, name: str) -> list[tuple[float, Notification]]:
    """Draw what Azure Monitor says of one key and when, in seconds after the beginning."""
    kind = rng.choice(["metric", "metric", "metric", "voices", "health", "test"])
    if kind == "test":
        return [(0.0, a_notification(key, f"{name}-test", signal="", at=0.0, opens=True, closes=True))]
    signals = {"metric": ["a"], "voices": ["a", "b"], "health": [""]}[kind]
    firing = dict.fromkeys(signals, False)
    words: list[tuple[float, Notification]] = []
    span = 0.0
    for number in range(1, rng.randint(1, 8) + 1):
        signal = rng.choice(signals)
        fires = not firing[signal] or (rng.random() < 0.3 and number > 1)
        since = max((said for said, each in words if each.signal == signal and each.opens), default=span)
        # Many a Resolved knows only when its alert fired.
        at = span if fires or kind == "health" or rng.random() < 0.7 else since
        digest = f"{name}-{number}-{'fired' if fires else 'resolved'}{'-' + signal if signal else ''}"
        words.append((span, a_notification(key, digest, signal=signal, at=at, opens=fires, closes=not fires)))
        firing[signal] = fires
        span += rng.uniform(0.001, rng.choice([0.3, 5, 30, 300, 1200]))
    return words


def a_notification(key: str, digest: str, *, signal: str, at: float, opens: bool, closes: bool) -> Notification:
    worst = str(1 + len(digest) % 3)
    return Notification(
        key=key,
        signal=signal,
        opens=opens,
        closes=closes,
        at=BEGIN + timedelta(seconds=at),
        digest=digest,
        fields={
            "short_description": f"Alert {digest}",
            "description": "It is an alert.",
            "impact": worst,
            "urgency": str(1 + int(at) % 3),
        },
        facts={"Said": digest},
        note=f"<{digest}>",
        resources=(f"vm-{len(digest) % 2}",),
    )
