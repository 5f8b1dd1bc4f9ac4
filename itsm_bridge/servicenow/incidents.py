"""Which incidents does a ServiceNow instance hold, and what did it store of a write?

`target` calls this to read and write incidents, and the health check to probe; `table_api` sends the requests. Whether
and how an incident is changed is decided in `reconcile` and spelled in `fields`.

1. The values of a write are compared with what the instance stored, because ServiceNow drops unknown choices and fields
   that we may not write, cuts values that are too long, and answers success all the same. The names of the fields that
   differ are in `Incident.not_stored`.
2. A write that was refused may have taken effect, or may have been refused because a person or another process was
   faster: a look at the incident tells.
3. Fields that are not given are not sent, the priority and the caller among them.
4. An incident that is hidden from our account is not taken for absent: ServiceNow counts the rows that match before it
   hides any, so an incident that people deleted is told from one that we may not read.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.reconcile.ports import Incident
from itsm_bridge.servicenow.close_codes import CloseCodes
from itsm_bridge.servicenow.incident import CI_FIELD, CONFIGURATION_ITEM, OWNED_FIELDS, status_of
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.queries import Row
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, TooLargeAnswer, UnknownField
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.troubles import Trouble, Troubles

log = logging.getLogger(__name__)

#: The fields that are read of every incident.
FIELDS = (
    *("number", "state", "correlation_id", *OWNED_FIELDS),
    *("close_code", "close_notes", "cmdb_ci", "resolved_at", "sys_created_on", "sys_mod_count"),
)

#: Journals: a write appends to them, and they are read as "".
_JOURNALS = frozenset({"work_notes", "comments", "comments_and_work_notes"})

#: How many incidents of one key are read: its newest generations, and perhaps doubles that people made by hand.
_SEARCH_LIMIT = 20

#: How many of the newest entries are read of a journal that is too large to be read whole; the second number if the
#: first is too many. We write 4000 characters at most, people and mails up to 65,000, of which the second number always
#: fits into an answer.
_NEWEST_NOTES = (200, 20)


class Incidents:
    """The incidents of one instance; safe to share between threads."""

    def __init__(
        self,
        table_api: TableApi,
        *,
        close_code: str = "",
        troubles: Troubles | None = None,
        knowledge: Knowledge | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use `table_api`; nothing is sent yet.

        Args:
            table_api: The tables of the instance.
            close_code: The code to resolve with, if the instance has this choice; "" for the most fitting one.
            troubles: Where it is counted that fields are not stored, or that no close code will do.
            knowledge: What is known of the instance; without it, what this object learns.
            clock: Seconds from any origin, for the age of what was learnt.
        """
        self._table_api = table_api
        self._knowledge = knowledge or Knowledge()
        self._troubles = troubles or Troubles()
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._close_codes = CloseCodes(
            table_api, configured=close_code, troubles=self._troubles, warn=self._warn, clock=clock
        )

    @property
    def honours_sys_id(self) -> bool | None:
        """Whether the instance keeps the sys_id that we choose; None if no creation has shown it lately."""
        return self._knowledge.says(Subject.KEEPS_OUR_SYS_ID)

    def find(
        self, sys_id: str, *, with_notes: bool = False, more_fields: Collection[str] = (), deadline: Deadline
    ) -> Incident | None:
        """Return the incident, or None if there is none.

        With notes, `journal` holds the work notes, of a very long one the newest part; None if it is hidden from us.
        `more_fields` are read besides those of `FIELDS`; those that the instance does not have or hides are absent.

        Raises:
            Unavailable: ServiceNow did not answer.
            NotAllowed: there is one, and it is hidden from us.
            Rejected: it refuses the question for good.
        """
        try:
            displayed = ("work_notes",) if with_notes else ()
            return self._found(sys_id, more_fields, displayed=displayed, deadline=deadline)
        except TooLargeAnswer:
            if not with_notes:
                raise
        incident = self._found(sys_id, more_fields, displayed=(), deadline=deadline)
        return incident and replace(incident, journal=self._newest_notes(sys_id, deadline=deadline))

    def _found(
        self, sys_id: str, more_fields: Collection[str], *, displayed: Sequence[str], deadline: Deadline
    ) -> Incident | None:
        try:
            rows = self._table_api.query(
                "incident",
                {"sys_id": sys_id},
                fields=_asked(more_fields),
                displayed=displayed,
                limit=1,
                must_see_all=True,
                deadline=deadline,
            )
        except UnknownField as error:
            raise Unavailable("ServiceNow answered a row without sys_id") from error
        if not rows:
            return None
        incident = _incident(rows[0], more_fields)
        if incident is None or incident.id != sys_id:
            raise Unavailable("ServiceNow answered a row that is not the incident asked for")
        return incident

    def _newest_notes(self, sys_id: str, *, deadline: Deadline) -> str | None:
        """Return the newest entries of a long journal, newest first; None if we may not read them apart.

        Raises:
            Unavailable: ServiceNow did not answer.
        """
        for limit in _NEWEST_NOTES:
            try:
                rows = self._table_api.query(
                    "sys_journal_field",
                    {"element_id": sys_id, "element": "work_notes"},
                    fields=("value",),
                    order_by="sys_created_on",
                    newest_first=True,
                    limit=limit,
                    must_see_all=True,
                    deadline=deadline,
                )
            except TooLargeAnswer:
                continue
            except (NotAllowed, NoSuchTable, Rejected):
                return None
            # A journal that is too large to be read whole is not empty, nor are its entries.
            return "\n\n".join(row.get("value", "") for row in rows) or None
        return None

    def search(self, correlation_id: str, *, deadline: Deadline) -> tuple[Incident, ...]:
        """Return the newest incidents with this correlation id, at most 20, the oldest of them first.

        Raises:
            Unavailable: ServiceNow did not answer.
            NotAllowed: some are hidden from us, and the one that is meant may be among them.
            Rejected: it refuses the question for good.
        """
        rows = self._table_api.query(
            "incident",
            {"correlation_id": correlation_id},
            fields=FIELDS,
            order_by="sys_created_on",
            newest_first=True,
            limit=_SEARCH_LIMIT,
            must_see_all=True,
            deadline=deadline,
        )
        incidents = [incident for row in rows if (incident := _incident(row))]
        return tuple(sorted(incidents, key=lambda each: (each.fields.get("sys_created_on", ""), each.number)))

    def create(self, fields: Mapping[str, str], *, more_fields: Collection[str] = (), deadline: Deadline) -> Incident:
        """Create an incident; `fields` name its `correlation_id` and, unless the instance is to choose, its `sys_id`.

        Repeating it is harmless on an instance that honours our sys_id. The answer has `more_fields` too, as in `find`.

        Raises:
            Unavailable: ServiceNow did not take the request; there is no new incident.
            Unconfirmed: there may be a new incident, now or later.
            Conflict: the sys_id is taken, by this creation or an earlier one: look at the incident.
            Rejected: ServiceNow refuses it for good.
        """
        try:
            row = self._table_api.insert("incident", fields, fields=_asked((*fields, *more_fields)), deadline=deadline)
        except Rejected as error:
            if "sys_id" in fields:
                self._look_behind(error, fields["sys_id"], deadline)
            raise
        incident = _incident(row, more_fields)
        if incident is None:
            raise Unconfirmed("ServiceNow created an incident and does not show it to us")
        if "sys_id" in fields:
            self._learn(honours_sys_id=incident.id == fields["sys_id"])
        return self._compared(incident, fields)

    def update(
        self, sys_id: str, fields: Mapping[str, str], *, more_fields: Collection[str] = (), deadline: Deadline
    ) -> Incident:
        """Change an incident. A repetition appends work notes once more.

        The answer has `more_fields` too, as in `find`.

        Raises:
            Unavailable: ServiceNow did not take the request; nothing has changed.
            Unconfirmed: it may have changed, or may yet.
            Conflict: it is gone or closed by now.
            Rejected: ServiceNow refuses the change for good.
        """
        try:
            asked = _asked((*fields, *more_fields))
            row = self._table_api.patch("incident", sys_id, fields, fields=asked, deadline=deadline)
        except Rejected as error:
            found = self.find(sys_id, deadline=deadline)
            if found is None or found.is_closed:
                raise Conflict("the incident was closed or deleted meanwhile") from error
            raise
        incident = _incident(row, more_fields)
        if incident is None or incident.id != sys_id:
            raise Unconfirmed("ServiceNow changed an incident and shows us another one or none")
        return self._compared(incident, fields)

    def close_code(self, *, deadline: Deadline, preferred: str = "") -> str:
        """Return the choice of the instance that incidents are resolved with; raises as `CloseCodes.chosen`."""
        return self._close_codes.chosen(deadline=deadline, preferred=preferred)

    def probe(self, *, deadline: Deadline) -> None:
        """Make sure that the instance is awake, knows us and lets us ask for incidents.

        Raises:
            Unavailable: it does not.
            Rejected: it has no incidents.
        """
        self._table_api.probe("incident", deadline=deadline)

    def _look_behind(self, refusal: Rejected, sys_id: str, deadline: Deadline) -> None:
        """Look whether a creation that was refused left its incident all the same, or found the sys_id taken.

        Raises:
            Conflict: the incident exists.
            Unconfirmed: the look did not tell.
        """
        try:
            incident = self.find(sys_id, deadline=deadline)
        except TemporaryError as doubt:
            message = f"{refusal}; whether the incident exists all the same is unknown: {doubt}"
            raise Unconfirmed(message, is_refusal=doubt.is_refusal) from refusal
        if incident is not None:
            raise Conflict(f"{refusal}; {incident.number} has the sys_id") from refusal

    def _learn(self, *, honours_sys_id: bool) -> None:
        """Remember what a creation showed; one sys_id that was not kept outweighs all that were."""
        self._knowledge.learn(Subject.KEEPS_OUR_SYS_ID, value=honours_sys_id)
        if not honours_sys_id:
            self._warn("sys_id", "the instance chose a sys_id of its own; creations of unknown outcome take minutes")

    def _compared(self, incident: Incident, sent: Mapping[str, str]) -> Incident:
        """Return the incident together with the names of the fields that are not stored as they were sent."""
        dropped = tuple(
            name
            for name, value in sent.items()
            if name not in _JOURNALS and name != "sys_id" and not _is_same(value, incident.fields.get(name, ""))
        )
        if dropped:
            self._troubles.count(Trouble.FIELDS, ", ".join(dropped))
        for name in dropped:
            self._warn(f"dropped {name}", "ServiceNow did not store %s as it was sent: refused, cut or mangled", name)
        return replace(incident, not_stored=dropped)

    def _warn(self, subject: str, message: str, *arguments: str) -> None:
        """Warn once per subject."""
        with self._lock:
            is_new = subject not in self._warned
            self._warned.add(subject)
        if is_new:
            log.warning(message, *arguments)


def _asked(more_fields: Collection[str]) -> Sequence[str]:
    """Return the fields to ask for: those of every incident and `more_fields`, of which journals are read as ""."""
    return tuple(dict.fromkeys((*FIELDS, *(name for name in more_fields if name not in _JOURNALS))))


def _incident(row: Row, more_fields: Collection[str] = ()) -> Incident | None:
    """Return the incident that a row shows, with `more_fields` among its links by their own names; None if none."""
    sys_id, number, state = row.get("sys_id", ""), row.get("number", ""), row.get("state", "")
    if not (sys_id and number and re.fullmatch("-?[0-9]{1,9}", state)):
        return None
    return Incident(
        id=sys_id,
        number=number,
        status=status_of(int(state)),
        state=state,
        fields={name: value for name, value in row.items() if name not in _JOURNALS},
        links={name: row[name] for name in more_fields if name in row} | {CONFIGURATION_ITEM: row.get(CI_FIELD, "")},
        created_at=_moment(row.get("sys_created_on", "")),
        resolved_at=_moment(row.get("resolved_at", "")),
        version=row.get("sys_mod_count", ""),
        journal=row.get("work_notes"),
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _is_same(sent: str, stored: str) -> bool:
    """Whether nothing was lost but blanks at the ends of lines."""
    return [line.rstrip() for line in sent.strip().splitlines()] == [
        line.rstrip() for line in stored.strip().splitlines()
    ]
