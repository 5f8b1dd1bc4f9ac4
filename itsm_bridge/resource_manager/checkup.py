"""May we ask for alerts as we must, and did the looks at them come to an end lately?

The command `doctor` calls `examine`. It asks for the newest alerts of each followed subscription, and for the history
of one; no alert is changed, so that a missing right to change alerts shows only after the app met it.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError
from itsm_bridge.finding import Report, broken, ok, warning
from itsm_bridge.resource_manager.answers import Gone, MissingRole
from itsm_bridge.resource_manager.client import ResourceManager
from itsm_bridge.settings import AzureSettings

#: How far back alerts are asked for.
_LATELY: Final = timedelta(days=1)
_BUDGET: Final = timedelta(seconds=20)
#: A look comes every two minutes; what is older than this does not come any more.
_OVERDUE: Final = timedelta(minutes=15)

_KEEPER: Final = "whoever keeps the app"
_ROLE: Final = (
    "an owner of the subscription grants the app's identity the role of infra/followed.bicep (docs/resource-manager.md)"
)
_MY_ROLE: Final = "whoever runs doctor needs Monitoring Reader there to look; the app has a role of its own"


def examine(  # noqa: PLR0913 - all that one look needs
    settings: AzureSettings,
    azure: ResourceManager,
    report: Report,
    *,
    token: Callable[[Deadline], str],
    subscriptions: Collection[str],
    looks: Mapping[str, datetime | None],
    now: datetime,
    is_person: bool,
) -> None:
    """Look at what is switched on, and report what was found.

    Args:
        settings: what is switched on.
        azure: Azure's own list.
        report: takes the findings.
        token: returns an access token, as `azure` gets it.
        subscriptions: the followed ones, lower-cased.
        looks: when each kind of look last came to an end, aware UTC; None if it never did.
        now: our clock, aware UTC.
        is_person: whether a person asks, who may have other roles than the app.
    """
    try:
        token(Deadline.after(_BUDGET))
    except BridgeError as error:
        to_do = "`az login` signs you in" if is_person else f"{_KEEPER} gives it a managed identity: AZURE_CLIENT_ID"
        report((warning if is_person else broken)("azure.token", f"there is no token: {error}", to_do))
        return
    report(ok("azure.token", "there is a token for Azure Resource Manager"))
    for subscription in sorted(subscriptions):
        _look_at(subscription, azure, report, now=now, is_person=is_person)
    if not subscriptions:
        report(
            warning(
                "azure.subscriptions",
                "no subscription is followed: no setting and no alert names one",
                f"{_KEEPER} sets ALLOWED_SUBSCRIPTIONS or AZURE_ACTION_GROUP_IDS",
            )
        )
    for name, at in looks.items():
        _look_at_mark(name, at, report, now)
    if settings.action_groups:
        many = len(settings.action_groups)
        report(
            ok("azure.groups", f"{many} action groups count as ours" if many > 1 else "1 action group counts as ours")
        )


def _look_at(subscription: str, azure: ResourceManager, report: Report, *, now: datetime, is_person: bool) -> None:
    deadline, check = Deadline.after(_BUDGET), "azure.alerts"
    try:
        alerts = azure.changed(subscription, since=now - _LATELY, until=now, deadline=deadline).alerts
        _try_history(alerts[-1].id if alerts else "", azure, deadline)
    except MissingRole as error:
        told = f"the alerts of subscription {subscription} may not be read: {error}"
        report(warning(check, told, _MY_ROLE) if is_person else broken(check, told, _ROLE))
    except BridgeError as error:
        after = (
            f"{_KEEPER} compares AZURE_RESOURCE_MANAGER and the subscription; https://status.azure.com tells of outages"
        )
        report(broken(check, f"the alerts of subscription {subscription} were not told: {error}", after))
    else:
        report(ok(check, f"the alerts of subscription {subscription} can be read"))


def _try_history(alert_id: str, azure: ResourceManager, deadline: Deadline) -> None:
    if not alert_id:
        return
    try:
        azure.history(alert_id, deadline=deadline)
    except Gone:
        # It was purged since.
        return


def _look_at_mark(name: str, at: datetime | None, report: Report, now: datetime) -> None:
    check = f"azure.{name}"
    if at is not None and now - at <= _OVERDUE:
        report(ok(check, f"the last look came to an end at {at:%Y-%m-%dT%H:%M:%SZ}"))
        return
    told = f"no look came to an end since {at:%Y-%m-%dT%H:%M:%SZ}" if at else "no look came to an end yet"
    after = f"just after it was switched on, wait; else {_KEEPER} reads what the app met lately, and follow_azure's log"
    report(warning(check, told, after))
