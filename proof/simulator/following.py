"""How does a process follow Azure's own list of alerts?

`gives_up` starts a run every two minutes in one of the processes. What looks, judges and translates is the real
program; here are the way to the list, which fails as Azure's answers do, and where it is written down how far a look
came.
"""

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from itsm_bridge.app import FOLLOW_BUDGET
from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict
from itsm_bridge.follow import _rows_of
from itsm_bridge.resource_manager.answers import Away, Malformed, Throttled
from itsm_bridge.resource_manager.client import MOST_PAGES, REQUEST_BUDGET, Changes
from itsm_bridge.resource_manager.history import Modification
from itsm_bridge.resource_manager.listed_alert import ListedAlert
from itsm_bridge.resource_manager.look import Parts, Report
from itsm_bridge.resource_manager.missed import MissedAlerts
from itsm_bridge.storage.progress_table import LONGEST, Progress
from itsm_bridge.troubles import Troubles
from proof.simulator.azure_list import AzureList
from proof.simulator.faults import Trip
from proof.simulator.processes import Process, _RemoteStorage, _RemoteStore, _TimeIsUp

_T = TypeVar("_T")

#: How long every process of the simulator keeps rows of alerts that are over.
RETENTION = timedelta(days=90)

#: Takes an alert in, in a process, with the sentence that says how it was found.
Receive = Callable[[Process, Alert, str, Deadline], object]


class MemoryProgress:
    """The rows of `storage.progress_table`."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str]] = {}
        self._etags = count(1)

    def read(self, name: str) -> Progress:
        text, etag = self._rows.get(name, ("{}", ""))
        return Progress(json.loads(text), etag)

    def write(self, name: str, document: Mapping[str, Any], *, etag: str) -> None:
        text = json.dumps(document, separators=(",", ":"))
        if len(text) > LONGEST:
            raise ValueError(f"the progress of {name} has {len(text)} characters")
        if self.read(name).etag != etag:
            raise Conflict(f"the progress of {name} was written by another process")
        self._rows[name] = (text, f'W/"{next(self._etags)}"')


@dataclass(slots=True, kw_only=True)
class AzureWeather:
    """How likely it is that Azure Resource Manager does not answer as it should. All is well from `calm_at` on."""

    rng: random.Random
    now: Callable[[], datetime]
    calm_at: datetime
    #: Of each request, from 0 to 1.
    trouble: float = 0.0
    #: When it answers nobody, as a whole or for one subscription (""), and how: "429" or "away".
    absences: list[tuple[datetime, datetime, str, str]] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        """Draw whether something is wrong now."""
        return self.now() < self.calm_at and self.rng.random() < self.trouble

    def trip(self, subscription: str) -> Trip:
        """Draw how a request about a subscription fares."""
        there, back = self.rng.uniform(0.05, 0.3), self.rng.uniform(0.05, 0.3)
        for begin, end, whose, how in self.absences:
            if begin <= self.now() < end and whose in ("", subscription):
                return self._refused(how, back)
        if self.is_bad:
            how = self.rng.choice(["429", "away", "silent", "late", "malformed"])
            if how == "silent":
                return Trip(name=how, there=None, back=None)
            if how == "late":
                return Trip(name=how, there=self.rng.uniform(0.3, 20), back=back)
            return self._refused(how, back)
        return Trip(there=there, back=back)

    def _refused(self, how: str, back: float) -> Trip:
        errors: Mapping[str, Callable[[], BridgeError]] = {
            "429": lambda: Throttled(how, retry_after=timedelta(seconds=self.rng.choice([0, 20, 90]))),
            "away": lambda: Away(how, retry_after=self.rng.choice([None, timedelta(seconds=30)])),
            "malformed": lambda: Malformed(how),
        }
        return Trip(name=how, there=None, back=back, error=errors[how]())


class _RemoteProgress(_RemoteStorage):
    """How far looks came, as a process sees it."""

    name = "table"

    def __init__(self, process: Process, kept: MemoryProgress) -> None:
        super().__init__(process)
        self._kept = kept

    def read(self, name: str) -> Progress:
        return self._call(f"read {name[:6]}", lambda: self._kept.read(name))

    def write(self, name: str, document: Mapping[str, Any], *, etag: str) -> None:
        self._call(f"write {name[:6]}", lambda: self._kept.write(name, document, etag=etag))


class _RemoteAzure:
    """The list as a process sees it: the methods of `client.ResourceManager` that look."""

    def __init__(self, process: Process, azure: AzureList, weather: AzureWeather) -> None:
        self._process = process
        self._azure = azure
        self._weather = weather

    def changed(
        self,
        subscription: str,
        *,
        since: datetime,
        until: datetime,
        deadline: Deadline,
        most_pages: int = MOST_PAGES,
    ) -> Changes:
        def effect() -> Changes:
            return self._azure.changed(subscription, since=since, until=until, most_pages=most_pages)

        return self._call("list", subscription, effect, deadline)

    def alert(self, alert_id: str, *, deadline: Deadline) -> ListedAlert | None:
        return self._call("alert", _subscription(alert_id), lambda: self._azure.alert(alert_id), deadline)

    def history(self, alert_id: str, *, deadline: Deadline) -> Sequence[Modification]:
        return self._call("history", _subscription(alert_id), lambda: self._azure.history(alert_id), deadline)

    def _call(self, what: str, subscription: str, effect: Callable[[], _T], deadline: Deadline) -> _T:
        process = self._process
        patience = deadline.for_request(REQUEST_BUDGET).left.total_seconds()
        trip = self._weather.trip(subscription)
        try:
            return process.call(f"Azure's {what}", effect, trip, patience=patience)
        except _TimeIsUp as error:
            process.cloud.tell(f"{process.name}: Azure's {what}: no answer")
            raise Away("Azure Resource Manager did not answer") from error
        except BridgeError as error:
            process.cloud.tell(f"{process.name}: Azure's {what}: {type(error).__name__} {trip.name}")
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What following needs of a history."""

    azure: AzureList
    weather: AzureWeather
    progress: MemoryProgress
    #: The ARM ids of our action groups, lower-cased.
    groups: Collection[str]
    subscriptions: Collection[str]
    receive: Receive

    def run(self, process: Process) -> Report:
        """Look once, in a process; raises a TemporaryError."""
        parts = Parts(
            azure=_RemoteAzure(process, self.azure, self.weather),  # type: ignore[arg-type] # the same methods
            progress=_RemoteProgress(process, self.progress),
            rows=_rows_of(_RemoteStore(process)),  # type: ignore[arg-type] # the same method
            receive=lambda alert, how, deadline: self.receive(process, alert, how, deadline),
            groups=self.groups,
            rows_kept_for=RETENTION,
            now=process.clock,
            troubles=Troubles(now=process.clock),
        )
        return MissedAlerts(parts, lambda: self.subscriptions).run(process.within(FOLLOW_BUDGET))


def _subscription(alert_id: str) -> str:
    return alert_id.split("/")[2]
