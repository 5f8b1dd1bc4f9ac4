"""What changed in one subscription, and what of it never reached us?

`missed` makes a `Look` per subscription and run. It reads how far the last one came, judges what changed since, the
oldest first, hands on what was missed, and writes down how far it came itself: never further than to what could not be
judged. An error of Azure ends it there. One alert that again and again cannot be judged is waited for, told, and passed
by; one whose row cannot be read or written now, or of which Azure answers nothing, is waited for while others go on.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, Conflict, NewerVersion, PermanentError, TemporaryError, place_of
from itsm_bridge.resource_manager.answers import Away, Gone, Malformed, Refused, Throttled, TooManyChanges
from itsm_bridge.resource_manager.client import MOST_PAGES, Changes, ResourceManager, Unreadable
from itsm_bridge.resource_manager.cursor import HELD_FOR, HELD_FOR_A_DAY, as_it_is, cursor_of
from itsm_bridge.resource_manager.judging import HISTORY_IS_COMPLETE_AFTER, Judge, Judgement, Rows, Verdict
from itsm_bridge.resource_manager.listed_alert import ListedAlert
from itsm_bridge.troubles import Trouble, Troubles

log = logging.getLogger(__name__)

#: How far back the very first look at a subscription goes. Before that, another integration may have been called by the
#: same action group, and its incidents are not known here.
FIRST_LOOK: Final = timedelta(hours=1)
#: Azure Monitor repeats a call for 75 seconds, and its calls take their time.
SETTLES_AFTER: Final = timedelta(minutes=2)
#: How late the list may know of an alert.
OVERLAP: Final = timedelta(minutes=15)
#: How many requests about single alerts one run makes.
MOST_REQUESTS: Final = 600
#: How long a look may take at least, however many subscriptions there are.
LEAST_TURN: Final = timedelta(seconds=15)
#: How long one alert may take to be handed on, and how much time must be left for that.
_TAKING: Final = timedelta(seconds=5)
#: How many rows may be out of reach before a look takes all of storage to be: each costs seconds.
_MOST_UNREACHED: Final = 3
#: Of how many alerts Azure may answer nothing before a look takes Azure to be away.
_MOST_UNTOLD: Final = 3
#: What changed is looked at in pieces no shorter than this, because even those may take so many pages.
_SHORTEST: Final = timedelta(minutes=1)
_MOST_PAGES_OF_SHORTEST: Final = 100

#: What people are told of an alert that was found.
RECOVERED: Final = (
    "Azure Monitor's call for this alert did not reach the integration: it was found in Azure's own list of alerts."
)


class Kept(Protocol):
    """What was written down, and its version."""

    @property
    def document(self) -> Mapping[str, Any]:
        """What was written down; empty if there is nothing."""

    @property
    def etag(self) -> str:
        """The version that was read; "" if there is none."""


class Progress(Protocol):
    """Where it is written down how far the looks came; see `storage.progress_table`."""

    def read(self, name: str) -> Kept:
        """Return what was written down under a name."""

    def write(self, name: str, document: Mapping[str, Any], *, etag: str) -> None:
        """Write it down, unless another process did since it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Whom a look asks and tells."""

    azure: ResourceManager
    progress: Progress
    #: What reached us.
    rows: Rows
    #: Takes an alert in, with the sentence that says how it was found; it may raise a TemporaryError.
    receive: Callable[[Alert, str, Deadline], object]
    #: The ARM ids of our action groups, lower-cased.
    groups: Collection[str]
    #: How long after its end an alert has a row at least.
    rows_kept_for: timedelta
    #: Our clock, aware UTC.
    now: Callable[[], datetime]
    troubles: Troubles
    #: Whether nothing is taken in and nothing written down.
    is_dry: bool = False
    #: From when on is looked, if that is before the end of the last look; None: from there on.
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One alert that was missed, or of which nobody can tell."""

    subscription: str
    #: The ARM id in the form that notifications use.
    alert_id: str
    #: A name, or an ARM id.
    rule: str
    service: str
    #: When it changed last, aware UTC.
    at: datetime
    #: What was missed: "Fired", "Resolved", or both; () if nobody can tell.
    missed: tuple[str, ...]
    #: Why nobody can tell; "" if it was missed.
    reason: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What one run saw and did."""

    found: list[Found] = field(default_factory=list)
    #: How many alerts were judged.
    judged: int = 0
    #: What kept looks from their end, in sentences.
    troubles: list[str] = field(default_factory=list)
    #: Whether something is left for the next run.
    is_complete: bool = True


class Look:
    """One look at one subscription."""

    def __init__(self, parts: Parts, judge: Judge, report: Report, subscription: str) -> None:
        """Read how far the last look came; raises Unavailable."""
        self._parts = parts
        self._judge = judge
        self._report = report
        self._subscription = subscription
        self._name = _name_of(subscription)
        self._stops_at = 0
        kept = parts.progress.read(self._name)
        self._etag = kept.etag
        cursor = cursor_of(kept.document, first=parts.now() - FIRST_LOOK, now=parts.now())
        self._cursor = cursor.beginning_at(parts.since) if parts.since else cursor
        #: How many rows could not be reached, and of how many alerts Azure answered nothing.
        self._unreached = self._untold = 0
        #: Up to where all is judged. It never goes back: what is late is found again by the overlap.
        self.place = self._cursor.complete_until

    def run(self, deadline: Deadline, *, most_requests: int) -> None:
        """Look, hand on what was missed, and write down how far it came.

        Args:
            deadline: By when it ends.
            most_requests: How many requests about single alerts it may make.

        Raises:
            Unavailable: how far it came could not be written down; what it did is done.
        """
        now, rests_for = self._parts.now(), None
        if self._cursor.rests_until is not None and now < self._cursor.rests_until:
            self._report.is_complete = False
            self._report.troubles.append(f"subscription {self._subscription}: Azure asks to be left alone for a while")
            return
        self._stops_at = self._judge.requests + most_requests
        try:
            self._judge_all(now - SETTLES_AFTER, deadline)
        except BridgeError as error:
            self._report.is_complete = False
            self._tell(error)
            rests_for = error.retry_after if isinstance(error, Away) else None
        if self._parts.is_dry:
            return
        self._cursor = self._cursor.moved(self.place, now=now, rests_for=rests_for)
        # Of two processes that look at once, one writes. What the other did is done, and is found done.
        with suppress(Conflict):
            self._parts.progress.write(self._name, self._cursor.document(), etag=self._etag)

    def _judge_all(self, until: datetime, deadline: Deadline) -> None:
        beginning = self._cursor.complete_until
        held: list[datetime] = []
        for end, changes in self._pieces(until, deadline):
            for at, item in _in_order(changes):
                self.place = max(beginning, min((at, *held)))
                if self._cursor.knows(*_names_of(item)) or self._is_early(item):
                    continue
                if self._judge.requests >= self._stops_at or deadline.left <= _TAKING:
                    self._report.is_complete = False
                    return
                if not self._is_done(item, deadline):
                    held.append(at)
            self.place = max(beginning, min((end, *held)))

    def _pieces(self, until: datetime, deadline: Deadline) -> Iterator[tuple[datetime, Changes]]:
        """Yield what changed up to `until`, in pieces if it is too much for one; each with its end.

        A piece that is too much is halved, and the one after a good one is twice as long.
        """
        since, shortest = self._cursor.complete_until - OVERLAP, self._cursor.complete_until + _SHORTEST
        span = until - since
        while since < until:
            end = min(until, max(since + span, shortest))
            most = _MOST_PAGES_OF_SHORTEST if end <= shortest else MOST_PAGES
            try:
                changes = self._parts.azure.changed(
                    self._subscription, since=since, until=end, most_pages=most, deadline=deadline
                )
            except TooManyChanges:
                if end <= shortest:
                    raise
                span = (end - since) / 2
                continue
            yield end, changes
            since, shortest, span = end, end + _SHORTEST, 2 * (end - since)

    def _is_done(self, item: ListedAlert | Unreadable, deadline: Deadline) -> bool:
        """Judge an item and hand on what was missed of it; return whether it is done with."""
        if isinstance(item, Unreadable):
            return self._is_passed(item, f"Azure's list has {item.what}")
        try:
            judgement = self._judge.judge(item, deadline=deadline)
            self._do(item, judgement, deadline)
        except (Malformed, Gone) as error:
            return self._is_passed(item, f"alert {item.guid}: {error}")
        except (Away, Refused) as error:
            return self._is_told(item, error)
        except (TimeIsUp, PermanentError):
            raise
        except TemporaryError as error:
            return self._is_reached(item, error)
        except Exception as error:  # noqa: BLE001 - one alert that nobody foresaw must not keep out all that follow
            return self._is_passed(item, f"alert {item.guid}: unexpected {type(error).__name__} at {place_of(error)}")
        self._report.judged += 1
        if judgement.verdict is Verdict.NOBODY_YET:
            # The overlap shows it again, and then the history is complete.
            self._cursor = self._cursor.with_judged(_early(item))
        else:
            self._cursor = self._cursor.with_judged(item.guid if judgement.is_for_good else as_it_is(item))
        return True

    def _is_early(self, item: ListedAlert | Unreadable) -> bool:
        """Return whether the history of an alert was asked for, and is not complete yet."""
        if isinstance(item, Unreadable) or self._parts.now() - item.modified_at >= HISTORY_IS_COMPLETE_AFTER:
            return False
        return self._cursor.knows(_early(item))

    def _do(self, alert: ListedAlert, judgement: Judgement, deadline: Deadline) -> None:
        if judgement.verdict is Verdict.UNCLEAR:
            self._parts.troubles.count(Trouble.AZURE_UNCLEAR, f"{judgement.reason}: {alert.short_id}")
        elif judgement.verdict is not Verdict.MISSED:
            return
        if not self._parts.is_dry:
            for word in judgement.words:
                how = f"{RECOVERED} {word.lacks}".strip()
                self._parts.receive(word.alert, how, deadline.within(_TAKING))
        missed = tuple(str(word.alert.monitor_condition) for word in judgement.words)
        if missed and not self._parts.is_dry:
            log.warning("recovered %s of alert %s, which no call had brought", " and ".join(missed), alert.guid)
        self._report.found.append(
            Found(
                subscription=self._subscription,
                alert_id=alert.short_id,
                rule=alert.rule,
                service=alert.service,
                at=alert.modified_at,
                missed=missed,
                reason=judgement.reason,
            )
        )

    def _is_reached(self, item: ListedAlert, error: TemporaryError) -> bool:
        """Let an alert wait whose row cannot be read or written, for as long as that lasts; raises if too many wait."""
        self._unreached += not isinstance(error, NewerVersion)
        if self._unreached >= _MOST_UNREACHED:
            raise error
        log.warning("missed alerts: alert %s waits: %s", item.guid, error)
        self._report.troubles.append(f"subscription {self._subscription}: alert {item.guid} waits: {error}")
        self._report.is_complete = False
        return False

    def _is_told(self, item: ListedAlert, error: Away | Refused) -> bool:
        """Let an alert wait of which Azure answers nothing, while others go on; raises if Azure itself seems away."""
        self._untold += 1
        is_for_all = isinstance(error, Throttled) or (isinstance(error, Refused) and bool(error.trouble))
        if is_for_all or self._untold >= _MOST_UNTOLD:
            raise error
        return self._is_passed(item, f"alert {item.guid}: {error}", HELD_FOR_A_DAY)

    def _is_passed(self, item: ListedAlert | Unreadable, why: str, span: timedelta = HELD_FOR) -> bool:
        """Wait for what cannot be judged now, or tell it and pass it by."""
        now, name = self._parts.now(), _names_of(item)[-1]
        if self._cursor.waits_for(name, now, span):
            self._cursor = self._cursor.holding(name, now)
            self._report.troubles.append(f"subscription {self._subscription}: {why}; it is tried again")
            log.warning("%s; it is tried again", why)
            self._report.is_complete = False
            return False
        self._parts.troubles.count(Trouble.AZURE_UNCLEAR, f"{why}; it is passed by")
        self._cursor = self._cursor.with_judged(name)
        return True

    def _tell(self, error: BridgeError) -> None:
        if isinstance(error, TimeIsUp):
            return
        said = f"subscription {self._subscription}: {error}"
        self._report.troubles.append(said)
        if isinstance(error, PermanentError):
            self._parts.troubles.count(Trouble(error.trouble or Trouble.AZURE_AWAY), said)
        elif isinstance(error, Away):
            self._parts.troubles.count(Trouble.AZURE_AWAY, said)
        elif isinstance(error, TemporaryError):
            log.warning("missed alerts wait: %s", said)


def end_of(progress: Progress, subscription: str, *, now: datetime) -> datetime | None:
    """Return up to when all changes of a subscription were judged, None if nobody looked yet; raises Unavailable."""
    document = progress.read(_name_of(subscription)).document
    return cursor_of(document, first=now, now=now).complete_until if document else None


def _name_of(subscription: str) -> str:
    return f"missed-{subscription}"


def _in_order(changes: Changes) -> Iterator[tuple[datetime, ListedAlert | Unreadable]]:
    items: list[tuple[datetime, ListedAlert | Unreadable]] = [(each.modified_at, each) for each in changes.alerts]
    items += [(each.since, each) for each in changes.unreadable]
    yield from sorted(items, key=lambda each: each[0])


def _names_of(item: ListedAlert | Unreadable) -> tuple[str, ...]:
    """Return the names under which an item is marked as judged, that of it as it is last."""
    if isinstance(item, Unreadable):
        return (item.name,)
    return (item.guid, as_it_is(item))


def _early(alert: ListedAlert) -> str:
    return f"{as_it_is(alert)} early"
