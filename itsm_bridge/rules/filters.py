"""What can a template do with a value?

`sandbox` gives these filters to templates, and nothing else of Jinja2's. Each takes a value and constants, and makes a
text that is no longer than `MOST`. docs/rules.md describes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from itsm_bridge.azure_monitor.wording.units import Unit, quantity_text
from itsm_bridge.rules import checks
from itsm_bridge.rules.faults import Trouble, quoted, suggestion
from itsm_bridge.rules.subject import Resource, resource_of
from itsm_bridge.rules.values import LONGEST, MOST, Facts, Moment, Named, shown
from itsm_bridge.text import clip, number_text, one_line

Argument = str | int


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter, and the constants that it takes."""

    run: Callable[..., object]
    #: One check for each constant that it needs.
    arguments: tuple[Callable[[Argument], Trouble | None], ...] = ()


def _resource(value: object) -> Resource:
    return resource_of(value.get("id") if isinstance(value, Facts) else shown(value))


def _replace(value: object, old: str, new: str) -> str:
    text = shown(value)
    # Before the replacement, because that could make a text of any length.
    return text.replace(old, new) if len(text) + text.count(old) * len(new) <= MOST else text


def _default(value: object, other: Argument) -> object:
    return value if shown(value).strip() else other


def _join(value: object, between: str) -> str:
    items = map(shown, value) if isinstance(value, (tuple, list, Named)) else [shown(value)]
    return between.join(items)[:MOST]


def _time_zone(value: object, zone: str) -> str:
    return value.told_in(zone) if isinstance(value, Moment) else shown(value)


def _length(value: object) -> int:
    return len(value) if isinstance(value, (tuple, list, Named)) else len(shown(value))


def _text(argument: Argument) -> Trouble | None:
    return None if isinstance(argument, str) else Trouble(f"{argument!r:.40} is no text", "write it in quotes")


def _some_text(argument: Argument) -> Trouble | None:
    return _text(argument) if argument else Trouble("the text to look for is empty", "write what is replaced")


def _zone(argument: Argument) -> Trouble | None:
    return _text(argument) or checks.time_zone(str(argument))


def _limit(argument: Argument) -> Trouble | None:
    is_right = isinstance(argument, int) and 1 <= argument <= LONGEST
    return None if is_right else Trouble(f"{argument!r:.40} is no length", f"1 to {LONGEST:,}")


def _unit(argument: Argument) -> Trouble | None:
    names = [unit.value for unit in Unit if unit.value]
    return (
        None if argument in names else Trouble(f"{quoted(str(argument))} is no unit", suggestion(str(argument), names))
    )


FILTERS: Final[Mapping[str, Filter]] = {
    "truncate": Filter(lambda value, limit: clip(shown(value), limit), (_limit,)),
    "default": Filter(_default, (lambda _: None,)),
    "upper": Filter(lambda value: shown(value).upper()[:MOST]),
    "lower": Filter(lambda value: shown(value).lower()[:MOST]),
    "capitalize": Filter(lambda value: shown(value).capitalize()[:MOST]),
    "trim": Filter(lambda value: shown(value).strip()),
    "one_line": Filter(lambda value: one_line(shown(value))),
    "replace": Filter(_replace, (_some_text, _text)),
    "join": Filter(_join, (_text,)),
    "length": Filter(_length),
    "resource_name": Filter(lambda value: _resource(value).name),
    "resource_group": Filter(lambda value: _resource(value).group),
    "resource_type": Filter(lambda value: _resource(value).type),
    "subscription": Filter(lambda value: _resource(value).subscription),
    "time_zone": Filter(_time_zone, (_zone,)),
    "number": Filter(lambda value: number_text(shown(value))),
    "unit": Filter(lambda value, unit: quantity_text(shown(value), Unit(unit)), (_unit,)),
}
