"""The app is down for 20 minutes, Azure Monitor gives up as documented, and nothing is lost and nothing doubled."""

from datetime import timedelta

import pytest

from local.azurite import Azurite
from local.resource_manager.azure_monitor import PAUSES, SILENCE
from tests.builders import NOW
from tests.resource_manager.scene import OPEN, RESOLVED, Scene, alert, scene

ALERTS = 200
#: Those of which the end falls into the time without the app, too.
OVER = [number for number in range(ALERTS) if number % 5 in (1, 3)]
DOWN_FOR = timedelta(minutes=20)
EVERY = DOWN_FOR / (ALERTS + 20)


def play_outage(playing: Scene) -> None:
    """Let 200 alerts fire and 80 of them end while nobody answers Azure Monitor."""
    playing.is_up = False
    for step in range(ALERTS + 20):
        playing.monitor.run(NOW + EVERY * step)
        if step < ALERTS:
            playing.monitor.fires(alert(step, fired_at=playing.rig.now).fired())
        if step - 20 in OVER:
            playing.monitor.fires(alert(step - 20, fired_at=NOW + EVERY * (step - 20)).resolved())
    playing.monitor.run(NOW + DOWN_FOR)
    playing.is_up = True


@pytest.mark.timeout(240)
def test_what_azure_monitor_gave_up_is_there_within_two_runs_each_once_and_in_the_right_state(azurite: Azurite) -> None:
    with scene(azurite) as playing:
        play_outage(playing)
        for _ in range(2):
            playing.pass_(timedelta(minutes=2))
            playing.follow()
        # Some calls were made when the app was back; most were given up or never made.
        assert sum(playing.monitor.ended[how] for how in ("given up", "never sent")) > ALERTS
        playing.work()

        expected = {f"rule-{number}": [RESOLVED if number in OVER else OPEN] for number in range(ALERTS)}
        assert playing.states() == expected
        assert len(OVER) == 80

        before = playing.rig.story()
        for late in playing.monitor.lost:
            assert playing.call(late) in (200, 202)
        playing.work()
        playing.follow_and_work()
        assert playing.rig.story() == before
        assert playing.states() == expected


def test_azure_monitor_repeats_a_call_five_times_and_then_calls_nobody_for_a_quarter_of_an_hour(
    azurite: Azurite,
) -> None:
    with scene(azurite) as playing:
        playing.is_up = False
        calls: list[timedelta] = []

        def call(_: object) -> int:
            calls.append(playing.rig.now - NOW)
            return 0

        playing.monitor._call = call

        playing.monitor.fires(alert(1).fired())
        playing.pass_(timedelta(minutes=10))
        playing.monitor.fires(alert(2).fired())
        playing.pass_(timedelta(minutes=10))
        playing.monitor.fires(alert(3).fired())
        playing.pass_(timedelta(seconds=1))

        seconds = [call.total_seconds() for call in calls]
        assert seconds == [0, 5, 25, 30, 70, 75, 1200]
        assert sum(PAUSES, timedelta(0)) + SILENCE < timedelta(minutes=20)
        assert playing.monitor.ended == {"given up": 1, "never sent": 1}
