"""One task at a time, by the virtual clock: what the histories of the simulator stand on."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from proof.simulator.schedule import Schedule

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Diary:
    """A schedule, and what was written down while it ran."""

    def __init__(self) -> None:
        self.schedule = Schedule(BEGIN)
        self.lines: list[tuple[float, str]] = []
        self.running = 0

    def write(self, text: str) -> None:
        self.lines.append((self.schedule.elapsed, text))

    def task(self, name: str, *spans: float) -> None:
        """Begin a task that writes its name after each of these sleeps, in seconds."""

        def work() -> None:
            for span in spans:
                self.schedule.sleep(span * SECOND)
                self.running += 1
                assert self.running == 1
                self.write(name)
                self.running -= 1

        self.schedule.start(work)

    def run(self, until: timedelta = HOUR) -> bool:
        return self.schedule.run(until=BEGIN + until)


def test_tasks_and_calls_take_turns_by_the_virtual_clock() -> None:
    diary = Diary()
    diary.task("a", 1, 2, 3)
    diary.task("b", 2, 2)
    diary.schedule.after(2 * SECOND, lambda: diary.write("call"))

    assert not diary.run()

    assert diary.lines == [(1, "a"), (2, "call"), (2, "b"), (3, "a"), (4, "b"), (6, "a")]


def test_at_the_same_moment_the_first_that_asked_goes_first() -> None:
    diary = Diary()
    for name in "abc":
        diary.task(name, 1, 0, 0)

    diary.run()

    assert [name for _, name in diary.lines] == [*"abcabcabc"]


def test_what_is_later_waits_until_the_schedule_goes_on() -> None:
    diary = Diary()
    diary.task("a", 1, 10)

    assert diary.run(5 * SECOND)
    assert (diary.lines, diary.schedule.now) == ([(1, "a")], BEGIN + 5 * SECOND)
    assert not diary.run(11 * SECOND)
    assert diary.lines == [(1, "a"), (11, "a")]


def test_a_task_whose_process_dies_ends_where_it_sleeps() -> None:
    diary, dead = Diary(), set[str]()

    def work() -> None:
        diary.write("begins")
        diary.schedule.sleep(2 * SECOND)
        diary.write("goes on")

    diary.schedule.start(work, is_dead=lambda: bool(dead))
    diary.schedule.after(SECOND, lambda: dead.add("process"))
    diary.task("another", 3)

    diary.run()

    assert diary.lines == [(0, "begins"), (3, "another")]


def test_what_is_dead_before_it_begins_does_not_begin() -> None:
    diary = Diary()
    diary.schedule.start(lambda: diary.write("begins"), is_dead=lambda: True)

    diary.run()

    assert diary.lines == []


@pytest.mark.parametrize("sleeps", [0, 1])
def test_an_error_of_a_task_ends_the_history(sleeps: int) -> None:
    diary = Diary()

    def work() -> None:
        for _ in range(sleeps):
            diary.schedule.sleep(SECOND)
        raise LookupError("in the work")

    diary.task("a", 0, 5)
    diary.schedule.start(work)
    with pytest.raises(LookupError, match="in the work"):
        diary.run()

    assert diary.lines == [(0, "a")][:sleeps]


def test_an_error_of_a_call_ends_the_history_whoever_sleeps_meanwhile() -> None:
    diary = Diary()

    def fail() -> None:
        raise LookupError("in the call")

    diary.task("a", 5)
    diary.schedule.after(SECOND, fail)
    with pytest.raises(LookupError, match="in the call"):
        diary.run()

    assert diary.lines == []


def test_tasks_that_run_one_after_the_other_share_a_thread() -> None:
    diary, threads = Diary(), set[int]()

    def work() -> None:
        threads.add(threading.get_ident())
        diary.schedule.sleep(0.5 * SECOND)
        diary.write("done")

    for number in range(50):
        diary.schedule.after(number * SECOND, lambda: diary.schedule.start(work))
    diary.run()

    assert len(diary.lines) == 50
    assert len(threads) == 1


def test_a_task_begins_another_and_both_go_on() -> None:
    diary = Diary()

    def work() -> None:
        diary.task("child", 1, 1)
        diary.schedule.sleep(1.5 * SECOND)
        diary.write("parent")

    diary.schedule.start(work)
    diary.run()

    assert diary.lines == [(1, "child"), (1.5, "parent"), (2, "child")]


def test_what_is_waited_for_is_asked_for_at_each_step_and_at_the_end() -> None:
    diary, asked, signs = Diary(), list[float](), set[str]()

    def is_so() -> bool:
        asked.append(diary.schedule.elapsed)
        return bool(signs)

    def work() -> None:
        for _ in range(2):
            came = diary.schedule.sleep_until(is_so, step=2 * SECOND, span=3 * SECOND)
            diary.write(f"came: {came}")

    diary.schedule.start(work)
    diary.schedule.after(4.5 * SECOND, lambda: signs.add("came"))
    diary.run()

    assert asked == [0, 2, 3, 3, 5]
    assert diary.lines == [(3, "came: False"), (5, "came: True")]


def test_what_is_there_already_is_not_waited_for() -> None:
    diary = Diary()
    diary.schedule.start(lambda: diary.write(str(diary.schedule.sleep_until(lambda: True, step=SECOND, span=HOUR))))

    diary.run()

    assert diary.lines == [(0, "True")]


def test_a_task_whose_process_dies_while_it_waits_ends_and_asks_no_more() -> None:
    diary, dead, asked = Diary(), set[str](), list[float]()

    def is_so() -> bool:
        asked.append(diary.schedule.elapsed)
        return False

    def work() -> None:
        diary.schedule.sleep_until(is_so, step=SECOND, span=HOUR)
        diary.write("goes on")

    diary.schedule.start(work, is_dead=lambda: bool(dead))
    diary.schedule.after(1.5 * SECOND, lambda: dead.add("process"))

    assert not diary.run()
    assert (asked, diary.lines) == ([0, 1], [])
