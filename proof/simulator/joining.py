"""Who must share an incident where that depends on time?

`promises` asks it in the end. A group may take only alerts that come soon after one that joined before, and a storm
only those beyond so many within a time. An alert joined between its first call and its first answer; what that leaves
open is not judged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsm_bridge.reconcile.gathering import Group
from proof.simulator.oracle import Coming, Story
from proof.simulator.stories import begins_alone, comings


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """An alert that joined a group, no sooner than `earliest` and no later than `latest`."""

    key: str
    earliest: datetime
    latest: datetime
    #: The key of its incident; "" if that is not known.
    home: str
    #: The group that it joins if it is no part of a storm.
    group: Group | None
    #: Whether its beginning was its first word, so that the group decides where it is.
    is_free: bool

    def overlaps(self, other: "Join") -> bool:
        return self.earliest <= other.latest and other.earliest <= self.latest


class Joining:
    """The alerts that joined groups in one history."""

    def __init__(self, stories: Mapping[str, Story], homes: Callable[[str], set[str]], skew: timedelta) -> None:
        self._stories = stories
        self._homes = homes
        self._skew = skew

    def faults(self) -> Iterator[str]:
        """Yield where an alert is that should be elsewhere."""
        for storm in self._all("storm"):
            yield from self._misplaced_by_storm(storm, self._joins("storm", storm))
        for group in self._all("group"):
            if group.within is not None:
                yield from self._misplaced_by_time(group.within, self._joins("group", group))

    def _misplaced_by_storm(self, storm: Group, joins: Sequence[Join]) -> Iterator[str]:
        within = storm.within or timedelta(0)
        for each in joins:
            if not each.is_free or not each.home:
                continue
            plain = each.group.key if each.group and not each.group.within else ""
            before = [one for one in joins if one.latest < each.earliest]
            recent = sum(each.latest - one.earliest + self._skew <= within for one in before)
            if recent >= storm.more_than and each.home in (each.key, plain):
                yield f"{each.key[:4]} came after {recent} others of its storm and is in no incident of it"
            at_most = sum(one.earliest <= each.latest for one in joins)
            if at_most <= storm.more_than and each.home != each.key and each.group is None:
                yield f"{each.key[:4]} was number {at_most} of a storm beyond {storm.more_than} and has no incident"

    def _misplaced_by_time(self, within: timedelta, joins: Sequence[Join]) -> Iterator[str]:
        for each in joins:
            before = [one for one in joins if one.latest < each.earliest]
            if not before or not each.is_free or not each.home or any(map(each.overlaps, _without(joins, each))):
                continue
            last = max(before, key=lambda one: one.latest)
            if any(map(last.overlaps, _without(joins, last))) or not last.is_free or not last.home:
                continue
            if each.latest - last.earliest + self._skew <= within and each.home != last.home:
                yield f"{each.key[:4]} came soon after {last.key[:4]} and is in another incident"
            if each.earliest - last.latest - self._skew > within and each.home == last.home:
                yield f"{each.key[:4]} came long after {last.key[:4]} and is in the same incident"

    def _all(self, name: str) -> Sequence[Group]:
        found = (getattr(each.said, name) for story in self._stories.values() for each in _beginnings(story))
        return list(dict.fromkeys(group for group in found if group is not None))

    def _joins(self, name: str, group: Group) -> Sequence[Join]:
        """Return who joined a group; nobody if rules changed, or if it is not certain that one joined."""
        joins = []
        for key, story in self._stories.items():
            beginnings = list(_beginnings(story))
            groups = {getattr(each.said, name) for each in beginnings}
            if group not in groups:
                continue
            answered = [each.answered_at for each in beginnings if each.answered_at]
            is_same = len({(each.said.group, each.said.storm) for each in beginnings}) == 1
            if not answered or not is_same or any(each.said.ignored_by for each in beginnings):
                return []
            if name == "group" and beginnings[0].said.storm is not None:
                return []
            homes = self._homes(key)
            joins.append(
                Join(
                    key=key,
                    earliest=min(each.at for each in beginnings),
                    latest=min(answered),
                    home=next(iter(homes)) if len(homes) == 1 else "",
                    group=beginnings[0].said.group,
                    is_free=begins_alone(story),
                )
            )
        return joins


def together(stories: Mapping[str, Story]) -> Iterator[tuple[Mapping[str, Story], str]]:
    """Yield the alerts that share a row for certain, however they came, with the key of their incident."""
    by_home: dict[str, dict[str, Story]] = {}
    for key, story in stories.items():
        rules = {(each.said.group, each.said.storm) for each in comings(story)}
        group, storm = next(iter(rules)) if len(rules) == 1 else (None, None)
        if rules == {(None, None)}:
            by_home[key] = {key: story}
        elif group and not group.within and storm is None and begins_alone(story):
            by_home.setdefault(group.key, {})[key] = story
    for home, alerts in by_home.items():
        others = (each.said.group for key, story in stories.items() if key not in alerts for each in comings(story))
        if not any(group and group.key == home for group in others):
            yield alerts, home


def _beginnings(story: Story) -> Iterator[Coming]:
    return (each for told in story.came if told.word.begins for each in told.comings)


def _without(joins: Sequence[Join], one: Join) -> Sequence[Join]:
    return [each for each in joins if each is not one]
