"""Whatever the index forgot or says wrongly is put right, and what has long been over goes."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.pages import OVERLAP, ROUND, RUN_MISSED, START, Page, Place, Progress
from itsm_bridge.reconcile.reconciler import Reconciler
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.sweep import PAGES
from itsm_bridge.servicenow.target import ServiceNow
from itsm_bridge.storage.row_format import to_entity
from proof.simulator.memory import MemoryIncidents, MemoryInstance, MemoryStore, MemoryWakeUps
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, known_record, notification, record, resolved, told

EVERY = timedelta(minutes=5)


class World:
    """A table, a queue and an instance in memory, and processes that share them."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = MemoryStore()
        self.wakeups = MemoryWakeUps(now=self.clock)
        self.instance = MemoryInstance(now=self.clock)
        self.reconciler = self.make()

    def clock(self) -> datetime:
        return self.now

    def _seconds(self) -> float:
        return self.now.timestamp()

    def make(self) -> Reconciler:
        """Return a process that starts now."""
        return Reconciler(
            store=self.store,
            wakeups=self.wakeups,
            target=ServiceNow(MemoryIncidents(self.instance)),  # type: ignore[arg-type] # the same methods
            circuit=Circuit(slots=4, now=self.clock),
            retry_horizon=timedelta(hours=72),
            retention=timedelta(days=90),
            now=self.clock,
            clock=self._seconds,
            trials=lambda: ("trial",),
        )


@pytest.fixture
def world() -> World:
    return World()


def key(number: int) -> str:
    return f"{number:02x}" * 32


def settled(number: int) -> Record:
    row = told(changed(known_record(), key=key(number)), resolved())
    return row.settled(row)


class TestProgress:
    """How a sweep goes on."""

    def test_the_first_one_is_in_haste_and_from_the_start(self) -> None:
        begun = Progress().begun(NOW)

        assert (begun.place, begun.ran_at, begun.hasty_since, begun.has_work(NOW)) == (START, NOW, NOW, True)

    def test_haste_lasts_until_a_whole_round_after_two_versions_may_have_run_side_by_side(self) -> None:
        progress, now, rounds = Progress(), NOW, 0
        while progress.hasty_since is not None or not rounds:
            progress, rounds = progress.begun(now).advanced(START), rounds + 1
            now += EVERY

        assert rounds == OVERLAP / EVERY + 1

    def test_a_round_that_takes_many_runs_ends_the_haste_only_if_it_began_late_enough(self) -> None:
        progress = Progress().begun(NOW).advanced(Place("7f", "7f"))
        late = NOW
        while late < NOW + 2 * OVERLAP:
            late += EVERY
            progress = progress.begun(late).advanced(Place("8f", "8f"))
        first = progress.advanced(START)

        second = first.begun(late + EVERY).advanced(START)

        assert (first.hasty_since, second.hasty_since) == (NOW, None)

    def test_a_round_through_a_small_table_begins_once_an_hour(self) -> None:
        progress = Progress(ran_at=NOW - EVERY, round_began_at=NOW - EVERY)
        began = []
        for each in range(24):
            now = NOW + each * EVERY
            progress = progress.begun(now)
            if progress.has_work(now):
                began.append(now)
                progress = progress.advanced(START)

        assert [late - soon for soon, late in pairwise(began)] == [ROUND]

    def test_a_round_goes_on_where_it_stopped(self) -> None:
        stopped = Progress(ran_at=NOW, round_began_at=NOW).advanced(Place("ab", "ab12"))

        begun = stopped.begun(NOW + EVERY)

        assert (begun.place, begun.round_began_at, begun.has_work(NOW + EVERY)) == (Place("ab", "ab12"), NOW, True)

    @pytest.mark.parametrize(("later", "is_missed"), [(EVERY, False), (RUN_MISSED + SECOND, True), (HOUR, True)])
    def test_a_run_that_was_missed_may_have_been_one_of_an_older_version(
        self, later: timedelta, is_missed: bool
    ) -> None:
        before = Progress(ran_at=NOW, round_began_at=NOW, place=Place("ab", "ab12"))

        begun = before.begun(NOW + later)

        assert (begun.hasty_since is not None, begun.place == START) == (is_missed, is_missed)
        assert before.vouches_for_index(NOW + later) is not is_missed


class Sweeping:
    """A store that is swept by runs five minutes apart, a few of whose pages make a run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.world.reconciler.resync()
            self.world.now += EVERY

    def calm(self) -> None:
        """Let the first haste be over."""
        self.run(int(OVERLAP / EVERY) + 2)
        assert self.store.progress().hasty_since is None


@pytest.fixture
def sweeping(world: World) -> Sweeping:
    return Sweeping(world)


def named(store: MemoryStore) -> list[str]:
    return sorted(outline.key for outline in store.index().outlines)


def write_as_older(store: MemoryStore, row: Record) -> None:
    store.put({name: value for name, value in to_entity(row).items() if name != "indexed_as"})


def test_what_an_older_version_left_is_in_the_index_after_the_first_run(sweeping: Sweeping) -> None:
    for number in range(40):
        write_as_older(sweeping.store, changed(record(), key=key(number), wake_up_at=NOW + HOUR))

    sweeping.run()

    assert len(named(sweeping.store)) == 40


def test_what_is_settled_is_left_as_an_older_version_wrote_it(sweeping: Sweeping) -> None:
    write_as_older(sweeping.store, changed(known_record(), key=key(1)))
    before = sweeping.store.read(key(1))

    sweeping.run()

    assert sweeping.store.read(key(1)) == before


def test_a_row_that_the_index_forgot_is_found_by_a_round_and_woken(sweeping: Sweeping) -> None:
    for number in range(12):
        sweeping.store.insert(settled(number))
    sweeping.calm()
    row = sweeping.store.insert(changed(record(), key=key(200), wake_up_at=sweeping.world.now + EVERY))
    sweeping.store.lose_entry(row.key)
    sweeping.run()
    at_first = named(sweeping.store)

    sweeping.run(times=20)

    assert (at_first, named(sweeping.store)) == ([], [row.key])
    assert sweeping.world.wakeups.sent[row.key] >= 1


def test_a_row_that_was_missing_makes_the_next_runs_look_at_all(sweeping: Sweeping) -> None:
    sweeping.calm()
    sweeping.world.now += ROUND - EVERY * 2
    sweeping.run()
    sweeping.calm()
    write_as_older(sweeping.store, changed(record(), key=key(1), wake_up_at=sweeping.world.now + HOUR))
    while not named(sweeping.store):
        sweeping.run()

    assert sweeping.store.progress().hasty_since is not None


def test_an_entry_without_a_row_is_dropped(sweeping: Sweeping) -> None:
    row = sweeping.store.insert(changed(record(), key=key(7), is_parked=True))
    sweeping.store.lose_row(row.key)

    sweeping.run()

    assert named(sweeping.store) == []


def test_an_outline_that_is_wrong_is_put_right_when_it_is_met(sweeping: Sweeping) -> None:
    """Not by the sweep, which comes by late: by whoever is misled by it."""
    sweeping.calm()
    rows = [sweeping.store.insert(changed(record(), key=key(number))) for number in (1, 2, 3)]
    write_as_older(sweeping.store, rows[0].settled(rows[0]))
    sweeping.store.lose_row(rows[1].key)
    write_as_older(sweeping.store, changed(rows[2], wake_up_at=sweeping.world.now + 2 * HOUR))
    sweeping.world.wakeups.messages.clear()
    while not sweeping.world.wakeups.messages and len(named(sweeping.store)) == 3:
        sweeping.run()

    assert named(sweeping.store) == [key(3)]
    assert sweeping.store.index().outlines[0].wake_up_at > sweeping.world.now


def test_a_run_looks_at_a_few_pages_and_the_next_one_goes_on(sweeping: Sweeping) -> None:
    for number in range(100):
        sweeping.store.insert(settled(number))
    sweeping.calm()
    looked: list[Page] = []

    class Counting(MemoryStore):
        def pages(self, place: Place) -> Iterator[Page]:
            for page in super().pages(place):
                looked.append(page)
                yield page

    sweeping.store.__class__ = Counting
    begin = sweeping.world.now
    while len({row.key for page in looked for row in page.rows}) < 100:
        before = len(looked)
        sweeping.run()
        assert len(looked) - before <= PAGES
        assert sweeping.world.now < begin + timedelta(days=1)

    assert len(looked) == len({page.rows[0].key for page in looked})


def test_a_run_that_fails_goes_on_where_it_came_to(sweeping: Sweeping) -> None:
    for number in range(10):
        write_as_older(sweeping.store, changed(record(), key=key(number), wake_up_at=NOW + HOUR))

    class Failing(MemoryStore):
        def pages(self, place: Place) -> Iterator[Page]:
            for page in super().pages(place):
                if page.rows and page.rows[0].key >= key(6) and is_down:
                    raise Unavailable("the table did not answer")
                yield page

    is_down = True
    sweeping.store.__class__ = Failing
    with pytest.raises(Unavailable):
        sweeping.run()
    half = (len(named(sweeping.store)), sweeping.store.progress().place.row)
    is_down = False

    sweeping.run()

    assert half == (6, key(5))
    assert len(named(sweeping.store)) == 10


def test_two_sweeps_at_once_do_no_harm(sweeping: Sweeping) -> None:
    write_as_older(sweeping.store, changed(record(), wake_up_at=NOW + HOUR))

    class Contended(MemoryStore):
        def save_progress(self, progress: Progress) -> Progress:
            raise Conflict(f"another process sweeps from {progress.place} too")

    sweeping.store.__class__ = Contended

    sweeping.run()

    assert named(sweeping.store) == []


def test_a_part_of_the_index_that_does_not_answer_is_not_taken_for_lost(sweeping: Sweeping) -> None:
    row = sweeping.store.insert(changed(record(), wake_up_at=NOW + HOUR))

    class Hidden(MemoryStore):
        def index(self) -> object:  # type: ignore[override]
            return super().index()._replace(outlines=(), failure=Unavailable("one partition is in trouble"))

    sweeping.store.__class__ = Hidden
    with pytest.raises(Unavailable):
        sweeping.run()

    assert sweeping.store.read(KEY) == row


def test_what_is_over_is_purged_by_a_round(sweeping: Sweeping) -> None:
    for number in range(20):
        sweeping.store.insert(settled(number))
    sweeping.store.insert(changed(record(), key=key(30), is_parked=True))
    sweeping.store.insert(changed(known_record(), key=key(31), shadowed_by="trial"))
    sweeping.world.now += timedelta(days=91)

    sweeping.run()

    assert [row.key for row in sweeping.store.records] == [key(30), key(31)]


def test_what_spoke_again_meanwhile_is_not_purged(sweeping: Sweeping) -> None:
    for number in (1, 2):
        sweeping.store.insert(settled(number))
    sweeping.world.now += timedelta(days=91)

    class Speaking(MemoryStore):
        def delete(self, record: Record) -> None:
            if record.key == key(1):
                self.replace(told(record, notification(key=record.key, at=sweeping.world.now, digest="anew")))
            super().delete(record)

    sweeping.store.__class__ = Speaking
    sweeping.run()

    assert [row.key for row in sweeping.store.records] == [key(1)]


@pytest.mark.parametrize("fires", [True, False])
def test_what_spoke_again_before_its_row_was_read_is_not_purged(sweeping: Sweeping, fires: bool) -> None:
    sweeping.store.insert(settled(1))
    sweeping.world.now += timedelta(days=91)

    words = [notification(key=key(1), at=sweeping.world.now, digest="anew")]

    class Speaking(MemoryStore):
        def read(self, key: str) -> Record | None:
            row = super().read(key)
            if row is not None and words:
                again = told(row, words.pop())
                again = again.settled(again) if fires else row
                self.replace(changed(again, changed_at=sweeping.world.now))
                return super().read(key)
            return row

    sweeping.store.__class__ = Speaking
    sweeping.run()

    assert [row.key for row in sweeping.store.records] == [key(1)]


def outlines(store: MemoryStore) -> dict[str, Outline]:
    return {outline.key: outline for outline in store.index().outlines}


class TestCover:
    """A process that has just started looks for what a dead one left behind."""

    def leave(self, world: World, number: int, **changes: object) -> Record:
        leased = {"lease_holder": "dead", "leased_until": NOW, "wake_up_id": ""}
        return world.store.insert(changed(record(), key=key(number), **{**leased, **changes}))

    def test_each_row_in_hand_gets_a_wake_up_when_its_lease_ends(self, world: World) -> None:
        self.leave(world, 1, wake_up_at=NOW + 12 * SECOND)
        self.leave(world, 2, wake_up_at=NOW - HOUR)
        self.leave(world, 3, wake_up_at=NOW, wake_up_id="m9")
        self.leave(world, 4, wake_up_at=NOW, is_waiting=True)
        self.leave(world, 5, wake_up_at=NOW, is_parked=True)
        world.store.insert(settled(6))
        before = outlines(world.store)

        world.reconciler.cover()

        due = {message.key: message.visible_at - NOW for message in world.wakeups.messages.values()}
        assert due == {key(1): 13 * SECOND, key(2): SECOND}
        assert outlines(world.store) == before

    def test_the_wake_up_is_not_taken_for_a_stray(self, world: World) -> None:
        row = self.leave(world, 1, wake_up_at=NOW + 12 * SECOND)
        world.reconciler.cover()
        (message,) = world.wakeups.messages.values()

        assert not row.work.counts_on_another(message.message_id, NOW + 13 * SECOND)

    def test_of_processes_that_started_together_one_looks(self, world: World) -> None:
        others = [world.make() for _ in range(3)]
        world.now += 8 * SECOND
        self.leave(world, 1, wake_up_at=NOW)

        for each in (world.reconciler, *others):
            each.cover()

        assert world.wakeups.sent[key(1)] == 1

    def test_one_that_started_after_the_last_look_began_looks_itself(self, world: World) -> None:
        world.now += 8 * SECOND
        world.reconciler.cover()
        world.now += SECOND
        # A process takes an alert in and dies, and this one is started in its place.
        self.leave(world, 1, wake_up_at=world.now + 12 * SECOND)
        successor = world.make()
        world.now += 8 * SECOND

        successor.cover()

        assert world.wakeups.sent[key(1)] == 1

    def test_a_row_that_nobody_has_in_hand_gets_no_second_wake_up_from_each_process_that_starts(
        self, world: World
    ) -> None:
        # It is on hold, or waits its turn: the wake-up that went before the 202 is not named in it.
        self.leave(world, 1, wake_up_at=NOW, lease_holder="", leased_until=None)

        world.reconciler.cover()

        assert world.wakeups.sent[key(1)] == 0

    def test_a_row_whose_wake_up_went_with_a_worker_that_had_no_lease_yet_counts_on_another(self, world: World) -> None:
        """The worker died while it waited for its turn, and the host hides its message for ten minutes."""
        wake_up = world.wakeups.send(key(1), delay=timedelta(0))
        world.store.insert(changed(record(), key=key(1), wake_up_at=NOW, wake_up_id=wake_up.message_id))
        world.wakeups.take(wake_up.message_id, lease=10 * MINUTE)
        world.now += 12 * SECOND

        world.reconciler.cover()
        world.now += 5 * SECOND
        ((_, found),) = world.wakeups.peek()
        world.reconciler.reconcile(key(1), wake_up_id=found)

        assert [row.state for row in world.instance.of(key(1))] == [1]

    def test_a_row_whose_wake_up_stands_in_a_long_line_counts_on_it(self, world: World) -> None:
        wake_up = world.wakeups.send(key(1), delay=timedelta(0))
        world.store.insert(changed(record(), key=key(1), wake_up_at=NOW, wake_up_id=wake_up.message_id))
        world.now += MINUTE

        world.reconciler.cover()

        assert world.wakeups.sent[key(1)] == 1

    def test_a_look_that_failed_is_made_by_the_next_call(self, world: World) -> None:
        self.leave(world, 1, wake_up_at=NOW)

        class Unanswered(MemoryStore):
            def begin_look(self, now: datetime, *, unless_since: datetime) -> bool:
                super().begin_look(now, unless_since=unless_since)
                raise Unavailable("the table did not answer")

        world.store.__class__ = Unanswered
        world.now += 8 * SECOND
        with pytest.raises(Unavailable):
            world.reconciler.cover()
        world.store.__class__ = MemoryStore
        world.now += 8 * SECOND
        world.reconciler.cover()

        assert world.wakeups.sent[key(1)] == 1

    def test_what_cannot_be_read_of_the_index_is_told_and_the_rest_is_woken(self, world: World) -> None:
        self.leave(world, 1, wake_up_at=NOW)

        class HalfHidden(MemoryStore):
            def index(self) -> object:  # type: ignore[override]
                return super().index()._replace(failure=Unavailable("one partition is in trouble"))

        world.store.__class__ = HalfHidden
        with pytest.raises(Unavailable):
            world.reconciler.cover()

        assert world.wakeups.sent[key(1)] == 1


class TestOverdue:
    """When does a row that awaits work get another wake-up?"""

    @pytest.mark.parametrize(
        ("wake_up_id", "late", "is_woken"),
        [
            ("", 50 * SECOND, False),
            ("", 70 * SECOND, True),
            ("m9", 9 * MINUTE, False),
            ("m9", 11 * MINUTE, True),
        ],
    )
    def test_a_minute_after_its_time_if_none_was_ever_sent_and_ten_if_one_is_known(
        self, world: World, wake_up_id: str, late: timedelta, is_woken: bool
    ) -> None:
        world.store.insert(changed(record(), wake_up_at=NOW - late, wake_up_id=wake_up_id))

        world.reconciler.resync()

        assert world.wakeups.sent[KEY] == is_woken

    def test_not_while_the_queue_is_that_late(self, world: World) -> None:
        world.store.insert(changed(record(), wake_up_at=NOW - 2 * MINUTE, wake_up_id=""))
        other = world.store.insert(changed(record(), key=key(1), wake_up_at=NOW - 5 * MINUTE))
        wake_up = world.wakeups.send(other.key, delay=timedelta(0))
        world.store.replace(changed(other, wake_up_id=wake_up.message_id))

        world.reconciler.resync()

        assert world.wakeups.sent[KEY] == 0

    def test_what_the_index_says_is_asked_of_the_row_before_it_is_woken(self, world: World) -> None:
        row = world.store.insert(changed(record(), wake_up_at=NOW - HOUR, wake_up_id="m9"))
        index = world.store.index()
        world.store.replace(changed(row, wake_up_at=NOW + MINUTE))

        class Late(MemoryStore):
            def index(self) -> object:  # type: ignore[override]
                return index

        world.store.__class__ = Late
        world.reconciler.resync()

        assert world.wakeups.sent[KEY] == 0


def test_resync_returns_what_is_open(world: World) -> None:
    row = world.store.insert(changed(record(), wake_up_at=NOW + HOUR))
    world.store.insert(settled(3))

    assert [outline.key for outline in world.reconciler.resync()] == [row.key]
