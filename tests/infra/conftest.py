"""What the program wrote on a day on which everything happened, as the tables of Application Insights have it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.telemetry import Metric
from local.alerts import MetricAlert
from local.breakages import Breaker
from local.collector import Collector
from local.world import World
from tests.infra.app_log import request, traces

SOON = timedelta(seconds=60)

Tables = Mapping[str, list[dict[str, Any]]]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # They start servers, or parse for seconds: too long for the quick tests.
    return True if config.option.quick and collection_path.name.startswith("test_") else None


@pytest.fixture(scope="session")
def tables() -> Iterator[Tables]:
    """What would be in the tables after a day on which everything happened that the workbook tells of."""
    with Collector() as collector, World(settings=collector.settings) as world:
        alert = MetricAlert(rule="an-ordinary-one")
        answers = [world.send(each) for each in (alert.fired(), alert.resolved())]
        answers.append(world.send(MetricAlert(rule="refused").fired(), token=""))
        breaker = Breaker(world)
        breaker.break_one("mandatory-field")
        answers.append(world.send(MetricAlert(rule="will-be-parked").fired()))
        breaker.mend()
        breaker.break_one("servicenow-down")
        answers += [world.send(MetricAlert(rule=f"away-{number}").fired()) for number in range(3)]
        breaker.mend()
        world.invoke("resync")
        # The host answers before the function has run; what it tells last says that it is through.
        assert world.wait_until(lambda: "backlog: " in world.host.output(), within=SOON)
        assert world.wait_until(lambda: "is away, nobody calls it" in world.host.output())
        wanted = {Metric.SERVICENOW_CALLS, Metric.QUEUE_AGE, Metric.RETRIES}
        assert world.wait_until(lambda: wanted <= collector.metrics, within=SOON)
        metrics = [row for name in collector.metrics for row in _metric_rows(name, collector)]
        requests = [request("receive_alert", answer) for answer in answers]
        yield {"AppTraces": traces(world.host.output()), "AppRequests": requests, "AppMetrics": metrics}


def _metric_rows(name: str, collector: Collector) -> Iterator[dict[str, Any]]:
    for value in collector.values(name).values():
        count, total = value if isinstance(value, tuple) else (1, value)
        yield {
            "TimeGenerated": datetime.now(UTC),
            "Name": name,
            "ItemCount": count,
            "Sum": float(total),
            "Max": float(total),
        }
