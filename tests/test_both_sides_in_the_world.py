"""People on both sides of an alert, with the deployed functions, in the local world."""

from local.alerts import MetricAlert
from local.world import World


def test_the_timer_passes_on_what_people_do() -> None:
    with World(settings={"SYNC_ALERT_STATE": "true", "RECOVER_MISSED_ALERTS": "true"}) as world:
        alert = MetricAlert()
        assert world.send(alert.fired()).status == 200
        [incident] = world.servicenow.incidents
        stored = world.resource_manager.alerts[alert.guid]

        def state_after_a_look() -> str:
            world.invoke("follow_azure")
            return str(stored.essentials["alertState"])

        # The first look begins.
        assert world.wait_until(lambda: state_after_a_look() == "New" and bool(world.resource_manager.requests))
        world.servicenow.resolve(incident["sys_id"])
        assert world.wait_until(lambda: state_after_a_look() == "Closed")
        state_after_a_look()

        entries = [each for each in stored.modifications if each["modificationEvent"] == "StateChange"]
        assert [each["newValue"] for each in entries] == ["Closed"]
        assert "trouble" not in world.host.output()
