"""How is one action carried out?

Each function makes at most the calls its action needs and returns what is observed afterwards together with the change
of the record that follows from it. Nothing is decided and nothing is remembered here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsm_bridge.errors import Rejected, Unavailable
from itsm_bridge.reconcile.plan import Action
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow import fields as writes
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.cmdb.match import Binding
from itsm_bridge.servicenow.incident import Incident, IncidentState
from itsm_bridge.servicenow.incidents import ServiceNow

Change = Callable[[Record], Record]

#: How long the next request may take; raises Unavailable when the time is up.
TimeLeft = Callable[[], timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step came to."""

    observed: Incident | None
    #: How the record changes; idempotent, so that it can be applied to a newer version of the row.
    change: Change
    #: Open incidents of the same key beside the one observed, which should not be.
    doubles: tuple[Incident, ...] = ()


def observe(servicenow: ServiceNow, record: Record, *, left: TimeLeft) -> Step:
    """Look at the incident; with its journal if a write of unknown outcome may have reached it.

    The sys_id proves that it is ours, whatever other integrations made of its correlation id since: ServiceNow told it
    to us, or it follows from the key and nobody else can have chosen it.

    Raises:
        Unavailable: ServiceNow did not answer, or hides the incident from us.
    """
    is_in_doubt = record.in_doubt_until is not None
    incident: Incident | None = None
    doubles: tuple[Incident, ...] = ()
    if record.is_restored:
        # The row that knew its sys_id is lost.
        incident, doubles = _found_by_correlation(servicenow, record, left=left)
    if incident is None:
        incident = servicenow.find(record.incident_sys_id, with_notes=is_in_doubt, within=left())
    if incident is None and is_in_doubt and (servicenow.honours_sys_id is not True or record.omits_sys_id):
        incident, doubles = _found_by_correlation(servicenow, record, left=left)
    if incident is None:
        return Step(observed=None, change=_unchanged)
    return Step(observed=incident, change=lambda row: row.seen(incident), doubles=doubles)


def act(
    servicenow: ServiceNow,
    action: Action,
    record: Record,
    incident: Incident | None,
    *,
    left: TimeLeft,
    now: datetime,
) -> Step:
    """Carry out a write, begun at `now` by our clock.

    Raises:
        Unavailable: ServiceNow did not take the request; nothing has changed.
        Unconfirmed: the write may or may not have happened, or may yet happen.
        Conflict: the incident vanished since it was observed.
        Rejected: ServiceNow refuses this write for good.
    """
    if action is Action.CREATE:
        fields = writes.creation(record, chooses_sys_id=may_choose_sys_id(servicenow, record))
        created = servicenow.create(fields, within=left())
        return Step(
            observed=created, change=lambda row: row.written(created, sent=record, fields=fields, created_at=now)
        )
    if incident is None:
        raise Unavailable("there is no incident to change; it is looked at again")
    if action is Action.UPDATE:
        fields = writes.update(record, incident)
    elif action is Action.REOPEN:
        fields = writes.reopening(record, incident)
    else:
        fields = writes.resolution(record, servicenow.close_code(within=left()))
    changed = _changed(servicenow, incident.sys_id, fields, left=left)
    return Step(observed=changed, change=lambda row: row.written(changed, sent=record, fields=fields))


def _changed(servicenow: ServiceNow, sys_id: str, fields: Mapping[str, str], *, left: TimeLeft) -> Incident:
    try:
        return servicenow.update(sys_id, fields, within=left())
    except Rejected as error:
        if fields.get("state") == str(int(IncidentState.RESOLVED)) and "close_code" not in fields:
            raise Rejected(f"{error}. SERVICENOW_CLOSE_CODE must name a close code of this instance") from error
        raise


def has_effect(action: Action, observed: Incident | None) -> bool:
    """Return whether a confirmed write left the incident in the state that it asked for."""
    if action is Action.RESOLVE:
        return observed is not None and not observed.is_open
    if action is Action.REOPEN:
        return observed is not None and observed.is_open
    return True


def bind(cmdb: Cmdb | None, record: Record, observed: Incident | None, *, left: TimeLeft) -> Step:
    """Look for the configuration item; without a CMDB there is none.

    Raises:
        Unavailable: the CMDB did not answer in time.
    """
    binding = cmdb.bind(record.resources, left=left) if cmdb else Binding(reason="")
    return Step(observed=observed, change=lambda row: row.bound(ci_sys_id=binding.sys_id, reason=binding.reason))


def retire(servicenow: ServiceNow, double: Incident, kept: Incident, *, left: TimeLeft) -> None:
    """Resolve the younger of two incidents of one key as a duplicate, with a note in both.

    Raises:
        TemporaryError: it is found again as long as it is open.
    """
    code = servicenow.close_code(within=left(), preferred="Duplicate")
    servicenow.update(double.sys_id, writes.retirement(kept, code), within=left())
    servicenow.update(kept.sys_id, {"work_notes": f"{double.number} was a duplicate of this."}, within=left())


def succeed(closed: Incident, *, now: datetime) -> Step:
    """Go on to the next generation; its incident is not there yet."""
    return Step(observed=None, change=lambda row: row.succeeded(closed, now=now))


def may_choose_sys_id(servicenow: ServiceNow, record: Record) -> bool:
    """Whether to send our sys_id: not where it is ignored, and not again where it may be why nothing was created.

    The latter is asked when a creation was in doubt, the doubt has passed, and no incident was found under any sys_id.
    """
    return servicenow.honours_sys_id is not False and not record.omits_sys_id


def _found_by_correlation(
    servicenow: ServiceNow, record: Record, *, left: TimeLeft
) -> tuple[Incident | None, tuple[Incident, ...]]:
    """Return the incident of this generation where the instance chose its sys_id, and its open doubles.

    Of several that are not closed the oldest counts, of several that are closed the newest.
    """
    found = [each for each in servicenow.search(record.key, within=left()) if record.may_be_of_this_generation(each)]
    numbers = [incident.number for incident in found]
    if record.previous_number in numbers:
        found = found[numbers.index(record.previous_number) + 1 :]
    unfinished = [incident for incident in found if not incident.is_closed]
    known = next(iter((*unfinished, *reversed(found))), None)
    if known is None:
        return None, ()
    doubles = tuple(incident for incident in unfinished if incident.is_open and incident.sys_id != known.sys_id)
    # The journal is asked for by sys_id alone.
    return servicenow.find(known.sys_id, with_notes=True, within=left()), doubles


def _unchanged(record: Record) -> Record:
    return record
