import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.facts import Fact, outweighing
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from tests.builders import NOW

SYS_ID, BATCHES = Subject.KEEPS_OUR_SYS_ID, Subject.ANSWERS_BATCHES
DAY = timedelta(days=1)
PATIENCE = 10


class Place:
    """Where facts are kept, for several processes; it can be slow or away."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self.writes = 0
        self.looks = 0
        self.is_away = False
        self.answers = threading.Event()
        self.answers.set()

    def known(self) -> Mapping[str, Fact]:
        self.looks += 1
        assert self.answers.wait(PATIENCE)
        self._answer()
        return dict(self.facts)

    def learn(self, subject: str, fact: Fact) -> Mapping[str, Fact]:
        self._answer()
        self.facts[subject] = outweighing(self.facts.get(subject), fact)
        self.writes += 1
        return dict(self.facts)

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("the table did not answer")


class Clock:
    """Both clocks of a process, turned by a test."""

    def __init__(self) -> None:
        self.passed = timedelta(0)

    def now(self) -> datetime:
        return NOW + self.passed

    def seconds(self) -> float:
        return self.passed.total_seconds()


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def process(place: Place | None, clock: Clock) -> Knowledge:
    """A process that has just started."""
    return Knowledge(place, now=clock.now, clock=clock.seconds)


def until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def is_done(knowledge: Knowledge) -> None:
    until(lambda: not knowledge._is_writing)


def test_nothing_is_known_at_first(place: Place, clock: Clock) -> None:
    assert process(place, clock).says(SYS_ID) is None


@pytest.mark.parametrize("value", [True, False])
def test_what_one_process_learnt_is_known_to_one_that_starts_later(place: Place, clock: Clock, value: bool) -> None:
    process(place, clock).learn(SYS_ID, value=value)
    until(lambda: bool(place.facts))

    assert process(place, clock).says(SYS_ID) is value
    assert process(place, clock).says(BATCHES) is None


def test_without_a_place_it_lasts_as_long_as_the_process(clock: Clock) -> None:
    knowledge = process(None, clock)
    knowledge.learn(SYS_ID, value=True)

    assert knowledge.says(SYS_ID) is True
    assert process(None, clock).says(SYS_ID) is None


def test_one_no_outweighs_every_yes_also_of_other_processes(place: Place, clock: Clock) -> None:
    hopeful, warned = process(place, clock), process(place, clock)
    hopeful.learn(SYS_ID, value=True)
    until(lambda: place.writes == 1)
    warned.learn(SYS_ID, value=False)
    until(lambda: place.writes == 2)
    hopeful.learn(SYS_ID, value=True)

    hopeful.look()

    assert (hopeful.says(SYS_ID), warned.says(SYS_ID), process(place, clock).says(SYS_ID)) == (False, False, False)
    assert place.facts[SYS_ID].value is False


def test_a_no_of_another_process_is_heard_of_within_minutes(place: Place, clock: Clock) -> None:
    hopeful = process(place, clock)
    hopeful.learn(SYS_ID, value=True)
    until(lambda: place.writes == 1)
    process(place, clock).learn(SYS_ID, value=False)
    until(lambda: place.facts[SYS_ID].value is False)

    clock.passed += timedelta(minutes=11)

    until(lambda: hopeful.says(SYS_ID) is False)


@pytest.mark.parametrize(
    ("subject", "value", "lasts"),
    [
        (SYS_ID, True, 30 * DAY),
        (SYS_ID, False, 7 * DAY),
        (BATCHES, True, 30 * DAY),
        (BATCHES, False, DAY),
    ],
)
def test_a_fact_ends(place: Place, clock: Clock, subject: Subject, value: bool, lasts: timedelta) -> None:
    process(place, clock).learn(subject, value=value)
    until(lambda: bool(place.facts))
    clock.passed = lasts - timedelta(seconds=1)
    assert process(place, clock).says(subject) is value

    clock.passed = lasts

    assert process(place, clock).says(subject) is None


def test_after_the_end_of_a_no_a_yes_counts_again(place: Place, clock: Clock) -> None:
    knowledge = process(place, clock)
    knowledge.learn(SYS_ID, value=False)
    until(lambda: place.writes == 1)
    clock.passed = 7 * DAY
    knowledge.learn(SYS_ID, value=True)
    until(lambda: place.facts[SYS_ID].value)

    assert knowledge.says(SYS_ID) is True
    assert process(place, clock).says(SYS_ID) is True


def test_what_shows_itself_again_and_again_is_written_once_a_day_and_never_ends(place: Place, clock: Clock) -> None:
    for _ in range(40):
        knowledge = process(place, clock)
        knowledge.look()
        for _ in range(5):
            knowledge.learn(SYS_ID, value=True)
        is_done(knowledge)
        clock.passed += DAY

    assert place.writes == 40
    assert process(place, clock).says(SYS_ID) is True


def test_a_process_that_learns_before_it_looked_writes_nothing_that_is_known(place: Place, clock: Clock) -> None:
    for _ in range(3):
        knowledge = process(place, clock)
        knowledge.learn(SYS_ID, value=True)
        is_done(knowledge)

    assert place.writes == 1


def test_the_first_question_waits_for_a_look_that_is_under_way(place: Place) -> None:
    place.facts[SYS_ID] = Fact(value=True, learnt_at=NOW, believed_until=NOW + DAY)
    place.answers.clear()
    knowledge = Knowledge(place, now=lambda: NOW)
    threading.Timer(0.05, place.answers.set).start()

    assert knowledge.says(SYS_ID) is True


def test_a_place_that_hangs_holds_no_alert_up(place: Place) -> None:
    place.answers.clear()
    knowledge = Knowledge(place, now=lambda: NOW)
    began = time.monotonic()

    said = {knowledge.says(SYS_ID) for _ in range(5)}

    assert said == {None}
    assert time.monotonic() - began < 2
    assert place.looks == 1
    place.answers.set()
    until(knowledge._has_looked.is_set)


def test_a_place_that_is_away_leaves_facts_unknown_and_is_asked_again_later(
    place: Place, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    place.facts[SYS_ID] = Fact(value=True, learnt_at=NOW, believed_until=NOW + DAY)
    place.is_away = True
    knowledge = process(place, clock)
    with caplog.at_level(logging.WARNING, "itsm_bridge.servicenow.knowledge"):
        assert [knowledge.says(SYS_ID) for _ in range(3)] == [None] * 3
        until(lambda: len(caplog.records) == 1)
    assert place.looks == 1

    place.is_away = False
    clock.passed += timedelta(seconds=60)

    until(lambda: knowledge.says(SYS_ID) is True)


def test_what_cannot_be_written_counts_in_the_process_and_is_written_later(place: Place, clock: Clock) -> None:
    place.is_away = True
    knowledge = process(place, clock)
    knowledge.learn(SYS_ID, value=False)
    is_done(knowledge)
    assert knowledge.says(SYS_ID) is False
    assert place.facts == {}

    place.is_away = False
    clock.passed += timedelta(seconds=60)
    knowledge.learn(SYS_ID, value=False)

    until(lambda: place.facts.get(SYS_ID, (True,))[0] is False)
