"""docs/incidents.md: what people on call read, made by the program from sample alerts.

python -m tests.incidents_page    writes the page; a test compares it
"""

from pathlib import Path

from itsm_bridge.reconcile.desired import News
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from tests.alert_files import notified

PAGE = Path(__file__).parents[1] / "docs" / "incidents.md"

#: The samples on the page, and what each shows.
SHOWN = {
    "metric-static.fired": "A metric alert of one machine",
    "metric-one-of-many-targets.fired": "A metric alert of one of many machines",
    "metric-bytes.fired": "A metric alert that counts bytes",
    "log-subscription-scope.fired": "A log alert whose rule looks through a subscription",
    "log-search.resolved": "A log alert that is over",
    "prometheus-cluster-label.fired": "A Prometheus alert of a cluster",
    "resource-health.unavailable": "A resource that is not available",
    "service-health-incident.active": "An incident of Azure itself",
    "activity-log-security": "A security alert",
    "activity-log-administrative.failed": "An operation that failed",
    "smart-detection.fired": "A smart detection",
    "budget-actual": "A budget",
}

#: As ServiceNow ships it, by impact and urgency.
_PRIORITIES = {
    "11": "1 - Critical",
    **dict.fromkeys(("12", "21"), "2 - High"),
    **dict.fromkeys(("13", "22", "31"), "3 - Moderate"),
    **dict.fromkeys(("23", "32"), "4 - Low"),
    "33": "5 - Planning",
}

_HEAD = """# What people on call read

Twelve incidents as ServiceNow shows them, made by the program from the sample alerts in `local/alerts/samples`.
A test keeps this page current: `python -m tests.incidents_page` writes it anew after a change of wording that is meant.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(_section(title, name) for name, title in SHOWN.items())])


def _section(title: str, name: str) -> str:
    news = notified(name)
    said = news.content.fields
    priority = _PRIORITIES[said["impact"] + said["urgency"]]
    wanted = "<br>".join(f"`{each}`" for each in news.content.links[CONFIGURATION_ITEM][:3]) or "none"
    rows = {
        "Short description": said["short_description"].replace("|", "\\|"),
        "Priority": f"{priority} (impact {said['impact']}, urgency {said['urgency']})",
        "State": _state(news),
        "Configuration item, looked for by": wanted,
    }
    table = "\n".join(f"| {label} | {text} |" for label, text in rows.items())
    text = f"**Description**\n\n```text\n{said['description']}\n```\n"
    note = f"**Work note, if the incident is there already**\n\n```text\n{news.note}\n```\n"
    return f"## {title}\n\n| | |\n|---|---|\n{table}\n\n{text if news.opens else ''}\n{note}"


def _state(news: News) -> str:
    return "New" if news.opens and not news.closes else "Resolved"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
