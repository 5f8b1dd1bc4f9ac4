"""What the timer tells of what waits."""

import logging

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.operate.backlog import tell_backlog
from itsm_bridge.reconcile.outline import outline_of
from itsm_bridge.reconcile.record import Record
from itsm_bridge.telemetry import NOTHING
from tests.builders import MINUTE, NOW, changed, known_record, record, worked

LATE = changed(record(), changed_at=NOW - 30 * MINUTE, last_error="503 of an edge")
ROWS = (
    *(LATE, changed(record(), key="b2" * 32, changed_at=NOW - 20 * MINUTE)),
    *(
        changed(record(), key="c3" * 32, changed_at=NOW - MINUTE),
        worked(changed(record(), key="d4" * 32), "parked", "x"),
    ),
    changed(known_record(), key="e5" * 32, shadowed_by="trial"),
)


def told(caplog: pytest.LogCaptureFixture, *rows: Record, is_down: bool = False) -> tuple[str, str]:
    def read(key: str) -> Record | None:
        if is_down:
            raise Unavailable("the table did not answer")
        return next((row for row in rows if row.key == key), None)

    with caplog.at_level(logging.INFO, logger="itsm_bridge.operate.backlog"):
        tell_backlog([outline_of(row) for row in rows], read=read, telemetry=NOTHING, now=NOW)
    (line,) = caplog.records
    return line.levelname, line.getMessage()


def test_what_waits_for_long_is_told_with_what_the_oldest_met(caplog: pytest.LogCaptureFixture) -> None:
    level, text = told(caplog, *ROWS)

    assert level == "WARNING"
    assert text == (
        "backlog: 3 waiting, 2 of them longer than 10 minutes, 1 parked; the oldest since 2026-03-01T09:30:00Z:"
        " 503 of an edge"
    )


def test_the_count_is_told_even_if_the_oldest_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    level, text = told(caplog, *ROWS, is_down=True)

    assert (level, text.endswith("the oldest since 2026-03-01T09:30:00Z")) == ("WARNING", True)


def test_where_nothing_waits_long_it_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, ROWS[2], ROWS[4]) == (
        "INFO",
        "backlog: 1 waiting, 0 of them longer than 10 minutes, 0 parked",
    )
