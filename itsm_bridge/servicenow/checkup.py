"""May our account do what it must, on an instance as we need it?

The command `doctor` calls `examine`, which looks only; `trial` tries what cannot be seen. First the instance is reached
and we sign in; if that fails, the rest would only fail for the same reason and is not looked at. What a refusal means
is worded in `advice`.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from itsm_bridge.deadline import Deadline
from itsm_bridge.finding import Finding, Report, broken, ok, warning
from itsm_bridge.servicenow import advice, batch
from itsm_bridge.servicenow.advice import Advice, advice_for
from itsm_bridge.servicenow.batch import Batch
from itsm_bridge.servicenow.close_codes import CLOSE_CODES
from itsm_bridge.servicenow.credentials import Credentials, NoToken, credentials_of
from itsm_bridge.servicenow.gate import Gate, Gated
from itsm_bridge.servicenow.queries import Query, is_plain
from itsm_bridge.servicenow.verdicts import Effect, Verdict, classify, parsed, unanswered
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.transport import NoAnswer, Received

#: How long one request may take.
_PATIENCE: Final = timedelta(seconds=5)
#: How many requests are under way at once: as many as a node runs for API users.
_SIDE_BY_SIDE: Final = 4

_SKEW: Final = timedelta(minutes=2)
_FEW_CALLS: Final = 1000

#: The fields of a new incident that we fill, or the platform itself.
_FILLED: Final = frozenset(
    (
        *("short_description", "description", "impact", "urgency", "correlation_id", "correlation_display"),
        *("work_notes", "number", "state", "priority", "opened_at", "opened_by"),
        *("sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count"),
    )
)
_CMDB: Final = ("cmdb_ci_vm_instance", "cmdb_ci_computer", "sys_object_source")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What came of one question."""

    verdict: Verdict
    headers: Mapping[str, str]
    advice: Advice | None
    #: The answer as it came; None if none did.
    received: Received | None = None

    @property
    def is_confirmed(self) -> bool:
        return self.verdict.effect is Effect.CONFIRMED

    @property
    def rows(self) -> Sequence[Mapping[str, object]]:
        return self.verdict.result if isinstance(self.verdict.result, list) else ()

    @property
    def is_hidden(self) -> bool:
        """Whether rows match of which none is shown."""
        return not self.rows and bool(self.verdict.matching)

    def broken(self, check: str, what: str) -> Finding:
        """Return what the refusal means."""
        told = self.advice or advice.AWAY
        reason = self.verdict.reason
        meaning = f"{told.meaning}: {reason}" if self.advice else f"{what}: {reason}"
        return broken(check, meaning, told.remedy)


class Instance:
    """Asks one instance, and keeps nothing."""

    def __init__(self, settings: ServiceNowSettings) -> None:
        self.settings = settings
        gate = Gate(settings.max_concurrency)
        self.credentials: Credentials = credentials_of(settings, gate=gate)
        self._transport = Gated(gate)

    def asked(
        self, path: str, params: Mapping[str, str], *, body: object = None, is_signed: bool = True, table: str = ""
    ) -> _Looked:
        """Ask once.

        Raises:
            NoToken: there is no token to ask with.
        """
        deadline = Deadline.after(_PATIENCE)
        method = "GET" if body is None else "POST"
        signed = self.credentials.headers(deadline) if is_signed else {}
        try:
            received = self._transport.exchange(
                method,
                f"{self.settings.instance_url}/{path}",
                headers={"Accept": "application/json", "Content-Type": "application/json", **signed},
                params=params,
                body=None if body is None else json.dumps(body).encode(),
                deadline=deadline,
            )
        except NoAnswer as error:
            verdict = unanswered(method, was_sent=error.was_sent, reason=str(error))
            return _Looked(verdict=verdict, headers={}, advice=advice.AWAY)
        verdict = self._verdict(method, received)
        told = None if verdict.effect is Effect.CONFIRMED else self._advice(method, table, verdict)
        headers = {name.lower(): value for name, value in received.headers.items()}
        return _Looked(verdict=verdict, headers=headers, advice=told, received=received)

    def rows(self, table: str, query: str, fields: Sequence[str], *, limit: int = 1) -> _Looked:
        """Ask for rows of a table; `query` is a constant of this module."""
        params = {
            "sysparm_query": query,
            "sysparm_fields": ",".join(fields),
            "sysparm_limit": str(limit),
            "sysparm_display_value": "false",
            "sysparm_exclude_reference_link": "true",
        }
        return self.asked(f"api/now/table/{table}", params, table=table)

    def _verdict(self, method: str, received: Received) -> Verdict:
        return classify(method, received.status, received.headers, received.body, now=datetime.now(UTC))

    def _advice(self, method: str, table: str, verdict: Verdict) -> Advice | None:
        return advice_for(method, table, verdict, way=self.credentials.way)


def examine(settings: ServiceNowSettings, report: Report, *, filled: Collection[str] = ()) -> bool:
    """Look at the instance and report what was found; return whether it can be asked at all.

    `filled` are the fields that rules give every incident.
    """
    instance = Instance(settings)
    reached = _reach(instance)
    report(reached[0])
    if reached[1] is None:
        return False
    report(_clock(reached[1]))
    looked, finding = _signed_in(instance)
    report(finding)
    if looked is None:
        return False
    report(_limit(looked))
    if not looked.is_confirmed and looked.verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
        return False
    parts: Sequence[Callable[[], Finding]] = (
        lambda: _incidents(looked),
        lambda: _choices(instance),
        lambda: _journal(instance),
        *(_cmdb(instance, table) for table in _CMDB),
        lambda: _mandatory(instance, filled),
        lambda: _batch(instance),
    )
    with ThreadPoolExecutor(min(_SIDE_BY_SIDE, settings.max_concurrency)) as pool:
        for finding in pool.map(lambda part: part(), parts):
            report(finding)
    return looked.is_confirmed


def _reach(instance: Instance) -> tuple[Finding, _Looked | None]:
    """Ask without credentials: a node that is awake answers 401, and says what time it is."""
    check, address = "servicenow.reachable", urlsplit(instance.settings.instance_url).netloc
    looked = instance.asked("api/now/table/incident", {"sysparm_limit": "1"}, is_signed=False, table="incident")
    verdict = looked.verdict
    if verdict.status is None:
        told = f"{advice.AWAY.meaning} at {address}: {verdict.reason}"
        return broken(check, told, advice.AWAY.remedy), None
    is_node = "x-transaction-id" in looked.headers
    is_edge = is_node or verdict.is_hibernating or looked.advice is not None
    if not is_edge:
        told = f"{address} answers, and is no ServiceNow instance: {verdict.reason}"
        return broken(check, told, advice.AWAY.remedy), None
    if not is_node or verdict.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return looked.broken(check, f"{address} does not work"), None
    return ok(check, f"{address} is awake"), looked


def _clock(looked: _Looked) -> Finding:
    check = "servicenow.clock"
    try:
        ahead = parsedate_to_datetime(looked.headers.get("date", "")) - datetime.now(UTC)
    except (ValueError, TypeError):
        return ok(check, "the instance does not tell the time")
    if abs(ahead) > _SKEW:
        minutes = round(ahead.total_seconds() / 60)
        return warning(
            check,
            f"the clock of the instance differs from ours by {minutes} minutes",
            "whoever keeps this machine compares both clocks with a time server: an incident may be taken for one of an"
            " earlier alert",
        )
    return ok(check, "both clocks agree")


def _signed_in(instance: Instance) -> tuple[_Looked | None, Finding]:
    check, way = "servicenow.sign-in", instance.credentials.way
    try:
        looked = instance.rows("incident", "ORDERBYDESCsys_created_on", ("sys_id",))
    except NoToken as error:
        reason = str(error).partition(";")[0]
        return None, broken(check, f"{error.advice.meaning}: {reason}", error.advice.remedy)
    if looked.verdict.status == HTTPStatus.UNAUTHORIZED or looked.advice is advice.UNSCOPED:
        return None, looked.broken(check, "ServiceNow refuses our sign-in")
    if looked.verdict.status is None:
        return None, looked.broken(check, "there is no answer once we are signed in")
    return looked, ok(check, f"signed in by {way}")


def _limit(looked: _Looked) -> Finding:
    check = "servicenow.limit"
    if looked.verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
        return looked.broken(check, advice.LIMITED.meaning)
    limit = looked.headers.get("x-ratelimit-limit", "")
    if limit.isdecimal() and int(limit) < _FEW_CALLS:
        told = f"our account may call {limit} times an hour; ServiceNow does not say how many are left"
        return warning(check, told, advice.LIMITED.remedy)
    if limit.isdecimal():
        return ok(check, f"our account may call {limit} times an hour, and may still")
    return ok(check, "no limit of calls per hour is known")


def _incidents(looked: _Looked) -> Finding:
    check = "servicenow.read"
    if not looked.is_confirmed:
        return looked.broken(check, "incidents cannot be read")
    if looked.is_hidden:
        hidden = advice.MAY_NOT_READ
        told = f"{hidden.meaning}: there are {looked.verdict.matching}, and the newest is hidden"
        return broken(check, told, hidden.remedy)
    return ok(check, "incidents can be read")


def _choices(instance: Instance) -> Finding:
    check = "servicenow.close-code"
    looked = instance.rows("sys_choice", "element=close_code^nameINincident,task^inactive=false", ("value",), limit=200)
    wanted = instance.settings.close_code
    if not looked.is_confirmed or looked.is_hidden:
        hidden = advice.MAY_NOT_READ_CHOICES
        return (warning if wanted else broken)(check, hidden.meaning, hidden.remedy)
    codes = {str(row.get("value", "")).casefold() for row in looked.rows}
    if wanted and codes and wanted.casefold() not in codes:
        remedy = f"set SERVICENOW_CLOSE_CODE to one of: {', '.join(sorted(codes))[:200]}"
        return warning(check, "SERVICENOW_CLOSE_CODE is no close code of the instance; another one is used", remedy)
    if codes and not wanted and codes.isdisjoint(code.casefold() for code in CLOSE_CODES):
        return broken(
            check,
            "the instance has no close code that is known to state the truth, so that it may refuse to resolve",
            f"whoever keeps the app sets SERVICENOW_CLOSE_CODE to one of: {', '.join(sorted(codes))[:200]}",
        )
    return ok(check, f"incidents can be resolved with one of {len(codes)} close codes")


def _journal(instance: Instance) -> Finding:
    check = "servicenow.journal"
    looked = instance.rows("sys_journal_field", "element=work_notes", ("sys_id",))
    if not looked.is_confirmed or looked.is_hidden:
        hidden = advice.MAY_NOT_READ_JOURNAL
        told = f"{hidden.meaning}: after a lost answer, a note in a very long journal may be doubled"
        return warning(check, told, hidden.remedy)
    return ok(check, "work notes can be read")


def _cmdb(instance: Instance, table: str) -> Callable[[], Finding]:
    field = "id" if table == "sys_object_source" else "object_id"

    def look() -> Finding:
        check = "servicenow.cmdb"
        looked = instance.rows(table, f"{field}ISNOTEMPTY", ("sys_id", field))
        told = f"incidents get no configuration item from {table}"
        if looked.verdict.is_no_table:
            return ok(check, f"there is no {table}; {told}")
        if not looked.is_confirmed or looked.is_hidden:
            hidden = advice.MAY_NOT_READ_CMDB
            return warning(check, f"{hidden.meaning}: {table} is hidden, {told}", hidden.remedy)
        if not looked.rows:
            remedy = "whoever keeps the CMDB fills it, for instance with the Service Graph Connector for Azure"
            return warning(check, f"{table} knows no resource by its Azure id: {told}", remedy)
        if field not in looked.rows[0]:
            return ok(check, f"{table} has no field {field}; {told}")
        return ok(check, f"{table} can be read")

    return look


def _mandatory(instance: Instance, filled: Collection[str]) -> Finding:
    check = "servicenow.mandatory"
    query = "nameINincident,task^mandatory=true^active=true"
    looked = instance.rows("sys_dictionary", query, ("name", "element", "mandatory"), limit=200)
    if not looked.is_confirmed or looked.is_hidden:
        return ok(check, "the dictionary is hidden from our account; `doctor --write` tries what it demands")
    names = {str(row.get("element")) for row in looked.rows if row.get("mandatory") == "true"}
    missing = sorted(names - _FILLED - {*filled})
    if missing:
        return warning(
            check,
            f"mandatory on the form, and filled by nothing: {', '.join(missing)}",
            "only if a data policy demands them of interfaces too, which `doctor --write` finds out:"
            f" {advice.ADMINISTRATOR} exempts our account, or a rule of the bridge fills them",
        )
    return ok(check, "every mandatory field is filled")


def _batch(instance: Instance) -> Finding:
    """Ask for one item alone and in a batch: a batch that finds less would hide items from alerts."""
    check = "servicenow.batch"
    alone = instance.rows("cmdb_ci", "nameISNOTEMPTY", ("sys_id",))
    known = next((str(row["sys_id"]) for row in alone.rows if is_plain(str(row.get("sys_id", "")))), "")
    query = Query(table="cmdb_ci", conditions={"sys_id": known or "0" * 32}, fields=("name",), limit=1)
    asked = Batch.of("doctor", [query])
    looked = instance.asked(f"api/now/{batch.PATH}", {}, body=json.loads(asked.body), table=batch.TABLE)
    answers = asked.answers_in(looked.received) if looked.received else None
    if answers is None:
        return ok(check, "there is no Batch API for us: an alert of a resource in no CMDB takes some calls more")
    rows = parsed(answers[0].body) if answers[0] else None
    if known and not (isinstance(rows, dict) and rows.get("result")):
        return warning(
            check,
            "the Batch API answers and does not show an item that is shown alone, so that alerts may not find theirs",
            f"{advice.ADMINISTRATOR} looks which policy covers the Batch API; if none does, a request to ServiceNow's"
            " support",
        )
    return ok(check, "the Batch API answers: an alert of a resource in no CMDB takes one call more")
