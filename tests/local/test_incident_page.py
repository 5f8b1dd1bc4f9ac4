"""Does the page show a person what there is?"""

from collections.abc import Iterator

import pytest
import requests

from local.servicenow.demo_cmdb import ci_sys_id
from local.servicenow.instance import ServiceNowStandIn

A, B = "a" * 32, "b" * 32


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []


def page(instance: ServiceNowStandIn, path: str = "/") -> str:
    answer = requests.get(instance.url + path, timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return answer.text


def test_an_instance_without_incidents_says_so(instance: ServiceNowStandIn) -> None:
    assert "No incidents" in page(instance)


def test_incidents_are_listed_newest_first_with_what_matters(instance: ServiceNowStandIn) -> None:
    item = ci_sys_id("vm-web-01")
    instance.insert("incident", {"short_description": "Old", "impact": "1", "urgency": "1", "cmdb_ci": item})
    instance.insert("incident", {"short_description": "New one"})

    text = page(instance)

    assert text.index("INC0010002") < text.index("INC0010001")
    assert '<span class="state new">2 New</span>' in text
    assert "1 - Critical" in text
    assert "vm-web-01" in text


def test_it_loads_itself_anew_without_a_script(instance: ServiceNowStandIn) -> None:
    text = page(instance)

    assert '<meta http-equiv="refresh" content="5">' in text
    assert "<script" not in text


def test_an_address_has_no_fragment_which_would_keep_the_page_from_loading_anew(instance: ServiceNowStandIn) -> None:
    instance.insert("incident", {"sys_id": A})

    assert f'href="/?open={A}"' in page(instance)
    assert "#" not in page(instance, f"/?open={A}").partition("</style>")[2]
    assert page(instance, f"/?open={A}").count(" autofocus") == 1


def test_an_open_incident_shows_its_journal_oldest_first(instance: ServiceNowStandIn) -> None:
    values = {"sys_id": A, "description": "What happened", "correlation_id": "k1", "work_notes": "It began."}
    instance.insert("incident", values)
    instance.edit(A, {"work_notes": "It went on."})
    instance.resolve(A)

    text = page(instance, f"/?open={A}")

    assert f'<details id="{A}" open>' in text
    assert "What happened" in text
    assert "k1" in text
    assert "Done by hand." in text
    assert text.index("It began.") < text.index("It went on.")
    assert "It began." not in page(instance)


def test_whatever_comes_from_a_row_is_escaped(instance: ServiceNowStandIn) -> None:
    attack = "<script>alert('x')</script><img src=x onerror=\"y\">"
    instance.insert("cmdb_ci_cmp_resource", {"sys_id": B, "name": attack})
    values = {"sys_id": A, "short_description": attack, "description": attack, "work_notes": attack, "cmdb_ci": B}
    instance.insert("incident", {**values, "correlation_id": attack, "correlation_display": attack, "number": attack})

    text = page(instance, f"/?open={A}")

    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") >= 6


def test_the_address_of_an_incident_leads_to_the_page(instance: ServiceNowStandIn) -> None:
    instance.insert("incident", {"sys_id": A, "description": "What happened"})

    assert "What happened" in page(instance, f"/nav_to.do?uri=incident.do%3Fsys_id={A}")
    assert "What happened" in page(instance, f"/incident.do?sys_id={A}")


def test_there_are_no_other_pages(instance: ServiceNowStandIn) -> None:
    assert requests.get(f"{instance.url}/none", timeout=5).status_code == 404
