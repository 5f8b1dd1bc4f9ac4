from typing import Any

import pytest

from itsm_bridge.azure_monitor.wording.by_kind import wording_of
from itsm_bridge.azure_monitor.wording.links import LONGEST, links_of
from tests.alert_files import alert_of, document_of

TOO_LONG = "left out, because its address has more than 2,000 characters"


def links(sample: Any) -> dict[str, str]:
    alert = alert_of(sample)
    return {line.label: line.text for line in links_of(alert, wording_of(alert))}


def host(sample: Any) -> str:
    return links(sample)["Alert"].split("/")[2]


def search(**addresses: object) -> Any:
    """Return a log alert with other links to its results, and with nothing else that tells of a cloud."""
    document = document_of("log-search.fired")
    criterion = document["data"]["alertContext"]["condition"]["allOf"][0]
    for name in [name for name in criterion if name.startswith("link")]:
        del criterion[name]
    criterion.update(addresses)
    return document


def address(length: int, beginning: str = "https://portal.azure.com#@x/") -> str:
    return beginning + "x" * (length - len(beginning))


def test_an_alert_of_the_public_cloud_links_to_its_portal() -> None:
    assert host("log-search.fired") == "portal.azure.com"
    assert host(search()) == "portal.azure.com"


@pytest.mark.parametrize(
    ("link", "portal"),
    [
        ("https://portal.azure.us#@x/blade", "portal.azure.us"),
        ("https://portal.azure.us/#@x/blade", "portal.azure.us"),
        ("HTTPS://PORTAL.AZURE.US:443/x", "portal.azure.us"),
        ("https://portal.azure.cn#@x/blade", "portal.azure.cn"),
        ("https://portal.azure.com#@x/blade", "portal.azure.com"),
        ("https://portal.azure.us.contoso.example/x", "portal.azure.com"),
        ("https://contoso.example/portal.azure.us", "portal.azure.com"),
        ("https://portal.azure.us@contoso.example/", "portal.azure.com"),
        ("https://notazure.us/", "portal.azure.com"),
        ("portal.azure.us", "portal.azure.com"),
        ("https://", "portal.azure.com"),
    ],
)
@pytest.mark.parametrize("name", ["linkToSearchResultsUI", "linkToFilteredSearchResultsUI"])
def test_the_cloud_is_that_of_the_alerts_own_links(name: str, link: str, portal: str) -> None:
    assert host(search(**{name: link})) == portal


@pytest.mark.parametrize(
    ("link", "portal"),
    [
        ("https://api.loganalytics.us/v1/x", "portal.azure.us"),
        ("https://api.loganalytics.azure.cn/v1/x", "portal.azure.cn"),
        ("https://api.loganalytics.io/v1/x", "portal.azure.com"),
    ],
)
def test_links_for_programs_tell_the_cloud_too(link: str, portal: str) -> None:
    assert host(search(linkToSearchResultsAPI=link)) == portal


def test_the_link_of_an_investigation_tells_the_cloud() -> None:
    document = document_of("metric-static.fired")
    document["data"]["essentials"]["investigationLink"] = "https://portal.azure.us/#view/x"

    assert host(document) == "portal.azure.us"


@pytest.mark.parametrize(
    ("region", "portal"),
    [
        ("usgovvirginia", "portal.azure.us"),
        ("US Gov Arizona", "portal.azure.us"),
        ("USDoD East", "portal.azure.us"),
        ("chinaeast2", "portal.azure.cn"),
        ("China North 3", "portal.azure.cn"),
        ("westeurope", "portal.azure.com"),
        ("China", "portal.azure.com"),
        ("Global", "portal.azure.com"),
    ],
)
def test_a_region_tells_the_cloud_where_no_link_does(region: str, portal: str) -> None:
    essential, health = search(), document_of("service-health-incident.active")
    essential["data"]["essentials"]["region"] = region
    properties = health["data"]["alertContext"]["properties"]
    properties.update(region="", impactedServices=[{"ServiceName": "x", "ImpactedRegions": [{"RegionName": region}]}])

    assert host(essential) == host(health) == portal


def test_links_tell_the_cloud_more_surely_than_regions() -> None:
    document = search(linkToSearchResultsUI="https://portal.azure.com#x")
    document["data"]["essentials"]["region"] = "chinaeast"

    assert host(document) == "portal.azure.com"


def test_what_a_customer_writes_does_not_choose_the_portal() -> None:
    document = search()
    document["data"]["customProperties"] = {"linkToSearchResultsUI": "https://portal.azure.cn", "region": "chinaeast"}
    document["data"]["essentials"]["description"] = "https://portal.azure.cn"

    assert host(document) == "portal.azure.com"


@pytest.mark.parametrize("name", ["legacy-metric.activated", "legacy-classic-metric.activated"])
def test_the_link_of_an_older_metric_alert_is_shown(name: str) -> None:
    assert links(name)["Portal"].startswith("https://portal.azure.com/")


def test_the_link_of_an_older_metric_alert_is_shown_without_a_condition_too() -> None:
    document = document_of("legacy-metric.activated")
    document["data"]["context"]["condition"] = {"allOf": [], "windowSize": "PT5M"}

    assert links(document) == {"Portal": "https://portal.azure.com/#resource/x"}


def test_a_link_that_just_fits_is_shown() -> None:
    assert links(search(linkToSearchResultsUI=address(LONGEST)))["Search results"] == address(LONGEST)


def test_the_shorter_link_is_shown_where_the_better_one_is_too_long() -> None:
    sample = search(linkToFilteredSearchResultsUI=address(LONGEST + 1), linkToSearchResultsUI=address(60))

    assert links(sample)["Search results"] == address(60)


def test_the_better_link_is_shown_if_both_fit() -> None:
    sample = search(linkToFilteredSearchResultsUI=address(70), linkToSearchResultsUI=address(60))

    assert links(sample)["Search results"] == address(70)


def test_a_link_that_is_too_long_is_named() -> None:
    sample = search(linkToFilteredSearchResultsUI=address(LONGEST + 1), linkToSearchResultsUI=address(9000))

    assert links(sample)["Search results"] == TOO_LONG


@pytest.mark.parametrize(
    "link", ["http://portal.azure.com/x", "javascript:alert(1)", "https://x/[code]", "https://x/ y"]
)
def test_what_is_no_safe_link_is_not_shown_and_does_not_hide_one_that_is(link: str) -> None:
    assert "Search results" not in links(search(linkToSearchResultsUI=link))
    assert "Search results" not in links(search(linkToSearchResultsUI=link + "x" * LONGEST))
    assert links(search(linkToFilteredSearchResultsUI=link, linkToSearchResultsUI=address(60)))["Search results"]
