from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from proof.lateness import Lateness, told


@dataclass
class Sent:
    key: str
    sent_at: float
    wanted: frozenset[str] = field(default_factory=lambda: frozenset({"1"}))

    def states(self) -> frozenset[str]:
        return self.wanted


def watching(*sent: Sent) -> tuple[Lateness, list[dict[str, str]]]:
    incidents: list[dict[str, str]] = []
    world = SimpleNamespace(servicenow=SimpleNamespace(incidents=incidents))
    return Lateness(world=cast("Any", world), sent=sent), incidents


def test_an_alert_counts_for_each_kill_that_it_was_wrong_at() -> None:
    one = Sent(key="a", sent_at=0.0)
    lateness, incidents = watching(one)
    lateness.killed()
    lateness.look()
    incidents.append({"correlation_id": "a", "state": "1"})
    lateness.look()
    lateness.killed()

    first, second = lateness.after_each_kill()
    assert first > 0.0
    assert second == 0.0


def test_an_alert_is_right_once_its_only_incident_is_in_a_state_that_it_asks_for() -> None:
    one = Sent(key="a", sent_at=0.0)
    lateness, incidents = watching(one)
    incidents.append({"correlation_id": "a", "state": "6"})
    lateness.look()
    before = lateness.all_are_right()
    incidents[0]["state"] = "1"
    lateness.look()
    fired = lateness.all_are_right()
    one.wanted = frozenset({"6"})
    lateness.look()

    assert (before, fired, lateness.all_are_right()) == (False, True, False)


def test_what_was_never_taken_is_not_waited_for() -> None:
    lateness, _ = watching(Sent(key="", sent_at=0.0))
    lateness.killed()
    lateness.look()

    assert (lateness.all_are_right(), lateness.after_each_kill()) == (True, [0.0])


def test_the_spans_are_told_by_their_percentiles() -> None:
    assert told([]) == "nobody was killed"
    assert told([3.0, 1.0, 2.0]) == "after a kill the last incident was right in p50 2.0 s, p99 3.0 s, max 3.0 s"
