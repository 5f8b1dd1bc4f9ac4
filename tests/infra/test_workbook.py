"""The workbook shows what the program writes: each query finds something in a world where all of it happened."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.telemetry import Metric
from tests.infra import bicep, kql
from tests.infra.conftest import Tables
from tests.infra.test_bicep import FILES

ROOT = Path(__file__).parents[2]
WORKBOOK = json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))
QUERIES: Mapping[str, str] = {item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3}


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


OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ON_THE_PAGE = re.findall(r"^ *```kusto\n(.*?)```", OPERATIONS, re.MULTILINE | re.DOTALL)


def test_there_are_queries_on_the_page() -> None:
    assert len(ON_THE_PAGE) > 7


@pytest.mark.parametrize("query", ON_THE_PAGE)
def test_a_query_of_the_operations_page_finds_what_the_program_wrote(query: str, tables: Tables) -> None:
    rows = kql.run(query, tables, now=datetime.now(UTC))

    assert rows
    assert all(value is not None and value != "" for row in rows for value in row.values()), rows


def test_the_operations_page_names_every_metric_and_every_rule() -> None:
    rules = bicep.Template.parse(FILES["watch.bicep"]).variables["troubles"]

    assert {str(metric) for metric in Metric} == set(re.findall(r"`(itsm_bridge\.[\w.]+)`", OPERATIONS))
    assert [each["name"] for each in rules if f"| `{each['name']}` |" not in OPERATIONS] == []


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
