"""Does ServiceNow's own client get along with the stand-in?

Source of truth: https://github.com/ServiceNow/PySNC
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from pysnc import ServiceNowClient
from pysnc.exceptions import AuthenticationException, RequestException, RoleException
from requests.adapters import HTTPAdapter

from local.servicenow import faults
from local.servicenow.demo_cmdb import ci_sys_id
from local.servicenow.instance import ServiceNowStandIn

A, B = "a" * 32, "b" * 32


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []


class Unencrypted(HTTPAdapter):
    """Sends over plain HTTP what is addressed to https, without which the client refuses to work."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        request.url = str(request.url).replace("https:", "http:", 1)
        return super().send(request, **options)


def signed_in(instance: ServiceNowStandIn, password: str) -> ServiceNowClient:
    session = requests.Session()
    session.auth = (instance.credentials.username, password)
    session.mount("https://", Unencrypted())
    return ServiceNowClient(instance.url.replace("http:", "https:"), session, auto_retry=False)


@pytest.fixture
def client(instance: ServiceNowStandIn) -> Iterator[ServiceNowClient]:
    made = signed_in(instance, instance.credentials.password)
    with made.session:
        yield made


def insert(client: ServiceNowClient, **values: str) -> str:
    record = client.GlideRecord("incident")
    record.initialize()
    for name, value in values.items():
        record.set_value(name, value)
    return str(record.insert())


def test_an_insert_returns_the_sys_id_that_was_chosen(client: ServiceNowClient, instance: ServiceNowStandIn) -> None:
    record = client.GlideRecord("incident")
    record.initialize()
    record.set_new_guid_value(A)
    record.short_description = "Heartbeat lost"
    record.urgency = "1"

    assert record.insert() == A

    assert record.get_value("number") == "INC0010001"
    assert record.get_display_value("urgency") == "1 - High"
    assert [row["short_description"] for row in instance.incidents] == ["Heartbeat lost"]


def test_a_second_insert_of_a_sys_id_is_refused(client: ServiceNowClient, instance: ServiceNowStandIn) -> None:
    insert(client, sys_id=A)

    with pytest.raises(RoleException):
        insert(client, sys_id=A)

    assert len(instance.incidents) == 1


def test_a_record_is_got_with_display_values_and_references(client: ServiceNowClient) -> None:
    insert(client, sys_id=A, cmdb_ci=ci_sys_id("vm-web-01"), work_notes="first")
    record = client.GlideRecord("incident")

    assert record.get(A)

    assert record.get_value("cmdb_ci") == ci_sys_id("vm-web-01")
    assert record.get_display_value("cmdb_ci") == "vm-web-01"
    assert record.get_value("work_notes") == ""
    assert record.get_display_value("work_notes").endswith(" - ITSM Bridge (Work notes)\nfirst\n\n")
    assert not client.GlideRecord("incident").get(B)


def test_a_query_pages_through_all_that_match(client: ServiceNowClient) -> None:
    for number in range(5):
        insert(client, correlation_id="k", short_description=str(number))
    insert(client, correlation_id="other")
    record = client.GlideRecord("incident", batch_size=2)
    record.add_query("correlation_id", "k")
    record.add_query("short_description", "!=", "3")
    record.order_by_desc("number")
    record.query()

    found = [each.get_value("short_description") for each in record]

    assert found == ["4", "2", "1", "0"]
    assert record.get_row_count() == 4


def test_alternatives_and_dot_walks_are_understood(client: ServiceNowClient) -> None:
    insert(client, sys_id=A, cmdb_ci=ci_sys_id("vm-web-01"))
    insert(client, sys_id=B, correlation_id="k")
    record = client.GlideRecord("incident")
    record.add_query("cmdb_ci.name", "vm-web-01").add_or_condition("correlation_id", "k")
    record.fields = ["sys_id", "cmdb_ci.name"]
    record.query()

    assert [(each.get_value("sys_id"), each.get_value("cmdb_ci.name")) for each in record] == [
        (A, "vm-web-01"),
        (B, ""),
    ]


def test_an_update_sends_what_changed(client: ServiceNowClient, instance: ServiceNowStandIn) -> None:
    insert(client, sys_id=A, short_description="x")
    record = client.GlideRecord("incident")
    record.get(A)
    record.state = "6"
    record.close_code = "Solution provided"
    record.close_notes = "Restarted."

    assert record.update() == A

    assert record.get_display_value("state") == "Resolved"
    assert record.get_display_value("resolved_by") == "ITSM Bridge"
    assert set(instance.calls[-1].fields) == {"state", "close_code", "close_notes"}


def test_a_record_is_deleted(client: ServiceNowClient, instance: ServiceNowStandIn) -> None:
    insert(client, sys_id=A)
    record = client.GlideRecord("incident")
    record.get(A)

    assert record.delete()

    assert instance.incidents == []


def test_a_wrong_password_is_told(instance: ServiceNowStandIn) -> None:
    client = signed_in(instance, "wrong")

    with client.session, pytest.raises(AuthenticationException):
        client.GlideRecord("incident").query()


def test_a_cancelled_transaction_is_recognised(client: ServiceNowClient, instance: ServiceNowStandIn) -> None:
    insert(client, short_description="x")
    instance.faults.add(faults.transaction_cancelled(is_valid_json=False), method="GET")

    with pytest.raises(RequestException, match="Maximum execution time exceeded"):
        client.GlideRecord("incident").query()
