"""How far the looks came, and what need not be asked again."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from itsm_bridge.resource_manager.cursor import HELD_FOR, HELD_FOR_A_DAY, MOST_MARKS, Cursor, cursor_of
from itsm_bridge.storage.progress_table import LONGEST
from tests.builders import HOUR, MINUTE, NOW


def read(document: Any) -> Cursor:
    return cursor_of(document, first=NOW - HOUR, now=NOW)


def test_what_is_written_down_is_read_again() -> None:
    cursor = Cursor(complete_until=NOW - MINUTE).with_judged("one").holding("two", NOW)
    cursor = cursor.moved(NOW - MINUTE / 2, now=NOW, rests_for=MINUTE)

    again = read(json.loads(json.dumps(cursor.document())))

    assert again == cursor
    assert again.knows("other", "one")
    assert not again.knows("two")


def test_a_full_cursor_fits_into_a_row_and_knows_the_newest() -> None:
    cursor = Cursor(complete_until=NOW)
    for number in range(MOST_MARKS + 500):
        cursor = cursor.with_judged(f"alert-{number}").holding(f"held-{number}", NOW + timedelta(seconds=number))

    assert len(json.dumps(cursor.document(), separators=(",", ":"))) <= LONGEST
    assert cursor.knows("alert-500")
    assert not cursor.knows("alert-499")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"complete_until": "soon"},
        {"complete_until": "2026-03-01T10:00:00"},
        {"complete_until": 7},
        {"complete_until": NOW.isoformat(), "held": []},
        {"complete_until": NOW.isoformat(), "rests_until": "later"},
    ],
)
def test_what_cannot_be_read_begins_anew(document: Any) -> None:
    assert read(document) == Cursor(complete_until=NOW - HOUR)


def test_a_clock_that_was_ahead_keeps_nobody_from_looking() -> None:
    cursor = read(Cursor(complete_until=datetime.max.replace(tzinfo=NOW.tzinfo)).document())

    assert cursor.complete_until == NOW


def test_what_could_not_be_judged_is_waited_for_and_then_passed_by() -> None:
    cursor = Cursor(complete_until=NOW)
    assert cursor.waits_for("broken", NOW)

    held = cursor.holding("broken", NOW).holding("broken", NOW + MINUTE)

    assert held.waits_for("broken", NOW + HELD_FOR - MINUTE)
    assert not held.waits_for("broken", NOW + HELD_FOR)
    assert held.with_judged("broken").held == {}
    assert held.waits_for("broken", NOW + HELD_FOR, HELD_FOR_A_DAY)
    assert held.moved(NOW, now=NOW + HELD_FOR_A_DAY, rests_for=None).held == held.held
    assert held.moved(NOW, now=NOW + 3 * HELD_FOR_A_DAY, rests_for=None).held == {}
