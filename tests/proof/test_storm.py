"""Many different alerts at once, through the real host: `make storm` sends thousands."""

from proof.storm import storm


def test_a_storm_is_taken_and_arrives_without_pressing_servicenow() -> None:
    passed = storm(alerts=200, connections=32, delay=0.15)

    assert passed.broken() == []
    assert passed.statuses[202] > 0
