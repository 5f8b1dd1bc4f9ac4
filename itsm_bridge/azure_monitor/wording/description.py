"""What does the description of an incident say, and what is left out when it does not fit?

A target calls `description_of` when it renders an alert, with the length that its field holds.
It is read by a person who was just woken: what happened, whom and what to ask, what was measured, where, when, links,
and then the rest. The title is not said again unless it had to be cut.
The test notice and the condition always stay. If the rest does not fit, the investigation link and the
rule group go first, then the query, custom properties and result rows; of equal rank the longest part goes first.
The last line names what was left out or shortened.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from itsm_bridge.azure_monitor.affected import Affected, affected_by
from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.azure_monitor.wording.form import Line, Rank, Wording, lines_of, name_of, some
from itsm_bridge.azure_monitor.wording.links import links_of
from itsm_bridge.text import clip, length, one_line

#: The first paragraph of a test.
TEST_NOTICE = 'A test: somebody pressed "Test" in an action group. Nothing is wrong, and this incident resolves itself.'

_SHOWN_RESOURCES = 5
_SHOWN_PROPERTIES = 20

#: By the number of the paragraph.
_HEADINGS: Mapping[int, tuple[str, ...]] = {7: ("Links",), 8: ("Custom properties",)}

#: Names of custom properties that tell a person what to do or whom to ask.
_HELPING = re.compile(r"run[ _-]?book|play[ _-]?book|\bteam\b|owner|on[ _-]?call|contact|escalation", re.IGNORECASE)

#: The parts of an ARM id that people know it by.
_PLACE = re.compile(r"/subscriptions/([^/]+)(?:/resourcegroups/([^/]+))?", re.IGNORECASE)

#: Characters kept free for the line that names what was left out.
_LAST_LINE = 150

#: If fewer characters of a text fit, it is left out.
_LEAST = 60


class _Part(NamedTuple):
    #: Which paragraph it stands in.
    paragraph: int
    #: The name that the last line gives it if it is left out.
    name: str
    text: str
    rank: Rank = Rank.NORMAL
    #: Whether people can use a part of it.
    can_be_cut: bool = True


def description_of(alert: Alert, wording: Wording, *, limit: int, is_cut: bool) -> str:
    """Return the description, at most `limit` characters long; `is_cut` if the title does not hold the headline."""
    properties = property_lines(alert)
    helping = [line for line in properties if _HELPING.search(line.label)]
    found = affected_by(alert)
    named = {resource.lower() for resource in (*found.resources, *found.scopes)}
    parts = [
        *_text(0, "test notice", TEST_NOTICE if alert.is_test else "", Rank.VITAL),
        *_text(1, "headline", wording.headline if is_cut or not _has_more(alert, wording) else "", Rank.VITAL),
        *_text(2, "description of the rule", "" if _is_told(alert, wording) else alert.description.strip()),
        *_text(3, "text of the event", wording.story),
        *_lines(4, helping),
        # A line that says no more than the lines of the resources do is left out.
        *_lines(5, (*(line for line in wording.lines if line.text.lower() not in named), *_places(found))),
        *_lines(6, _common_lines(alert)),
        *_lines(7, links_of(alert, wording), can_be_cut=False),
        *_lines(8, [line for line in properties if line not in helping]),
    ]
    return _joined(_fitting(parts, limit)) or clip(wording.headline, limit)


def property_lines(alert: Alert) -> tuple[Line, ...]:
    """Return the custom properties by name, as their author wrote them."""
    properties = sorted(alert.custom_properties.items())[:_SHOWN_PROPERTIES]
    return lines_of(properties, rank=Rank.EXTRA)


def _is_told(alert: Alert, wording: Wording) -> bool:
    return one_line(alert.description).rstrip(".").lower() in f"{wording.headline}\n{one_line(wording.story)}".lower()


def _has_more(alert: Alert, wording: Wording) -> bool:
    """Whether the description begins with anything without the headline."""
    return bool(alert.description.strip() or wording.story or wording.lines)


def _places(found: Affected) -> tuple[Line, ...]:
    """Return a line for each of the first resources, the others by name, and where the rule looks."""
    shown = [("Resource", _place(resource)) for resource in found.resources[:_SHOWN_RESOURCES]]
    more = ", ".join(name_of(each) for each in found.resources[_SHOWN_RESOURCES:])
    scopes = [("Scope", _place(scope)) for scope in found.scopes[:_SHOWN_RESOURCES]]
    return lines_of([*shown, ("Resources", f"and {more}" if more else ""), *scopes])


def _place(resource: str) -> str:
    match = _PLACE.match(resource)
    if match is None:
        return name_of(resource)
    subscription, group = match.groups()
    if group is None:
        return f"subscription {subscription}"
    name = name_of(resource)
    where = f"resource group {group}, subscription {subscription}"
    return where if name.lower() == group.lower() and "/providers/" not in resource.lower() else f"{name}, {where}"


def _common_lines(alert: Alert) -> tuple[Line, ...]:
    signal = f" ({alert.signal_type})" if alert.signal_type not in ("", alert.monitoring_service) else ""
    return lines_of(
        [
            ("Fired", utc_text(alert.fired_date_time)),
            ("Resolved", utc_text(alert.resolved_date_time)),
            ("Rule", name_of(alert.alert_rule)),
            ("Severity", ", because ".join(filter(None, (alert.severity, alert.severity_reason)))),
            ("Monitoring service", one_line(f"{alert.monitoring_service}{signal}")),
        ]
    )


def _text(paragraph: int, name: str, text: str, rank: Rank = Rank.NORMAL) -> list[_Part]:
    return [_Part(paragraph=paragraph, name=name, text=text, rank=rank)] if text else []


def _lines(paragraph: int, lines: Iterable[Line], *, can_be_cut: bool = True) -> list[_Part]:
    return [
        _Part(
            paragraph=paragraph,
            name=line.label,
            text=f"{line.label}: {line.text}",
            rank=line.rank,
            can_be_cut=can_be_cut,
        )
        for line in lines
    ]


def _fitting(parts: list[_Part], limit: int) -> list[_Part]:
    """Return the parts that fit into `limit` characters, in their order, and a last one that names the others."""
    headings = sum(len(heading) + 2 for texts in _HEADINGS.values() for heading in texts)
    if sum(length(part.text) + 2 for part in parts) + headings <= limit:
        return parts
    room = limit - headings - _LAST_LINE
    kept: dict[int, _Part] = {}
    missed: dict[int, str] = {}
    for index, part in sorted(enumerate(parts), key=lambda each: (each[1].rank, length(each[1].text))):
        text = part.text if length(part.text) + 2 <= room else ""
        if not text:
            missed[index] = part.name
            text = clip(part.text, room - 2) if part.can_be_cut and room > _LEAST else ""
        if text:
            kept[index] = part._replace(text=text)
            room -= length(text) + 2
    names = list(dict.fromkeys(missed[index] for index in sorted(missed)))
    last = clip(f"Left out or shortened: {some([clip(name, 30) for name in names])}.", _LAST_LINE - 2)
    return [*(kept[index] for index in sorted(kept)), _Part(paragraph=99, name="", text=last)]


def _joined(parts: list[_Part]) -> str:
    paragraphs: dict[int, list[str]] = {}
    for part in parts:
        paragraphs.setdefault(part.paragraph, []).append(part.text)
    return "\n\n".join("\n".join([*_HEADINGS.get(number, ()), *texts]) for number, texts in sorted(paragraphs.items()))
