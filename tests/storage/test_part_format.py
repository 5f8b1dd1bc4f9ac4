from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from itsm_bridge.reconcile.desired import Signal
from itsm_bridge.reconcile.observed import Observed
from itsm_bridge.reconcile.work import Step
from itsm_bridge.rules.ruling import AutoResolve, Lifecycle
from itsm_bridge.storage.part_format import form_of
from tests.builders import HOUR, NOW

LIFECYCLE = Lifecycle(auto_resolve=AutoResolve.NOTE, hold=timedelta(seconds=90, milliseconds=600))
SIGNAL = Signal(is_firing=True, at=NOW, digest="d", links={"ci": ("b", "a")}, lifecycle=LIFECYCLE)
STEP = Step(at=NOW, action="create", reason="alert fired", result="INC0010001")


def test_of_a_part_that_a_row_may_hold_many_times_only_what_is_unusual_is_told() -> None:
    assert form_of(Signal).write(SIGNAL) == {
        "is_firing": True,
        "at": "2026-03-01T10:00:00+00:00",
        "digest": "d",
        "links": {"ci": ["b", "a"]},
        "lifecycle": {"auto_resolve": "note", "hold": 91},
    }
    assert form_of(Observed).write(Observed()).keys() == {*Observed.__dataclass_fields__} - {"unknown"}


def test_times_are_told_in_utc() -> None:
    elsewhere = replace(SIGNAL, at=NOW.astimezone(timezone(3 * HOUR)))

    assert form_of(Signal).write(elsewhere) == form_of(Signal).write(SIGNAL)


def test_fields_of_a_newer_version_are_kept_and_win_nothing() -> None:
    form = form_of(Signal)
    content = {**form.write(SIGNAL), "newer": [1], "unknown": {"digest": "x"}}

    assert form.read(content) == replace(
        SIGNAL, lifecycle=form_of(Lifecycle).read(content["lifecycle"]), unknown={"newer": [1]}
    )
    assert form.write(form.read(content)) == {**form.write(SIGNAL), "newer": [1]}


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        (Observed(), "revision", True),
        (Observed(), "revision", 1.0),
        (Observed(), "omits_id", 0),
        (Observed(), "number", None),
        (Observed(), "creations", "2026-03-01T10:00:00+00:00"),
        (Observed(), "creations", [None]),
        (Observed(), "generation_since", "soon"),
        (Observed(), "generation_since", 0),
        (Observed(), "links", ["ci"]),
        (Observed(), "links", {"ci": 1}),
        (SIGNAL, "lifecycle", None),
        (LIFECYCLE, "hold", True),
        (LIFECYCLE, "hold", "60"),
        (LIFECYCLE, "auto_resolve", "sometimes"),
        (STEP, "times", "1"),
    ],
)
def test_a_field_that_holds_what_it_never_may_is_refused(part: Any, field: str, value: object) -> None:
    form = form_of(type(part))

    with pytest.raises((TypeError, ValueError)):
        form.read({**form.write(part), field: value})
