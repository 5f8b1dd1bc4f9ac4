"""Which pages can people open for an alert?

`description` asks. The page of the alert itself lies in the portal of the alert's cloud, which the alert does not name:
its own links tell it, else the regions that it names. All other pages are links that the alert brought along; several
of one label are alternatives, the best first.

Source of truth: https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure and
https://learn.microsoft.com/azure/china/resources-developer-guide (hosts of the clouds).
"""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from urllib.parse import quote

from itsm_bridge.azure_monitor.affected import is_arm_id
from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.azure_monitor.wording.form import Line, Rank, Wording, lines_of, resources_of

#: How many characters an address may have: as many as every browser and mail program takes.
LONGEST = 2_000

#: The page of one alert, behind the portal.
_ALERT_PAGE = "/#view/Microsoft_Azure_Monitoring_Alerts/AlertDetails.ReactView/alertId/"
#: The page of one resource, likewise.
_RESOURCE_PAGE = "/#resource"
_ALERT_PROVIDER = "/providers/microsoft.alertsmanagement/alerts/"

#: Addresses that may be shown as links: encrypted, without white space and without what could end a link early.
_LINK = re.compile(r"https://[^\s<>\"\[\]{}|\\^`]+")
_HOST = re.compile(r"https://([a-z0-9.-]+)(?=[:/?#]|$)", re.ASCII | re.IGNORECASE)

#: The label of the link that metric alerts of the older schema bring along.
_PORTAL = "Portal"

_PUBLIC = "portal.azure.com"
_GOVERNMENT = "portal.azure.us"
_CHINA = "portal.azure.cn"

#: The portal by the domains of Azure that its cloud alone has, each the last two labels of a host.
_BY_DOMAIN: Mapping[str, str] = {
    "azure.com": _PUBLIC,
    "loganalytics.io": _PUBLIC,
    "applicationinsights.io": _PUBLIC,
    "azure.us": _GOVERNMENT,
    "loganalytics.us": _GOVERNMENT,
    "applicationinsights.us": _GOVERNMENT,
    "usgovcloudapi.net": _GOVERNMENT,
    "azure.cn": _CHINA,
    "chinacloudapi.cn": _CHINA,
}

#: The portal by the names of regions, lower-cased and without spaces.
_BY_REGION: Mapping[str, str] = {
    **dict.fromkeys(
        ("usgovvirginia", "usgovarizona", "usgovtexas", "usgoviowa", "usdodcentral", "usdodeast"), _GOVERNMENT
    ),
    **dict.fromkeys(("chinaeast", "chinaeast2", "chinaeast3", "chinanorth", "chinanorth2", "chinanorth3"), _CHINA),
}

#: The names under which Azure sends links.
_LINKS = (
    "linkToSearchResultsUI",
    "linkToFilteredSearchResultsUI",
    "LinkToSearchResults",
    "linkToSearchResultsAPI",
    "linkToFilteredSearchResultsAPI",
    "portalLink",
    "recommendationResourceLink",
)
_REGIONS = ("region", "location", "resourceLocation")


def links_of(alert: Alert, wording: Wording) -> tuple[Line, ...]:
    """Return a line for each page, with its address or with why there is none."""
    is_real = _ALERT_PROVIDER in alert.alert_id.lower() and not alert.is_test
    portal = f"https://{_portal_of(alert)}"
    page = f"{portal}{_ALERT_PAGE}{quote(alert.alert_id, safe='')}" if is_real else ""
    # The page of the first resource tells its whole ARM id too, unless the alert brought it along.
    is_shown = not alert.is_test and not any(link.label == _PORTAL for link in wording.links)
    first = next((each for each in resources_of(alert) if is_arm_id(each)), "") if is_shown else ""
    resource = f"{portal}{_RESOURCE_PAGE}{quote(first, safe='/-._~()')}" if first else ""
    links = (
        *lines_of([("Alert", page), ("Resource", resource)]),
        *(link._replace(rank=Rank.EXTRA) for link in wording.links),
        *lines_of([("Investigation", alert.investigation_link)], rank=Rank.SPARE),
    )
    safe = [link for link in links if _LINK.fullmatch(link.text)]
    labels = dict.fromkeys(link.label for link in safe)
    return tuple(_first_that_fits([link for link in safe if link.label == label]) for label in labels)


def _first_that_fits(alternatives: list[Line]) -> Line:
    fitting = (link for link in alternatives if len(link.text) <= LONGEST)
    left_out = f"left out, because its address has more than {LONGEST:,} characters"
    return next(fitting, alternatives[0]._replace(text=left_out))


def _portal_of(alert: Alert) -> str:
    """Return the host of the portal of the alert's cloud."""
    context = alert.context
    # A rule's author names what is in `properties` of other alerts, so only that of the activity log counts.
    properties = context.section("properties") if context.has("eventSource", "operationName") else Section(None)
    sections = (context, *context.section("condition").sections("allOf")[:1], properties)
    # Mostly the first link tells it, and the others need not be read.
    links = chain([alert.investigation_link], (section.text(name) for section in sections for name in _LINKS))
    essentials = Section(alert.document).section("data").section("essentials")
    impacted = [
        region for service in properties.sections("impactedServices") for region in service.sections("ImpactedRegions")
    ]
    regions = chain(
        (section.text(name) for section in (essentials, context, properties) for name in _REGIONS),
        (region.text("RegionName") for region in impacted),
    )
    return _first(map(_portal_of_link, links)) or _first(map(_portal_of_region, regions)) or _PUBLIC


def _portal_of_link(link: str) -> str:
    host = match[1].lower() if (match := _HOST.match(link)) else ""
    return _BY_DOMAIN.get(".".join(host.split(".")[-2:]), "")


def _portal_of_region(region: str) -> str:
    return _BY_REGION.get(region.replace(" ", "").lower(), "")


def _first(portals: Iterable[str]) -> str:
    return next(filter(None, portals), "")
