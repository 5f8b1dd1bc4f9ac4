"""How are the alerts of one incident told what people did to it?

`following_state` calls this for each incident that changed. What a doing means for an alert is decided in `states`;
what was done is remembered in the row, in one write per incident. A crash before that leaves alerts as they should be:
the next run sees it, and changes nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from itsm_bridge.errors import BridgeError
from itsm_bridge.reconcile.followed import Followed, FollowedAlert, TouchedIncident
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.reconcile.work import Step
from itsm_bridge.resource_manager.answers import Throttled
from itsm_bridge.resource_manager.asking import Asking
from itsm_bridge.resource_manager.listed_alert import guid_of, subscription_of
from itsm_bridge.resource_manager.state_parts import StateChange, StateParts, StateReport, row_of
from itsm_bridge.resource_manager.states import STATES, Action, Decision, Doing, decide, decide_gone, doing_of

log = logging.getLogger(__name__)

#: What an alert is told, after the number of the incident.
_SENTENCES = {
    Doing.TAKEN: "somebody works on it in ServiceNow.",
    Doing.REOPENED: "it was reopened in ServiceNow.",
    Doing.ENDED: "it was ended in ServiceNow.",
}


class TellingAlerts:
    """Tells alerts in one run."""

    def __init__(self, parts: StateParts, asking: Asking, report: StateReport, *, not_before: datetime | None) -> None:
        """Connect the parts; nothing had changed at `not_before`, our clock; None if nobody looked before."""
        self._parts = parts
        self._asking = asking
        self._report = report
        self._not_before = not_before

    def follow(self, incident: TouchedIncident) -> None:
        """Tell the alerts of an incident how far people are with it. Repeating it changes nothing.

        Raises:
            EnoughForNow: the run may ask no more; what was done is remembered.
            BridgeError: Azure or storage did not answer as it must; what was done is remembered unless storage is away.
        """
        row = row_of(self._parts.store, incident.key)
        if row is None or row.observed.incident_id != incident.id:
            return
        known = row.followed.of_incident(incident.id)
        given_to = known.given_to or (incident.assignee if incident.is_as_created else "")
        begun_in = known.begun_in or incident.begun_in
        handling = incident.handling(not_people={given_to, *_given_by_us(row)}, begun_in=begun_in)
        told: dict[str, FollowedAlert] = {}
        steps: list[Step] = []
        failures: list[BridgeError] = []
        try:
            for guid, alert_id in self._alerts_of(row).items():
                before = known.alert(guid)
                doing, after = doing_of(before.told, handling, incident), replace(before, told=handling)
                try:
                    if decide(doing, incident).action is Action.LOOK:
                        told[guid] = self._told(alert_id, doing, incident, after, steps)
                    elif doing in (Doing.PUT_BACK, Doing.REOPENED_BY_US):
                        told[guid] = after
                except Throttled:
                    raise
                except BridgeError as error:
                    # The other alerts of the incident follow all the same.
                    failures.append(error)
        finally:
            begun = replace(known, given_to=given_to, begun_in=begun_in)
            self._remember(row, incident, begun, told, steps)
        if failures:
            raise failures[0]

    def _alerts_of(self, row: Record) -> Mapping[str, str]:
        """Return the ARM ids of the alerts that an incident stands for, by their GUIDs; those that are followed."""
        learnt = {guid: each.id for guid, each in row.followed.alerts.items() if each.id}
        alerts = {**learnt, **{guid: name for name in row.desired.signals if (guid := guid_of(name))}}
        only = self._parts.only
        if only is None:
            return alerts
        return {guid: name for guid, name in alerts.items() if subscription_of(name) in ("", *only)}

    def _told(
        self, alert_id: str, doing: Doing, incident: TouchedIncident, after: FollowedAlert, steps: list[Step]
    ) -> FollowedAlert:
        """Look at one alert and change its state if it has to be; return what is known of it then."""
        alert = self._asking.alert(alert_id, to_change=True)
        look = self._asking.look(alert) if alert else None
        if alert is None or look is None:
            decision = decide_gone(doing)
        else:
            decision = decide(doing, incident, look, not_before=self._not_before)
            # A person's word that stands is still to be heard by the incident.
            after = replace(after, state=str(look.state)) if decision.action is not Action.LEAVE else after
        wanted = STATES.get(decision.action)
        if alert is not None and wanted is not None:
            if self._asking.change(alert, wanted, comment=f"{incident.number}: {_SENTENCES[doing]}"):
                after = replace(after, state=str(wanted))
                log.info("alert %s: %s, because of %s", alert.guid, decision.action, incident.number)
            else:
                decision = decide_gone(doing)
        if decision.action is not Action.NOTHING:
            state = wanted or (look.state if look else "not known")
            self._tell(alert_id, decision, incident, state, steps)
        return after

    def _tell(
        self, alert_id: str, decision: Decision, incident: TouchedIncident, state: str, steps: list[Step]
    ) -> None:
        result = f"{incident.number}; alert {guid_of(alert_id)} is {state}"
        steps.append(Step(at=self._parts.now(), action=decision.action, reason=decision.reason, result=result))
        self._report.changes.append(
            StateChange(alert_id=alert_id, incident=incident.number, action=decision.action, reason=decision.reason)
        )

    def _remember(
        self,
        row: Record,
        incident: TouchedIncident,
        begun: Followed,
        told: Mapping[str, FollowedAlert],
        steps: list[Step],
    ) -> None:
        if self._parts.is_dry or not (told or begun.given_to or begun.begun_in):
            return

        def changed(current: Record | None) -> Record | None:
            if current is None or current.observed.incident_id != incident.id:
                return None
            now = current.followed.of_incident(incident.id)
            followed = replace(now, given_to=begun.given_to, begun_in=begun.begun_in)
            for guid, alert in told.items():
                followed = followed.with_alert(guid, alert)
            for step in steps:
                followed = followed.done(step)
            return current.with_followed(followed)

        swap(self._parts.store, row.key, changed, row=row)


def _given_by_us(row: Record) -> set[str]:
    """Return whom a rule may have given the incident to."""
    fields = {**row.desired.fields_at_creation, **row.desired.fields}
    return {end for end in (*row.observed.links.values(), *fields.values()) if end}
