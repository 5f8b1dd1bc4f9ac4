"""What goes wrong on the way to storage and to ServiceNow?

`TROUBLES` is one table for two worlds: the simulator plays its rows, and `test_incidents_contract` shows that the real
adapter makes of the stand-in's fault what the row says. Faults of storage are drawn in `storage_trip`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.servicenow.refusals import NoSuchTable
from local.servicenow import faults as wire
from local.servicenow.faults import Fault

_WRITES = frozenset({"create", "update"})
_ALL = _WRITES | {"find", "search", "close_code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that ServiceNow does to a request."""

    #: The fault of the stand-in that does the same.
    fault: Callable[[], Fault]
    #: The methods of the adapter that it hits.
    hits: frozenset[str] = _ALL
    executed: bool = False
    #: The error that the adapter raises.
    error: type[BridgeError] = Unavailable
    #: Seconds.
    retry_after: int | None = None
    #: Nothing comes back until the time is up.
    is_silent: bool = False
    #: It takes effect when the process waits no more, up to 5 minutes later.
    is_late: bool = False


def _trouble(
    fault: Callable[[], Fault],
    error: type[BridgeError],
    *hits: str,
    executed: bool = False,
    silent: bool = False,
    late: bool = False,
) -> Trouble:
    return Trouble(
        fault=fault,
        hits=frozenset(hits) if hits else _ALL,
        error=error,
        executed=executed,
        is_silent=silent,
        is_late=late,
    )


TROUBLES: dict[str, Trouble] = {
    "asleep": _trouble(wire.hibernating, Unavailable),
    "not authenticated": _trouble(wire.not_authenticated, Unavailable),
    "asked to wait": Trouble(fault=lambda: wire.rate_limited(retry_after=40), retry_after=40),
    "node full": _trouble(wire.semaphores_exhausted, Unavailable),
    "read: 202": _trouble(wire.accepted_202, Unavailable, "find", "search"),
    "read: cut": _trouble(partial(wire.closed, executed=False), Unavailable, "search"),
    "read: silent": _trouble(wire.silence, Unavailable, "find", "search", silent=True),
    "edge, read": _trouble(wire.edge_refused, Unavailable, "find", "search", "close_code"),
    "edge, write": _trouble(wire.edge_refused, Unconfirmed, "create", "update"),
    "firewall, read": _trouble(partial(wire.page, 403), Unavailable, "find", "search"),
    "done, firewall": _trouble(partial(wire.page, 451, executed=True), Unconfirmed, "create", "update", executed=True),
    "node that starts": _trouble(wire.no_resource, NoSuchTable, "find", "search", "create", "update"),
    "choices forbidden": _trouble(wire.acl_validation_failed, Unavailable, "close_code"),
    "forbidden": _trouble(wire.acl_exception, Unavailable, "update"),
    "created, forbidden": _trouble(partial(wire.acl_exception, executed=True), Unconfirmed, "create", executed=True),
    "not created, forbidden": _trouble(wire.acl_exception, Unconfirmed, "create"),
    "created, rule forbids": _trouble(
        partial(wire.data_policy_violated, executed=True), Conflict, "create", executed=True
    ),
    "there is no such row": _trouble(wire.no_record, Conflict, "update"),
    **{
        f"{'done' if executed else 'not done'}, {name}": _trouble(
            partial(fault, executed=executed), Unconfirmed, "create", "update", executed=executed, silent=silent
        )
        for executed in (True, False)
        for name, fault, silent in (
            ("silent", wire.silence, True),
            ("cut", wire.closed, False),
            ("202", wire.accepted_202, False),
            ("empty", wire.empty_200, False),
            ("half an answer", wire.truncated_json, False),
            ("cancelled", wire.transaction_cancelled, False),
            ("database failed", wire.error_during_insert, False),
        )
    },
    "done late, silent": _trouble(
        partial(wire.late_commit, after=0.3), Unconfirmed, "create", "update", executed=True, silent=True, late=True
    ),
    "done late, cut": _trouble(
        partial(wire.late_commit, after=0.3, closes=True), Unconfirmed, "create", "update", executed=True, late=True
    ),
}

#: A refusal that only a person can mend; histories that have it end with parked rows.
REFUSAL = _trouble(wire.data_policy_violated, Rejected, "create", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """How one request fares. All spans in seconds."""

    name: str = ""
    #: Until it takes effect; None if it never does.
    there: float | None
    #: From there until the answer is here; None if none comes.
    back: float | None
    #: The error that is answered instead of the true result.
    error: BridgeError | None = None
    #: Whether the library repeats it, after its first answer was lost.
    is_repeated: bool = False


@dataclass(slots=True, kw_only=True)
class Weather:
    """How likely trouble is. All is well from `calm_at` on."""

    rng: random.Random
    now: Callable[[], datetime]
    calm_at: datetime
    #: Of each call, from 0 to 1.
    storage: float = 0.0
    servicenow: float = 0.0
    refusals: float = 0.0
    #: When ServiceNow does not answer at all, and how its absence looks: a name of TROUBLES or "refused".
    outages: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    #: When writes fail and reads work, and when only the choices cannot be read.
    writes_fail: tuple[datetime, datetime] | None = None
    choices_fail: tuple[datetime, datetime] | None = None
    #: From when on no incident can be read, although all else works; None if they always can.
    unreadable_from: datetime | None = None
    #: Seconds that ServiceNow takes beyond the usual, but for searches.
    slowness: float = 0.0

    def _hits(self, rate: float) -> bool:
        return rate > 0 and self.now() < self.calm_at and self.rng.random() < rate

    def storage_trip(self, what: str) -> Trip:
        """Draw how a call to storage fares."""
        rng = self.rng
        there, back = rng.uniform(0.002, 0.02), rng.uniform(0.002, 0.02)
        if not self._hits(self.storage):
            if self._hits(0.02):  # slow, and still in time
                there += rng.uniform(0, 0.7)
            return Trip(there=there, back=back)
        unavailable = Unavailable(f"the {what} did not answer")
        draw = rng.randrange(5)
        if draw == 0:
            return Trip(name="storage refused", there=None, back=there, error=unavailable)
        if draw == 1:
            return Trip(name="storage silent", there=None, back=1.5, error=unavailable)
        if draw == 2:
            return Trip(name="storage done, silent", there=there, back=1.5, error=unavailable)
        if draw == 3:
            return Trip(name="storage done late", there=rng.uniform(1.5, 6), back=None, error=unavailable)
        return Trip(name="storage done, repeated by the library", there=there, back=back, is_repeated=True)

    def servicenow_trip(self, method: str) -> Trip:
        """Draw how a request to ServiceNow fares."""
        rng = self.rng
        there, back = rng.uniform(0.05, 0.3), rng.uniform(0.02, 0.1)
        there += 0 if method == "search" else self.slowness
        outage = next((kind for begin, end, kind in self.outages if begin <= self.now() < end), "")
        if outage:
            return self._away(outage, method, there, back)
        if (error := self._partial_outage(method)) is not None:
            return Trip(name="partial outage", there=None, back=back, error=error)
        if method in _WRITES and self._hits(self.refusals):
            return Trip(name="refused", there=None, back=back, error=Rejected("a data policy forbids it"))
        if not self._hits(self.servicenow):
            if self._hits(0.05):
                there += rng.uniform(0, 20)
            return Trip(there=there, back=back)
        name = rng.choice([name for name, each in TROUBLES.items() if method in each.hits])
        return self._troubled(name, TROUBLES[name], there, back)

    def _partial_outage(self, method: str) -> BridgeError | None:
        """Return what fails now although all else works."""
        now = self.now()
        if method == "find" and self.unreadable_from is not None and now >= self.unreadable_from:
            return Unavailable("500 for this one")
        if method in _WRITES and _is_within(self.writes_fail, now):
            return Unconfirmed("500 for writes")
        if method == "close_code" and _is_within(self.choices_fail, now):
            return Unavailable("500 for the choices")
        return None

    def _away(self, kind: str, method: str, there: float, back: float) -> Trip:
        if kind == "refused":
            return Trip(name="down", there=None, back=0.01, error=Unavailable("ServiceNow refused the connection"))
        trouble = TROUBLES[kind]
        if method in trouble.hits:
            return self._troubled(kind, trouble, there, back)
        # A fault that leaves a write in doubt leaves a read without an answer, and nothing more.
        return Trip(name=kind, there=None, back=None if trouble.is_silent else back, error=Unavailable(kind))

    def _troubled(self, name: str, trouble: Trouble, there: float, back: float) -> Trip:
        retry_after = timedelta(seconds=trouble.retry_after) if trouble.retry_after else None
        kind = trouble.error
        error = kind(name, retry_after=retry_after) if issubclass(kind, TemporaryError) else kind(name)
        if trouble.is_late:
            late = self.rng.choice([self.rng.uniform(0, 12), self.rng.uniform(0, 300)])
            return Trip(name=name, there=late, back=None if trouble.is_silent else -late + there, error=error)
        executes = there if trouble.executed else None
        return Trip(name=name, there=executes, back=None if trouble.is_silent else back, error=error)


def _is_within(span: tuple[datetime, datetime] | None, now: datetime) -> bool:
    return span is not None and span[0] <= now < span[1]
