"""What must be true at every moment, and in the end?

The history tells it what happens and asks for its judgement. It is written from the promises, and from nothing that
the program knows: what Azure Monitor said and in which order it really happened, when it came and whether it was
answered 2xx, what people and rules of the instance did.

1. A word that was answered 2xx counts. A word that was never answered may count or not, because its process died and
   its row may be there all the same; but a row that is there comes to rest.
2. A key fires if the last word that counts, by the order in which things happened, is a beginning. Then an incident is
   open and says so; else none is; unless people or a rule of the instance had the last word.
3. There is never an incident beside one that is not closed, and never more incidents than beginnings.
4. Each note is there once at most; that of the end, and what comes after it, is there.
5. In the end nothing awaits work, is leased, or stands in the queue. Parked is only what the instance refuses for good,
   and then the incident says that it is over.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product

from itsm_bridge.errors import Damaged
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.incident import IncidentState
from proof.simulator.azure import Role, Word
from proof.simulator.memory import Change, MemoryInstance, MemoryStore, MemoryWakeUps, Row
from proof.simulator.schedule import Schedule

_OPEN = (IncidentState.NEW, IncidentState.IN_PROGRESS)
#: How many words without an answer are tried in all combinations.
MOST_OPTIONAL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An act of a person, or an accident of a row."""

    at: datetime
    name: str
    #: Whether the row knew of the incident, and no request of its creation could be under way any more.
    was_certain: bool = True


@dataclass(slots=True, kw_only=True)
class Coming:
    """One call with a word."""

    at: datetime
    #: What came: the word as the rules of that moment have it.
    said: News
    answered_at: datetime | None = None


@dataclass(slots=True)
class Told:
    """How a word fared."""

    word: Word
    came_at: datetime | None = None
    answered_at: datetime | None = None
    comings: list[Coming] = field(default_factory=list)


@dataclass(slots=True)
class Story:
    """The words and acts about one key."""

    told: list[Told] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    created: int = 0

    def did(self, *names: str, since: datetime | None = None) -> bool:
        """Whether anybody did such a thing."""
        return any(act.name in names and (since is None or act.at >= since) for act in self.acts)

    @property
    def came(self) -> list[Told]:
        """The words that came at all, as they happened."""
        return [each for each in self.told if each.came_at is not None]

    @property
    def answered(self) -> list[Told]:
        """The words that count for certain."""
        return [each for each in self.told if each.answered_at is not None]


class Oracle:
    """Watches one history."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._known: dict[int, Told] = {}
        self.stories: dict[str, Story] = {}
        self.faults: list[str] = []
        self.instance: MemoryInstance
        self.store: MemoryStore
        self.wakeups: MemoryWakeUps
        #: Whether rows may end parked, because ServiceNow refused something for good.
        self.may_park = False
        #: Whether any write may be refused, that of a note too.
        self.refuses_notes = False

    def expect(self, word: Word) -> None:
        """Know a word that happened; in the order in which things happen."""
        told = self._known[id(word.notification)] = Told(word)
        self.stories.setdefault(word.notification.key, Story()).told.append(told)

    def fault(self, text: str) -> None:
        self.faults.append(f"{text} (at {self._schedule.elapsed:.1f} s)")

    # While it happens.

    def came(self, notification: News, said: News) -> Coming:
        """A call came to a process; `said` is the notification as rules have it."""
        told = self._known[id(notification)]
        told.came_at = told.came_at or self._schedule.now
        coming = Coming(at=self._schedule.now, said=said)
        told.comings.append(coming)
        return coming

    def answered(self, notification: News, coming: Coming) -> None:
        """A call was answered 2xx."""
        told = self._known[id(notification)]
        told.answered_at = told.answered_at or self._schedule.now
        coming.answered_at = self._schedule.now

    def acted(self, key: str, act: Act) -> None:
        """A person did something to an incident of `key`, or its row had an accident."""
        self.stories[key].acts.append(act)

    def changed(self, change: Change) -> None:
        """An incident was changed through the API."""

    def created(self, row: Row) -> None:
        """An incident was created through the API."""
        story = self.stories[row.key]
        story.created += 1
        begun = sum(each.word.begins for each in story.came)
        early = sum(act.name == "delete" and not act.was_certain for act in story.acts)
        # Once the row is lost, nothing shows any more for which firing a closed incident was.
        if story.created > begun + early and not story.did("damage"):
            self.fault(f"DOUBLED: incident {story.created} of {row.key[:4]} for {begun} beginnings")
        for other in self.instance.of(row.key):
            if other is not row and not other.is_closed:
                self.fault(f"DOUBLED: {row.number} was created beside {other.number}, which is in state {other.state}")

    # In the end.

    def judge(self) -> list[str]:
        """Return everything that is not as it should be."""
        for message in self.wakeups.messages.values():
            self.fault(f"a wake-up of {message.key[:4]} is left")
        for key, story in self.stories.items():
            row = self._row(key)
            self._judge_row(key, story, row)
            self._judge_notes(key, story)
            if row is not None and row.work.is_parked:
                self._judge_parked(key, story)
            else:
                self._judge_incidents(key, story)
        return self.faults

    def _row(self, key: str) -> Record | None:
        with suppress(Damaged):
            return self.store.read(key)
        return None

    def _judge_row(self, key: str, story: Story, row: Record | None) -> None:
        # A neutral word alone leaves nothing behind.
        if row is None:
            if not story.did("damage") and any(each.word.role is not Role.NEUTRAL for each in story.answered):
                self.fault(f"LOST: the row {key[:4]} is gone")
        elif row.work.is_parked:
            if not self.may_park:
                self.fault(f"{key[:4]} is parked: {row.work.last_error}")
        elif row.awaits_work:
            self.fault(f"LOST: {key[:4]} is not settled: {row.work.last_error}")
        elif row.work.lease_holder:
            self.fault(f"{key[:4]} is settled and still leased")

    def _judge_notes(self, key: str, story: Story) -> None:
        journal = self._journal(key)
        if story.did("damage", "older version"):
            return
        for each in story.told:
            times = journal.count(each.word.notification.note)
            if times > 1:
                self.fault(f"DOUBLED: the note {each.word.notification.note} is there {times} times")
        for row in self.instance.of(key):
            if "\n".join(row.journal).count("configuration item>") > 1:
                self.fault(f"DOUBLED: {row.number} has several notes about its configuration item")

    def _judge_parked(self, key: str, story: Story) -> None:
        is_refusing = self.instance.rules.on_resolve == "refused" and not self.refuses_notes
        if not is_refusing or story.acts or not self.instance.of(key):
            return
        times, ends = self._journal(key).count("could not be resolved"), sum(each.word.ends for each in story.came)
        if self._ends_for_certain(story) and not 1 <= times <= ends:
            self.fault(f"{key[:4]} could not be resolved, and its incident says so {times} times for {ends} ends")

    def _judge_incidents(self, key: str, story: Story) -> None:
        rows = self.instance.of(key)
        if not any(each.word.begins for each in story.came) and rows:
            self.fault(f"{key[:4]} never fired and has an incident")
        if story.did("damage") or self.instance.rules.state_at_birth(key) is not None:
            return
        possible = _possible(story)
        is_open = any(row.state in _OPEN for row in rows)
        if possible == {True}:
            self._judge_firing(key, story, rows)
        elif possible == {False} and is_open and not self._was_reopened(story):
            self.fault(f"LOST: {key[:4]} is over and its incidents are in states {[row.state for row in rows]}")
        if self._began_for_certain(story) and not story.acts and len(rows) != 1:
            self.fault(f"LOST: {key[:4]} fired and has {len(rows)} incidents")
        if self._ends_for_certain(story) and not (story.acts or self.may_park or self.instance.rules.hides_journal):
            self._judge_last_words(key, story, rows)
        if not (story.acts or self.may_park or self.instance.rules.hides_journal):
            self._judge_news(key, story)

    def _judge_firing(self, key: str, story: Story, rows: list[Row]) -> None:
        began = [each for each in story.answered if each.word.begins][-1]
        since = min(_at(each) for last in _that_fire(story) for each in _firing(story, last))
        if story.did("resolve", "close", "cancel", "delete", since=since):
            return
        open_rows = [row for row in rows if row.state in _OPEN]
        if not open_rows:
            self.fault(f"LOST: {key[:4]} fires and its incidents are in states {[row.state for row in rows]}")
        elif not story.did("edit", "older version") and len(story.came) == len(story.answered):
            # Several action groups say the same at the same time: any of them may have come last.
            last = [each for each in story.answered if each.word.begins and each.word.span == began.word.span]
            voices = {each.word.notification.signal for each in story.answered}
            wanted = [each.word.notification.content.fields for each in last]
            shown = {name: open_rows[-1].fields.get(name) for name in wanted[0]}
            if len(voices) == 1 and shown not in wanted:
                self.fault(f"{open_rows[-1].number} says {shown['short_description']}, not what was said last")

    def _judge_last_words(self, key: str, story: Story, rows: list[Row]) -> None:
        """An end that came after its beginning is told, and so is what came after the end."""
        if len(rows) != 1 or rows[0].state != IncidentState.RESOLVED or len(story.came) != len(story.answered):
            return
        if not self._came_in_order(story.answered):
            return
        last = story.answered[-1].word
        ends = [each.word for each in story.answered if each.word.role is Role.END and each.word.span == last.span]
        wanted = ends or [last]
        journal = self._journal(key)
        if last.role is not Role.TEST and not any(word.notification.note in journal for word in wanted):
            self.fault(f"LOST: the note {last.notification.note} of the last word")

    def _judge_news(self, key: str, story: Story) -> None:
        """A word that came in order, after the one before was answered, is told if it says something else."""
        if len(story.came) != len(story.answered) or not self._came_in_order(story.answered):
            return
        journal = self._journal(key)
        before: dict[str, str] = {}
        has_begun = False
        for word in (each.word for each in story.answered):
            said, voice = word.notification, word.notification.signal
            # The first beginning is told by the incident itself.
            is_news = has_begun and before.get(voice) != said.digest and word.role is not Role.NEUTRAL
            has_begun, before[voice] = has_begun or word.begins, said.digest
            if is_news and said.note not in journal:
                self.fault(f"LOST: the note {said.note}")

    def _journal(self, key: str) -> str:
        return "\n".join(text for row in self.instance.of(key) for text in row.journal)

    def _began_for_certain(self, story: Story) -> bool:
        """Whether the first word that came, and came alone, was a beginning."""
        came = sorted(story.came, key=_at)
        if not came or not came[0].word.begins or came[0].answered_at is None:
            return False
        return all(_at(each) > came[0].answered_at for each in came[1:])

    def _ends_for_certain(self, story: Story) -> bool:
        return _possible(story) == {False} and self._began_for_certain(story)

    def _came_in_order(self, told: Sequence[Told]) -> bool:
        moments = [moment for each in told for moment in (_at(each), each.answered_at)]
        return moments == sorted(moment for moment in moments if moment is not None)

    def _was_reopened(self, story: Story) -> bool:
        ends = [_at(each) for each in story.answered if each.word.ends]
        return story.did("reopen", since=ends[-1] if ends else None)


def _that_fire(story: Story) -> list[Told]:
    """Return the last beginning of each voice that fires."""
    last = {each.word.notification.signal: each for each in story.answered if each.word.role is not Role.NEUTRAL}
    return [each for each in last.values() if each.word.begins]


def _firing(story: Story, last: Told) -> list[Told]:
    """Return the beginnings of the firing that `last` belongs to: of a single voice, all after the end before it.

    While a single voice fires, its further words are updates, and a person who ended the incident meant all of them.
    """
    if last.word.notification.signal:  # several action groups tell of the same one
        came = [each for each in story.came if each.word.begins and each.word.span == last.word.span]
        return [each for each in came if each.word.notification.signal == last.word.notification.signal]
    before = story.told[: story.told.index(last) + 1]
    # The app may not know of an end that was never answered.
    ends = [place for place, each in enumerate(before) if each.word.ends and each.answered_at is not None]
    return [each for each in before[max(ends, default=-1) + 1 :] if each.word.begins and each.came_at is not None]


def _possible(story: Story) -> set[bool]:
    """Return whether the key may fire and may not, after all words that count."""
    certain = [each.word for each in story.answered]
    optional = [each.word for each in story.came if each.answered_at is None]
    if len(optional) > MOST_OPTIONAL:
        return {True, False}
    order = {id(each.word): place for place, each in enumerate(story.told)}
    choices = product(*[((), (word,)) for word in optional])
    return {
        fires(sorted([*certain, *(word for each in chosen for word in each)], key=lambda word: order[id(word)]))
        for chosen in choices
    }


def fires(words: Iterable[Word]) -> bool:
    last: dict[str, Word] = {}
    for word in words:
        if word.role is not Role.NEUTRAL:
            last[word.notification.signal] = word
    return any(word.role is Role.BEGIN for word in last.values())


def _at(told: Told) -> datetime:
    assert told.came_at is not None
    return told.came_at
