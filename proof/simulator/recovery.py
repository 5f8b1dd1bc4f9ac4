"""What must be true where Azure Monitor gives up, and its own list of alerts is followed?

`gives_up` tells it what happens and asks for its judgement, as `history` asks `oracle`, whose rules count here too.

1. Each word of an alert that our action group was triggered for counts, whether it was answered or not: the beginning
   always, and the end too. An alert of which nothing came, or its end alone, has an incident all the same, and one.
   Only one whose beginning a call brought after its end has none, as ever.
2. What was for other groups, and what was suppressed when it fired, is not brought in.
3. Of an alert whose history tells no group, what was answered counts; if that is its beginning, and it was answered
   before the list knew the end, the end counts too.
4. Nothing is told twice: what a call brings after the list did, or before it, adds no note.
5. The first note of an incident whose beginning was found in the list says so, once; no other incident says it.
"""

from collections.abc import Iterable

from itsm_bridge.resource_manager.look import RECOVERED
from proof.simulator.listing import Case, Fate
from proof.simulator.memory import Row
from proof.simulator.oracle import Coming, Oracle, Story, Told
from proof.simulator.schedule import Schedule

#: After these, a row does not know any more what was told.
_FORGETTING = ("damage", "older version")


class Recovery(Oracle):
    """Watches one history in which Azure Monitor gives up."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.cases: dict[str, Case] = {}
        #: The words that the list brought, by their identity.
        self._found: dict[int, list[Coming]] = {}

    def expect_case(self, case: Case) -> None:
        """Know an alert that happened."""
        self.cases[case.key] = case
        for word in case.words:
            self.expect(word)

    def found(self, case: Case, coming: Coming) -> None:
        """The list brought a word of an alert in."""
        said = coming.said
        if case.fate in (Fate.OTHERS, Fate.SUPPRESSED):
            self.fault(f"{said.digest} was brought in, and it was {case.fate.value}")
        if case.fate is Fate.UNCLEAR and said.opens:
            self.fault(f"{said.digest} was brought in, and nobody can tell whose it is")
        word = case.begin if said.opens else case.end
        assert word is not None
        self._found.setdefault(id(word), []).append(coming)

    def waited_for(self, key: str) -> None:
        """The row of one alert could not be written for long; by now the others must not have waited for it."""
        for case in self.cases.values():
            told = self.stories[case.key].told
            if case.fate is Fate.OURS and case.key != key and any(each.came_at is None for each in told):
                self.fault(f"LOST: {case.key[:4]} is not found as long as {key[:4]} cannot be written")

    def judge(self) -> list[str]:
        """Return everything that is not as it should be."""
        for case in self.cases.values():
            self._count(case)
        super().judge()
        for key, case in self.cases.items():
            story = self.stories[key]
            if case.fate is Fate.OTHERS and self._row(key) is not None:
                self.fault(f"{key[:4]} was for others and has a row")
            if case.fate is Fate.OURS:
                self._judge_number(case, story)
            if not story.did(*_FORGETTING):
                self._judge_told(case, story)
        return self.faults

    def _count(self, case: Case) -> None:
        """Let each word count that must."""
        story = self.stories[case.key]
        told = {id(each.word): each for each in story.told}
        begun_at = told[id(case.begin)].answered_at
        is_known = begun_at is not None and case.over_at is not None and begun_at < case.over_at
        if case.fate is Fate.OURS or (case.fate is Fate.UNCLEAR and is_known and not story.did("damage")):
            for word in case.words:
                self._count_word(told[id(word)])

    def _count_word(self, told: Told) -> None:
        if told.came_at is None:
            self.fault(f"LOST: {told.word.notification.digest} was neither brought by a call nor found")
        told.came_at = told.came_at or self._schedule.now
        # It was written down though its call was not answered, or its recovery was broken off, or it is lost.
        told.answered_at = told.answered_at or self._schedule.now

    def _judge_number(self, case: Case, story: Story) -> None:
        key, row = case.key, self._row(case.key)
        is_parked = row is not None and row.work.is_parked
        if story.acts or is_parked or self.instance.rules.state_at_birth(key) is not None:
            return
        rows = self.instance.of(key)
        if not rows and self._began_late(case, story):
            return
        if len(rows) != 1:
            self.fault(f"{'DOUBLED' if rows else 'LOST'}: {key[:4]} fired and has {len(rows)} incidents")

    def _began_late(self, case: Case, story: Story) -> bool:
        """Whether a call brought the beginning after the end had come, and the list had not brought it before that."""
        found, called = self._comings(story, case)
        ended = [coming.at for each in story.told if each.word is case.end for coming in each.comings]
        late = [each.at for each in called if ended and each.at > min(ended)]
        return bool(late) and not any(each.answered_at and each.answered_at < min(late) for each in found)

    def _judge_told(self, case: Case, story: Story) -> None:
        rows = self.instance.of(case.key)
        journal = self._journal(case.key)
        name = case.begin.notification.digest
        if case.begin.notification.note in journal:
            self.fault(f"DOUBLED: {name} is told by an incident that began with it")
        found, called = self._comings(story, case)
        times = journal.count(RECOVERED) - self._marks_of_end(case, journal)
        if times > 1:
            self.fault(f"DOUBLED: {times} notes say that {name} was found")
        if times and not found:
            self.fault(f"a note says that {name} was found, and a call brought it")
        is_certain = not (story.acts or self.may_park or self.instance.rules.hides_journal)
        if found and not called and is_certain and self.instance.rules.state_at_birth(case.key) is None:
            self._judge_mark(name, rows)

    def _judge_mark(self, name: str, rows: Iterable[Row]) -> None:
        first = [row.journal[0] if row.journal else "" for row in rows]
        if len(first) == 1 and RECOVERED not in first[0]:
            self.fault(f"LOST: the first note of the incident does not say that {name} was found: {first[0]!r}")

    def _comings(self, story: Story, case: Case) -> tuple[list[Coming], list[Coming]]:
        """Return how the beginning came: from the list, and by calls."""
        all_of_it = next(each.comings for each in story.told if each.word is case.begin)
        found = self._found.get(id(case.begin), [])
        return found, [each for each in all_of_it if each not in found]

    def _marks_of_end(self, case: Case, journal: str) -> int:
        if case.end is None:
            return 0
        return journal.count(f"{case.end.notification.note}\n\n{RECOVERED}")
