"""What runs the app? Several processes, each with a clock, a bulkhead and a reconciler of its own.

The history makes the processes and gives them calls, wake-ups and the timer.
A process dies at a call that was chosen before: before the request leaves, while it is on its way (it takes effect
all the same), or right after the answer. Its messages come back after the host's lease, its callers see a broken
connection, and a while later another process takes its place.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Damaged, NewerVersion, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.gathering import Gathering
from itsm_bridge.reconcile.pages import START, GroupRow, Index, Page, Place, Progress
from itsm_bridge.reconcile.ports import Incident, Store, Target, WakeUp
from itsm_bridge.reconcile.reconciler import Reconciler
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.together import Together
from itsm_bridge.servicenow.cmdb.match import CiMatch
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET
from itsm_bridge.servicenow.target import ServiceNow
from proof.simulator.faults import Trip, Weather
from proof.simulator.ledger import Ledger
from proof.simulator.memory import MemoryIncidents, MemoryInstance, MemoryStore, MemoryWakeUps
from proof.simulator.schedule import Killed, Schedule

_T = TypeVar("_T")

#: Notes about the configuration item.
CI_FOUND = "<configuration item>"
CI_NOT_FOUND = "<no configuration item>"

#: As `host.json` and the real host have it.
MESSAGE_LEASE = timedelta(minutes=10)
MESSAGE_RETRY = timedelta(seconds=30)
MOST_DEQUEUES = 5
MESSAGES_AT_ONCE = 4

#: Seconds: the patience of the storage clients.
_STORAGE_PATIENCE = 1.5


class Cloud:
    """The things that all processes share."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        rng: random.Random,
        weather: Weather,
        store: MemoryStore,
        wakeups: MemoryWakeUps,
        instance: MemoryInstance,
        tell: Callable[[str], None],
    ) -> None:
        self.schedule = schedule
        self.rng = rng
        self.weather = weather
        self.store = store
        self.wakeups = wakeups
        self.instance = instance
        self.tell = tell
        #: A draw of its own, so that the rest of a history stays what it was.
        self.rng_of_lines = random.Random(f"lines {rng.getstate()[1][:3]}")
        #: By key, the processes that wait for an answer of ServiceNow about it.
        self.asking: dict[str, list[Process]] = {}
        #: The keys whose row was damaged: a worker that held its lease goes on beside the next one.
        self.damaged: set[str] = set()
        self.faults: list[str] = []
        self.requests = 0
        #: The ids and keys that any process asked the instance about.
        self.subjects: set[str] = set()
        #: For how long the next worker stands still that goes on to a successor; None if none does.
        self.freeze: timedelta | None = None


class VirtualTurns:
    """How a caller waits for its turn, by the virtual clock."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def wait(self, event: threading.Event, span: timedelta) -> bool:
        return self._schedule.sleep_until(event.is_set, step=timedelta(seconds=0.1), span=span)


class VirtualBackground:
    """The threads of a process that go on with alerts, as tasks of the schedule; they die with their process."""

    #: So little that histories find it full: of alerts, and of all.
    ROOM = 3
    MOST_WAITING = 6
    PATIENCE = timedelta(seconds=0.6)

    def __init__(self, process: "Process", count: int) -> None:
        self._process = process
        self._free = count
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def hand_over(self, work: Callable[[], None]) -> bool:
        def has_room() -> bool:
            return len(self._waiting) < self.ROOM

        self._process.cloud.schedule.sleep_until(has_room, step=timedelta(seconds=0.1), span=self.PATIENCE)
        return has_room() and self.begin(work)

    def begin(self, work: Callable[[], None]) -> bool:
        if len(self._waiting) >= self.MOST_WAITING:
            return False
        self._waiting.append(work)
        if self._free:
            self._free -= 1
            self._process.run(self._work_off)
        return True

    def _work_off(self) -> None:
        while self._waiting:
            self._waiting.popleft()()
        self._free += 1


class VirtualTogether(Together):
    """The turns of webhooks, waited for by the virtual clock."""

    def __init__(self, store: Store, schedule: Schedule) -> None:
        super().__init__(store)
        self._schedule = schedule

    def _wait_for_turn(self, turn: threading.Lock, wait: timedelta) -> bool:
        def is_ours() -> bool:
            return turn.acquire(blocking=False)

        return self._schedule.sleep_until(is_ours, step=timedelta(seconds=0.01), span=wait)


#: The targets that a process may have.
SERVICENOW = "ServiceNow"
LEDGER = "ledger"


class Process:
    """One worker process of the app."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        name: str,
        skew: timedelta,
        slots: int,
        dies_at: int | None,
        settings: Mapping[str, Any],
        target: str = SERVICENOW,
    ) -> None:
        self.name = name
        self.cloud = cloud
        self.is_dead = False
        self.slots = slots
        self.messages = 0
        #: The kinds of work that it is given.
        self.takes = frozenset[str]()
        self._skew = skew
        self._calls = 0
        self._dies_at = dies_at
        self.in_flight = 0
        self._choices_known = False
        self._on_death: list[Callable[[], None]] = []
        turns = VirtualTurns(cloud.schedule)
        self.circuit = Circuit(slots=slots, line=cloud.rng_of_lines.choice([0, 2, 8]), now=self.clock, wait=turns.wait)
        store = _RemoteStore(self)
        self.reconciler = Reconciler(
            store=store,
            together=VirtualTogether(store, cloud.schedule),
            wakeups=_RemoteWakeUps(self),
            background=VirtualBackground(self, slots) if cloud.rng_of_lines.random() < 0.8 else None,
            target=_target(target, self),
            circuit=self.circuit,
            now=self.clock,
            clock=self.seconds,
            **settings,
        )

    def clock(self) -> datetime:
        """The time as this process believes it."""
        return self.cloud.schedule.now + self._skew

    def seconds(self) -> float:
        """What its monotonic clock says."""
        return self.cloud.schedule.elapsed

    def within(self, span: timedelta) -> Deadline:
        """Return the deadline that is `span` from now."""
        return Deadline.after(span, clock=self.seconds)

    # Life and death.

    def run(self, work: Callable[[], None], *, on_death: Callable[[], None] = lambda: None) -> None:
        """Start blocking work; `on_death` is called if the process dies first."""

        def whole() -> None:
            work()
            self._on_death.remove(on_death)

        self._on_death.append(on_death)
        self.cloud.schedule.start(whole, is_dead=lambda: self.is_dead)

    def mourn(self, call: Callable[[], None]) -> None:
        """Call `call` when the process dies."""
        self._on_death.append(call)

    def die(self) -> None:
        """End at once."""
        if self.is_dead:
            return
        self.is_dead = True
        self.cloud.tell(f"{self.name} dies")
        for call in self._on_death:
            self.cloud.schedule.after(timedelta(0), call)

    def freeze_before(self, record: Record) -> None:
        """Let the work that writes the intent of a successor stand still once, for longer than its lease lasts.

        As on a host that is suspended, or behind a connection that hangs: by then another worker has the lease.
        """
        cloud, freeze = self.cloud, self.cloud.freeze
        if not freeze:
            return
        with suppress(Damaged, NewerVersion):
            known = cloud.store.read(record.key)
            if known is None or known.observed.generation >= record.observed.generation:
                return
            cloud.freeze = None
            cloud.tell(f"{self.name} stands still for {freeze.total_seconds():.0f} s before it writes a successor")
            cloud.schedule.sleep(freeze)

    # Remote calls.

    def call(self, what: str, effect: Callable[[], _T], trip: Trip, *, patience: float) -> _T:
        """Make a remote call; the trip says what comes of it, and when.

        Raises:
            Killed: the process died on the way.
        """
        cloud, fate = self.cloud, self._fate()
        if fate == 0:
            self._killed(f"before {what}")
        came_of = self._sent(effect, trip)
        if fate == 1:
            self._killed(f"during {what}")
        lasts = _span(trip)
        if lasts is None or lasts > patience:
            cloud.schedule.sleep(timedelta(seconds=patience))
            raise trip.error or _TimeIsUp
        cloud.schedule.sleep(timedelta(seconds=lasts))
        if fate == 2:
            self._killed(f"after {what}")
        if trip.error is not None:
            raise trip.error
        return came_of[-1]()

    def _sent(self, effect: Callable[[], _T], trip: Trip) -> list[Callable[[], _T]]:
        """Let the request take effect in its time; what comes of it is in the list then."""
        came_of: list[Callable[[], _T]] = []

        def take_effect() -> None:
            came_of.append(_outcome(effect))

        for _ in range(0 if trip.there is None else 2 if trip.is_repeated else 1):
            self.cloud.schedule.after(timedelta(seconds=trip.there or 0), take_effect)
        return came_of

    def _fate(self) -> int | None:
        self._calls += 1
        return self.cloud.rng.randrange(3) if self._calls == self._dies_at else None

    def _killed(self, when: str) -> None:
        self.cloud.tell(f"{self.name} is killed {when}")
        self.die()
        raise Killed


class _TimeIsUp(BridgeError):
    """No answer came in time; the caller knows what that means."""


def _outcome(effect: Callable[[], _T]) -> Callable[[], _T]:
    try:
        value = effect()
    except BridgeError as error:
        caught = error

        def fail() -> _T:
            raise caught

        return fail
    return lambda: value


def _span(trip: Trip) -> float | None:
    if trip.back is None:
        return None
    return max((trip.there or 0.0) + trip.back, 0.001)


class _RemoteStorage:
    """A part of storage as a process sees it."""

    name: str

    def __init__(self, process: Process) -> None:
        self._process = process

    def _call(self, what: str, effect: Callable[[], _T]) -> _T:
        process = self._process
        trip = process.cloud.weather.storage_trip(self.name)
        try:
            answer = process.call(what, effect, trip, patience=_STORAGE_PATIENCE)
        except _TimeIsUp as error:
            raise Unavailable(f"the {self.name} did not answer") from error
        except TemporaryError as error:
            process.cloud.tell(f"{process.name}: {what}: {_word(error)} {trip.name}")
            raise
        if trip.name:
            process.cloud.tell(f"{process.name}: {what}: done, {trip.name}")
        return answer


class _RemoteStore(_RemoteStorage):
    """The table as a process sees it."""

    name = "table"

    def insert(self, record: Record) -> Record:
        return self._call("insert row", lambda: self._process.cloud.store.insert(record))

    def read(self, key: str) -> Record | None:
        return self._call("read row", lambda: self._process.cloud.store.read(key))

    def replace(self, record: Record) -> Record:
        self._process.freeze_before(record)
        return self._call("replace row", lambda: self._process.cloud.store.replace(record))

    def delete(self, record: Record) -> None:
        self._call("delete row", lambda: self._process.cloud.store.delete(record))

    def index(self) -> Index:
        try:
            return self._call("read index", self._process.cloud.store.index)
        except Unavailable as error:
            return Index((), failure=error)

    def heal(self, key: str) -> bool:
        return self._call(f"heal {key[:4]}", lambda: self._process.cloud.store.heal(key))

    def pages(self, place: Place) -> Iterator[Page]:
        page = self._page(place)
        yield page
        while page.end != START:
            page = self._page(page.end)
            yield page

    def _page(self, place: Place) -> Page:
        return self._call("read page", lambda: next(self._process.cloud.store.pages(place)))

    def progress(self) -> Progress:
        return self._call("read progress", self._process.cloud.store.progress)

    def save_progress(self, progress: Progress) -> Progress:
        return self._call("write progress", lambda: self._process.cloud.store.save_progress(progress))

    def begin_look(self, now: datetime, *, unless_since: datetime) -> bool:
        store = self._process.cloud.store
        return self._call("begin look", lambda: store.begin_look(now, unless_since=unless_since))

    def purge_group(self, row: GroupRow, *, changed_before: datetime) -> bool:
        store = self._process.cloud.store
        return self._call("purge group", lambda: store.purge_group(row, changed_before=changed_before))

    def lead(self, key: str, *, to: str) -> str:
        return self._call("lead row", lambda: self._process.cloud.store.lead(key, to=to))

    def gathering(self, group: str) -> Gathering | None:
        return self._call("read gathering", lambda: self._process.cloud.store.gathering(group))

    def gather(self, gathering: Gathering) -> None:
        self._call("write gathering", lambda: self._process.cloud.store.gather(gathering))

    def restore(self, record: Record) -> Record:
        return self._call("restore row", lambda: self._process.cloud.store.restore(record))


class _RemoteWakeUps(_RemoteStorage):
    """The queue as a process sees it."""

    name = "queue"

    def send(self, key: str, *, delay: timedelta) -> WakeUp:
        what = f"send wake-up of {key[:4]} in {delay.total_seconds():.0f} s"
        return self._call(what, lambda: self._process.cloud.wakeups.send(key, delay=delay))

    def peek(self) -> list[tuple[str, str]]:
        return self._call("peek", self._process.cloud.wakeups.peek)

    def take_back(self, wake_up: WakeUp) -> None:
        self._call(f"take back {wake_up.message_id}", lambda: self._process.cloud.wakeups.take_back(wake_up))


class _RemoteIncidents:
    """The instance as a process sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._adapter = MemoryIncidents(process.cloud.instance)

    @property
    def honours_sys_id(self) -> bool | None:
        return self._adapter.honours_sys_id

    def find(
        self,
        sys_id: str,
        *,
        with_notes: bool = False,
        more_fields: Collection[str] = (),  # noqa: ARG002 - it shows all of them
        deadline: Deadline,
    ) -> Incident | None:
        def effect() -> Incident | None:
            return self._adapter.find(sys_id, with_notes=with_notes, deadline=deadline)

        return self._call("find", sys_id, effect, deadline)

    def search(self, correlation_id: str, *, deadline: Deadline) -> tuple[Incident, ...]:
        return self._call(
            "search", correlation_id, lambda: self._adapter.search(correlation_id, deadline=deadline), deadline
        )

    def create(self, fields: Mapping[str, str], *, more_fields: Collection[str] = (), deadline: Deadline) -> Incident:  # noqa: ARG002 - as above
        # The process learns from an answer when it arrives, not when the instance makes it.
        instance, sent_at = self._process.cloud.instance, self._process.cloud.schedule.now
        adapter = MemoryIncidents(instance)

        def effect() -> Incident:
            instance.sent_at = sent_at
            return adapter.create(fields, deadline=deadline)

        return self._adapter.learnt(self._call("create", fields["correlation_id"], effect, deadline), fields)

    def update(
        self,
        sys_id: str,
        fields: Mapping[str, str],
        *,
        more_fields: Collection[str] = (),  # noqa: ARG002 - as above
        deadline: Deadline,
    ) -> Incident:
        instance, sent_at = self._process.cloud.instance, self._process.cloud.schedule.now

        def effect() -> Incident:
            instance.sent_at = sent_at
            return self._adapter.update(sys_id, fields, deadline=deadline)

        return self._call("update", sys_id, effect, deadline, said=", ".join(sorted(fields)))

    def close_code(self, *, deadline: Deadline, preferred: str = "") -> str:
        process = self._process
        if not process._choices_known:
            self._call("close_code", "", lambda: "", deadline)
            process._choices_known = True
        return self._adapter.close_code(deadline=deadline, preferred=preferred)

    def _call(self, method: str, subject: str, effect: Callable[[], _T], deadline: Deadline, said: str = "") -> _T:
        process, cloud = self._process, self._process.cloud
        cloud.subjects.add(subject)
        key = _key_of(cloud.instance, subject)
        trip = cloud.weather.servicenow_trip(method)
        what = f"{method} {key[:4]}{f' ({said})' if said else ''}"
        with _asking(process, key):
            try:
                answer = process.call(what, effect, trip, patience=deadline.left.total_seconds())
            except _TimeIsUp as error:
                cloud.tell(f"{process.name}: {what}: no answer in {deadline.left.total_seconds():.1f} s")
                kind = Unconfirmed if method in ("create", "update") else Unavailable
                raise kind("ServiceNow did not answer in time") from error
            except BridgeError as error:
                cloud.tell(f"{process.name}: {what}: {_word(error)} ({trip.name})")
                raise
        shown = f"{answer.number} state {answer.state}" if isinstance(answer, Incident) else str(answer)[:40]
        cloud.tell(f"{process.name}: {what}: {shown}")
        return answer


def _target(name: str, process: Process) -> Target:
    incidents = _RemoteIncidents(process)
    if name == LEDGER:
        return Ledger(incidents)
    return ServiceNow(
        incidents,  # type: ignore[arg-type] # the same methods
        _RemoteCmdb(process),  # type: ignore[arg-type] # the same methods
    )


class _RemoteCmdb:
    """The CMDB as a process sees it: every second resource is in it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def expect(self, resources: Sequence[str]) -> None:
        """Every search asks for itself here."""

    def find(self, resources: Sequence[str], *, deadline: Deadline) -> CiMatch:
        process, cloud = self._process, self._process.cloud
        is_known = bool(resources) and resources[0].endswith("1")
        match = CiMatch(sys_id="c1" * 16, reason=CI_FOUND) if is_known else CiMatch(reason=CI_NOT_FOUND)
        trip = cloud.weather.servicenow_trip("search")
        cloud.requests += 1
        try:
            return process.call(
                "bind", lambda: match, trip, patience=deadline.for_request(REQUEST_BUDGET).left.total_seconds()
            )
        except _TimeIsUp as error:
            raise Unavailable("the CMDB did not answer in time") from error


@contextmanager
def _asking(process: Process, key: str) -> Iterator[None]:
    cloud = process.cloud
    cloud.requests += 1
    process.in_flight += 1
    if process.in_flight > process.slots:
        cloud.faults.append(f"{process.name} has {process.in_flight} requests in flight, with {process.slots} slots")
    others = cloud.asking.setdefault(key, [])
    if key not in cloud.damaged and key and any(not other.is_dead for other in others):
        cloud.faults.append(f"two processes work on {key[:4]} at once, at {cloud.schedule.elapsed:.1f} s")
    others.append(process)
    try:
        yield
    finally:
        others.remove(process)
        process.in_flight -= 1


def _key_of(instance: MemoryInstance, subject: str) -> str:
    row = instance.rows.get(subject)
    return row.key if row else subject if len(subject) == 64 else ""


def _word(error: BridgeError) -> str:
    return type(error).__name__
