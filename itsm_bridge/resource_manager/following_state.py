"""How do both sides come to say the same: alerts in Azure what people do to incidents, and the other way round?

`follow_azure` runs this every two minutes where SYNC_ALERT_STATE switches it on, and the command `follow` once. One
query tells which incidents changed since the last look, one per subscription which alerts did.

1. Both looks begin a while before the end of the last one, because lists and replicas know some changes late. What was
   done is found done.
2. How far the looks came never passes what could not be done, for a day at most: the next run goes on there.
3. A run ends at its deadline, and asks about no more than `asking.MOST_REQUESTS` single alerts. A pause that Azure asks
   for is kept. Only one process runs at a time.
4. The first run passes on nothing: it writes down where the looks begin.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/change-state
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, Conflict, PermanentError, place_of
from itsm_bridge.reconcile.followed import TouchedIncident
from itsm_bridge.resource_manager.answers import Away, MissingRole, Throttled, TooManyChanges
from itsm_bridge.resource_manager.asking import Asking, EnoughForNow
from itsm_bridge.resource_manager.client import MOST_PAGES, Changes
from itsm_bridge.resource_manager.listed_alert import ListedAlert
from itsm_bridge.resource_manager.state_cursor import StateCursor, state_cursor_of
from itsm_bridge.resource_manager.state_parts import StateParts, StateReport
from itsm_bridge.resource_manager.telling_alerts import TellingAlerts
from itsm_bridge.resource_manager.telling_incidents import TellingIncidents
from itsm_bridge.troubles import Trouble

log = logging.getLogger(__name__)

#: How late a replica of the target may know of a change.
INCIDENTS_OVERLAP: Final = timedelta(minutes=5)
#: How late Azure's list may know of one; it covers what `look` asks for, so that one request answers both.
ALERTS_OVERLAP: Final = timedelta(minutes=20)
#: How long what cannot be done is tried again.
HELD_FOR: Final = timedelta(days=1)
#: How far back a dry run looks where no run was before it.
DRY_LOOK: Final = timedelta(days=1)
#: How much longer than its time a run may take.
_LEASE_MARGIN: Final = timedelta(seconds=30)
#: A look that is too long is shortened to this at least, and then may take more pages.
_SHORTEST: Final = timedelta(minutes=1)
#: Under which name it is written down how far the looks came.
PROGRESS: Final = "states"


class StateFollower:
    """Keeps both sides the same; called by one thread at a time."""

    def __init__(self, parts: StateParts) -> None:
        self._parts = parts

    def run(self, deadline: Deadline) -> StateReport:
        """Look at both sides and pass on what people did. Repeating it does no harm.

        Raises:
            TemporaryError: storage did not answer.
        """
        parts, report = self._parts, StateReport()
        parts.azure.forget()
        kept, now = parts.progress.read(PROGRESS), parts.now()
        cursor = state_cursor_of(kept.document)
        # A dry run is in nobody's way.
        cursor = cursor.held(None) if parts.is_dry else cursor
        if cursor.is_resting(now):
            return replace(report, is_complete=False)
        if parts.is_dry:
            _Run(parts, report, cursor, deadline).run()
            return report
        held = cursor.held(now + deadline.left + _LEASE_MARGIN)
        try:
            parts.progress.write(PROGRESS, held.document(), etag=kept.etag)
        except Conflict:
            # Another process runs.
            return replace(report, is_complete=False)
        run = _Run(parts, report, cursor.resting(now, None), deadline)
        run.run()
        kept = parts.progress.read(PROGRESS)
        # A process that took longer than it may leaves the mark to the one that runs since.
        if state_cursor_of(kept.document).held_until == held.held_until:
            with suppress(Conflict):
                parts.progress.write(PROGRESS, run.cursor.held(None).document(), etag=kept.etag)
        return report


class _Run:
    """One run."""

    def __init__(self, parts: StateParts, report: StateReport, cursor: StateCursor, deadline: Deadline) -> None:
        self._parts = parts
        self._report = report
        self._deadline = deadline
        self._asking = Asking(parts.azure, deadline, known_as=cursor.known_as, is_dry=parts.is_dry)
        self._alerts = TellingAlerts(parts, self._asking, report, not_before=cursor.complete_at)
        self._incidents = TellingIncidents(parts, self._asking, report)
        #: How far the looks came.
        self.cursor = cursor

    def run(self) -> None:
        """Look at the incidents and then at the alerts. No BridgeError leaves it."""
        now = self._parts.now()
        for look in (self._look_at_incidents, self._look_at_alerts):
            try:
                look()
            except EnoughForNow:
                self._report.is_complete = False
            except Throttled as error:
                self._tell(error)
                self.cursor = self.cursor.resting(now, error.retry_after)
                break
            except BridgeError as error:
                self._tell(error)
        for name in self._asking.known_as:
            self.cursor = self.cursor.knowing_us(name)
        if self._report.is_complete:
            self.cursor = replace(self.cursor, complete_at=now)

    def _look_at_incidents(self) -> None:
        now, until = self._parts.now(), self._begun(self.cursor.incidents_until)
        if until is None:
            self.cursor = replace(self.cursor, incidents_until=now)
            return
        begin = until - INCIDENTS_OVERLAP
        touched = self._parts.touched(now - begin, self._deadline)
        self._report.is_complete = self._report.is_complete and touched.cut_at is None
        undone = [each.changed_at for each in touched.incidents]
        failed: list[datetime] = []
        try:
            for incident in touched.incidents:
                if not self._is_followed(incident):
                    failed.append(incident.changed_at)
                undone.remove(incident.changed_at)
        finally:
            undone += [touched.cut_at] if touched.cut_at else []
            place = _place(begin, now, touched.first_at, undone)
            # What fails for long is passed by.
            place = min(place, max(_place(begin, now, touched.first_at, failed), now - HELD_FOR))
            self.cursor = replace(self.cursor, incidents_until=max(place, until))

    def _begun(self, ended: datetime | None) -> datetime | None:
        """Return where a look begins after the last one `ended`; None if it is the first one and has nothing to say."""
        if ended is None and self._parts.is_dry:
            ended = self._parts.now() - DRY_LOOK
        return min(self._parts.since, ended or self._parts.since) if self._parts.since else ended

    def _is_followed(self, incident: TouchedIncident) -> bool:
        """Tell the alerts of an incident what people did; return whether that is done with."""
        try:
            self._alerts.follow(incident)
        except (EnoughForNow, Throttled):
            raise
        except BridgeError as error:
            self._tell(error)
            return False
        except Exception as error:  # noqa: BLE001 - one incident that nobody foresaw must not keep out all that follow
            self._unforeseen(error, incident.number)
            return False
        return True

    def _look_at_alerts(self) -> None:
        for subscription in sorted(self._parts.subscriptions()):
            try:
                self._look_at_subscription(subscription)
            except Throttled:
                raise
            except BridgeError as error:
                self._tell(error, f"subscription {subscription}: ")

    def _look_at_subscription(self, subscription: str) -> None:
        now, since = self._parts.now(), self._begun(self.cursor.alerts_until.get(subscription))
        place = since or now
        changes, until = self._changes(subscription, place - ALERTS_OVERLAP, now)
        failed: list[datetime] = []
        try:
            # Of a subscription that is followed since now, nothing that is older counts.
            for alert in changes.alerts if since else ():
                place = max(place, alert.modified_at)
                if not self._is_heard(alert):
                    failed.append(alert.modified_at)
            place = until
        finally:
            # What fails for long is passed by.
            held = max(min(failed, default=until), since or until, now - HELD_FOR)
            self.cursor = self.cursor.with_alerts(subscription, min(place, until, held))

    def _is_heard(self, alert: ListedAlert) -> bool:
        """Tell the incident of an alert what people did to it; return whether that is done with."""
        try:
            self._incidents.hear(alert)
        except (EnoughForNow, Throttled, MissingRole, TimeIsUp):
            # The others would fare no better.
            raise
        except BridgeError as error:
            self._tell(error, f"alert {alert.guid}: ")
            return False
        except Exception as error:  # noqa: BLE001 - as with incidents
            self._unforeseen(error, alert.guid)
            return False
        return True

    def _changes(self, subscription: str, since: datetime, until: datetime) -> tuple[Changes, datetime]:
        """Return what changed, up to `until` or to an earlier moment if that would be too much for one look."""
        while True:
            is_shortest = until - since <= _SHORTEST
            try:
                most = MOST_PAGES * 4 if is_shortest else MOST_PAGES
                found = self._parts.azure.changed(
                    subscription, since=since, until=until, most_pages=most, deadline=self._deadline
                )
            except TooManyChanges:
                if is_shortest:
                    raise
                self._report.is_complete = False
                until = since + max((until - since) / 2, _SHORTEST)
            else:
                return found, until

    def _unforeseen(self, error: Exception, what: str) -> None:
        self._report.is_complete = False
        said = f"{what}: unexpected {type(error).__name__} at {place_of(error)}"
        self._report.troubles.append(said)
        self._parts.troubles.count(Trouble.UNEXPECTED, said)

    def _tell(self, error: BridgeError, where: str = "") -> None:
        self._report.is_complete = False
        if isinstance(error, TimeIsUp):
            return
        said = f"{where}{error}"
        if said in self._report.troubles:
            return
        self._report.troubles.append(said)
        if isinstance(error, PermanentError) and error.trouble:
            self._parts.troubles.count(Trouble(error.trouble), said)
        elif isinstance(error, Away):
            self._parts.troubles.count(Trouble.AZURE_AWAY, said)
        else:
            log.warning("states are not passed on for now: %s", said)


def _place(begin: datetime, now: datetime, first_at: datetime | None, undone: Sequence[datetime]) -> datetime:
    """Return up to when, by our clock, all was passed on; `first_at` and `undone` are of the target's clock.

    The clocks may differ, but what lies between two moments of the one lies between two of the other.
    """
    return begin + (min(undone) - first_at) if undone and first_at else now
