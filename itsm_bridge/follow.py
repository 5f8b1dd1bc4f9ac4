"""Which parts follow Azure's own list of alerts, and how do they know each other?

`app` connects them where a setting switches one on, and the command `follow` for one run, so that the webhook imports
nothing of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Damaged, LeadsNowhere, TemporaryError
from itsm_bridge.reconcile.ports import WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.resource_manager.client import ResourceManager
from itsm_bridge.resource_manager.following_state import PROGRESS, StateFollower
from itsm_bridge.resource_manager.listed_alert import subscription_of
from itsm_bridge.resource_manager.look import Parts, end_of
from itsm_bridge.resource_manager.missed import MissedAlerts
from itsm_bridge.resource_manager.one_look import OneLook
from itsm_bridge.resource_manager.scope import followed
from itsm_bridge.resource_manager.state_cursor import state_cursor_of
from itsm_bridge.resource_manager.state_parts import StateParts, TouchedIncidents
from itsm_bridge.settings import TENANT, AzureSettings
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.listing import Listing
from itsm_bridge.storage.progress_table import ProgressTable
from itsm_bridge.telemetry import NOTHING, Telemetry
from itsm_bridge.troubles import Troubles

if TYPE_CHECKING:
    from azure.data.tables import TableClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What following needs of the rest of the program."""

    settings: AzureSettings
    #: Lower-cased, with `TENANT` for alerts that name none; empty: all.
    allowed_subscriptions: frozenset[str]
    table: "TableClient"
    #: Returns an access token for Azure Resource Manager.
    token: Callable[[Deadline], str]
    #: Takes an alert in, with the sentence that says how it was found.
    receive: Callable[[Alert, str, Deadline], object]
    #: Our clock, aware UTC.
    now: Callable[[], datetime]
    troubles: Troubles
    telemetry: Telemetry = NOTHING
    #: How long rows of alerts are kept that are over.
    retention: timedelta
    #: Whether nothing is changed anywhere.
    is_dry: bool = False
    #: From when on is looked, if that is before the end of the last look.
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BothSides:
    """What keeping alerts and incidents the same needs besides."""

    #: Returns the incidents that changed; see `StateParts.touched`.
    touched: Callable[[timedelta, Deadline], TouchedIncidents]
    wakeups: WakeUps


def client_of(means: Means) -> OneLook:
    """Return who asks Azure Resource Manager; nothing is sent yet."""
    return OneLook(means.settings.endpoint, means.token, telemetry=means.telemetry, now=means.now)


def missed_alerts(means: Means, azure: ResourceManager) -> MissedAlerts:
    """Return who finds what Azure Monitor failed to bring; nothing is sent yet."""
    parts = Parts(
        azure=azure,
        progress=ProgressTable(means.table),
        rows=_rows_of(AlertTable(means.table)),
        receive=means.receive,
        groups=means.settings.action_groups,
        now=means.now,
        troubles=means.troubles,
        is_dry=means.is_dry,
        rows_kept_for=means.retention,
        since=means.since,
    )
    return MissedAlerts(parts, _followed(means))


def state_follower(means: Means, azure: OneLook, sides: BothSides) -> StateFollower:
    """Return who keeps alerts and incidents the same; nothing is sent yet."""
    parts = StateParts(
        azure=azure,
        touched=sides.touched,
        store=AlertTable(means.table),
        wakeups=sides.wakeups,
        progress=ProgressTable(means.table),
        subscriptions=_followed(means),
        now=means.now,
        troubles=means.troubles,
        only=means.allowed_subscriptions - {TENANT} if means.allowed_subscriptions else None,
        is_dry=means.is_dry,
        since=means.since,
    )
    return StateFollower(parts)


def followed_by(means: Means, sides: BothSides) -> Callable[[Deadline], None]:
    """Return what follows all that the settings switch on, once per call.

    What is returned raises a TemporaryError if storage did not answer. States come first, because their look at the
    list answers what the other asks.
    """
    azure = client_of(means)
    runs: list[Callable[[Deadline], object]] = []
    if means.settings.syncs_alert_state:
        runs.append(state_follower(means, azure, sides).run)
    if means.settings.recovers_missed_alerts:
        runs.append(missed_alerts(means, azure).run)

    def run(deadline: Deadline) -> None:
        failures: list[TemporaryError] = []
        for place, each in enumerate(runs):
            # Neither takes the other's time.
            budget = deadline.within(deadline.left / (len(runs) - place))
            try:
                each(budget)
            except TemporaryError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    return run


def subscriptions_of(means: Means) -> frozenset[str]:
    """Return the followed subscriptions, lower-cased; raises Unavailable."""
    return _followed(means)()


def last_looks(means: Means, subscriptions: Iterable[str]) -> Mapping[str, datetime | None]:
    """Return when each kind of look that is switched on last came to an end, None if it never did.

    Raises:
        Unavailable: storage did not answer.
    """
    progress = ProgressTable(means.table)
    looks: dict[str, datetime | None] = {}
    if means.settings.recovers_missed_alerts:
        ends = [end_of(progress, subscription, now=means.now()) for subscription in subscriptions]
        # The one that is furthest behind counts.
        looks["missed"] = None if None in ends else min((end for end in ends if end), default=None)
    if means.settings.syncs_alert_state:
        looks["states"] = state_cursor_of(progress.read(PROGRESS).document).complete_at
    return looks


def _followed(means: Means) -> Callable[[], frozenset[str]]:
    """Return who tells the followed subscriptions."""
    progress, listing = ProgressTable(means.table), Listing(means.table)

    def named_by_rows(since: datetime) -> Iterator[str]:
        return _subscriptions(listing.signals_changed(since))

    return lambda: followed(
        means.allowed_subscriptions - {TENANT} if means.allowed_subscriptions else None,
        means.settings.action_groups,
        progress,
        named_by_rows=named_by_rows,
        now=means.now(),
        is_dry=means.is_dry,
    )


def _subscriptions(alert_ids: Iterable[str]) -> Iterator[str]:
    return (found for alert_id in alert_ids if (found := subscription_of(alert_id)))


def _rows_of(table: AlertTable) -> Callable[[str], Record | None]:
    """Return who reads rows. One that cannot be read, or leads nowhere, knows nothing: the next word mends it."""

    def row(key: str) -> Record | None:
        with suppress(Damaged, LeadsNowhere):
            return table.read(key)
        return None

    return row
