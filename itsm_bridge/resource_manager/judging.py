"""Did an alert of Azure's list reach us, and if not, was it meant for us?

`missed` asks for each alert that changed. A row of the alert's own key says what reached us; the history of the alert
says whether one of our action groups was triggered for it, and not suppressed. Only what no row knows costs requests.

    the row                                   the list       what was missed
    ───────────────────────────────────────   ────────────   ────────────────────────────────────────────────
    none, or it knows the end alone           Fired          the beginning, if it was meant for us
    none, or it knows the end alone           Resolved       the beginning and the end, if it was meant for us
    it fires                                  Resolved       the end
    anything else                             anything       nothing
    health: none, or of an earlier event      any            that event, if it was meant for us

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-history
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from itsm_bridge.azure_monitor.alert import MonitorCondition
from itsm_bridge.azure_monitor.correlation import correlate, key_of_alert_id
from itsm_bridge.azure_monitor.timestamps import is_before
from itsm_bridge.azure_monitor.wording.activity_log import event_time
from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.found import knows_end_alone
from itsm_bridge.reconcile.record import Record
from itsm_bridge.resource_manager.answers import Gone
from itsm_bridge.resource_manager.history import Call, Modification, call_of
from itsm_bridge.resource_manager.listed_alert import ListedAlert, addresses_of
from itsm_bridge.resource_manager.translation import NotTranslatable, Translated, alert_of, is_of_health

#: When the history of an alert tells whom Azure called, at the latest.
HISTORY_IS_COMPLETE_AFTER: Final = timedelta(minutes=10)

#: Returns the row of a key, None if there is none; it may raise a TemporaryError.
Rows = Callable[[str], Record | None]


class Azure(Protocol):
    """What is asked of Azure about one alert; see `client.ResourceManager`."""

    def alert(self, alert_id: str, *, deadline: Deadline) -> ListedAlert | None:
        """Return it with its context, None if Azure does not know it."""

    def history(self, alert_id: str, *, deadline: Deadline) -> Sequence[Modification]:
        """Return what happened to it."""


class Verdict(StrEnum):
    """What became of an alert on its way to us."""

    #: It was meant for us and did not reach us, or its end did not.
    MISSED = "missed"
    #: A row knows all of it.
    KNOWN = "known"
    #: None of our action groups was triggered for it.
    NOT_OURS = "not ours"
    #: A processing rule kept our action group from being called.
    SUPPRESSED = "suppressed"
    #: Nobody was called as far as its history knows by now.
    NOBODY_YET = "nobody yet"
    #: Nobody can tell.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is to be done about one alert."""

    verdict: Verdict
    #: The notifications that did not reach us, in their order.
    words: tuple[Translated, ...] = ()
    #: Why nobody can tell; "" unless it is unclear.
    reason: str = ""

    @property
    def is_for_good(self) -> bool:
        """Whether it stays so, whatever becomes of the alert. Of one that is unclear, a late call may tell."""
        return self.verdict is Verdict.NOT_OURS


_KNOWN: Final = Judgement(verdict=Verdict.KNOWN)


class Judge:
    """Judges alerts of Azure's list."""

    def __init__(
        self,
        azure: Azure,
        rows: Rows,
        *,
        groups: Collection[str],
        rows_kept_for: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Remember whom to ask.

        Args:
            azure: Who tells of one alert.
            rows: What reached us.
            groups: The ARM ids of our action groups, lower-cased.
            rows_kept_for: How long after its end an alert has a row at least.
            now: Our clock, aware UTC.
        """
        self._azure = azure
        self._rows_kept_for = rows_kept_for
        self._now = now
        self._rows = rows
        self._groups = frozenset(groups)
        #: How many requests about single alerts were made.
        self.requests = 0

    def judge(self, listed: ListedAlert, *, deadline: Deadline) -> Judgement:
        """Return what became of an alert; nothing is changed by it.

        Raises:
            TemporaryError: Azure or storage did not answer as it must.
            PermanentError: Azure refuses to tell.
        """
        if is_of_health(listed):
            return self._judged_by_event(listed, deadline)
        alert_id, row = self._known_as(listed)
        signal = row.desired.signals.get(alert_id.lower()) if row else None
        is_over = listed.condition is MonitorCondition.RESOLVED
        if signal is not None and signal.is_firing:
            return self._told(listed, alert_id, deadline, ends=True) if is_over else _KNOWN
        # Of a crowd that shares an incident, a row forgets alerts that are over.
        if row is not None and (signal is None or not knows_end_alone(signal)):
            return _KNOWN
        return self._called(listed, deadline) or self._told(listed, alert_id, deadline, begins=True, ends=is_over)

    def _known_as(self, listed: ListedAlert) -> tuple[str, Record | None]:
        """Return the alertId that calls give an alert, and its row; the short form if there is no row."""
        forms = {form.lower(): form for form in (listed.short_id, *addresses_of(listed.id))}
        for form in forms.values():
            row = self._rows(key_of_alert_id(form))
            if row is not None:
                return form, row
        return listed.short_id, None

    def _told(
        self, listed: ListedAlert, alert_id: str, deadline: Deadline, *, begins: bool = False, ends: bool = False
    ) -> Judgement:
        """Return that the beginning, the end, or both were missed."""
        whole = self._whole(listed, deadline)
        try:
            first = [alert_of(whole, alert_id=alert_id, as_it_fired=True)] if begins else []
            words = [*first, *([alert_of(whole, alert_id=alert_id)] if ends else [])]
        except NotTranslatable as error:
            return _unclear(str(error))
        if any(correlate(each.alert).key != key_of_alert_id(alert_id) for each in words):
            # The shape of its context says that it is of health, whatever its service is called.
            return self._judged_by_event(listed, deadline)
        return Judgement(verdict=Verdict.MISSED, words=tuple(words))

    def _judged_by_event(self, listed: ListedAlert, deadline: Deadline) -> Judgement:
        """Judge an update of a health event: its key and its time are in its context."""
        whole = self._whole(listed, deadline)
        try:
            word = alert_of(whole)
        except NotTranslatable as error:
            return self._called(listed, deadline) or _unclear(str(error))
        correlation = correlate(word.alert)
        if not (correlation.opens or correlation.closes) or self._is_past(word, correlation.key):
            return _KNOWN
        return self._called(listed, deadline) or Judgement(verdict=Verdict.MISSED, words=(word,))

    def _is_past(self, word: Translated, key: str) -> bool:
        """Return whether the row of a health event knows this update of it, or a later one."""
        row = self._rows(key)
        signal = row.desired.signals.get("" if row.key == key else key) if row else None
        at = event_time(word.alert.context) or word.alert.fired_date_time
        if signal is None or signal.at is None or at is None:
            return False
        return not is_before(signal.at, at)

    def _called(self, listed: ListedAlert, deadline: Deadline) -> Judgement | None:
        """Return why an alert that no row knows is none of ours; None if it was meant for us."""
        self.requests += 1
        call = call_of(self._azure.history(listed.id, deadline=deadline), self._groups)
        if call is Call.UNKNOWN:
            return _unclear("its history does not tell which action groups were called")
        if call is Call.NOBODY and self._now() - listed.modified_at < HISTORY_IS_COMPLETE_AFTER:
            return Judgement(verdict=Verdict.NOBODY_YET)
        if call is Call.TRIGGERED and (listed.started_at or listed.modified_at) < self._now() - self._rows_kept_for:
            return _unclear("it began longer ago than rows are kept, and may have had one")
        return None if call is Call.TRIGGERED else Judgement(verdict=_VERDICTS[call])

    def _whole(self, listed: ListedAlert, deadline: Deadline) -> ListedAlert:
        """Return an alert with its context; it may have changed since it was listed.

        Raises:
            Gone: Azure lists it, and does not know it.
        """
        self.requests += 1
        whole = self._azure.alert(listed.id, deadline=deadline)
        if whole is None:
            raise Gone("Azure Resource Manager lists it and does not know it")
        return whole


def _unclear(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.UNCLEAR, reason=reason)


_VERDICTS: Final = {
    Call.NOT_OURS: Verdict.NOT_OURS,
    Call.NOBODY: Verdict.NOT_OURS,
    Call.SUPPRESSED: Verdict.SUPPRESSED,
}
