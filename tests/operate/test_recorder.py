"""Counting costs nothing, and what was counted is written down soon."""

import threading
from collections.abc import Callable
from datetime import timedelta

from itsm_bridge.errors import Unavailable
from itsm_bridge.operate.advice import MEANINGS, parts_down, present
from itsm_bridge.operate.recorder import Recorder
from itsm_bridge.troubles import DETAIL_LENGTH, Tally, Trouble, Troubles
from tests.builders import HOUR, MINUTE, NOW


class Book:
    """Keeps what is written, and may fail."""

    def __init__(self, check: Callable[[], object] = bool) -> None:
        self.check = check
        self.kept: dict[Trouble, Tally] = {}
        self.written = threading.Event()

    def add(self, trouble: Trouble, tally: Tally) -> None:
        self.check()
        known = self.kept.get(trouble)
        self.kept[trouble] = known.plus(tally) if known else tally
        self.written.set()


def is_down() -> None:
    raise Unavailable("no answer")


def tally(count: int = 1, *, ago: timedelta = timedelta(0)) -> Tally:
    return Tally(count=count, first_at=NOW - ago, last_at=NOW - ago, detail="")


def test_what_is_counted_is_written_by_itself() -> None:
    troubles, book = Troubles(now=lambda: NOW), Book()
    Recorder(troubles, book.add)

    for _ in range(1000):
        troubles.count(Trouble.ROLE, "d" * 1000)

    assert book.written.wait(30)
    assert book.kept == {Trouble.ROLE: Tally(count=1000, first_at=NOW, last_at=NOW, detail="d" * DETAIL_LENGTH)}


def test_what_cannot_be_written_is_kept() -> None:
    troubles, book = Troubles(now=lambda: NOW), Book(is_down)
    recorder = Recorder(troubles, book.add)
    troubles.count(Trouble.ROLE)
    recorder.write()
    troubles.count(Trouble.ROLE)
    book.check = bool

    recorder.write()

    assert book.kept[Trouble.ROLE].count == 2


def test_every_kind_has_words_a_remedy_and_somebody_to_apply_it() -> None:
    assert set(MEANINGS) == set(Trouble)
    assert all(each.meaning and each.remedy and not each.remedy.endswith(".") for each in MEANINGS.values())


def test_a_trouble_is_told_as_long_as_it_may_still_be_there() -> None:
    known = {
        Trouble.ROLE: tally(ago=20 * HOUR),
        Trouble.AUDIENCE: tally(ago=25 * HOUR),
        Trouble.SIGN_IN: tally(ago=9 * MINUTE),
        Trouble.RIGHT_TO_READ: tally(ago=11 * MINUTE),
    }

    assert [trouble for trouble, _, _ in present(known, NOW)] == [Trouble.SIGN_IN, Trouble.ROLE]


def test_one_lost_answer_is_no_trouble_yet() -> None:
    assert not present({Trouble.AWAY: tally(2)}, NOW)
    assert present({Trouble.AWAY: tally(3)}, NOW)


def test_refused_calls_do_not_make_the_app_unwell_and_missing_rights_do() -> None:
    refused = {kind: tally(99) for kind in Trouble if kind.startswith("refused-")}

    assert parts_down(refused, NOW) == ()
    assert parts_down({**refused, Trouble.RIGHT_TO_CREATE: tally()}, NOW) == ("servicenow",)
    assert parts_down({Trouble.RIGHT_TO_CREATE: tally(ago=HOUR)}, NOW) == ()
    # The health check looks at the rules itself, and knows at once when they are mended.
    assert parts_down({Trouble.RULES: tally()}, NOW) == ()
