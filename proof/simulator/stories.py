"""What came of the words of one alert, by the rules of the moment in which each came?

`promises` and `joining` judge by it. A beginning that was ignored does not count; the end of what fires always does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

from itsm_bridge.rules.ruling import Lifecycle
from proof.simulator.azure import Role, Word
from proof.simulator.oracle import MOST_OPTIONAL, Coming, Story, Told, fires


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A firing of an alert, from its first beginning to its end."""

    began: Told
    #: By the beginnings that came during it.
    holds: Sequence[timedelta]
    ended: Told | None

    def is_cleared(self, skew: timedelta) -> bool:
        """Whether it was over for certain before its hold was."""
        if self.ended is None or self.ended.answered_at is None or not all(self.holds):
            return False
        return self.ended.answered_at + skew < came_at(self.began) + self.holds[0]

    def has_lasted(self, skew: timedelta) -> bool:
        """Whether it lasted for certain longer than its hold."""
        if self.began.answered_at is None:
            return False
        return self.ended is None or came_at(self.ended) - skew > self.began.answered_at + max(self.holds)


def runs(stories: Sequence[Story]) -> Iterator[Run]:
    """Yield the firings of alerts that are one together, as they came: from the first beginning to the last end."""
    began: list[Told] = []
    fire = set[tuple[str, str]]()
    for told in sorted((each for story in stories for each in story.came), key=came_at):
        said = told.word.notification
        if told.word.begins and counted(told):
            began.append(told)
            fire.add((said.key, said.signal))
        if told.word.ends:
            fire.discard((said.key, said.signal))
        if began and not fire:
            yield Run(began=began[0], holds=_holds(began), ended=told)
            began = []
    if began:
        yield Run(began=began[0], holds=_holds(began), ended=None)


def _holds(began: Sequence[Told]) -> Sequence[timedelta]:
    return [hold_of(counted(each)[0]) for each in began]


def is_in_order(stories: Sequence[Story]) -> bool:
    """Whether each word was answered at once, and before the next one came, and counted from then on if ever."""
    came = sorted((each for story in stories for each in story.came), key=came_at)
    if not all(told.comings[0].answered_at for told in came):
        return False
    if any(counted(told) and told.comings[0] not in counted(told) for told in came):
        return False
    moments = [moment for told in came for moment in (told.came_at, told.answered_at)]
    is_as_told = all(list(map(id, sorted(story.came, key=came_at))) == list(map(id, story.came)) for story in stories)
    return is_as_told and moments == sorted(moment for moment in moments if moment is not None)


def fired_all_the_time(story: Story, *, since: datetime, until: datetime) -> bool:
    """Whether an alert fired for certain in all that time, as far as words had come."""
    for place, told in enumerate(story.told):
        if told.word.role is not Role.BEGIN:
            continue
        if not any(each.answered_at and each.answered_at < since for each in counted(told)):
            continue
        signal = told.word.notification.signal
        later = [each for each in story.told[place:] if each.word.ends and each.word.notification.signal == signal]
        if not any(each.came_at and each.came_at <= until for each in later):
            return True
    return False


def counted(told: Told) -> list[Coming]:
    """Return the calls with a word that count: an ignored beginning does not, the end of what fires always does."""
    return [each for each in told.comings if not (told.word.begins and each.said.ignored_by)]


def has_counting(story: Story, role: Role) -> bool:
    return any(told.word.role is role and counted(told) for told in story.came)


def possible(story: Story) -> set[bool]:
    """Return whether an alert may fire and may not, after all words that count."""
    certain: list[Word] = []
    optional: list[Word] = []
    for told in story.came:
        if told.word.role is not Role.NEUTRAL and (calls := counted(told)):
            (certain if any(each.answered_at for each in calls) else optional).append(told.word)
    if len(optional) > MOST_OPTIONAL:
        return {True, False}
    order = {id(each.word): place for place, each in enumerate(story.told)}
    choices: Iterable[tuple[tuple[Word, ...], ...]] = product(*[((), (word,)) for word in optional])
    return {
        fires(sorted([*certain, *(word for each in chosen for word in each)], key=lambda word: order[id(word)]))
        for chosen in choices
    }


def comings(story: Story) -> Iterator[Coming]:
    return (each for told in story.came for each in told.comings)


def lifecycles_of(story: Story) -> set[Lifecycle]:
    return {each.said.lifecycle for told in story.came for each in counted(told)}


def end_lifecycles(alerts: Sequence[Story]) -> set[Lifecycle]:
    return {each.said.lifecycle for story in alerts for told in story.came if told.word.ends for each in counted(told)}


def hold_of(coming: Coming) -> timedelta:
    """Return how long what a call says must fire; a test is over at once."""
    return timedelta(0) if coming.said.closes else coming.said.lifecycle.hold


def came_at(told: Told) -> datetime:
    assert told.came_at is not None
    return told.came_at


def begins_alone(story: Story) -> bool:
    """Whether the first word that came was a beginning that counts, and was answered before another one came."""
    came = sorted((each for each in story.came if each.came_at is not None), key=lambda each: each.comings[0].at)
    if not came or not came[0].word.begins:
        return False
    first = came[0].comings[0]
    if first.answered_at is None or first.said.ignored_by:
        return False
    return all(each.comings[0].at > first.answered_at for each in came[1:])
