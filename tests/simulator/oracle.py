"""What must be true at every moment, and in the end?

The oracle watches each write that takes effect, in the table and in the instance, and judges by the promises alone:

1. What was answered 2xx is in the row, or is older than what is.
2. There is never a second incident of a key beside one that is not closed, and never more incidents than firings.
3. In the end each key's incident says what Azure Monitor said last, unless people had the last word.
4. Each note is there once; with people at work at most once.
5. In the end every row is settled, nothing is leased, and no wake-up is left.
"""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from itsm_bridge.incident import IncidentState
from itsm_bridge.notification import Notification
from itsm_bridge.record import Record
from tests.simulator.memory import MemoryInstance, MemoryStore, MemoryWakeUps, Row
from tests.simulator.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A notification that was taken into the row."""

    at: datetime
    notification: Notification
    #: Whether the key began to fire, or fired once more.
    is_firing_anew: bool
    #: Whether anything of the key was firing afterwards.
    is_firing: bool
    #: Whether it owes the incident a note.
    owes_note: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person did."""

    at: datetime
    name: str
    #: Whether the row knew of the incident, and no request of its creation could be under way any more.
    was_certain: bool


@dataclass(slots=True)
class Story:
    """What is known of one key."""

    said: list[Said] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    created: int = 0

    @property
    def firings(self) -> int:
        return sum(each.is_firing_anew for each in self.said)

    @property
    def deleted_early(self) -> int:
        """How many incidents people deleted so early that they cannot be told from what never was."""
        return sum(act.name == "delete" and not act.was_certain for act in self.acts)


class Oracle:
    """Watches one history."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._known: dict[str, Notification] = {}
        self.stories: dict[str, Story] = {}
        self.faults: list[str] = []
        self.instance: MemoryInstance
        self.store: MemoryStore
        self.wakeups: MemoryWakeUps
        #: Whether rows may end parked, because ServiceNow refused something for good.
        self.may_park = False

    def expect(self, notification: Notification) -> None:
        """Know a notification that will come, by its digest."""
        self._known[notification.digest] = notification
        self.stories.setdefault(notification.key, Story())

    def fault(self, text: str) -> None:
        self.faults.append(f"{text} (at {self._schedule.elapsed:.1f} s)")

    # While it happens.

    def committed(self, before: Record | None, after: Record | None) -> None:
        """A row was written or deleted."""
        if after is None:
            return
        known = before.signals if before else {}
        for name, signal in after.signals.items():
            if known.get(name) != signal:
                self._take_in(after.key, self._known[signal.digest])

    def _take_in(self, key: str, notification: Notification) -> None:
        said = self.stories[key].said
        latest = {each.notification.signal: each.notification for each in said}
        previous = latest.get(notification.signal)
        if previous is not None and _outdates(previous, notification):
            self.fault(f"{notification.digest} was taken in after {previous.digest}")
        was_firing = any(_fires(each) for each in latest.values())
        is_new_voice = previous is None
        is_later = previous is not None and bool(notification.signal) and _at(notification) > _at(previous)
        latest[notification.signal] = notification
        said.append(
            Said(
                at=self._schedule.now,
                notification=notification,
                is_firing_anew=notification.opens and (not was_firing or is_new_voice or is_later),
                is_firing=any(_fires(each) for each in latest.values()),
                # A second end has nothing to tell; the incident is resolved already.
                owes_note=any(each.is_firing_anew for each in said) and (was_firing or notification.opens),
            )
        )

    def created(self, row: Row) -> None:
        """An incident was created through the API."""
        story = self.stories[row.correlation_id]
        story.created += 1
        if story.created > story.firings + story.deleted_early:
            self.fault(f"DOUBLED: incident {story.created} of {row.correlation_id[:4]} for {story.firings} firings")
        for other in self.instance.of(row.correlation_id):
            if other is not row and not other.is_closed:
                self.fault(f"DOUBLED: {row.number} was created beside {other.number}, which is in state {other.state}")

    def answered(self, notification: Notification) -> None:
        """A call was answered 2xx."""
        said = [each.notification for each in self.stories[notification.key].said]
        voice = [each for each in said if each.signal == notification.signal]
        if notification not in voice and not any(_outdates(each, notification) for each in voice):
            self.fault(f"LOST: {notification.digest} was answered 2xx and is not in the row")
        row = self.store.read(notification.key)
        is_last = bool(said) and said[-1] is notification  # a later one is being received and has its own wake-up
        if row is not None and row.awaits_work and is_last and not self._is_expected(row):
            self.fault(f"{notification.digest} was answered 2xx without a wake-up on its way")

    def _is_expected(self, row: Record) -> bool:
        is_coming = any(message.key == row.key for message in self.wakeups.messages.values())
        # A repetition relies on the wake-up that the row names; if that one was lost, resync is near.
        return is_coming or bool(row.wake_up_id)

    # In the end.

    def judge(self) -> list[str]:
        """Return everything that is not as it should be."""
        for message in self.wakeups.messages.values():
            self.fault(f"a wake-up of {message.key[:4]} is left")
        for key, story in self.stories.items():
            self._judge_row(key, story)
            self._judge_notes(key, story)
            self._judge_bindings(key)
            if not self._is_parked(key):
                self._judge_incidents(key, story)
        return self.faults

    def _is_parked(self, key: str) -> bool:
        row = self.store.read(key)
        return row is not None and row.is_parked

    def _judge_row(self, key: str, story: Story) -> None:
        row = self.store.read(key)
        if row is None:
            if story.said:
                self.fault(f"LOST: the row {key[:4]} is gone")
        elif row.is_parked:
            if not self.may_park:
                self.fault(f"{key[:4]} is parked: {row.last_error}")
        elif row.awaits_work:
            self.fault(f"LOST: {key[:4]} is not settled: {row.last_error}")
        elif row.lease_holder:
            self.fault(f"{key[:4]} is settled and still leased")

    def _judge_notes(self, key: str, story: Story) -> None:
        journal = "\n".join(text for row in self.instance.of(key) for text in row.journal)
        for each in story.said:
            times = journal.count(f"<{each.notification.digest}>")
            if times > 1:
                self.fault(f"DOUBLED: the note of {each.notification.digest} is there {times} times")
            if times == 0 and each.owes_note and not story.acts and not self._is_parked(key):
                self.fault(f"LOST: the note of {each.notification.digest}")

    def _judge_bindings(self, key: str) -> None:
        for row in self.instance.of(key):
            times = "\n".join(row.journal).count("configuration item>")
            if times > 1:
                self.fault(f"DOUBLED: {row.number} has {times} notes about its configuration item")

    def _judge_incidents(self, key: str, story: Story) -> None:
        rows = self.instance.of(key)
        if not story.firings:
            if rows:
                self.fault(f"{key[:4]} never fired and has an incident")
            return
        if not story.acts and len(rows) != 1:
            self.fault(f"LOST: {key[:4]} fired and has {len(rows)} incidents")
            return
        if story.said[-1].is_firing:
            self._judge_firing(key, story, rows)
        else:
            self._judge_ended(key, story, rows)

    def _judge_firing(self, key: str, story: Story, rows: list[Row]) -> None:
        began = max(each.at for each in story.said if each.is_firing_anew)
        if any(act.at >= began and act.name in ("resolve", "close", "cancel", "delete") for act in story.acts):
            return
        open_rows = [row for row in rows if row.state in (IncidentState.NEW, IncidentState.IN_PROGRESS)]
        if not open_rows:
            self.fault(f"LOST: {key[:4]} fires and its incidents are in states {[row.state for row in rows]}")
        elif not any(act.name == "edit" for act in story.acts):
            wanted = [each.notification for each in story.said if each.notification.opens][-1].fields
            wrong = {name for name, text in wanted.items() if open_rows[-1].fields.get(name) != text}
            if wrong:
                self.fault(f"{open_rows[-1].number} does not say what was said last: {sorted(wrong)}")

    def _judge_ended(self, key: str, story: Story, rows: list[Row]) -> None:
        ended = max(
            (after.at for before, after in pairwise(story.said) if before.is_firing and not after.is_firing),
            default=story.said[0].at,
        )
        if any(act.at >= ended and act.name == "reopen" for act in story.acts):
            return
        for row in rows:
            if row.state in (IncidentState.NEW, IncidentState.IN_PROGRESS):
                self.fault(f"LOST: {key[:4]} is over and {row.number} is in state {row.state}")


def _fires(notification: Notification) -> bool:
    return notification.opens and not notification.closes


def _at(notification: Notification) -> datetime:
    assert notification.at is not None
    return notification.at


def _outdates(known: Notification, notification: Notification) -> bool:
    """Whether `notification` says nothing new after `known`: it is the same or older; at equal times the end wins."""
    if known.digest == notification.digest or _at(known) > _at(notification):
        return True
    return _at(known) == _at(notification) and not _fires(known) and notification.opens
