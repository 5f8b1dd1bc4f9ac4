"""Which names does a template have, and what stands behind them?

`templates` and `sandbox` check names against `NAMES` and render with `values_of`. Templates get texts and the few
read-only shapes below, never an object of the program: there is nothing to be reached behind them.
All texts are those of the alert, so they are data; none of them is ever read as a template.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.azure_monitor.wording.form import name_of
from itsm_bridge.azure_monitor.wording.links import links_of
from itsm_bridge.rules.patterns import folded
from itsm_bridge.rules.subject import Resource, Subject
from itsm_bridge.text import clip

#: How long a text is that a template gets, in UTF-16 units: the longest field of an incident holds no more.
LONGEST: Final = 4_000
#: How many characters a template and each of its parts may make.
MOST: Final = 20_000
#: How many resources, dimensions, properties and links a template can go through.
_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Shape:
    """What a name stands for, as far as a template can be checked before any alert is there."""

    #: "text", "object", "map" (any name may follow) or "list".
    kind: str = "text"
    fields: Mapping[str, "Shape"] = field(default_factory=dict)

    @property
    def item(self) -> "Shape | None":
        """What each turn of a loop gets; None if there is nothing to go through."""
        return {"list": self.fields.get(""), "map": _ENTRY}.get(self.kind)


TEXT: Final = Shape()


def _object(*names: str) -> Shape:
    return Shape("object", dict.fromkeys(names, TEXT))


_ENTRY: Final = _object("name", "value")
_RESOURCE: Final = _object("id", "name", "type", "group", "subscription")
_MAP: Final = Shape("map")
LOOP: Final = _object("index", "index0", "first", "last", "length")

#: All names that a template may use; docs/rules.md describes them.
NAMES: Final[Mapping[str, Shape]] = {
    "alert": _object("id", "rule", "description", "condition", "signal", "service", "severity", "subscription"),
    "severity": TEXT,
    "resource": _RESOURCE,
    "resources": Shape("list", {"": _RESOURCE}),
    "rule": TEXT,
    "service": TEXT,
    "dimensions": _MAP,
    "custom": _MAP,
    "event": _object(
        "source",
        "operation",
        "status",
        "level",
        "caller",
        "severity",
        "kind",
        "stage",
        "tracking_id",
        "health",
        "cause",
    ),
    "fired_at": TEXT,
    "links": _MAP,
    "measured": TEXT,
    "headline": TEXT,
    "story": TEXT,
}


class Facts:
    """Texts by name, read-only. As a text it is the one that people know it by."""

    __slots__ = ("_as_text", "_texts")

    def __init__(self, texts: Mapping[str, str], as_text: str) -> None:
        self._texts = texts
        self._as_text = as_text

    def get(self, name: str) -> str:
        """Return the text under a name; "" if there is none."""
        return self._texts.get(name, "")

    def __str__(self) -> str:
        """Return what people call it."""
        return self._as_text


class Named:
    """Texts by names that the alert chose, of any case; goes through entries that have a name and a value."""

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = [(_short(name), _short(text)) for name, text in pairs][:_MOST]
        self._by_name: dict[str, str] = {}
        for name, text in self._pairs:
            self._by_name.setdefault(folded(name), text)

    def get(self, name: str) -> str:
        """Return the text under a name of any case; "" if there is none."""
        return self._by_name.get(folded(name), "")

    def __contains__(self, name: object) -> bool:
        """Return whether there is a text under the name."""
        return isinstance(name, str) and folded(name) in self._by_name

    def __iter__(self) -> Iterator[Facts]:
        """Yield each entry with its name and its value."""
        return (Facts({"name": name, "value": text}, f"{name}: {text}") for name, text in self._pairs)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._pairs)

    def __str__(self) -> str:
        """Return "Computer: web1, Disk: C:", as far as a template may make it."""
        return ", ".join(map(str, self))[:MOST]


class Moment:
    """A point in time; as a text it is told in UTC, or in the zone that a filter chose."""

    __slots__ = ("_at",)

    def __init__(self, at: datetime | None) -> None:
        self._at = at

    def told_in(self, zone: str) -> str:
        """Return it on the clocks of a zone: "2026-03-14 03:41:07 CET"; "" if the alert does not tell it."""
        return f"{self._at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}" if self._at else ""

    def __str__(self) -> str:
        """Return it in UTC."""
        return utc_text(self._at)


Value = str | Facts | Named | Moment | tuple[Facts, ...]


class Values:
    """What the names stand for with one alert, each worked out when it is asked for first."""

    __slots__ = ("_found", "_subject")

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._found: dict[str, Value] = {}

    def get(self, name: str) -> Value:
        """Return what a name of `NAMES` stands for."""
        if name not in self._found:
            self._found[name] = _MAKERS[name](self._subject)
        return self._found[name]

    def all(self) -> Mapping[str, Value]:
        """Return all of them."""
        return {name: self.get(name) for name in NAMES}


def text_at(values: Values, path: tuple[str, ...]) -> str:
    """Return the text at `path`, which was checked: ("resource", "name"); "" if the alert has none."""
    value = values.get(path[0])
    if len(path) > 1:
        value = value.get(path[1]) if isinstance(value, (Facts, Named)) else ""
    return shown(value)


def shown(value: object) -> str:
    """Return a value as a template shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return text[:MOST]


def _alert(subject: Subject) -> Facts:
    alert = subject.alert
    texts = {
        "id": alert.alert_id,
        "rule": name_of(alert.alert_rule),
        "description": alert.description,
        "condition": subject.condition_words[0].capitalize(),
        "signal": alert.signal_type,
        "service": alert.monitoring_service,
        "severity": str(alert.severity or ""),
        "subscription": alert.subscription_id,
    }
    return Facts({name: _short(text) for name, text in texts.items()}, subject.wording.headline)


def _resource(resource: Resource) -> Facts:
    texts = {
        "id": resource.id,
        "name": resource.name,
        "type": resource.type,
        "group": resource.group,
        "subscription": resource.subscription,
    }
    return Facts({name: _short(text) for name, text in texts.items()}, _short(resource.name))


def _first_resource(subject: Subject) -> Facts:
    return _resource(subject.resources[0]) if subject.resources else Facts({}, "")


def _links(subject: Subject) -> Named:
    return Named((line.label, line.text) for line in links_of(subject.alert, subject.wording))


def _short(text: str) -> str:
    return clip(text, LONGEST)


_MAKERS: Final[Mapping[str, Callable[[Subject], Value]]] = {
    "alert": _alert,
    "severity": lambda subject: str(subject.severity or ""),
    "resource": _first_resource,
    "resources": lambda subject: tuple(map(_resource, subject.resources[:_MOST])),
    "rule": lambda subject: _short(name_of(subject.alert.alert_rule)),
    "service": lambda subject: _short(subject.alert.monitoring_service),
    "dimensions": lambda subject: Named(subject.dimensions),
    "custom": lambda subject: Named(subject.custom.items()),
    "event": lambda subject: Facts({name: _short(text) for name, text in subject.event.items()}, ""),
    "fired_at": lambda subject: Moment(subject.alert.fired_date_time),
    "links": _links,
    "measured": lambda subject: _short(subject.wording.measured),
    "headline": lambda subject: _short(subject.wording.headline),
    "story": lambda subject: _short(subject.wording.story),
}
