"""What happens? Everything is drawn from one seed: what is said, how it arrives, what people do, and what fails.

Azure Monitor repeats a call after 5, 20, 5, 40 and 5 seconds when it was answered 503 or the connection broke
(https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook), in any order, and more than once.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from itsm_bridge.errors import Damaged, LeadsNowhere, NewerVersion, TemporaryError, Unavailable
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET
from itsm_bridge.reconcile.record import SETTLE_TIME, Record
from itsm_bridge.reconcile.resync import COVER_AFTER
from itsm_bridge.servicenow.incident import IncidentState
from itsm_bridge.storage.row_format import VERSION
from proof.simulator.azure import BEGIN, words_of
from proof.simulator.faults import Weather
from proof.simulator.memory import MemoryInstance, MemoryStore, MemoryWakeUps, Message, Rules, SysIds
from proof.simulator.older import as_version_1
from proof.simulator.oracle import Act, Oracle
from proof.simulator.processes import (
    LEDGER,
    MESSAGE_LEASE,
    MESSAGE_RETRY,
    MESSAGES_AT_ONCE,
    MOST_DEQUEUES,
    SERVICENOW,
    Cloud,
    Process,
)
from proof.simulator.schedule import Schedule

_T = TypeVar("_T")

RETRIES = (5, 20, 5, 40, 5)
#: How often a process that dies takes its host with it, so that the connection breaks and the call is repeated. Else
#: the host answers 500, and Azure Monitor repeats nothing.
_HOST_DIES = 0.5
#: How long it takes Azure Monitor to give up a call, answers included.
LAST_RETRY_WITHIN = timedelta(minutes=3)
RESYNC_EVERY = timedelta(minutes=5)
#: How long after the last trouble everything must have come to rest.
REST_WITHIN = timedelta(hours=12)


ALL_WORK = frozenset({"webhooks", "wake-ups", "timer"})
#: Instances of their own for each kind of work, as Flex Consumption has it
#: (https://learn.microsoft.com/azure/azure-functions/event-driven-scaling#function-scaling-groups).
SPLIT = (frozenset({"webhooks"}), frozenset({"wake-ups"}), frozenset({"timer"}))
#: What the reconciler's target is, mostly ServiceNow.
_TARGETS = (*[SERVICENOW] * 7, LEDGER)
#: How long the first worker stands still that goes on to a successor, if it does. After ten minutes the host gives its
#: wake-up to another process; the doubt of its lease is over by then.
_FREEZES = (None, None, timedelta(seconds=50), timedelta(minutes=11), timedelta(minutes=25))
#: Peculiarities that an instance may have, one at a time, and mostly none.
_RULES = (
    *[""] * 10,
    *("closed at birth", "resolve refused", "resolve put back", "hidden journal", "correlation rewritten"),
    *("hidden rows", "close codes of its own", "writes fail", "choices fail"),
)
#: Accidents of rows and their wake-ups, mostly none. A newer version of the program has the row for a while; all
#: wake-ups are lost, and one row cannot be written for as long; or the index forgets all rows besides.
ACCIDENTS = ("damage", "older version", "newer version", "wake-ups lost", "index lost")
_ROWS = (*[""] * 14, *ACCIDENTS)
_PROCESSES: Sequence[Sequence[frozenset[str]]] = (
    (ALL_WORK,),
    (ALL_WORK, ALL_WORK),
    (ALL_WORK, ALL_WORK, ALL_WORK),
    SPLIT,
    (*SPLIT, *SPLIT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The judgement on one history."""

    seed: int
    faults: tuple[str, ...]
    story: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}", *self.story, *(f"!! {fault}" for fault in self.faults)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The ingredients of a history; None means that it is drawn."""

    people: bool | None = None
    sys_ids: SysIds | None = None
    deaths: int | None = None
    storage: float | None = None
    servicenow: float | None = None
    refusals: float | None = None
    processes: Sequence[frozenset[str]] | None = None
    #: How many requests each process may have in flight.
    slots: int | None = None
    #: The peculiarity of the instance: a draw of `_RULES`, or "".
    rules: str | None = None
    #: The accident of rows and their wake-ups: a draw of `_ROWS`, or "".
    rows: str | None = None
    #: What the reconciler's target is.
    target: str | None = None
    #: For how long a worker stands still that goes on to a successor.
    freeze: timedelta | None = None
    #: What operators' rules speak of: a draw of `ruled.operators_of`, or "".
    operators: str | None = None
    #: Whether Azure Monitor gives up, and its own list of alerts is followed.
    gives_up: bool | None = None


class History:
    """One history, drawn and played."""

    def __init__(self, seed: int, options: Options) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        # A draw of its own, so that the histories are those that they were with one target alone.
        self._target = _or(options.target, random.Random(f"target {seed}").choice(_TARGETS))
        self.schedule = Schedule(BEGIN)
        self.oracle = self._make_oracle()
        self.story: list[str] = []
        self.tries = 0
        self._is_over = False
        #: The rows that a newer version of the program has for now.
        self._of_others: set[str] = set()
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
        self._rule = _or(options.rules, rng.choice(_RULES))
        self.rules = self._draw_rules(self._rule)
        self._rows = _or(options.rows, rng.choice(_ROWS))
        self.oracle.refuses_notes = self.weather.refusals > 0
        self.oracle.may_park = bool(
            self.weather.refusals > 0 or self.rules.on_resolve or self.rules.has_own_close_codes
        )
        self.store = MemoryStore()
        self.wakeups = MemoryWakeUps(now=self.clock)
        self.instance = MemoryInstance(
            now=self.clock,
            sys_ids=self._sys_ids(_or(options.sys_ids, rng.choice([SysIds.HONOURED, SysIds.HONOURED, *SysIds]))),
            rules=self.rules,
            protects_closed=rng.random() < 0.7,
            rejects_duplicates=rng.random() < 0.2,
            on_created=self.oracle.created,
            on_changed=self.oracle.changed,
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
        # Drawn apart, as the target is.
        self.cloud.freeze = _or(options.freeze, random.Random(f"freeze {seed}").choice(_FREEZES))
        self.wakeups.on_hidden = self._expect_message
        self._slots = _or(options.slots, rng.choice([1, 2, 4]))
        self._skew = rng.choice([0, 0, 0.5, 1.5])
        self.processes = [
            self._make_process(f"app-{number}", takes)
            for number, takes in enumerate(_or(options.processes, rng.choice(_PROCESSES)), 1)
        ]
        self.end = self._draw(has_people=has_people)
        self.weather.calm_at = self.end + timedelta(seconds=rng.uniform(0, 600))
        self.tell(
            f"{len(self.processes)} processes with {self._slots} slots, {self._deaths} deaths; trouble: storage "
            f"{self.weather.storage}, ServiceNow {self.weather.servicenow}, refusals {self.weather.refusals}; "
            f"instance: {self._rule or 'as documented'}; rows: {self._rows or 'sound'}; target: {self._target}"
        )

    def _make_oracle(self) -> Oracle:
        return Oracle(self.schedule)

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
            for word in words_of(rng, key, f"k{number}"):
                said = word.span
                self.oracle.expect(word)
                for _ in range(rng.choice([1, 1, 1, 2, 3])):
                    delay = rng.uniform(0, rng.choice([0.2, 0.2, 0.2, 15, 200]))
                    self._at(said + delay, partial(self._deliver, word.notification, 0))
                    last = max(last, said + delay)
            for _ in range(rng.randrange(1, 5) if has_people else 0):
                when = rng.uniform(0.1, min(said, 1200) + rng.choice([1, 60, 900]))
                self._at(when, partial(self._act, key))
                last = max(last, when)
            if self._rows:
                self._at(rng.uniform(0.5, said + 60), partial(self._change_row, key))
        return BEGIN + timedelta(seconds=last)

    def _draw_rules(self, name: str) -> Rules:
        """Return what the instance does, and let the weather play its part of it."""
        rng = self.rng
        begin = BEGIN + timedelta(seconds=rng.uniform(0, 600))
        end = begin + timedelta(seconds=rng.choice([60, 900, 7200]))
        if name == "writes fail":
            self.weather.writes_fail = (begin, end)
        if name == "choices fail":
            self.weather.choices_fail = (begin, end)
        state, some = rng.choice([6, 7, 8]), rng.choice(["0123456789abcdef", "02468ace"])
        is_hiding = name == "hidden rows"
        return Rules(
            state_at_birth=lambda key: state if name == "closed at birth" and key[0] in some else None,
            on_resolve={"resolve refused": "refused", "resolve put back": "put back"}.get(name, ""),
            hides_journal=name == "hidden journal",
            rewrites_correlation=name == "correlation rewritten",
            hidden_from=begin if is_hiding else None,
            hidden_until=end if is_hiding else None,
            has_own_close_codes=name == "close codes of its own",
        )

    def _sys_ids(self, drawn: SysIds) -> SysIds:
        # If the instance chooses the sys_id and another integration the correlation id, nothing shows our incident.
        must_honour = self.rules.rewrites_correlation or self._target == LEDGER
        return SysIds.HONOURED if must_honour else drawn

    def _change_row(self, key: str) -> None:
        """Let a row be damaged, be as another version of the program would have left it, or lose what tells of it."""
        if self._rows in ("wake-ups lost", "index lost"):
            self._lose(self._rows, key)
            return
        row = self._readable(key)
        if row is None or (self._rows == "older version" and (row.work.lease_holder or row.work.is_waiting)):
            return
        if self._rows == "damage" and self.rules.rewrites_correlation:
            return
        self.tell(f"{key[:4]}: {self._rows}")
        if self._rows == "newer version":
            self.store.change_row(key, needs_version=VERSION + 1)
            self._of_others.add(key)
            self._at(self.rng.choice([5, 600]), partial(self._give_back, key))
            return
        self.oracle.acted(key, Act(at=self.schedule.now, name=self._rows))
        if self._rows == "damage":
            self.cloud.damaged.add(key)
        if self._rows == "damage":
            self.store.change_document(key, lambda text: text[:-9])
        else:
            self.store.change_as_older(key, partial(as_version_1, is_first=True))
            if key[0] in "02468ace":
                # It made the row: nothing of it was ever in the index.
                self.store.lose_entry(key)

    def _give_back(self, key: str) -> None:
        self._of_others.discard(key)
        self.store.change_row(key, needs_version=VERSION)

    def _lose(self, what: str, key: str) -> None:
        """Let the queue be emptied, as by its owner or a failover, and more: nothing but the rows tells of them then.

        The index forgets all rows, or one row refuses writes for a while.
        """
        self.tell(f"{what}, all of them, because of {key[:4]}")
        self.wakeups.messages.clear()
        if what == "index lost":
            for row in self.store.records:
                self.store.lose_entry(row.key)
        elif key == min(self.oracle.stories):
            self.store.unwritable.add(key)
            self._at(self.rng.choice([60, 9 * 3600]), partial(self._mend, key))

    def _mend(self, key: str) -> None:
        """Let a row be written again; by now the others must not have waited for it."""
        self.store.unwritable.discard(key)
        an_hour_ago = self.schedule.now - timedelta(hours=1)
        for row in self.store.records if self.weather.calm_at < an_hour_ago else ():
            if row.awaits_work and row.key != key and row.work.wake_up_at < an_hour_ago:
                self.oracle.fault(f"LOST: {row.key[:4]} sleeps as long as {key[:4]} cannot be written")

    def _readable(self, key: str) -> Record | None:
        with suppress(Damaged, LeadsNowhere, NewerVersion):
            return self.store.read(key)
        return None

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
            target=self._target,
            settings={"retry_horizon": timedelta(hours=72), "retention": timedelta(days=90)},
        )
        process.takes = takes
        process.mourn(lambda: self._replace(process))
        self.schedule.after(COVER_AFTER, lambda: self._cover(process))
        return process

    def _cover(self, process: Process, looks: int = 5) -> None:
        """Let a process that has started look for what another one left behind, a few times if that fails."""

        def cover() -> None:
            try:
                process.reconciler.cover()
            except TemporaryError as error:
                self.tell(f"{process.name}: the look for what a dead process left failed: {error}")
                if looks > 1:
                    self.schedule.after(COVER_AFTER, lambda: self._cover(process, looks - 1))

        if not process.is_dead:
            process.run(cover)

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

    def _deliver(self, notification: News, attempt: int) -> None:
        process = self._living("webhooks")
        if process is None:
            self._deliver_again(notification, attempt)
            return
        self.tries += 1

        def receive() -> None:
            said = self.as_ruled(notification)
            coming = self.oracle.came(notification, said)
            try:
                result = process.reconciler.take(said, deadline=process.within(INLINE_BUDGET))
            except TemporaryError as error:
                self.tell(f"{process.name}: {notification.digest} answered 503: {error}")
                self._deliver_again(notification, attempt)
                return
            self.tell(f"{process.name}: {notification.digest} answered {result.outcome}")
            self.oracle.answered(notification, coming)
            if self.rng.random() < self.weather.storage / 3:
                self.tell("the answer is lost on its way back")
                self._deliver_again(notification, attempt)

        self.tell(f"{process.name}: {notification.digest} comes{f', attempt {attempt + 1}' if attempt else ''}")
        process.run(receive, on_death=lambda: self._died(notification, attempt))

    def as_ruled(self, notification: News) -> News:
        """Return the notification as the rules have it now; here there are none."""
        return notification

    def _died(self, notification: News, attempt: int) -> None:
        if self.rng.random() < _HOST_DIES:
            self._deliver_again(notification, attempt)
        else:
            self.tell(f"{notification.digest} was answered 500 by the host and is not repeated")

    def _deliver_again(self, notification: News, attempt: int) -> None:
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
                    with suppress(Unavailable):  # the host gave it to another process meanwhile
                        self.wakeups.take_back(taken)
            process.messages -= 1

        self.tell(f"{process.name}: wake-up {message_id} for {message.key[:4]}, delivery {message.dequeue_count}")
        process.run(look)

    def _next(self, message_id: str) -> Message | None:
        """Return the message that the queue gives out when that one is due: a queue promises no order."""
        message = self.wakeups.messages.get(message_id)
        return message if message and message.visible_at <= self.schedule.now else None

    def _failed(self, message: Message) -> None:
        if message.message_id not in self.wakeups.messages:
            return
        if message.dequeue_count >= MOST_DEQUEUES:
            self.tell(f"wake-up {message.message_id} is poison")
            del self.wakeups.messages[message.message_id]
            self.wakeups.poison.append(message.key)
            return
        self.wakeups.hide(message.message_id, MESSAGE_RETRY)

    def _resync(self) -> None:
        process = self._living("timer")
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
        known = self._readable(key)
        is_old = self.schedule.now - row.created_at > SETTLE_TIME
        was_certain = is_old and known is not None and known.observed.incident_id == row.sys_id
        self.oracle.acted(key, Act(at=self.schedule.now, name=name, was_certain=was_certain))
        states = {"resolve": 6, "close": 7, "cancel": 8, "reopen": 2}
        if name == "delete":
            del self.instance.rows[row.sys_id]
        elif name == "edit":
            row.fields["urgency"] = "9"
        elif name == "comment":
            row.journal.append("A person was here.")
        else:
            row.turn(states[name], self.schedule.now)
        row.mod_count += 1

    # Playing.

    def play(self) -> None:
        """Let everything happen, then wait until all is at rest."""
        self.start_timer()
        self.schedule.run(until=self.weather.calm_at + LAST_RETRY_WITHIN)
        self.rest()
        # A process that stood still meanwhile goes on, and may begin something new.
        self.schedule.run(until=self.schedule.now + max(filter(None, _FREEZES)))
        self.rest()
        self._is_over = True
        self.schedule.run(until=self.schedule.now + MESSAGE_LEASE)

    def start_timer(self) -> None:
        """Let the timer come every five minutes: without it what waits for ServiceNow waits for ever."""
        self._at(self.rng.uniform(0, 300), self._resync)

    def rest(self) -> None:
        """Let everything happen that is still to come, without new trouble."""
        end = self.schedule.now + REST_WITHIN
        step = timedelta(minutes=5)
        while not self._is_at_rest() and self.schedule.now < end:
            if not self.schedule.run(until=self.schedule.now + step):
                # Nothing comes any more, and no time passes.
                return

    def _is_at_rest(self) -> bool:
        is_waited_for = self.wakeups.messages or self._of_others or self.store.unwritable
        return not is_waited_for and not any(row.awaits_work for row in self.store.records)

    def ending(self) -> Ending:
        """Judge it."""
        faults = (*self.cloud.faults, *self.oracle.judge())
        return Ending(seed=self.seed, faults=faults, story=tuple(self.story))


def _or(given: _T | None, drawn: _T) -> _T:
    return drawn if given is None else given
