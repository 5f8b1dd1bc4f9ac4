"""Which record does a rule mean that names one by a field of it: the group whose name is "Shop operations"?

`target` asks when the loop looks for a link of an incident, and the command `rules push` before a version is taken.
Nothing is written here.

1. A reference is a record or none. Several live records of one name are none, because a wrong group gets the incident
   and nobody else knows of it. Of names that differ by case alone, the one counts that is written as the rule has it.
2. Inactive groups and users, retired and absent items are not taken: nobody looks at what they are given. The business
   rule "user query" hides inactive users from most accounts, so that there are none for us
   (https://www.servicenow.com/community/itsm-forum/x/m-p/480403).
3. ServiceNow stores any text in a reference field, also the sys_id of a record that does not exist. So nothing but the
   sys_id of a record that was seen is ever returned, also where the rule names a sys_id.
4. A record is remembered for an hour, the lack of one for five minutes, so that a group that is made after its rule
   is found soon and an alert storm does not ask for each alert.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from cachetools import TLRUCache

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Rejected
from itsm_bridge.reconcile.ports import LinkEnd
from itsm_bridge.rules.ruling import Reference
from itsm_bridge.servicenow.dictionary import Dictionary
from itsm_bridge.servicenow.queries import Named, is_askable
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, OtherRows, UnknownField
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET, TableApi
from itsm_bridge.text import clip, one_line, plain
from itsm_bridge.troubles import Trouble, Troubles

#: The tables that the usual fields point into. Others are asked of the dictionary.
TABLES: Final[Mapping[str, str]] = {
    "assignment_group": "sys_user_group",
    "assigned_to": "sys_user",
    "caller_id": "sys_user",
    "cmdb_ci": "cmdb_ci",
    "business_service": "cmdb_ci_service",
    "service_offering": "service_offering",
}

#: What people call the records of a table: singular and plural.
_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "sys_user_group": ("group", "groups"),
    "sys_user": ("user", "users"),
    "cmdb_ci": ("configuration item", "configuration items"),
    "cmdb_ci_service": ("service", "services"),
    "service_offering": ("service offering", "service offerings"),
}

#: `install_status` of configuration items: retired, absent.
_GONE: Final = frozenset({"7", "100"})

_FIELD = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_TABLE = re.compile(r"[a-z][a-z0-9_]*")
_SYS_ID = re.compile(r"[0-9a-f]{32}")

#: Rows of one answer: a record and those of the same name that are not used any more. A full page may hide another.
_MOST_ROWS: Final = 20

# Seconds, as the clock counts them.
_FOUND_FRESH: Final = 3600.0
_OTHERWISE_FRESH: Final = 300.0
_CACHE_SIZE: Final = 2000

#: Characters of a name that is quoted in a work note.
_QUOTED: Final = 80

_Key = tuple[str, str, str]


class References:
    """The records of one instance that fields of an incident may point to; safe to share between threads."""

    def __init__(
        self,
        table_api: TableApi,
        dictionary: Dictionary | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        troubles: Troubles | None = None,
    ) -> None:
        """Use `table_api`; nothing is sent yet.

        Args:
            table_api: The tables of the instance.
            dictionary: Its dictionary, for fields that are not known to the program.
            clock: Seconds from any origin, for the age of what was learnt.
            troubles: Where it is counted that a record was not found.
        """
        self._troubles = troubles or Troubles()
        self._table_api = table_api
        self._dictionary = dictionary or Dictionary(table_api, clock=clock)
        self._ends: TLRUCache[_Key, LinkEnd] = TLRUCache(_CACHE_SIZE, _fresh_until, timer=clock)
        #: The cache is not safe to share between threads by itself.
        self._caching = threading.Lock()

    def find(self, name: str, reference: Reference, *, deadline: Deadline) -> LinkEnd:
        """Return the record that `reference` names for the field `name` of an incident, or why there is none.

        Costs one request, one more if the dictionary has to be asked, and one more if ServiceNow refuses; nothing while
        the answer is remembered.

        Raises:
            Unavailable: ServiceNow did not answer in time.
        """
        key = (name, reference.field, reference.value)
        with self._caching:
            end = self._ends.get(key)
        if end is None:
            end = self._asked(name, reference, deadline)
            if not end.id:
                # The value may come from a template, and so from the alert; the row and the incident have it.
                self._troubles.count(Trouble.RECORD, f"{name} by {reference.field}")
            with self._caching:
                self._ends[key] = end
        return end

    def _asked(self, name: str, reference: Reference, deadline: Deadline) -> LinkEnd:
        value = reference.value.strip()
        if not (_FIELD.fullmatch(name) and _FIELD.fullmatch(reference.field)):
            return _none(name, "the rule names no field that can be looked up")
        if not is_askable(value):
            return _none(name, f"{_quoted(value)} cannot be looked up: it is empty or too long, or holds ^ or a script")
        try:
            table = TABLES.get(name) or self._table_of(name, deadline)
        except NotAllowed:
            why = "our account may not read sys_dictionary, which tells where the field points to"
            return _none(name, why, was_asked=False)
        except Rejected:
            return _none(name, "ServiceNow refuses to tell where the field points to", was_asked=False)
        if not table:
            return _none(name, "an incident has no reference field of this name")
        return self._record_in(table, name, Reference(field=reference.field, value=value), deadline)

    def _table_of(self, name: str, deadline: Deadline) -> str:
        column = self._dictionary.columns((name,), deadline=deadline.for_request(REQUEST_BUDGET)).get(name)
        return column.reference if column is not None and _TABLE.fullmatch(column.reference) else ""

    def _record_in(self, table: str, name: str, reference: Reference, deadline: Deadline) -> LinkEnd:
        kind, kinds = _KINDS.get(table, (f"record of {table}", f"records of {table}"))
        where = f"{name}: {table} by {reference.field}, {_quoted(reference.value)}"
        whose = f"whose {reference.field} is {_quoted(reference.value)}"
        try:
            rows = self._rows(table, reference, deadline)
        except (NotAllowed, NoSuchTable, OtherRows, Rejected) as error:
            why = _WHY[_kind_of(error)].format(table=table, field=reference.field, kinds=kinds)
            return _none(name, why, where, was_asked=not isinstance(error, _NOT_ASKED))
        meant = _meant(rows, reference)
        live = [row for row in meant if _is_live(row)]
        if len(live) > 1 or len(rows) >= _MOST_ROWS:
            return _none(name, f"there are several {kinds} {whose}", where)
        if live:
            return LinkEnd(id=live[0]["sys_id"], reason="", detail=where)
        if meant:
            return _none(name, f"the {kind} {whose} is not active", where)
        return _none(name, f"there is no {kind} {whose}", where)

    def _rows(self, table: str, reference: Reference, deadline: Deadline) -> Sequence[Mapping[str, str]]:
        """Return the records of this name; a refusal is asked about once more.

        A node may refuse for a moment what the others allow, and the field would stay empty
        (https://support.servicenow.com/kb?id=kb_article_view&sysparm_article=KB2466644).
        """
        query = partial(
            self._table_api.query,
            table,
            {reference.field: Named(reference.value)},
            fields=("active", "install_status"),
            limit=_MOST_ROWS,
            must_see_all=True,
        )
        try:
            return query(deadline=deadline.for_request(REQUEST_BUDGET))
        except NotAllowed:
            return query(deadline=deadline.for_request(REQUEST_BUDGET))


#: By error: why a record was not found.
_WHY: Final[Mapping[type[BridgeError], str]] = {
    NotAllowed: "our account may not read {table}, or not all {kinds} that are meant",
    NoSuchTable: "the instance has no table {table}",
    OtherRows: "the instance answers with other {kinds} than were asked for",
    UnknownField: "{table} has no field {field} that our account may read",
    Rejected: "ServiceNow refuses the question",
}


#: The errors after which nobody knows whether there is such a record.
_NOT_ASKED: Final = (NotAllowed, NoSuchTable)


def _kind_of(error: BridgeError) -> type[BridgeError]:
    return next(kind for kind in _WHY if isinstance(error, kind))


def _meant(rows: Sequence[Mapping[str, str]], reference: Reference) -> Sequence[Mapping[str, str]]:
    """Return the rows that the reference means: those that are written as it is, if any are live, else all."""
    known = [row for row in rows if _SYS_ID.fullmatch(row.get("sys_id", ""))]
    exact = [row for row in known if row[reference.field] == reference.value]
    return exact if any(_is_live(row) for row in exact) else known


def _is_live(row: Mapping[str, str]) -> bool:
    """Whether people look at what this record is given; a table without such a column does not say, and counts."""
    return row.get("active") != "false" and row.get("install_status") not in _GONE


def _none(name: str, why: str, where: str = "", *, was_asked: bool = True) -> LinkEnd:
    """Return that the field stays empty, as a sentence for people."""
    label = plain(one_line(name.removesuffix("_id").replace("_", " "))).capitalize()
    return LinkEnd(reason=f"{label} not set: {why}.", detail=where, was_asked=was_asked)


def _quoted(value: str) -> str:
    return f'"{clip(plain(one_line(value)), _QUOTED)}"'


def _fresh_until(_: _Key, end: LinkEnd, now: float) -> float:
    """Return until when an answer is believed."""
    return now + (_FOUND_FRESH if end.id else _OTHERWISE_FRESH)
