"""What must be true where operators have rules?

`ruled` tells it what happens and asks for its judgement, as `history` asks `oracle`. It is written from what rules
promise (design of the lifecycle, of groups and of storms), and judges by what was said, by which rules, and when.

An incident stands for the alerts that its text or its notes ever named; that of an alert's own key for that alert.

1. Each alert is in the incidents of one key alone, and only in one that a rule gave it.
2. An alert fires if its last word that counts is a beginning; a beginning that was ignored does not count. If it fires,
   an open incident stands for it.
3. An incident whose alerts are all over is not open, unless rules leave the end to people; then we never resolve it.
   None is resolved while one of its alerts fires, and each that our clock ends is resolved.
4. No incident is begun before one of its alerts fired for as long as it must, none of an alert that ended before that,
   and none of what was ignored.
5. No incident is reopened later than rules allow, and none follows a closed one where rules want none.
6. There is never an open incident of the same key beside another, and each note is there once.

Where two processes may have seen things in another order, both outcomes are right.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsm_bridge.errors import Damaged, LeadsNowhere
from itsm_bridge.reconcile.record import SETTLE_TIME, Record
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle
from itsm_bridge.servicenow.incident import IncidentState
from proof.simulator.azure import Role
from proof.simulator.joining import Joining, together
from proof.simulator.memory import Change, Row
from proof.simulator.oracle import Act, Oracle, Story
from proof.simulator.processes import Cloud
from proof.simulator.schedule import Schedule
from proof.simulator.stories import (
    begins_alone,
    comings,
    counted,
    end_lifecycles,
    fired_all_the_time,
    has_counting,
    hold_of,
    is_in_order,
    lifecycles_of,
    possible,
    runs,
)

#: How long a worker may go on with a row as it was when it took the lease.
_WORKS_ON = timedelta(seconds=45)
#: How long after its sender gave up a write may take effect, with the time of the worker.
_SETTLED = SETTLE_TIME + _WORKS_ON
_ENDING_ACTS = ("resolve", "close", "cancel", "delete")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """An incident that was created through the API."""

    row: Row
    sent_at: datetime
    #: Whether an incident of its key was closed so long ago that its worker must have known.
    follows_closed: bool


class Promises(Oracle):
    """Watches one history with rules."""

    cloud: Cloud
    #: How much the clocks of two processes may differ.
    skew: timedelta
    #: Whether the target is the ledger, whose texts tell less.
    is_ledger = False

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self._creations: list[Creation] = []
        self._changes: list[Change] = []
        #: By the key of an incident.
        self._acts: dict[str, Story] = {}

    # While it happens.

    def acted(self, key: str, act: Act) -> None:
        """A person did something to an incident of `key`, or the row of `key` had an accident."""
        self._acts_on(key).acts.append(act)

    def changed(self, change: Change) -> None:
        """An incident was changed through the API."""
        self._changes.append(change)

    def created(self, row: Row) -> None:
        """An incident was created through the API."""
        now = self._schedule.now
        others = [other for other in self.instance.of(row.key) if other is not row]
        acts = self._acts_on(row.key)
        recent = acts.did("close", "cancel", "resolve", since=now - _SETTLED)
        self._creations.append(
            Creation(
                row=row,
                sent_at=self.instance.sent_at or now,
                follows_closed=any(other.is_closed for other in others) and not recent,
            )
        )
        for other in others:
            # A person may reopen one that is not to be reopened while the creation of the next one is tried and tried.
            if other.is_open and not acts.did("reopen"):
                self.fault(f"DOUBLED: {row.number} was created beside {other.number}, which is open")
            elif other.resolved_at and not other.is_closed and not self._may_follow(row.key, other.resolved_at):
                self.fault(f"DOUBLED: {row.number} was created beside {other.number}, which might be reopened")

    def _may_follow(self, key: str, resolved_at: datetime) -> bool:
        """Whether some rule lets another incident follow one that was resolved then."""
        if self._acts_on(key).acts:
            return True
        stories = [self.stories[key]] if key in self.stories else self.stories.values()
        spans = [each.said.lifecycle.reopen_within for story in stories for each in comings(story)]
        shortest = min((span for span in spans if span is not None), default=None)
        since = self._schedule.now - resolved_at
        return shortest is not None and since + self.skew + _SECOND >= shortest

    # In the end.

    def judge(self) -> list[str]:
        """Return everything that is not as it should be."""
        for message in self.wakeups.messages.values():
            self.fault(f"a wake-up of {message.key[:4]} is left")
        for key, story in self.stories.items():
            self._judge_row(key, story, self._row(key))
            self._judge_ignored(key, story)
            self._judge_place(key, story)
            self._judge_alert(key, story)
        for alerts, home in together(self.stories):
            self._judge_hold(alerts, home)
        for key in dict.fromkeys(each.row.key for each in self._creations):
            self._judge_incidents_of(key)
        self.faults += Joining(self.stories, self._homes, self.skew).faults()
        self._judge_all_notes()
        return self.faults

    def _row(self, key: str) -> Record | None:
        with suppress(Damaged, LeadsNowhere):
            return self.store.read(key)
        return None

    def _judge_row(self, key: str, story: Story, row: Record | None) -> None:
        if row is None and self._is_damaged(key):
            return
        super()._judge_row(key, story, row)

    def _is_damaged(self, key: str) -> bool:
        return self._acts_on(self.store.leads.get(key, key)).did("damage")

    # One alert.

    def _judge_ignored(self, key: str, story: Story) -> None:
        begins = [each for told in story.came if told.word.begins for each in told.comings]
        if not begins or not all(each.said.ignored_by for each in begins):
            return
        if homes := self._homes(key):
            self.fault(f"{key[:4]} was ignored and is in an incident of {_short(homes)}")
        is_asked = not self.cloud.subjects.isdisjoint({key, _first_id(key)})
        if is_asked and all(each.said.ignored_by for each in comings(story)) and not self._is_damaged(key):
            self.fault(f"{key[:4]} was ignored and the instance was asked about it")

    def _judge_place(self, key: str, story: Story) -> None:
        homes = self._homes(key)
        if len(homes) > 1:
            self.fault(f"DOUBLED: {key[:4]} is in incidents of {_short(homes)}")
        begins = [each.said for told in story.came if told.word.begins for each in told.comings]
        groups = {said.group for said in begins if not said.ignored_by}
        storms = {said.storm for said in begins if not said.ignored_by}
        plain = {group.key for group in groups if group and not group.within}
        may_be_timed = storms != {None} or any(group and group.within for group in groups)
        for home in homes - {key}:
            if home not in plain and not may_be_timed:
                self.fault(f"{key[:4]} is in an incident of {home[:4]}, where no rule puts it")
        is_placed = begins_alone(story) and not any(said.ignored_by for said in begins)
        if is_placed and storms == {None} and len(groups) == 1 and len(plain) == 1 and key in homes:
            self.fault(f"{key[:4]} has an incident of its own beside its group")

    def _judge_alert(self, key: str, story: Story) -> None:
        """An alert that fires is represented, and one that fired is told of."""
        homes = self._homes(key)
        home = next(iter(homes), self.store.leads.get(key, key))
        lifecycles, acts = self._lifecycles(home) | lifecycles_of(story), self._acts_on(home)
        if self._is_excused(home) or self._is_damaged(key) or not has_counting(story, Role.BEGIN):
            return
        is_closed_for_good = _any_nothing(lifecycles) and acts.did("close", "cancel")
        if possible(story) == {True} and not any(each.close_after for each in lifecycles):
            since = min(told.came_at for told in story.came if told.word.begins and told.came_at)
            is_open = any(row.is_open for row in self.instance.of(home))
            if not is_open and not acts.did(*_ENDING_ACTS, since=since) and not is_closed_for_good:
                states = [row.state for row in self.instance.of(home)]
                self.fault(f"LOST: {key[:4]} fires and the incidents of {home[:4]} are in states {states}")
        never_held = not any(each.hold for each in lifecycles)
        if never_held and begins_alone(story) and not acts.acts and not homes:
            self.fault(f"LOST: {key[:4]} fired and no incident tells of it")

    def _judge_hold(self, alerts: Mapping[str, Story], home: str) -> None:
        """A firing that is over before its hold makes no incident; one that lasts longer makes one."""
        firings, stories = list(runs(list(alerts.values()))), list(alerts.values())
        if not firings or not is_in_order(stories) or self._is_excused(home) or any(map(self._is_damaged, alerts)):
            return
        homes = {each for key in alerts for each in self._homes(key)}
        told = sum(each.row.key in homes for each in self._creations)
        may_be_told = sum(not each.is_cleared(self.skew) for each in firings)
        if told > may_be_told and not self._acts_on(home).acts:
            self.fault(f"{_short(alerts)} have {told} incidents, and {may_be_told} firings outlasted their hold")
        if not homes and any(each.has_lasted(self.skew) for each in firings):
            self.fault(f"LOST: {_short(alerts)} fired for longer than their hold and have no incident")

    # The incidents of one key.

    def _judge_incidents_of(self, key: str) -> None:
        alerts = self._alerts_of(key)
        if not alerts:
            self.fault(f"the incidents of {key[:4]} stand for no alert")
            return
        creations = [each for each in self._creations if each.row.key == key]
        self._judge_creations(key, alerts, creations)
        self._judge_changes(key, alerts)
        if not self._is_excused(key) and not self._acts_on(key).did("damage", "reopen"):
            self._judge_end(key, alerts)
            self._judge_text(key, alerts)

    def _judge_creations(self, key: str, alerts: Sequence[Story], creations: Sequence[Creation]) -> None:
        acts, lifecycles = self._acts_on(key), self._lifecycles(key)
        begins = [each for story in alerts for told in story.came if told.word.begins for each in counted(told)]
        begun = sum(bool(counted(told)) for story in alerts for told in story.came if told.word.begins)
        early = sum(act.name == "delete" and not act.was_certain for act in acts.acts)
        if len(creations) > begun + early and not acts.did("damage"):
            self.fault(f"DOUBLED: {len(creations)} incidents of {key[:4]} for {begun} beginnings")
        is_endless = all(each.reopen_within is None for each in lifecycles) and not acts.acts
        if is_endless and len(creations) > 1 and self.instance.rules.state_at_birth(key) is None:
            self.fault(f"DOUBLED: {len(creations)} incidents of {key[:4]}, and nobody ended one")
        for each in creations:
            if (
                lifecycles
                and all(one.after_closed is AfterClosed.NOTHING for one in lifecycles)
                and each.follows_closed
            ):
                self.fault(f"{each.row.number} follows a closed incident against all rules")
            allowed = [one.at + hold_of(one) for one in begins if one.at <= each.sent_at]
            if not allowed or each.sent_at + self.skew < min(allowed):
                self.fault(f"{each.row.number} was created before any hold was over")

    def _judge_changes(self, key: str, alerts: Sequence[Story]) -> None:
        lifecycles, ends = self._lifecycles(key), end_lifecycles(alerts)
        is_left = bool(ends) and all(each.auto_resolve is not AutoResolve.RESOLVE for each in ends)
        has_clock = any(each.close_after for each in lifecycles)
        for change in self._changes:
            if change.row.key != key or "duplicate" in change.fields.get("work_notes", ""):
                continue
            state = int(change.fields.get("state", 0))
            if state == IncidentState.RESOLVED and change.before != IncidentState.RESOLVED:
                if is_left and not has_clock:
                    self.fault(f"{change.row.number} was resolved, and all rules leave that to people")
                self._judge_resolution(change, alerts, has_clock=has_clock)
            if state == IncidentState.IN_PROGRESS and change.resolved_at is not None:
                self._judge_reopening(change, change.sent_at - change.resolved_at, lifecycles)

    def _judge_resolution(self, change: Change, alerts: Sequence[Story], *, has_clock: bool) -> None:
        if has_clock or self._acts_on(change.row.key).did("damage"):
            return
        for story in alerts:
            if fired_all_the_time(story, since=change.sent_at - _WORKS_ON, until=change.sent_at):
                name = story.told[0].word.notification.key[:4]
                self.fault(f"{change.row.number} was resolved at {change.sent_at:%H:%M:%S} while {name} fired")

    def _judge_reopening(self, change: Change, after: timedelta, lifecycles: Iterable[Lifecycle]) -> None:
        spans = [each.reopen_within for each in lifecycles]
        longest = max((span for span in spans if span is not None), default=timedelta(0))
        # A rule that wants none reopened needs no clock.
        is_late = after > longest + self.skew + _WORKS_ON if longest else True
        if None not in spans and is_late:
            self.fault(f"{change.row.number} was reopened {after} after its end, against all rules")

    def _judge_end(self, key: str, alerts: Sequence[Story]) -> None:
        open_rows = [row for row in self.instance.of(key) if row.is_open]
        is_over = all(possible(story) == {False} for story in alerts)
        lifecycles, ends = self._lifecycles(key), end_lifecycles(alerts)
        resolves = all(each.auto_resolve is AutoResolve.RESOLVE for each in ends)
        # What Azure ends before our clock does is left to people where rules say so.
        fires = any(possible(story) == {True} for story in alerts)
        ends_by_clock = fires and all(each.close_after for each in lifecycles)
        if open_rows and ((is_over and resolves) or ends_by_clock):
            self.fault(f"LOST: the alerts of {key[:4]} are over and {open_rows[0].number} is open")

    def _judge_text(self, key: str, alerts: Sequence[Story]) -> None:
        """An open incident of several alerts tells how many they are and how many fire."""
        open_rows = [row for row in self.instance.of(key) if row.is_open]
        fires = [possible(story) for story in alerts]
        is_certain = all(len(each) == 1 for each in fires) and len(alerts) > 1
        if not open_rows or self._acts_on(key).acts or not is_certain or self.is_ledger:
            return
        if any(each.close_after for each in self._lifecycles(key)):
            return
        text = open_rows[0].fields["description"].splitlines()[0]
        firing = sum(each == {True} for each in fires)
        # The end of an alert counts too whose beginning was placed and then not remembered.
        led = {alert for alert, home in self.store.leads.items() if home == key}
        known = {alert for alert in self.stories if key in self._homes(alert)}
        # An alert whose end came first never fired as far as the row knows, and is not counted.
        least = sum(begins_alone(story) for story in alerts)
        if least < 2:
            return
        counts = range(least, len(known | led) + 1)
        if not any(_tells(text, count, firing) for count in counts):
            self.fault(f"of {len(alerts)} alerts {firing} fire, and {open_rows[0].number} says: {text}")

    def _judge_all_notes(self) -> None:
        if any(acts.did("damage") for acts in self._acts.values()):
            return
        rows = self.instance.rows.values()
        journal = "\n".join(text for row in rows for text in row.journal)
        for told in (each for story in self.stories.values() for each in story.told):
            times = journal.count(told.word.notification.note)
            if times > 1:
                self.fault(f"DOUBLED: the note {told.word.notification.note} is there {times} times")
        for row in rows:
            if "\n".join(row.journal).count("configuration item>") > 1:
                self.fault(f"DOUBLED: {row.number} has several notes about its configuration item")

    # What belongs together.

    def _acts_on(self, key: str) -> Story:
        return self._acts.setdefault(key, Story())

    def _is_excused(self, key: str) -> bool:
        """Whether the instance has the last word on the incidents of a key."""
        row = self._row(key)
        return self.instance.rules.state_at_birth(key) is not None or bool(row and row.work.is_parked)

    def _homes(self, key: str) -> set[str]:
        """Return the keys of the incidents that ever stood for an alert."""
        mark = f"{_name(self.stories[key])}-"
        # Where the journal is hidden, a note of unknown outcome is not written again, and the incident may not name it.
        led = self.store.leads.get(key) if self.instance.rules.hides_journal else None
        return {each.row.key for each in self._creations if each.row.key in (key, led) or mark in each.row.told}

    def _alerts_of(self, key: str) -> Sequence[Story]:
        """Return the alerts that the incidents of a key ever stood for."""
        return [story for alert, story in self.stories.items() if key in self._homes(alert)]

    def _lifecycles(self, key: str) -> set[Lifecycle]:
        """Return how rules ever wanted the incidents of a key to begin and end."""
        return {each for story in self._alerts_of(key) for each in lifecycles_of(story)}


def _tells(text: str, count: int, firing: int) -> bool:
    """Whether the text of an incident tells how many alerts it stands for, and how many fire."""
    now = "none fires" if not firing else f"{firing} fire{'s' if firing == 1 else ''}"
    return text.startswith(f"This incident stands for {count} alerts ") and text.endswith(f"; {now} now.")


def _any_nothing(lifecycles: Iterable[Lifecycle]) -> bool:
    return any(each.after_closed is AfterClosed.NOTHING for each in lifecycles)


def _first_id(key: str) -> str:
    """Return the sys_id of the first incident of a key, as the design promises it."""
    return hashlib.sha256(f"{key}|1".encode()).hexdigest()[:32]


def _name(story: Story) -> str:
    return story.told[0].word.notification.digest.partition("-")[0]


def _short(keys: Iterable[str]) -> str:
    return ", ".join(sorted(key[:4] for key in keys))
