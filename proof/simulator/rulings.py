"""What do operators' rules say of each alert, and when are they changed?

`ruled` draws the rules of a history here and asks, whenever a notification comes, how they have it at that moment: the
program reads them anew for each notification, so that a repetition may come under other rules than the first delivery.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.gathering import Group, Shared
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle

_DEFAULT = Lifecycle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one version of the rules says of one alert."""

    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    #: Which of its notifications are ignored: "", "all", or "some".
    ignores: str = ""
    group: Group | None = None
    storm: Group | None = None

    def of(self, notification: News) -> News:
        """Return the notification as these rules have it."""
        mark = hashlib.sha256(notification.digest.encode()).digest()[0]
        is_ignored = self.ignores == "all" or (self.ignores == "some" and mark % 2 == 0)
        return replace(
            notification,
            lifecycle=self.lifecycle,
            group=self.group,
            storm=self.storm,
            ignored_by="quiet" if is_ignored else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The rules from a moment on."""

    since: datetime
    #: By key, what they say of an alert.
    wishes: Mapping[str, Wish]


@dataclass(frozen=True, slots=True)
class Rulings:
    """The rules of a history, the oldest version first."""

    versions: Sequence[Version]

    def of(self, notification: News, now: datetime) -> News:
        """Return the notification as the rules have it `now`."""
        in_force = [version for version in self.versions if version.since <= now]
        return in_force[-1].wishes[notification.key].of(notification)

    def __str__(self) -> str:
        parts = []
        for number, version in enumerate(self.versions):
            wishes = "; ".join(f"{key[:4]}: {_in_words(wish)}" for key, wish in version.wishes.items())
            parts.append(f"rules {number + 1} from {version.since:%H:%M:%S}: {wishes}")
        return "\n           ".join(parts)


def lifecycles_drawn(rng: random.Random, keys: Sequence[str], moments: Sequence[datetime]) -> Rulings:
    """Return rules that say how incidents begin and end, one version from each of the moments on."""
    return Rulings(
        [
            Version(
                since=since,
                wishes={
                    key: Wish(lifecycle=_lifecycle(rng), ignores=rng.choice([*[""] * 6, "all", "some"])) for key in keys
                },
            )
            for since in moments
        ]
    )


def groups_drawn(rng: random.Random, keys: Sequence[str], moments: Sequence[datetime]) -> Rulings:
    """Return rules that let alerts share incidents, one version from each of the moments on."""
    groups = [_group(rng, f"{keys[0]} group {number}") for number in range(2)]
    storm = _storm(rng, f"{keys[0]} storm")
    # Mostly all alerts of a history are of one group, as all of one resource are.
    versions = []
    for since in moments:
        common = rng.choice([groups[0], groups[0], groups[0], groups[1], None])
        mixed = rng.random() < 0.25
        has_storm = rng.random() < 0.3
        lifecycle = _lifecycle(rng) if rng.random() < 0.5 else _DEFAULT
        ignores = rng.random() < 0.15
        versions.append(
            Version(
                since=since,
                wishes={
                    key: Wish(
                        lifecycle=lifecycle,
                        ignores="some" if ignores and rng.random() < 0.5 else "",
                        group=rng.choice([*groups, None]) if mixed else common,
                        storm=storm if has_storm else None,
                    )
                    for key in keys
                },
            )
        )
    return Rulings(versions)


def _lifecycle(rng: random.Random) -> Lifecycle:
    seconds, minutes = timedelta(seconds=1), timedelta(minutes=1)
    return Lifecycle(
        auto_resolve=rng.choice([*[AutoResolve.RESOLVE] * 3, AutoResolve.NOTE, AutoResolve.OFF]),
        reopen_within=rng.choice([None, None, timedelta(0), rng.choice([20, 60, 600]) * seconds]),
        after_closed=rng.choice([AfterClosed.NEW, AfterClosed.NEW, AfterClosed.NOTHING]),
        hold=rng.choice([0 * seconds, rng.choice([2, 30, 90, 600]) * seconds]),
        close_after=rng.choice([*[None] * 6, rng.choice([10, 40]) * minutes]),
    )


def _group(rng: random.Random, name: str) -> Group:
    within = rng.choice([None, None, None, timedelta(seconds=rng.choice([30, 120, 600]))])
    return Group(key=_hashed(name), shared=Shared.RESOURCE, name=name[-7:], within=within)


def _storm(rng: random.Random, name: str) -> Group:
    within = timedelta(seconds=rng.choice([30, 120, 600]))
    return Group(
        key=_hashed(name), shared=Shared.STORM, name="storm", within=within, more_than=rng.choice([2, 2, 3, 4])
    )


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _in_words(wish: Wish) -> str:
    said = {
        "auto_resolve": wish.lifecycle.auto_resolve.value,
        "reopen_within": wish.lifecycle.reopen_within,
        "after_closed": wish.lifecycle.after_closed.value,
        "hold": wish.lifecycle.hold or "",
        "close_after": wish.lifecycle.close_after,
        "ignores": wish.ignores,
        "group": wish.group and f"{wish.group.key[:4]} within {wish.group.within}",
        "storm": wish.storm and f"{wish.storm.key[:4]} more than {wish.storm.more_than} within {wish.storm.within}",
    }
    silent = ("", None, "resolve", "new")
    return ", ".join(f"{name} {value}" for name, value in said.items() if value not in silent) or "nothing"
