"""What do the table, the queue and the instance do? The same as the real ones, in memory and at once.

Each class has the methods and the errors of its adapter; `test_*_contract` holds both to account with the same tests.
Nothing fails here on its own account, because the processes let calls fail as `faults` says.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count
from typing import Any

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, NewerVersion, Rejected, Unavailable, Unconfirmed
from itsm_bridge.reconcile.gathering import Gathering
from itsm_bridge.reconcile.pages import GroupRow, Index, Page, Place, Progress
from itsm_bridge.reconcile.ports import Incident, WakeUp
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM, OWNED_FIELDS, IncidentState, status_of
from itsm_bridge.servicenow.refusals import NotAllowed
from itsm_bridge.storage.group_rows import leading_row
from itsm_bridge.storage.index_rows import OPEN, entry_of, mark_of, outline_from, page_of
from itsm_bridge.storage.row_format import aside, from_entity, to_entity

Clock = Callable[[], datetime]

_READ = (*OWNED_FIELDS, "close_code", "close_notes", "cmdb_ci")

#: The fields that tell people of alerts, ServiceNow's and the ledger's.
_TOLD = ("short_description", "description", "title", "work_notes")

#: Rows of a page: few, so that a sweep goes on from run to run.
_PAGE = 2

#: When rows that lead to groups were written; no history purges them.
_NOW_AND_THEN = datetime(9999, 1, 1, tzinfo=UTC)

#: How many incidents a search shows, as the real adapter asks.
_SEARCH_LIMIT = 20


class _Stored:
    """One version of a row, which is taken apart once: a record is frozen, so whoever reads it may have the same."""

    def __init__(self, entity: dict[str, Any], etag: str) -> None:
        self.entity = entity
        self.etag = etag
        self._record: Record | None = None

    def record(self) -> Record:
        """Return it as the real adapter reads it.

        Raises:
            Damaged, NewerVersion: it cannot be read.
        """
        if self._record is None:
            self._record = from_entity(self.entity, etag=self.etag)
        return self._record


class MemoryStore:
    """The table `alerts`."""

    def __init__(self) -> None:
        self._rows: dict[str, _Stored] = {}
        self._etags = count(1)
        self._gatherings: dict[str, Gathering] = {}
        #: By the own key of an alert, the group that its row leads to.
        self.leads: dict[str, str] = {}
        self.aside: list[dict[str, Any]] = []
        #: By key, the entries of the index.
        self._entries: dict[str, dict[str, Any]] = {}
        self._progress = Progress()
        self._looked_at: datetime | None = None
        #: The keys whose rows cannot be written, because their part of the table is in trouble.
        self.unwritable: set[str] = set()

    def insert(self, record: Record) -> Record:
        if record.key in self._rows or record.key in self.leads:
            raise Conflict(f"the row {record.key} exists")
        # Where no entry is written, one of an earlier row stays.
        return self._commit(record if entry_of(record) else replace(record, indexed_as=""))

    def read(self, key: str) -> Record | None:
        if group := self.leads.get(key):
            if group not in self._rows:
                raise LeadsNowhere(group)
            key = group
        found = self._rows.get(key)
        return found.record() if found else None

    def lead(self, key: str, *, to: str) -> str:
        if key in self._rows:
            return key
        return self.leads.setdefault(key, to)

    def gathering(self, group: str) -> Gathering | None:
        return self._gatherings.get(group)

    def gather(self, gathering: Gathering) -> None:
        known = self._gatherings.get(gathering.group)
        if (known.etag if known else "") != gathering.etag:
            raise Conflict(f"the gathering {gathering.group} changed since it was read")
        self._gatherings[gathering.group] = replace(gathering, etag=f'W/"{next(self._etags)}"')

    def replace(self, record: Record) -> Record:
        if not record.etag:
            raise ValueError("only a record that was read can be replaced")
        known = self.read(record.key)
        if known is None or known.etag != record.etag:
            raise Conflict(f"the row {record.key} changed since it was read")
        return self._commit(record)

    def delete(self, record: Record) -> None:
        known = self.read(record.key)
        if known is None:
            return
        if known.etag != record.etag:
            raise Conflict(f"the row {record.key} changed since it was read")
        del self._rows[record.key]
        if record.indexed_as != "":
            self._entries.pop(record.key, None)

    def index(self) -> Index:
        return Index([outline_from(entry) for _, entry in sorted(self._entries.items())])

    def heal(self, key: str) -> bool:
        if key not in self._rows:
            return self._entries.pop(key, None) is not None
        record = _readable(self._rows[key])
        if record is None:
            return False
        wanted, there = mark_of(entry_of(record)), mark_of(self._entries.get(key))
        if there == wanted and (not wanted or record.indexed_as == wanted):
            return False
        self._commit(replace(record, indexed_as=None))
        return True

    def pages(self, place: Place) -> Iterator[Page]:
        rows = [stored.entity for stored in self._rows.values()]
        leads = [leading_row(key, to=group, now=_NOW_AND_THEN) for key, group in self.leads.items()]
        left = sorted(
            (each for each in (*rows, *leads, *self._entries.values()) if _place_of(each) > place), key=_place_of
        )
        while True:
            page, left = left[:_PAGE], left[_PAGE:]
            yield page_of(page, is_last=not left)
            if not left:
                return

    def purge_group(self, row: GroupRow, *, changed_before: datetime) -> bool:  # noqa: ARG002 - no history is so long
        return False

    def progress(self) -> Progress:
        return self._progress

    def save_progress(self, progress: Progress) -> Progress:
        if progress.etag != self._progress.etag:
            raise Conflict("another process sweeps too")
        self._progress = replace(progress, etag=f'W/"{next(self._etags)}"')
        return self._progress

    def begin_look(self, now: datetime, *, unless_since: datetime) -> bool:
        if self._looked_at is not None and self._looked_at > unless_since:
            return False
        self._looked_at = now
        return True

    def restore(self, record: Record) -> Record:
        found = self._rows.get(record.key)
        if found is None:
            raise Conflict(f"the row {record.key} is gone")
        with suppress(Damaged):
            found.record()
            raise Conflict(f"the row {record.key} can be read")
        self.aside.append(aside(found.entity, etag=found.etag))
        return self._commit(record)

    # Here a bug, a person or another version of the program changes a row.

    def change_document(self, key: str, change: Callable[[str], str], **columns: Any) -> None:
        """Change the text of a row, and columns of it."""
        self.change_row(key, document_0=change(self._rows[key].entity["document_0"]), **columns)

    def change_row(self, key: str, **columns: Any) -> None:
        """Change columns of a row."""
        self._rows[key] = _Stored({**self._rows[key].entity, **columns}, f'W/"{next(self._etags)}"')

    def change_as_older(self, key: str, change: Callable[[str], str]) -> None:
        """Write a row as a version of the program does that knows no index."""
        entity = self._rows[key].entity
        known = {name: value for name, value in entity.items() if name != "indexed_as"}
        self.put({**known, "document_0": change(entity["document_0"]), "needs_version": 1})

    def put(self, entity: Mapping[str, Any]) -> None:
        """Write a row, or an entry of the index, as it is."""
        row_key = str(entity["RowKey"])
        if row_key.startswith(OPEN):
            self._entries[row_key.removeprefix(OPEN)] = dict(entity)
        else:
            self._rows[row_key] = _Stored(dict(entity), f'W/"{next(self._etags)}"')

    def lose_row(self, key: str) -> None:
        """Let a row be gone, and the index not know it."""
        del self._rows[key]

    def lose_entry(self, key: str) -> None:
        """Let the index forget a row."""
        self._entries.pop(key, None)

    @property
    def records(self) -> list[Record]:
        """All rows, by key."""
        return [record for _, stored in sorted(self._rows.items()) if (record := _readable(stored))]

    def _commit(self, after: Record) -> Record:
        if after.key in self.unwritable:
            raise Unavailable("the table did not answer")
        etag = f'W/"{next(self._etags)}"'
        entry = entry_of(after)
        row = replace(after, indexed_as=mark_of(entry))
        # Row and entry change together, as in a transaction.
        self._rows[row.key] = _Stored(to_entity(row), etag)
        if entry is not None and row.indexed_as != after.indexed_as:
            self._entries[row.key] = entry
        elif entry is None and after.indexed_as != "":
            self._entries.pop(row.key, None)
        return replace(row, etag=etag)


def _place_of(entity: Mapping[str, Any]) -> Place:
    return Place(entity["PartitionKey"], entity["RowKey"])


def _readable(stored: _Stored) -> Record | None:
    with suppress(Damaged, NewerVersion):
        return stored.record()
    return None


@dataclass(slots=True, kw_only=True)
class Message:
    """One wake-up in the queue."""

    message_id: str
    key: str
    visible_at: datetime
    pop_receipt: str
    dequeue_count: int = 0


class MemoryWakeUps:
    """The queue `alert-wakeups`, and what the Functions host does with it."""

    def __init__(self, *, now: Clock) -> None:
        self._now = now
        self._numbers = count(1)
        self.messages: dict[str, Message] = {}
        self.poison: list[str] = []
        #: How many wake-ups each key was ever sent.
        self.sent = Counter[str]()
        #: Called with each message that is hidden, so that the history takes it when it becomes visible.
        self.on_hidden: Callable[[Message], None] = lambda _: None

    def send(self, key: str, *, delay: timedelta) -> WakeUp:
        seconds = round(min(max(delay, timedelta(0)), timedelta(days=7)).total_seconds())
        number = next(self._numbers)
        message = Message(
            message_id=f"m{number}",
            key=key,
            visible_at=self._now() + timedelta(seconds=seconds),
            pop_receipt=f"p{number}",
        )
        self.messages[message.message_id] = message
        self.sent[key] += 1
        self.on_hidden(message)
        return WakeUp(message_id=message.message_id, pop_receipt=message.pop_receipt)

    def take_back(self, wake_up: WakeUp) -> None:
        message = self.messages.get(wake_up.message_id)
        if message is None:
            return
        if message.pop_receipt != wake_up.pop_receipt:
            raise Unavailable("the queue refused: the host has the message")
        del self.messages[wake_up.message_id]

    def peek(self) -> list[tuple[str, str]]:
        visible = [each for each in self.messages.values() if each.visible_at <= self._now()]
        return [(each.key, each.message_id) for each in sorted(visible, key=lambda each: each.visible_at)[:32]]

    # Here the host works.

    @property
    def count(self) -> int:
        """ApproximateMessagesCount, by which the platform scales: what is visible, hidden, and being worked on."""
        return len(self.messages)

    def take(self, message_id: str, *, lease: timedelta) -> WakeUp | None:
        """Hide a visible message for `lease` and return it; None if it is gone or hidden."""
        message = self.messages.get(message_id)
        if message is None or message.visible_at > self._now():
            return None
        message.dequeue_count += 1
        return self.hide(message_id, lease)

    def hide(self, message_id: str, span: timedelta) -> WakeUp:
        """Hide a message for `span`."""
        message = self.messages[message_id]
        message.visible_at = self._now() + span
        message.pop_receipt = f"p{next(self._numbers)}"
        self.on_hidden(message)
        return WakeUp(message_id=message_id, pop_receipt=message.pop_receipt)


@dataclass(slots=True, kw_only=True)
class Row:
    """One incident."""

    sys_id: str
    number: str
    correlation_id: str
    created_at: datetime
    #: The key that the incident was created for, even if another integration took its correlation id.
    key: str = ""
    state: int = IncidentState.NEW
    #: When it was last resolved; None once it is open again. A closed incident keeps it.
    resolved_at: datetime | None = None
    mod_count: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)
    #: All that its text fields ever said, for the oracle: what stands there now may be about another alert.
    told: str = ""

    @property
    def is_closed(self) -> bool:
        return self.state in (IncidentState.CLOSED, IncidentState.CANCELED)

    @property
    def is_open(self) -> bool:
        return not self.is_closed and self.state != IncidentState.RESOLVED

    def turn(self, state: int, now: datetime) -> None:
        """Bring it into this state, as a person or the API does."""
        if state == IncidentState.RESOLVED and self.state != IncidentState.RESOLVED:
            self.resolved_at = now
        self.state = state
        if self.is_open:
            self.resolved_at = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write of an incident through the API, for the oracle."""

    row: Row
    before: int
    #: When it had been resolved before; None if it was open.
    resolved_at: datetime | None
    #: When the request left its process, and when it took effect.
    sent_at: datetime
    at: datetime
    fields: Mapping[str, str]


class SysIds(Enum):
    """The ways in which an instance treats a sys_id that an insert brings."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(slots=True, kw_only=True)
class Rules:
    """The peculiarities of this instance, of which the documentation says nothing."""

    #: The state that a rule gives a new incident of a key; None if it leaves it alone.
    state_at_birth: Callable[[str], int | None] = lambda _: None
    #: Whether it refuses to resolve, "refused", or confirms and puts the state back, "put back".
    on_resolve: str = ""
    #: Whether our account may not read work notes.
    hides_journal: bool = False
    #: Whether another integration takes the correlation id of new incidents.
    rewrites_correlation: bool = False
    #: When incidents are hidden from our account.
    hidden_from: datetime | None = None
    hidden_until: datetime | None = None
    #: Whether none of its close codes is one that we know.
    has_own_close_codes: bool = False


class MemoryInstance:
    """The incident table of one instance."""

    def __init__(
        self,
        *,
        now: Clock,
        sys_ids: SysIds = SysIds.HONOURED,
        protects_closed: bool = True,
        rejects_duplicates: bool = False,
        on_created: Callable[[Row], None] = lambda _: None,
        on_changed: Callable[[Change], None] = lambda _: None,
        rules: Rules | None = None,
    ) -> None:
        self.rules = rules or Rules()
        #: When the request left its process that takes effect now; None if nobody told.
        self.sent_at: datetime | None = None
        self._on_changed = on_changed
        self._now = now
        self._sys_ids = sys_ids
        self._protects_closed = protects_closed
        self._on_created = on_created
        self._numbers = count(10001)
        #: Whether a second insert of a sys_id is refused in words that mean "for good".
        self.rejects_duplicates = rejects_duplicates
        self.rows: dict[str, Row] = {}

    def of(self, key: str) -> list[Row]:
        """Return the incidents of a key, oldest first."""
        return [row for row in self.rows.values() if row.key == key]

    @property
    def is_hidden(self) -> bool:
        """Whether our account may not read incidents now."""
        begin, end = self.rules.hidden_from, self.rules.hidden_until
        return begin is not None and end is not None and begin <= self._now() < end

    def insert(self, fields: Mapping[str, str]) -> Row:
        """Insert an incident.

        Raises:
            Duplicate: there is one with this sys_id.
            Unconfirmed: a sys_id is refused, in words that may mean anything.
        """
        number = next(self._numbers)
        if "sys_id" in fields and self._sys_ids is SysIds.REFUSED:
            raise Unconfirmed("403, forbidden: ACL Exception Insert Failed", is_refusal=True)
        is_ours = "sys_id" in fields and self._sys_ids is SysIds.HONOURED
        sys_id = fields["sys_id"] if is_ours else f"{number:032x}"
        if sys_id in self.rows:
            raise Duplicate
        row = Row(
            sys_id=sys_id,
            number=f"INC{number:07}",
            correlation_id="VENDOR" if self.rules.rewrites_correlation else fields["correlation_id"],
            created_at=self._now(),
            key=fields["correlation_id"],
        )
        self.rows[sys_id] = row
        self._write(row, fields)
        row.mod_count = 0
        row.turn(self.rules.state_at_birth(row.key) or row.state, self._now())
        self._on_created(row)
        return row

    def change(self, sys_id: str, fields: Mapping[str, str]) -> Row:
        """Change an incident through the API.

        Raises:
            Conflict: it is gone, or closed and protected.
            Rejected: a rule forbids it.
        """
        row = self.rows.get(sys_id)
        if row is None or (row.is_closed and self._protects_closed):
            raise Conflict("the incident was closed or deleted meanwhile")
        state, resolved_at = row.state, row.resolved_at
        if fields.get("state") == str(int(IncidentState.RESOLVED)) and state != IncidentState.RESOLVED:
            if self.rules.on_resolve == "refused" or (self.rules.has_own_close_codes and "close_code" not in fields):
                raise Rejected("403, a rule forbids it: Data Policy Exception")
            if self.rules.on_resolve == "put back":
                fields = {**fields, "state": str(state)}
        self._write(row, fields)
        now = self._now()
        self._on_changed(
            Change(row=row, before=state, resolved_at=resolved_at, sent_at=self.sent_at or now, at=now, fields=fields)
        )
        return row

    def shown(self, row: Row, *, with_notes: bool = False) -> Incident:
        """Return an incident as it is read."""
        return Incident(
            id=row.sys_id,
            number=row.number,
            status=status_of(row.state),
            state=str(int(row.state)),
            fields={**dict.fromkeys(_READ, ""), **row.fields},
            links={**row.fields, CONFIGURATION_ITEM: row.fields.get("cmdb_ci", "")},
            created_at=row.created_at.replace(microsecond=0),
            resolved_at=row.resolved_at.replace(microsecond=0) if row.resolved_at else None,
            version=str(row.mod_count),
            journal="\n\n".join(reversed(row.journal)) if with_notes and not self.rules.hides_journal else None,
        )

    def _write(self, row: Row, fields: Mapping[str, str]) -> None:
        before = (dict(row.fields), row.state, len(row.journal))
        row.fields |= {name: text for name, text in fields.items() if name not in ("sys_id", "work_notes", "state")}
        row.turn(int(fields.get("state", row.state)), self._now())
        row.told += "\n".join(text for name, text in fields.items() if name in _TOLD)
        if fields.get("work_notes"):
            row.journal.append(fields["work_notes"])
        row.mod_count += before != (row.fields, row.state, len(row.journal))


class Duplicate(Exception):
    """There is a row with this sys_id."""


class MemoryIncidents:
    """The instance as one process knows it: the adapter `Incidents`, without a wire."""

    def __init__(self, instance: MemoryInstance) -> None:
        self._instance = instance
        self._honours_sys_id: bool | None = None

    @property
    def honours_sys_id(self) -> bool | None:
        return self._honours_sys_id

    def find(
        self,
        sys_id: str,
        *,
        with_notes: bool = False,
        more_fields: Collection[str] = (),  # noqa: ARG002 - it shows all of them
        deadline: Deadline,  # noqa: ARG002 - the adapter's
    ) -> Incident | None:
        row = self._instance.rows.get(sys_id)
        if row and self._instance.is_hidden:
            raise NotAllowed("what is asked for exists and is hidden from our account", is_refusal=True)
        return self._instance.shown(row, with_notes=with_notes) if row else None

    def search(self, correlation_id: str, *, deadline: Deadline) -> tuple[Incident, ...]:  # noqa: ARG002 - the adapter's
        found = [row for row in self._instance.rows.values() if row.correlation_id == correlation_id]
        if found and self._instance.is_hidden:
            raise NotAllowed("what is asked for exists and is hidden from our account", is_refusal=True)
        return tuple(self._instance.shown(row) for row in found[-_SEARCH_LIMIT:])

    def create(
        self,
        fields: Mapping[str, str],
        *,
        more_fields: Collection[str] = (),  # noqa: ARG002 - it shows all of them
        deadline: Deadline,  # noqa: ARG002 - the adapter's
    ) -> Incident:
        try:
            row = self._instance.insert(fields)
        except Duplicate as error:
            if self._instance.rejects_duplicates:
                raise Conflict("the sys_id is taken") from error
            raise Unconfirmed("403, the database failed: Error during insert of incident") from error
        return self.learnt(self._instance.shown(row), fields)

    def learnt(self, incident: Incident, fields: Mapping[str, str]) -> Incident:
        """Remember whether our sys_id was kept; once it was not, it never is."""
        if self._honours_sys_id is not False and "sys_id" in fields:
            self._honours_sys_id = incident.id == fields["sys_id"]
        return incident

    def update(
        self,
        sys_id: str,
        fields: Mapping[str, str],
        *,
        more_fields: Collection[str] = (),  # noqa: ARG002 - it shows all of them
        deadline: Deadline,  # noqa: ARG002 - the adapter's
    ) -> Incident:
        return self._instance.shown(self._instance.change(sys_id, fields))

    def close_code(self, *, deadline: Deadline, preferred: str = "") -> str:  # noqa: ARG002 - the adapter's
        if preferred or not self._instance.rules.has_own_close_codes:
            return preferred or "Solution provided"
        return ""
