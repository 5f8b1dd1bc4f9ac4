import json
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.resource_manager.following_state import _place
from itsm_bridge.resource_manager.state_cursor import StateCursor, state_cursor_of
from tests.builders import MINUTE, NOW


def test_what_is_written_down_is_read_again() -> None:
    cursor = StateCursor(
        incidents_until=NOW,
        alerts_until={"a": NOW},
        complete_at=NOW + MINUTE,
        rests_until=NOW,
        held_until=NOW,
        known_as=("us",),
    )

    assert state_cursor_of(json.loads(json.dumps(cursor.document()))) == cursor
    assert state_cursor_of(json.loads(json.dumps(StateCursor().document()))) == StateCursor()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"incidents_until": 7},
        {**StateCursor().document(), "complete_at": "2026-03-01T10:00:00"},
        {**StateCursor().document(), "alerts_until": ["a"]},
    ],
)
def test_what_cannot_be_read_is_a_first_run(document: dict[str, Any]) -> None:
    assert state_cursor_of(document) == StateCursor()


def test_nothing_is_done_while_azure_wants_a_pause_or_another_process_is_at_it() -> None:
    assert StateCursor().resting(NOW, MINUTE).is_resting(NOW)
    assert not StateCursor().resting(NOW, MINUTE).is_resting(NOW + MINUTE)
    assert StateCursor().held(NOW + MINUTE).is_resting(NOW)
    assert not StateCursor().resting(NOW, None).is_resting(NOW)


def test_the_system_and_nobody_are_never_us() -> None:
    cursor = StateCursor().knowing_us("System").knowing_us("").knowing_us("Bridge").knowing_us("bridge")

    assert cursor.known_as == ("bridge",)


def test_what_is_remembered_is_bounded() -> None:
    cursor = StateCursor()
    for number in range(600):
        cursor = cursor.with_alerts(f"s{number}", NOW + timedelta(seconds=number)).knowing_us(f"us{number}")

    assert len(cursor.alerts_until) == 500
    assert "s599" in cursor.alerts_until
    assert len(cursor.known_as) == 5
    assert len(json.dumps(cursor.document())) < 32_000


def test_a_look_goes_on_where_it_stopped_whatever_the_clock_of_the_other_side_says() -> None:
    theirs = NOW + timedelta(days=400)
    begin, now = NOW - 10 * MINUTE, NOW

    assert _place(begin, now, theirs, []) == now
    assert _place(begin, now, theirs, [theirs + 5 * MINUTE, theirs + 3 * MINUTE]) == begin + 3 * MINUTE
    assert _place(begin, now, None, []) == now
