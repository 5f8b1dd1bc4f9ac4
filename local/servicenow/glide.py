"""What does the instance hold, and what does it make of what it is told?

An application node (`table_api`) writes and reads for clients, and the instance for people who use the browser.
Rules, each of them a trap that a client has to know:

1. The instance drops without a word what it cannot store, and the write succeeds: unknown columns, unknown choices,
   columns that the account may not write. It cuts over-long text.
2. A write that breaks a rule is refused as a whole: `Refused`.
3. Journals are appended to, never replaced, and read as "".
4. A write that changes nothing leaves `sys_mod_count` alone.

All of it is in memory. Callers hold `lock` while they look at rows that they did not copy.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/it-service-management/incident-management/c_IncidentManagementStateModel.md
and https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/platform-administration/c_DataPolicy.md
"""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from threading import RLock

from local.servicenow.dictionary import Column, Table, descendants, lineage, shipped_tables
from local.servicenow.encoded_query import Query, parse_query

Row = dict[str, str]

#: A business rule that runs before a row is written: the table, the row as it was (None for a new one), and the row as
#: it will be, which the rule may change. It may refuse the write.
Rule = Callable[[str, Row | None, Row], None]

#: Resolution codes as newer and as older instances ship them.
NEWER_CLOSE_CODES = (
    "Duplicate",
    "Known error",
    "No resolution provided",
    "Resolved by caller",
    "Resolved by change",
    "Resolved by problem",
    "Resolved by request",
    "Solution provided",
    "Workaround provided",
    "User error",
)
OLDER_CLOSE_CODES = (
    "Solved (Permanently)",
    "Solved (Work Around)",
    "Not Solved (Not Reproducible)",
    "Not Solved (Too Costly)",
    "Closed/Resolved by Caller",
)

_RESOLVED, _CLOSED, _CANCELED = "6", "7", "8"

#: Label by value, per table and column.
_SHIPPED_CHOICES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("incident", "state"): {
        "1": "New",
        "2": "In Progress",
        "3": "On Hold",
        _RESOLVED: "Resolved",
        _CLOSED: "Closed",
        _CANCELED: "Canceled",
    },
    ("incident", "hold_reason"): {
        "1": "Awaiting Caller",
        "3": "Awaiting Problem",
        "4": "Awaiting Vendor",
        "5": "Awaiting Change",
    },
    ("task", "impact"): {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
    ("task", "urgency"): {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
    ("task", "priority"): {
        "1": "1 - Critical",
        "2": "2 - High",
        "3": "3 - Moderate",
        "4": "4 - Low",
        "5": "5 - Planning",
    },
    ("incident", "category"): {
        "inquiry": "Inquiry / Help",
        "software": "Software",
        "hardware": "Hardware",
        "network": "Network",
        "database": "Database",
    },
    ("task", "contact_type"): {
        "email": "Email",
        "monitoring": "Monitoring",
        "phone": "Phone",
        "self-service": "Self-service",
        "virtual_agent": "Virtual Agent",
        "walk-in": "Walk-in",
    },
    ("incident", "close_code"): {code: code for code in NEWER_CLOSE_CODES},
    ("cmdb_ci", "install_status"): {
        "1": "Installed",
        "2": "On Order",
        "3": "In Maintenance",
        "6": "In Stock",
        "7": "Retired",
        "100": "Absent",
    },
    ("cmdb_ci", "operational_status"): {"1": "Operational", "2": "Non-Operational", "6": "Retired"},
}

_PRIORITIES = {"11": "1", "12": "2", "13": "3", "21": "2", "22": "3", "23": "4", "31": "3", "32": "4", "33": "5"}

_DEFAULTS: Mapping[str, Row] = {
    "task": {"active": "true", "escalation": "0", "impact": "3", "urgency": "3", "made_sla": "true", "state": "1"},
    "incident": {
        "category": "inquiry",
        "approval": "not requested",
        "child_incidents": "0",
        "knowledge": "false",
        "notify": "1",
        "reassignment_count": "0",
        "reopen_count": "0",
        "severity": "3",
        "sys_domain": "global",
        "sys_domain_path": "/",
        "upon_approval": "proceed",
        "upon_reject": "cancel",
    },
    "cmdb_ci": {"install_status": "1", "operational_status": "1", "sys_domain": "global"},
    "sys_user": {"active": "true"},
    "sys_user_group": {"active": "true"},
}

#: Columns that the platform alone writes.
_PLATFORM_COLUMNS = frozenset(
    ("sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count")
)

_SYS_ID = re.compile(r"[0-9a-f]{32}")
_WHEN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_WHEN_FORMAT = "%Y-%m-%d %H:%M:%S"

#: Columns up to this length cannot hold characters beyond the basic plane.
_NARROW = 255

_CLOSED_RULE = "DL - Enfore security on closed incidents"


class Refused(Exception):
    """A request was refused as a whole; `detail` is None where the instance answers null."""

    def __init__(self, status: int, message: str, detail: str | None) -> None:
        super().__init__(message, detail)
        self.status = status
        self.message = message
        self.detail = detail


class SysIds(Enum):
    """The ways in which the instance treats a sys_id that an insert brings."""

    HONOURED = "honoured"
    #: It is dropped, and the row gets another.
    IGNORED = "ignored"
    #: The insert is refused.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The account that acts: the integration's, or a person's."""

    user_name: str
    name: str
    #: Administrators may change closed incidents.
    is_admin: bool = False

    @property
    def sys_id(self) -> str:
        """The row in sys_user."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.user_name).hex


@dataclass(slots=True, kw_only=True)
class Switches:
    """How this instance was set up; may be changed at any time."""

    sys_ids: SysIds = SysIds.HONOURED
    #: Tables whose rows the integration's account may not read.
    unreadable_tables: set[str] = field(default_factory=set)
    #: Single rows that it may not read.
    unreadable_rows: set[str] = field(default_factory=set)
    #: Columns that it may not write: what it sends is dropped.
    unwritable_columns: set[str] = field(default_factory=set)
    #: Columns that it may not read, journals included: answers leave them out.
    unreadable_columns: set[str] = field(default_factory=set)
    #: glide.invalid_query.returns_no_rows
    invalid_query_returns_no_rows: bool = False
    #: Whether queries tell "A" from "a"; the documentation says both.
    queries_match_case: bool = True
    #: glide.rest.choice.allow_non_existing_value
    allow_non_existing_choices: bool = False
    #: Tables that the account is refused as a whole.
    forbidden_tables: set[str] = field(default_factory=set)
    #: Whether the business rule "user query" hides inactive users, as instances ship it.
    hides_inactive_users: bool = False
    #: Columns without which a data policy refuses an incident, new or changed; instances ship no such policy.
    mandatory_always: tuple[str, ...] = ()
    #: Columns without which an incident is neither resolved nor closed.
    mandatory_to_close: tuple[str, ...] = ("close_code", "close_notes")
    #: Whether a business rule aborts updates of closed and canceled incidents.
    closed_incidents_are_protected: bool = True
    #: How far the account's time zone is ahead of UTC; display values are in it.
    time_zone: timedelta = timedelta(hours=-8)
    #: Whether basic authentication is allowed at all.
    allows_basic_authentication: bool = True
    #: Whether the OAuth grant client_credentials was switched on.
    allows_client_credentials: bool = True
    #: Tables that the account may read and not insert into, or not change.
    uninsertable_tables: set[str] = field(default_factory=set)
    unchangeable_tables: set[str] = field(default_factory=set)
    #: How far the clock of the instance is ahead; it shows in the Date header.
    clock_ahead: timedelta = timedelta(0)
    #: Whether there is the Batch API.
    has_batch_api: bool = True
    #: Bytes of one request of a batch and of the answer to one: glide.rest.batch.max.inputSize and .max.outputSize.
    batch_input: int = 5_000_000
    batch_output: int = 10_000_000
    #: Seconds after which a batch is ended, and that each of its requests takes: the work, without the round trip.
    batch_quota: float = 30
    batch_work: float = 0
    #: Seconds that an access token is valid.
    token_lifetime: float = 1800
    #: A rate limit rule for the Table API; None if there is none.
    requests_per_hour: int | None = None
    #: How many API requests a node runs at once, and how many more it lets wait.
    semaphores: int = 4
    semaphore_queue: int = 50
    #: Seconds that a request waits for another one of the same session before it is answered 202.
    session_wait: float = 30
    #: Whether such a request is executed nevertheless.
    executes_after_202: bool = False


class Glide:
    """The tables of one instance and the rules that guard them."""

    def __init__(self, *, switches: Switches, now: Callable[[], datetime]) -> None:
        self.lock = RLock()
        self.switches = switches
        #: In the order in which they run. Maintenance windows, noise filters, other integrations.
        self.rules: list[Rule] = []
        self.tables = shipped_tables()
        #: Scripts that a query would have run.
        self.injections: list[str] = []
        #: Parts of queries that were ignored, so that more rows matched than were asked for.
        self.widened: list[str] = []
        self._now = now
        self._columns = {name: self._inherited(name) for name in self.tables}
        self._below = {name: descendants(self.tables, name) for name in self.tables}
        #: By table, then by sys_id, in the order of creation.
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in self.tables}
        self._journal: dict[str, list[Row]] = {}
        #: The answers of `choices`, by table and column; None when a choice was written since.
        self._choices: dict[tuple[str, str], dict[str, str]] | None = None
        self._last_number = 10000
        self._platform = User(user_name="system", name="System", is_admin=True)
        for table in self.tables.values():
            for each in table.columns.values():
                self._describe(table.name, each)
        for (name, element), labels in _SHIPPED_CHOICES.items():
            self.set_choices(name, element, labels)

    # The dictionary

    def columns(self, name: str) -> dict[str, Column]:
        """Return the columns of a table, its own last.

        Raises:
            Refused: there is no such table.
        """
        if name not in self.tables:
            raise Refused(400, f"Invalid table {name}", None)
        return self._columns[name]

    def add_column(self, name: str, column: Column) -> None:
        """Give a table one more column, as an administrator would."""
        with self.lock:
            table = self.tables[name]
            self.tables[name] = Table(
                name=name,
                columns={**table.columns, column.name: column},
                parent=table.parent,
                display=table.display,
            )
            self._columns = {each: self._inherited(each) for each in self.tables}
            self._describe(name, column)

    def set_choices(self, name: str, element: str, labels: Mapping[str, str] | Iterable[str]) -> None:
        """Replace the choices of a column; with none of its own, a table has those of the table that it extends."""
        pairs = labels if isinstance(labels, Mapping) else {each: each for each in labels}
        with self.lock:
            rows = self._rows["sys_choice"]
            for row in list(rows.values()):
                if (row["name"], row["element"]) == (name, element):
                    del rows[row["sys_id"]]
            self._choices = None
            for sequence, (value, label) in enumerate(pairs.items()):
                choice = {"name": name, "element": element, "value": value, "label": label, "language": "en"}
                choice |= {"sequence": str(sequence), "inactive": "false"}
                self.insert("sys_choice", choice, by=self._platform)

    def choices(self, name: str, element: str) -> dict[str, str]:
        """Return label by value of the active choices of a column; empty if it is not a choice column."""
        if self._choices is None:
            self._choices = {}
            for row in self._rows["sys_choice"].values():
                labels = self._choices.setdefault((row["name"], row["element"]), {})
                if row["inactive"] != "true":
                    labels[row["value"]] = row["label"]
        owners = (table.name for table in lineage(self.tables, name))
        return next((self._choices[each, element] for each in owners if (each, element) in self._choices), {})

    def resolve_column(self, name: str, path: str) -> Column | None:
        """Return the column that a dot-walked path ends at; None if there is none."""
        first, _, rest = path.partition(".")
        column = self.columns(name).get(first)
        if column is None or not rest:
            return column
        return self.resolve_column(column.reference, rest) if column.reference else None

    def _inherited(self, name: str) -> dict[str, Column]:
        found: dict[str, Column] = {}
        for table in reversed(list(lineage(self.tables, name))):
            found |= table.columns
        return found

    def _describe(self, name: str, column: Column) -> None:
        entry = {"name": name, "element": column.name, "internal_type": column.type, "column_label": column.label}
        entry |= {"max_length": str(column.length), "reference": column.reference, "active": "true"}
        entry |= {"unique": _as_text(column.unique), "mandatory": _as_text(column.mandatory), "read_only": "false"}
        row = self._new_row("sys_dictionary", uuid.uuid4().hex, self._platform) | entry
        self._rows["sys_dictionary"][row["sys_id"]] = row

    # Reading

    def find(self, name: str, sys_id: str) -> Row | None:
        """Return the row itself, of the table or of one that extends it; None if there is none."""
        for each in self._below[name]:
            if sys_id in self._rows[each]:
                return self._rows[each][sys_id]
        return None

    def copies(self, name: str) -> list[Row]:
        """Return copies of the rows of a table, and of those that extend it, in the order of their creation."""
        with self.lock:
            return [dict(row) for row in self._all(name)]

    def count(self, name: str) -> int:
        """Return how many rows a table has, with those that extend it."""
        with self.lock:
            return sum(len(self._rows[each]) for each in self._below[name])

    def select(self, name: str, encoded_query: str) -> list[Row]:
        """Return the rows themselves that match, in the order asked for, else by sys_id."""
        query = parse_query(
            encoded_query,
            is_known=lambda path: self.resolve_column(name, path) is not None,
            run=self._run,
            now=self._now,
        )
        self.injections += query.scripts
        self.widened += query.ignored
        if query.ignored and self.switches.invalid_query_returns_no_rows:
            return []
        rows = [row for row in self._all(name) if self._matches(name, row, query) and not self._is_hidden(name, row)]
        return self._ordered(name, query, rows)

    def _is_hidden(self, name: str, row: Row) -> bool:
        """Whether a business rule keeps the row out of queries: then it is not counted either."""
        return name == "sys_user" and self.switches.hides_inactive_users and row["active"] == "false"

    def value(self, name: str, row: Row, path: str) -> str:
        """Return the raw value at a dot-walked path; "" where a reference leads nowhere."""
        first, _, rest = path.partition(".")
        column = self.columns(name)[first]
        if not rest:
            return "" if column.type == "journal_input" else row.get(first, "")
        target = self.find(column.reference, row.get(first, ""))
        return self.value(column.reference, target, rest) if target else ""

    def display_value(self, name: str, row: Row, path: str) -> str:
        """Return what people see at a dot-walked path, dates in the account's time zone."""
        first, _, rest = path.partition(".")
        column = self.columns(name)[first]
        if rest:
            target = self.find(column.reference, row.get(first, ""))
            return self.display_value(column.reference, target, rest) if target else ""
        if column.type == "journal_input":
            return self._journal_text(row["sys_id"], first)
        value = row.get(first, "")
        if column.type == "glide_date_time":
            return self.local_time(value)
        if column.reference:
            target = self.find(column.reference, value)
            return target.get(self.tables[column.reference].display, "") if target else ""
        return self.choices(name, first).get(value, value)

    def journal(self, sys_id: str, element: str = "work_notes") -> list[Row]:
        """Return copies of a row's journal entries, oldest first."""
        with self.lock:
            return [dict(entry) for entry in self._journal.get(sys_id, ()) if entry["element"] == element]

    def user_name(self, user_name: str) -> str:
        """Return what people call a user."""
        return next((u["name"] for u in self._rows["sys_user"].values() if u["user_name"] == user_name), user_name)

    def local_time(self, value: str) -> str:
        """Return a UTC date as the account sees it."""
        if not _WHEN.fullmatch(value):
            return value
        moment = datetime.strptime(value, _WHEN_FORMAT).replace(tzinfo=UTC)
        return (moment + self.switches.time_zone).strftime(_WHEN_FORMAT)

    def _all(self, name: str) -> Iterable[Row]:
        return (row for each in self._below[name] for row in self._rows[each].values())

    def _matches(self, name: str, row: Row, query: Query) -> bool:
        return query.matches(lambda path: self.value(name, row, path), match_case=self.switches.queries_match_case)

    def _ordered(self, name: str, query: Query, rows: list[Row]) -> list[Row]:
        rows.sort(key=lambda row: row["sys_id"])
        for path, descending in reversed(query.order):
            rows.sort(key=lambda row, path=path: self.value(name, row, path), reverse=descending)  # type: ignore[misc] # path is bound on purpose
        return rows

    def _run(self, script: str) -> str:
        return self._integration_sys_id if script == "gs.getUserID()" else ""

    #: The sys_id that `gs.getUserID()` returns.
    _integration_sys_id = ""

    def _journal_text(self, sys_id: str, element: str) -> str:
        kinds = {"work_notes": "Work notes", "comments": "Additional comments"}
        entries = [e for e in self._journal.get(sys_id, ()) if element in (e["element"], "comments_and_work_notes")]
        return "".join(
            f"{self.local_time(entry['sys_created_on'])} - {self.user_name(entry['sys_created_by'])}"
            f" ({kinds[entry['element']]})\n{entry['value']}\n\n"
            for entry in reversed(entries)
        )

    # Writing

    def add_user(self, user: User) -> None:
        """Make the user known, so that references to it have a name."""
        first, _, last = user.name.rpartition(" ")
        values = {"sys_id": user.sys_id, "user_name": user.user_name, "name": user.name, "active": "true"}
        self.insert("sys_user", {**values, "first_name": first, "last_name": last}, by=self._platform)
        if not user.is_admin:
            self._integration_sys_id = user.sys_id

    def insert(self, name: str, values: Mapping[str, object], *, by: User, as_display_values: bool = False) -> Row:
        """Insert a row and return it.

        Raises:
            Refused: nothing was inserted.
        """
        with self.lock:
            accepted = self._accept(name, values, by=by, as_display_values=as_display_values)
            row = self._new_row(name, self._new_sys_id(values, by), by)
            row |= accepted
            if name == "incident":
                self._derive(None, row, by)
                self._check_data_policies(row)
            for rule in self.rules:
                rule(name, None, row)
            if self.find(name, row["sys_id"]):
                raise self._not_inserted(name, row)
            self._check_unique(name, row)
            self._rows[name][row["sys_id"]] = row
            self._forget_choices(name)
            self._append_notes(name, row, values, by)
            return row

    def update(
        self, name: str, sys_id: str, values: Mapping[str, object], *, by: User, as_display_values: bool = False
    ) -> Row:
        """Change the columns that `values` names and return the row; unchanged if nothing differs.

        Raises:
            Refused: there is no such row, or a rule forbids it; nothing was changed.
        """
        with self.lock:
            row = self.find(name, sys_id)
            if row is None:
                raise Refused(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
            name = row.get("sys_class_name") or name
            changes = self._accept(name, values, by=by, as_display_values=as_display_values)
            changes = {key: value for key, value in changes.items() if row.get(key, "") != value}
            if not changes and not self._notes(name, values, by):
                return row
            after = {**row, **changes}
            if name == "incident":
                self._check_closed(row, by)
                self._derive(row, after, by)
                self._check_data_policies(after)
            for rule in self.rules:
                rule(name, row, after)
            self._check_unique(name, after)
            after["sys_mod_count"] = str(int(row["sys_mod_count"]) + 1)
            after |= {"sys_updated_on": self._moment(), "sys_updated_by": by.user_name}
            row.update(after)
            self._forget_choices(name)
            self._append_notes(name, row, values, by)
            return row

    def delete(self, name: str, sys_id: str) -> None:
        """Delete a row and its journal.

        Raises:
            Refused: there is no such row.
        """
        with self.lock:
            row = self.find(name, sys_id)
            if row is None:
                raise Refused(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
            for each in self._below[name]:
                self._rows[each].pop(sys_id, None)
            self._journal.pop(sys_id, None)
            self._forget_choices(name)

    def _forget_choices(self, written: str) -> None:
        if written == "sys_choice":
            self._choices = None

    def _accept(self, name: str, values: Mapping[str, object], *, by: User, as_display_values: bool) -> Row:
        """Return what of `values` gets into the row, as it is stored; the rest is dropped without a word."""
        known = self.columns(name)
        accepted: Row = {}
        for key, value in values.items():
            column = known.get(key)
            if column is None or column.type == "journal_input" or key in _PLATFORM_COLUMNS:
                continue
            if not by.is_admin and key in self.switches.unwritable_columns:
                continue
            stored = self._store(name, column, _as_text(value), as_display_values=as_display_values)
            if stored is not None:
                accepted[key] = stored
        return accepted

    def _store(self, name: str, column: Column, text: str, *, as_display_values: bool) -> str | None:
        """Return `text` as the column stores it; None if it is dropped."""
        choices = self.choices(name, column.name)
        if choices:
            return self._choice(choices, text, as_display_values=as_display_values)
        if as_display_values and text and column.reference:
            display = self.tables[column.reference].display
            return next((row["sys_id"] for row in self._all(column.reference) if row.get(display) == text), None)
        if text and column.type == "integer" and not re.fullmatch(r"-?\d+", text):
            return None
        if column.type == "boolean":
            return "true" if text in ("true", "1") else "false"
        if text and column.type == "glide_date_time":
            return self._date(text, as_display_values=as_display_values)
        return cut(text, column.length)

    def _choice(self, choices: Mapping[str, str], text: str, *, as_display_values: bool) -> str | None:
        if as_display_values:
            text = next((value for value, label in choices.items() if label == text), text)
        if not text or (text not in choices and not self.switches.allow_non_existing_choices):
            return None
        return text

    def _date(self, text: str, *, as_display_values: bool) -> str | None:
        if not _WHEN.fullmatch(text):
            return None
        if not as_display_values:
            return text
        local = datetime.strptime(text, _WHEN_FORMAT).replace(tzinfo=UTC)
        return (local - self.switches.time_zone).strftime(_WHEN_FORMAT)

    def _new_sys_id(self, values: Mapping[str, object], by: User) -> str:
        wanted = _as_text(values.get("sys_id"))
        if not by.is_admin and wanted and self.switches.sys_ids is SysIds.REFUSED:
            raise Refused(403, "Operation Failed", "ACL Exception Insert Failed due to security constraints")
        is_honoured = by.is_admin or self.switches.sys_ids is SysIds.HONOURED
        return wanted if is_honoured and _SYS_ID.fullmatch(wanted) else uuid.uuid4().hex

    def _new_row(self, name: str, sys_id: str, by: User) -> Row:
        row = {each.name: "" for each in self.columns(name).values() if each.type != "journal_input"}
        for table in reversed(list(lineage(self.tables, name))):
            row |= _DEFAULTS.get(table.name, {})
        moment = self._moment()
        row |= {"sys_id": sys_id, "sys_mod_count": "0", "sys_created_on": moment, "sys_updated_on": moment}
        row |= {"sys_created_by": by.user_name, "sys_updated_by": by.user_name}
        if "sys_class_name" in row:
            row["sys_class_name"] = name
        if name == "incident":
            self._last_number += 1
            row |= {"number": f"INC{self._last_number:07}", "opened_at": moment, "opened_by": by.sys_id}
            row["task_effective_number"] = row["number"]
        return row

    def _derive(self, before: Row | None, row: Row, by: User) -> None:
        """Set what follows from the rest: priority, group, and what a change of state leaves behind."""
        row["priority"] = _PRIORITIES.get(row["impact"] + row["urgency"], "5")
        row["assignment_group"] = row["assignment_group"] or self._support_group(row)
        row["incident_state"] = row["state"]
        was = before["state"] if before else ""
        if row["state"] == was:
            return
        row["active"] = "false" if row["state"] in (_CLOSED, _CANCELED) else "true"
        if row["state"] == _RESOLVED:
            row |= {"resolved_at": self._moment(), "resolved_by": by.sys_id}
        elif row["state"] in (_CLOSED, _CANCELED):
            row |= {"closed_at": self._moment(), "closed_by": by.sys_id}
        elif was in (_RESOLVED, _CLOSED, _CANCELED):
            row["reopen_count"] = str(int(row["reopen_count"] or "0") + 1)
            row |= {"reopened_time": self._moment(), "reopened_by": by.sys_id}
            row |= {"resolved_at": "", "resolved_by": "", "closed_at": "", "closed_by": ""}

    def _support_group(self, row: Row) -> str:
        for reference in ("service_offering", "cmdb_ci"):
            target = self.find("cmdb_ci", row[reference])
            if target and target["support_group"]:
                return target["support_group"]
        return ""

    def _check_closed(self, before: Row, by: User) -> None:
        is_closed = before["state"] in (_CLOSED, _CANCELED)
        if is_closed and self.switches.closed_incidents_are_protected and not by.is_admin:
            rule = f"{_CLOSED_RULE}^{uuid.uuid5(uuid.NAMESPACE_DNS, _CLOSED_RULE).hex}"
            raise Refused(
                403,
                "Operation Failed",
                f"Operation against file 'incident' was aborted by Business Rule '{rule}'. "
                f"Business Rule Stack:{_CLOSED_RULE}",
            )

    def _check_data_policies(self, row: Row) -> None:
        columns = self.columns("incident")
        is_ending = row["state"] in (_RESOLVED, _CLOSED)
        mandatory = (*self.switches.mandatory_always, *(self.switches.mandatory_to_close if is_ending else ()))
        missing = [columns[key].label for key in mandatory if not row.get(key)]
        if missing:
            detail = f"Data Policy Exception: \n\tThe following fields are mandatory: {', '.join(missing)}"
            raise Refused(403, "Operation Failed", detail)

    def _check_unique(self, name: str, row: Row) -> None:
        for key in (each.name for each in self.columns(name).values() if each.unique and each.name != "sys_id"):
            others = (each for each in self._all(name) if each["sys_id"] != row["sys_id"])
            if row[key] and any(each[key] == row[key] for each in others):
                raise self._not_inserted(name, row)

    def _not_inserted(self, name: str, row: Row) -> Refused:
        shown = row.get(self.tables[name].display, "")
        return Refused(403, "Operation Failed", f"Error during insert of {name} ({shown})")

    def _notes(self, name: str, values: Mapping[str, object], by: User) -> dict[str, str]:
        return {
            key: text
            for key, column in self.columns(name).items()
            if column.type == "journal_input" and (text := _as_text(values.get(key)))
            if by.is_admin or key not in self.switches.unwritable_columns
        }

    def _append_notes(self, name: str, row: Row, values: Mapping[str, object], by: User) -> None:
        for element, text in self._notes(name, values, by).items():
            kind = "comments" if element == "comments_and_work_notes" else element
            entry = {"name": name, "element": kind, "element_id": row["sys_id"], "value": text}
            self._journal.setdefault(row["sys_id"], []).append(self.insert("sys_journal_field", entry, by=by))

    def _moment(self) -> str:
        return self._now().strftime(_WHEN_FORMAT)


def cut(text: str, length: int) -> str:
    """Return what a column of that length keeps: counted in Java characters, wide ones mangled if it is narrow."""
    if length <= _NARROW:
        text = re.sub("[\U00010000-\U0010ffff]", "????", text)
    return text.encode("utf-16-le", "replace")[: 2 * length].decode("utf-16-le", "ignore")


def _as_text(value: object) -> str:
    """Return a JSON value as Java prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_as_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_text, value)) + "]"
    return str(value)
