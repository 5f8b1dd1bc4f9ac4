"""How is an incident told that people closed its alert in Azure?

`following_state` calls this for each alert that changed. The word is a note that the row owes: it is written down
together with what is known of the alert, and the loop brings it to the incident like any other news, once.
An alert of a health event is named by no notification that its row keeps, so that it is learnt here which ones there
are: their states follow the incident then.
"""

from dataclasses import dataclass, replace

from itsm_bridge.azure_monitor.correlation import correlate, key_of_alert_id
from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.reconcile.followed import FollowedAlert
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.reconcile.work import Step
from itsm_bridge.resource_manager.asking import Asking
from itsm_bridge.resource_manager.last_word import is_of_system
from itsm_bridge.resource_manager.listed_alert import AlertState, ListedAlert, addresses_of, guid_of
from itsm_bridge.resource_manager.state_parts import WAKE_UP_DELAY, StateChange, StateParts, StateReport, row_of
from itsm_bridge.resource_manager.states import Look, owes_word
from itsm_bridge.resource_manager.translation import NotTranslatable, alert_of, is_of_health
from itsm_bridge.text import clip, one_line, plain

#: Characters of what a person wrote or is called in Azure.
_LONGEST_COMMENT = 500
_LONGEST_NAME = 100

_REASON = "alert closed by people in Azure"


@dataclass(slots=True, kw_only=True)
class _Heard:
    """What one alert says; it may be told to several versions of the row, the last one counts."""

    alert: ListedAlert
    #: The state and who gave it; None if it is as it was.
    look: Look | None
    now: Step
    is_told: bool = False

    def told(self, row: Record | None) -> Record | None:
        """Return the row that knows it."""
        self.is_told = False
        if row is None:
            return None
        followed = row.followed.of_incident(row.observed.incident_id)
        known = followed.alert(self.alert.guid)
        after = _learnt(known, row, self.alert)
        if self.look is not None:
            after = replace(after, state=str(self.look.state))
        self.is_told = self.look is not None and owes_word(known, self.look, has_incident=_takes_words(row))
        followed = followed.with_alert(self.alert.guid, after)
        if self.look is None or not self.is_told:
            return row.with_followed(followed)
        name = f"closed in Azure: {self.alert.guid} {self.look.person_at}"
        return row.with_followed(followed.done(self.now)).owing_word(name, _note(self.look), now=self.now.at)


class TellingIncidents:
    """Tells incidents in one run."""

    def __init__(self, parts: StateParts, asking: Asking, report: StateReport) -> None:
        self._parts = parts
        self._asking = asking
        self._report = report

    def hear(self, alert: ListedAlert) -> None:
        """Tell the incident of an alert what a person did to the alert. Repeating it changes nothing.

        Raises:
            EnoughForNow: the run may ask no more.
            BridgeError: Azure or storage did not answer as it must.
        """
        is_health = is_of_health(alert)
        if is_of_system(alert) and alert.alert_state is not AlertState.CLOSED and not is_health:
            return
        row = self._row_of_event(alert) if is_health else self._row_of(alert)
        if row is None:
            return
        known = row.followed.of_incident(row.observed.incident_id).alert(alert.guid)
        is_changed = alert.alert_state != (known.state or AlertState.NEW)
        if not is_changed and _learnt(known, row, alert) == known:
            return
        look = Look(state=alert.alert_state) if is_changed else None
        if is_changed and alert.alert_state is AlertState.CLOSED:
            look = self._asking.look(alert)
        at, number = self._parts.now(), row.observed.number
        step = Step(at=at, action="note", reason=_REASON, result=f"{number}; alert {alert.guid} is {alert.alert_state}")
        heard = _Heard(alert=alert, look=look, now=step)
        if self._parts.is_dry:
            heard.told(row)
        else:
            written = swap(self._parts.store, row.key, heard.told, row=row)
            if heard.is_told and written is not None and not written.work.is_parked:
                self._parts.wakeups.send(written.key, delay=WAKE_UP_DELAY)
        if heard.is_told:
            self._report.changes.append(
                StateChange(alert_id=alert.short_id, incident=number, action="note", reason=_REASON)
            )

    def _row_of(self, alert: ListedAlert) -> Record | None:
        """Return the row of an alert, by whichever form of its id the notification had."""
        for name in dict.fromkeys((alert.short_id, *addresses_of(alert.id))):
            row = row_of(self._parts.store, key_of_alert_id(name))
            if row is not None:
                return row
        return None

    def _row_of_event(self, alert: ListedAlert) -> Record | None:
        """Return the row of an alert of health; None if its event is not known."""
        whole = self._asking.alert(alert.id)
        try:
            return row_of(self._parts.store, correlate(alert_of(whole).alert).key) if whole else None
        except NotTranslatable:
            return None


def _learnt(known: FollowedAlert, row: Record, alert: ListedAlert) -> FollowedAlert:
    """Return what is known of an alert, with its id unless a notification told that."""
    is_told = any(guid_of(name) == alert.guid for name in row.desired.signals)
    return known if is_told else replace(known, id=alert.short_id)


def _takes_words(row: Record) -> bool:
    return bool(row.observed.incident_id) and not row.desired.is_shadowed


def _note(look: Look) -> str:
    name = clip(one_line(plain(look.by)), _LONGEST_NAME) or "Somebody"
    at = f" at {utc_text(look.person_at)}" if look.person_at else ""
    comment = clip(one_line(plain(look.comment)), _LONGEST_COMMENT)
    return f"{name} closed this alert in Azure{at}." + (f"\nComment there: {comment}" if comment else "")
