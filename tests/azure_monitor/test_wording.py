from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import Kind
from itsm_bridge.azure_monitor.criteria import criteria_of
from itsm_bridge.azure_monitor.wording.by_kind import _BY_KIND, wording_of
from itsm_bridge.azure_monitor.wording.form import Wording, name_of, sentences, some
from tests.alert_files import NAMES, alert_of, document_of


def criterion(name: str, **changes: object) -> Any:
    """Return a sample with its first criterion changed."""
    document = document_of(name)
    document["data"]["alertContext"]["condition"]["allOf"][0].update(changes)
    return document


def context(name: str, **changes: object) -> Any:
    document = document_of(name)
    document["data"]["alertContext"].update(changes)
    return document


def headline(sample: Any) -> str:
    return wording_of(alert_of(sample)).headline


def line(sample: Any, label: str) -> str:
    return next((line.text for line in wording_of(alert_of(sample)).lines if line.label == label), "")


def test_every_kind_has_its_own_words() -> None:
    assert set(_BY_KIND) == set(Kind)
    assert len(set(_BY_KIND.values())) == len(Kind)


@pytest.mark.parametrize("name", NAMES)
def test_a_headline_is_one_line_without_json(name: str) -> None:
    text = headline(name)

    assert text
    assert "\n" not in text
    assert not {"{", "}", '"'} & set(text)


@pytest.mark.parametrize("name", [name for name in NAMES if "essentials" in document_of(name).get("data", {})])
def test_an_alert_that_names_nothing_still_has_a_headline(name: str) -> None:
    document = document_of(name)
    document["data"]["essentials"] = {}
    document["data"]["alertContext"] = {
        key: {} if isinstance(value, (dict, list)) else None
        for key, value in (document["data"]["alertContext"] or {}).items()
    }

    assert headline(document).strip()


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("GreaterThan", "Percentage CPU above 90 % on vm-web-01"),
        ("GreaterThanOrEqual", "Percentage CPU at or above 90 % on vm-web-01"),
        ("LessThan", "Percentage CPU below 90 % on vm-web-01"),
        ("Less Than", "Percentage CPU below 90 % on vm-web-01"),
        ("LessThanOrEqual", "Percentage CPU at or below 90 % on vm-web-01"),
        ("Equals", "Percentage CPU equal to 90 % on vm-web-01"),
        ("Circles", "High CPU on web servers: Percentage CPU on vm-web-01"),
        ("None", "High CPU on web servers: Percentage CPU on vm-web-01"),
    ],
)
def test_operators_are_told_in_words(operator: str, expected: str) -> None:
    assert headline(criterion("metric-static.fired", operator=operator)) == expected


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("metric-static.fired", {"threshold": "10000", "metricName": "Requests"}, "Requests above 10,000 on vm-web-01"),
        ("metric-static.fired", {"metricName": "Odd", "metricUnit": "Bytes"}, "Odd above 90 bytes on vm-web-01"),
        (
            "metric-static.fired",
            {"timeAggregation": "Count"},
            "Percentage CPU (count) above 90 on vm-web-01",
        ),
        (
            "log-search.fired",
            {"threshold": "1000"},
            "Server sends no heartbeat: number of results below 1,000 on SRV-DB-02.contoso.example",
        ),
        (
            "log-measure.fired",
            {"metricMeasureColumn": "FreeBytes", "threshold": "1048576"},
            "Disk is filling up: average of FreeBytes below 1 MiB (1,048,576 bytes) on VM-DB-02 (Disk = F:)",
        ),
    ],
)
def test_a_threshold_has_its_unit_and_separated_thousands(name: str, changes: dict[str, object], expected: str) -> None:
    assert headline(criterion(name, **changes)) == expected


@pytest.mark.parametrize("change", [{"alertSensitivity": "Low"}, {"operator": "GreaterOrLessThan"}])
@pytest.mark.parametrize("name", ["metric-static.fired", "log-measure.fired", "log-search.fired"])
def test_a_threshold_that_follows_the_history_is_no_part_of_the_headline(name: str, change: dict[str, object]) -> None:
    texts = [headline(criterion(name, **change, threshold=threshold)) for threshold in ("12.5", "13", "0", None)]

    assert "its dynamic threshold" in texts[0]
    assert len(set(texts)) == 1


def test_without_a_condition_the_rule_is_told() -> None:
    assert headline(context("metric-static.fired", condition={"allOf": []})) == "High CPU on web servers on vm-web-01"
    assert headline(criterion("metric-static.fired", operator=None)) == (
        "High CPU on web servers: Percentage CPU on vm-web-01"
    )


def test_an_operator_that_nobody_knows_leaves_the_threshold() -> None:
    sample = criterion("metric-static.fired", operator="Circles")

    assert line(sample, "Condition") == "average of Percentage CPU, threshold 90 %, over 5 minutes"


@pytest.mark.parametrize("name", ["metric-static.fired", "log-measure.fired"])
@pytest.mark.parametrize("aggregation", ["PT5M", "None", "Percentile", "7"])
def test_an_aggregation_that_nobody_knows_is_left_out(name: str, aggregation: str) -> None:
    known, unknown = criterion(name, timeAggregation=None), criterion(name, timeAggregation=aggregation)

    assert headline(unknown) == headline(known)
    assert line(unknown, "Condition") == line(known, "Condition")
    assert line(unknown, "Measured") == line(known, "Measured")


def test_a_sensitivity_that_nobody_knows_is_left_out_and_the_threshold_stays_dynamic() -> None:
    sample = criterion("metric-dynamic.fired", alertSensitivity="PT5M", operator="LessThan")

    assert headline(sample) == "Egress (total) below its dynamic threshold on stshopprod"
    assert "sensitivity" not in line(sample, "Condition")


@pytest.mark.parametrize("word", ["None", "null", "N/A", "-"])
def test_a_word_for_nothing_is_no_test_and_no_sensitivity(word: str) -> None:
    sample = criterion("metric-static.fired", webTestName=word, alertSensitivity=word, metricUnit=word)

    assert headline(sample) == headline("metric-static.fired")


def test_a_dimension_without_a_value_is_not_told_and_still_tells_one_series_from_another() -> None:
    samples = [criterion("metric-static.fired", dimensions=[{"name": "Tier", "value": word}]) for word in ("None", "-")]

    assert {headline(sample) for sample in samples} == {"Percentage CPU above 90 % on vm-web-01"}
    assert {line(sample, "Condition") for sample in samples} == {line("metric-static.fired", "Condition")}
    assert len({criteria_of(alert_of(sample)) for sample in samples}) == 2


def test_the_column_of_a_log_row_is_told_whatever_word_it_is() -> None:
    event = [[{"name": "Reason", "value": "None"}, {"name": "User", "value": "-"}]]

    assert line(criterion("log-row.fired", event=event), "User") == "-"


@pytest.mark.parametrize("word", ["None", "null", "N/A", "-"])
def test_an_activity_says_nothing_of_what_has_no_value(word: str) -> None:
    sample = context(
        "activity-log-administrative.failed",
        subStatus=word,
        caller=word,
        properties={"statusCode": word, "entity": "x"},
    )

    lines = wording_of(alert_of(sample)).lines

    assert line(sample, "Status") == "Failed"
    assert "Entity" in {each.label for each in lines}
    assert not [each for each in lines if each.text == word]


def test_dimensions_tell_which_one_it_is_unless_they_repeat_the_resource() -> None:
    dimensions = [
        {"name": "microsoft.resourceId", "value": "/subscriptions/a"},
        {"name": "Disk", "value": "C:"},
        {"name": "Host", "value": "vm-web-01"},
    ]

    text = headline(criterion("metric-static.fired", dimensions=dimensions))

    assert text == "Percentage CPU above 90 % on vm-web-01 (Disk = C:)"


def test_finding_nothing_at_all_is_told_as_a_number() -> None:
    assert headline("log-search.fired").startswith("Server sends no heartbeat: number of results below 1")


def test_finding_anything_at_all_is_told_by_the_rule() -> None:
    sample = criterion("log-search.fired", operator="GreaterThan", threshold="0")

    assert headline(sample) == "Server sends no heartbeat on SRV-DB-02.contoso.example"


def test_one_result_is_singular() -> None:
    assert wording_of(alert_of(criterion("log-search.fired", metricValue=1))).measured == "1 result"


def test_a_row_may_be_shorter_than_its_header() -> None:
    assert (
        line("log-analytics-first-version.fired", "Result 2") == "Computer = PRINT-02, SvcDisplayName = Print Spooler"
    )


def test_a_log_row_is_told_by_its_most_telling_column() -> None:
    event = [[{"name": "Time", "value": "10:00"}, {"name": "ErrorText", "value": "No space left."}]]

    assert headline(criterion("log-row.fired", event=event)) == "Payment refused: No space left on appi-shop"


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [
        ("Microsoft.Compute/virtualMachines/restart/action", "Started", "Restart started on nsg-web"),
        ("Microsoft.Network/networkSecurityGroups/securityRules/write", "Succeeded", "Write succeeded on nsg-web"),
        ("Restart", "Failed", "Restart failed on nsg-web"),
        ("action", None, "Action on nsg-web"),
        ("", "Failed", "Network rules were changed on nsg-web"),
    ],
)
def test_an_operation_is_told_by_its_verb(operation: str, status: str | None, expected: str) -> None:
    sample = context("activity-log-administrative.failed", operationName=operation, status=status)

    assert headline(sample).split(" (")[0] == expected


@pytest.mark.parametrize("source", ["Policy", "Autoscale", "Security", "Recommendation", "ServiceHealth", 7])
def test_an_entry_without_what_its_source_should_tell_is_told_as_an_operation(source: object) -> None:
    sample = context("activity-log-administrative.failed", eventSource=source, properties=None)

    assert headline(sample) == "Delete failed on nsg-web (Microsoft.Network/networkSecurityGroups)"


def test_the_reason_of_a_failure_is_read_from_its_json() -> None:
    assert line("activity-log-administrative.failed", "Status message") == (
        "error.code = ScopeLocked; error.message = The scope is locked and cannot be deleted."
    )


def test_a_property_cannot_pose_as_the_severity() -> None:
    assert line("activity-log-security", "Event severity") == "High"
    assert line("activity-log-security", "Severity") == ""


def test_a_title_that_names_no_service_gets_services_and_regions() -> None:
    document = document_of("service-health-incident.active")
    document["data"]["alertContext"]["properties"]["title"] = "Connection failures"

    assert headline(document) == (
        "Service Health incident VT60-RPZ: Connection failures (Virtual Machines, Azure SQL Database in West Europe)"
    )


@pytest.mark.parametrize("impacted", [None, "not json", "[", [], {}, [{"ServiceName": None}]])
def test_impacted_services_may_be_anything(impacted: object) -> None:
    document = document_of("service-health-incident.active")
    document["data"]["alertContext"]["properties"]["impactedServices"] = impacted

    assert line(document, "Services") == "Virtual Machines"
    assert line(document, "Regions") == "West Europe"


def test_a_forecast_without_a_number_is_told_by_what_was_spent() -> None:
    document = document_of("budget-forecast")
    del document["data"]["alertContext"]["AlertData"]["ForecastedTotalForPeriod"]

    assert headline(document) == "Budget shop-monthly: $2,900.00 spent, threshold $5,000.00"


def test_only_so_much_of_an_unknown_alert_is_shown() -> None:
    document = document_of("unknown-service")
    document["data"]["alertContext"] = {f"field{number}": number for number in range(100)}

    lines = wording_of(alert_of(document)).lines

    assert len(lines) == 41
    assert lines[-1].text == "the alert holds more than is shown here"


def test_an_unknown_alert_tells_status_code_and_message_first_however_deep_and_far_they_are() -> None:
    document = document_of("unknown-service")
    document["data"]["alertContext"] = {
        **{f"field{number}": number for number in range(100)},
        "inner": {"error": {"message": "No.", "errorCode": "E1"}},
        "STATUS": "Failed",
    }

    labels = [line.label for line in wording_of(alert_of(document)).lines]

    assert labels[:4] == ["STATUS", "inner.error.errorCode", "inner.error.message", "field0"]
    assert len(labels) == 41


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("vm-web-01", "vm-web-01"),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1", "vm1"),
        ("/subscriptions/s/resourcegroups/g/providers/microsoft.sql/servers/sql1/databases/orders", "sql1/orders"),
        ("/subscriptions/s/resourceGroups/g/providers/a.b/c/vm1/providers/d.e/f/item", "item"),
        ("/subscriptions/s/resourceGroups/g", "g"),
        ("/subscriptions/s", "s"),
        ("/subscriptions/s/providers/", "providers"),
        ("C:/disk/path", "C:/disk/path"),
        ("", ""),
    ],
)
def test_a_resource_is_called_by_its_name(resource: str, name: str) -> None:
    assert name_of(resource) == name


def test_a_title_gives_up_which_first_then_the_end_of_what_and_never_where() -> None:
    wording = Wording(what="Transactions above 5", place="account-1", which=(("Api", "GetBlob"),))

    assert wording.title(60) == "Transactions above 5 on account-1 (Api = GetBlob)"
    assert wording.title(40) == "Transactions above 5 on account-1"
    assert wording.title(27) == "Transactions… on account-1"


@pytest.mark.parametrize("limit", range(20, 160))
def test_a_title_fits(limit: int) -> None:
    wording = Wording(what="w" * 90, place="p" * 90, which=(("n", "v" * 90),))

    assert len(wording.title(limit)) <= limit


def test_a_place_that_is_named_is_not_named_again() -> None:
    assert Wording(what="web1 is down", place="WEB1").headline == "web1 is down"
    assert Wording(what="web11 is down", place="web1").headline == "web11 is down on web1"


def test_a_list_names_the_first_and_counts_the_rest() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d"]) == "a, b, c and 1 more"


def test_sentences_end_once() -> None:
    assert sentences("One", "", "Two.", "Three…") == "One. Two. Three…"
