"""The workbook shows what the program writes: each query finds something in a world where all of it happened."""

import json
import re
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
from tests.infra import kql
from tests.infra.app_log import request, traces

ROOT = Path(__file__).parents[2]
WORKBOOK = json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))
QUERIES: Mapping[str, str] = {item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3}
SOON = timedelta(seconds=60)

Tables = Mapping[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
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


def found(name: str, tables: Tables) -> list[dict[str, Any]]:
    return kql.run(QUERIES[name], tables, now=datetime.now(UTC))


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_finds_what_the_program_wrote(name: str, tables: Tables) -> None:
    rows = found(name, tables)

    assert rows
    assert all(value is not None and value != "" for row in rows for value in row.values()), rows


def test_the_time_to_an_incident_is_what_it_took(tables: Tables) -> None:
    rows = found("time-to-incident", tables)

    assert all(0 <= row["half"] <= row["most"] <= row["slowest"] < 60 for row in rows)


def test_outcomes_and_reasons_are_told_by_their_names(tables: Tables) -> None:
    assert {row["outcome"] for row in found("outcomes", tables)} >= {"created", "resolved"}
    assert "refused-no-token" in {row["trouble"] for row in found("failures", tables)}
    assert max(row["parked"] for row in found("backlog", tables)) == 1


def test_metrics_are_asked_for_by_names_that_the_program_has() -> None:
    asked = {name for query in QUERIES.values() for name in re.findall(r"itsm_bridge[.\w]+", query)}

    assert asked
    assert asked <= {str(metric) for metric in Metric}


def test_the_limit_of_servicenow_is_subtracted_from_what_was_called() -> None:
    moment = datetime.now(UTC)
    rows = [
        {"TimeGenerated": moment, "Name": name, "Sum": value, "Max": value}
        for name, value in [(Metric.SERVICENOW_CALLS, 40.0), (Metric.SERVICENOW_LIMIT, 100.0)]
    ]

    [row] = kql.run(QUERIES["servicenow-calls"], {"AppMetrics": rows}, now=moment)

    assert (row["calls"], row["allowed"], row["left"]) == (40.0, 100.0, 60.0)


def test_the_workbook_is_one_that_azure_opens() -> None:
    assert WORKBOOK["version"] == "Notebook/1.0"
    assert WORKBOOK["fallbackResourceIds"] == ["WORKSPACE_ID"]
    names = [item["name"] for item in WORKBOOK["items"]]
    assert len(names) == len(set(names))
    for item in WORKBOOK["items"]:
        if item["type"] == 3:
            assert item["content"]["timeContextFromParameter"] == "TimeRange"
            assert item["content"]["resourceType"] == "microsoft.operationalinsights/workspaces"


def test_the_templates_put_in_the_workspace_that_is_there() -> None:
    for name in ("workbook.bicep", "terraform/workbook.tf"):
        assert "WORKSPACE_ID" in (ROOT / "infra" / name).read_text(encoding="utf-8")
