"""What is wrong with one value of a rules file?

`model` says which check belongs to which value, and `reading` calls it with the text and knows the place. A check
returns None where nothing is wrong. It looks at the one value alone; `consistency` compares several.
"""

import re
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Final

from itsm_bridge.rules.cron import cron_of
from itsm_bridge.rules.durations import duration_of, spelled
from itsm_bridge.rules.faults import Trouble, quoted, suggestion
from itsm_bridge.rules.patterns import ANY, fits_any, folded, is_glob, squeezed

Check = Callable[[str], Trouble | None]

#: The monitoring services that Azure names:
#: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema and MonitorService in
#: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all
SERVICES: Final = (
    "Platform",
    "Log Alerts V2",
    "Simple Log Alert",
    "Log Analytics",
    "Application Insights",
    "Prometheus",
    "SmartDetector",
    "ServiceHealth",
    "Resource Health",
    "Activity Log - Administrative",
    "Activity Log - Policy",
    "Activity Log - Autoscale",
    "Activity Log - Security",
    "Activity Log - Recommendation",
    "CostAlerts",
    "Azure Backup",
    "VM Insights",
    "Nagios",
    "SCOM",
    "Zabbix",
)
SIGNALS: Final = ("Metric", "Log", "Activity Log", "Unknown")
SEVERITIES: Final = ("Sev0", "Sev1", "Sev2", "Sev3", "Sev4")
NO_SEVERITY: Final = "none"
CONDITIONS: Final = ("Fired", "Resolved")

_LONGEST_NAME: Final = 100
#: Azure allows 90: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_LONGEST_GROUP: Final = 90
_LONGEST_TEMPLATE: Final = 8_000
_GROUP_SIGNS = re.compile(r"[\w.()*-]+")
_ID_SIGNS = re.compile(r"[0-9a-fA-F*-]{1,36}")
_WHOLE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def name(text: str) -> Trouble | None:
    """Check the name of a rule or window."""
    if not text.strip():
        return Trouble("the name is empty", "write what it is about, as people say it")
    if len(text) > _LONGEST_NAME or not text.isprintable():
        return Trouble(f"the name {quoted(text)} cannot be shown", f"one line of at most {_LONGEST_NAME} characters")
    return None


def pattern(text: str) -> Trouble | None:
    """Check a word or glob."""
    if not text.strip():
        return Trouble("an empty text fits nothing", f"write a word, or {ANY} for anything; use `not` for its absence")
    return None


def words(known: Sequence[str], *, open_to: str = "") -> Check:
    """Return the check of a pattern for a word that is one of `known`.

    Args:
        known: All words that there are.
        open_to: What a glob may be for beside them; "" if a glob that fits none of them can never match.
    """
    squeezed_words = [squeezed(word) for word in known]

    def check(text: str) -> Trouble | None:
        trouble = pattern(text)
        if trouble or any(map(fits_any([squeezed(text)]), squeezed_words)) or (open_to and is_glob(text)):
            return trouble
        more = f"; {open_to}" if open_to else ""
        return Trouble(f"{quoted(text)} can never match", suggestion(text, known) + more)

    return check


service = words(SERVICES, open_to="a glob such as 'New Service*' may name one that is newer than this program")
signal = words(SIGNALS)
severity = words((*SEVERITIES, NO_SEVERITY))
condition = words(CONDITIONS)


def resource_type(text: str) -> Trouble | None:
    """Check a pattern for the type of a resource."""
    trouble = pattern(text)
    if trouble is None and "/" not in text and not is_glob(text):
        hint = "write provider and type, as in Microsoft.Compute/virtualMachines"
        return Trouble(f"{quoted(text)} can never match a type", hint)
    return trouble


def resource_id(text: str) -> Trouble | None:
    """Check a pattern for the ARM id of a resource."""
    trouble = pattern(text)
    if trouble is None and not text.startswith(("/", ANY)):
        return Trouble(
            f"{quoted(text)} can never match an id", f"an id begins with /subscriptions/; or begin with {ANY}"
        )
    return trouble


def resource_group(text: str) -> Trouble | None:
    """Check a pattern for the name of a resource group."""
    trouble = pattern(text)
    if trouble:
        return trouble
    if "/" in text:
        return Trouble(f"{quoted(text)} can never match a group", "write its name alone, without /subscriptions/…")
    if len(text.replace(ANY, "")) > _LONGEST_GROUP or not _GROUP_SIGNS.fullmatch(text):
        return Trouble(f"{quoted(text)} can never match a group", "letters, digits and . _ - ( ), at most 90")
    return None


def subscription(text: str) -> Trouble | None:
    """Check a pattern for the id of a subscription."""
    if _WHOLE_ID.fullmatch(text) or (is_glob(text) and _ID_SIGNS.fullmatch(text)):
        return None
    hint = "alerts name the id, as in 00000000-0000-0000-0000-000000000000, and not the name"
    return Trouble(f"{quoted(text)} can never match a subscription", hint)


def duration(*, least: timedelta = timedelta(0), most: timedelta, words: Iterable[str] = ()) -> Check:
    """Return the check of a duration within bounds, or of one of a few words."""
    known = tuple(words)
    others = "".join(f", {word}" for word in known)

    def check(text: str) -> Trouble | None:
        if text in known:
            return None
        found = duration_of(text)
        if found is None:
            hint = f"a number with s, m, h, d or w, as in 90s, 5m, 1h30m, 3d{others}"
            return Trouble(f"{quoted(text)} is no duration", hint)
        if found < least:
            return Trouble(f"{text} is too short", f"at least {spelled(least)}{others}")
        if found > most:
            return Trouble(f"{text} is too long", f"at most {spelled(most)}{others}")
        return None

    return check


def time_zone(text: str) -> Trouble | None:
    """Check the name of a time zone."""
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = suggestion(text, _zones())
        short = hint if hint.startswith("did") else "names are those of the IANA, as in Europe/Berlin"
        return Trouble(f"{quoted(text)} is no time zone", short)
    return None


@cache
def _zones() -> tuple[str, ...]:
    return ("UTC", *sorted(zoneinfo.available_timezones()))


def moment(text: str) -> Trouble | None:
    """Check one end of a window: a time of day, or a date with a time."""
    if time_of_day(text) is None and local_time(text) is None:
        return Trouble(f"{quoted(text)} is no time", '"22:00" for each day, or 2026-12-24T22:00 for one day')
    return None


def cron(text: str) -> Trouble | None:
    """Check a schedule."""
    found = cron_of(text)
    return found if isinstance(found, Trouble) else None


def time_of_day(text: str) -> time | None:
    """Return "22:00" as a time; None if it is none. 24:00 is the end of the day, as 00:00."""
    if not re.fullmatch(r"[0-9]{2}:[0-9]{2}", text):
        return None
    try:
        return time.fromisoformat("00:00" if text == "24:00" else text)
    except ValueError:
        return None


def local_time(text: str) -> datetime | None:
    """Return "2026-12-24T22:00" as a time on the clocks of its zone; None if it is none or names a zone itself."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?", text):
        return None
    try:
        found = datetime.fromisoformat(text)
        # The ends of the calendar have no other zone.
        return found if 1970 <= found.replace(tzinfo=UTC).year <= 9000 else None  # noqa: PLR2004
    except ValueError:
        return None


def reason(text: str) -> Trouble | None:
    """Check the words after "because"."""
    if not text.strip() or len(text) > 2 * _LONGEST_NAME or not text.isprintable():
        return Trouble(f"{quoted(text)} cannot stand after 'because'", "one line of at most 200 characters")
    return None


def value(text: str) -> Trouble | None:
    """Check the length of what a field is set to; `templates` checks what a template does."""
    if len(text) > _LONGEST_TEMPLATE:
        return Trouble(f"the text has {len(text):,} characters", f"at most {_LONGEST_TEMPLATE:,}")
    return None


def same(text: str) -> str:
    """Return a name as two names are compared."""
    return folded(text)
