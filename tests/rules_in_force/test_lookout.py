"""When a process looks, who waits, and what a call gets while storage is away."""

import multiprocessing
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Unavailable
from itsm_bridge.rules.faults import Fault, InvalidRules
from itsm_bridge.rules_in_force.choice import Choice, InForce, Origin
from itsm_bridge.rules_in_force.lookout import BELIEVED, LOOK_AGAIN, PATIENCE, RulesInForce
from itsm_bridge.storage.stored_rules import StoredRules
from local.azurite import Azurite

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOON, NEVER = timedelta(seconds=0.02), timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A choice that a test lets end, and that fails on demand."""

    def __init__(self) -> None:
        self.looks = 0
        self.failure = ""
        self.rules = "first"
        self.may_end = threading.Event()
        self.may_end.set()

    def made(self) -> tuple[InForce[str], str]:
        self.looks += 1
        assert self.may_end.wait(20)
        if self.failure:
            raise Unavailable(self.failure)
        return InForce(rules=self.rules, origin=Origin.VERSION, source=self.rules), ""

    def settle(self) -> None:
        pass


def lookout(choice: Any, *, look_again: timedelta = NEVER, **options: Any) -> RulesInForce[str]:
    return RulesInForce(choice, look_again=look_again, **options)


def test_other_rules_count_within_half_a_minute() -> None:
    assert LOOK_AGAIN + timedelta(seconds=10) < BELIEVED == timedelta(seconds=30)
    assert timedelta(seconds=4) > PATIENCE


def test_the_first_call_waits_for_the_first_look() -> None:
    choice = Slow()
    choice.may_end.clear()
    rules = RulesInForce[str](choice, look_again=SOON, idle=timedelta(seconds=1))  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(rules.current) for _ in range(2)]
        choice.may_end.set()

        assert [call.result(20).rules for call in calls] == ["first", "first"]


def test_a_process_that_never_read_the_rules_does_not_take_them_for_absent() -> None:
    choice = Slow()
    choice.failure = "the table did not answer"
    rules = lookout(choice)

    for _ in range(2):
        with pytest.raises(Unavailable, match="not known: the table did not answer"):
            rules.current()
    choice.failure = ""

    assert rules.current().rules == "first"


def test_a_first_look_that_hangs_ends_the_wait_and_not_the_look() -> None:
    choice = Slow()
    choice.may_end.clear()
    rules = lookout(choice)

    with pytest.raises(Unavailable, match="not known"):
        rules.current()
    choice.may_end.set()

    assert rules.current().rules == "first"


def test_no_call_waits_while_looks_are_recent() -> None:
    choice, clock = Slow(), Clock()
    rules = lookout(choice, clock=clock)
    rules.current()
    choice.may_end.clear()
    clock.now += BELIEVED.total_seconds()

    assert rules.current().rules == "first"
    choice.may_end.set()


def test_the_first_call_after_a_long_silence_gets_what_counts_now() -> None:
    choice, clock = Slow(), Clock()
    rules = lookout(choice, clock=clock)
    rules.look()
    choice.rules = "second"
    clock.now += 3600

    assert rules.current().rules == "second"


def test_after_a_silence_storage_that_is_away_leaves_what_counted_last() -> None:
    choice, clock = Slow(), Clock()
    rules = lookout(choice, clock=clock)
    rules.look()
    choice.failure = "the table did not answer"
    clock.now += 3600

    assert rules.current().rules == "first"
    rules.check()


def test_a_process_that_nobody_calls_stops_looking_and_begins_again() -> None:
    choice, clock = Slow(), Clock()
    rules = RulesInForce[str](choice, look_again=SOON, idle=timedelta(minutes=1), clock=clock)  # type: ignore[arg-type]
    others = threading.enumerate()
    rules.current()
    thread = next(each for each in threading.enumerate() if each.name == "rules" and each not in others)
    clock.now += 3600
    thread.join(20)
    assert not thread.is_alive()
    looks = choice.looks
    choice.rules = "second"

    assert rules.current().rules == "second"
    assert choice.looks > looks
    clock.now += 3600


def test_the_check_looks_where_nobody_did_and_tells_the_trouble() -> None:
    class Broken(Slow):
        def made(self) -> tuple[InForce[str], str]:
            return super().made()[0], "version 2 cannot be taken: line 3, column 7: unknown key"

    with pytest.raises(Unavailable, match="line 3, column 7"):
        lookout(Broken()).check()
    away = Slow()
    away.failure = "the table did not answer"
    with pytest.raises(Unavailable, match="not known"):
        lookout(away).check()
    lookout(Slow()).check()


# Another process, over a real table


def compiled(text: str) -> str:
    if not text.startswith("say "):
        raise InvalidRules([Fault(1, 1, "unknown key")])
    return text.removeprefix("say ")


def built_in() -> str:
    return "built-in"


def serve(connection_string: str, table_name: str, pipe: Connection) -> None:
    """Be a process of the app: answer each question with the rules that count and with what its health says."""
    with TableClient.from_connection_string(connection_string, table_name) as table:
        choice = Choice(StoredRules(table), compiled=compiled, built_in=built_in)
        rules = RulesInForce(choice, look_again=SOON)
        while pipe.recv():
            try:
                rules.check()
                health = ""
            except Unavailable as error:
                health = str(error)
            pipe.send((rules.current().rules, health))


@pytest.fixture
def stored(azurite: Azurite) -> Iterator[StoredRules]:
    with TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12]) as table:
        yield StoredRules(table)


def test_what_is_pushed_counts_in_a_running_process_and_a_broken_version_does_not(
    azurite: Azurite, stored: StoredRules
) -> None:
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    table_name = stored._table.table_name
    process = context.Process(target=serve, args=(azurite.connection_string, table_name, there), daemon=True)
    process.start()

    def told() -> tuple[str, str]:
        here.send(True)
        answer: tuple[str, str] = here.recv()
        return answer

    def told_in_time(rules: str, health: str) -> bool:
        """Ask until the answer is as expected; pytest's timeout ends what never comes."""
        while (answer := told()) != (rules, health):
            assert answer[0] in ("built-in", "one", "two")
        return True

    try:
        assert told() == ("built-in", "")
        stored.push("say one", by="beth", at=NOON, after=0)
        assert told_in_time("one", "")
        stored.push("broken", by="beth", at=NOON, after=1)
        trouble = "version 2 of the rules, pushed by beth, cannot be taken: line 1, column 1: unknown key"
        assert told_in_time("one", trouble)
        stored.push("say two", by="beth", at=NOON, after=2)
        assert told_in_time("two", "")
        stored.push("", by="beth", at=NOON, after=3)
        assert told_in_time("built-in", "")
        here.send(False)
        process.join(20)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_of_a_bug_is_followed_by_another() -> None:
    class Dies(Slow):
        def made(self) -> tuple[InForce[str], str]:
            if self.looks == 0:
                self.looks += 1
                raise KeyError("a bug")
            return super().made()

    choice = Dies()
    rules = lookout(choice)
    rules._asked_at = rules._clock()
    rules._watch()
    assert rules._watcher is not None
    rules._watcher.join(20)

    assert rules.current().rules == "first"
