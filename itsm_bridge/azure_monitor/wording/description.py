"""What does the description of an incident say, and what is left out when it does not fit?

`notification` calls `description_of` with the length that the field holds.
The headline, the test notice and the condition always stay. If the rest does not fit, the investigation link and the
rule group go first, then the query, custom properties and result rows; of equal rank the longest part goes first.
The last line names what was left out or shortened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.azure_monitor.wording.form import Line, Rank, Wording, lines_of, name_of, resources_of, some
from itsm_bridge.azure_monitor.wording.links import links_of
from itsm_bridge.text import clip, length, one_line

#: The first paragraph of a test.
TEST_NOTICE = 'A test: somebody pressed "Test" in an action group. Nothing is wrong, and this incident resolves itself.'

_SHOWN_RESOURCES = 5
_SHOWN_PROPERTIES = 20

#: By the number of the paragraph.
_HEADINGS: Mapping[int, tuple[str, ...]] = {5: ("Custom properties",), 6: ("Links",)}

#: Characters kept free for the line that names what was left out.
_LAST_LINE = 150

#: If fewer characters of a text fit, it is left out.
_LEAST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    #: Which paragraph it stands in.
    paragraph: int
    #: The name that the last line gives it if it is left out.
    name: str
    text: str
    rank: Rank = Rank.NORMAL
    #: Whether people can use a part of it.
    can_be_cut: bool = True


def description_of(alert: Alert, wording: Wording, *, limit: int) -> str:
    """Return the description, at most `limit` characters long."""
    parts = [
        *_text(0, "test notice", TEST_NOTICE if alert.is_test else "", Rank.VITAL),
        *_text(1, "headline", wording.headline, Rank.VITAL),
        *_text(2, "description of the rule", "" if _is_told(alert, wording) else alert.description.strip()),
        *_text(3, "text of the event", wording.story),
        *_lines(4, (*wording.lines, *_common_lines(alert))),
        *_lines(5, property_lines(alert)),
        *_lines(6, links_of(alert, wording), can_be_cut=False),
    ]
    return _joined(_fitting(parts, limit))


def property_lines(alert: Alert) -> tuple[Line, ...]:
    """Return the custom properties by name, as their author wrote them."""
    properties = sorted(alert.custom_properties.items())[:_SHOWN_PROPERTIES]
    return lines_of([(one_line(name), one_line(text)) for name, text in properties], rank=Rank.EXTRA)


def _is_told(alert: Alert, wording: Wording) -> bool:
    return one_line(alert.description).rstrip(".").lower() in f"{wording.headline}\n{one_line(wording.story)}".lower()


def _common_lines(alert: Alert) -> tuple[Line, ...]:
    ids = [resource for resource in resources_of(alert) if resource.startswith("/")]
    names = [name for name in resources_of(alert) if not any(each.lower().endswith(f"/{name.lower()}") for each in ids)]
    resources = list(dict.fromkeys((*ids, *names)))
    signal = f" ({alert.signal_type})" if alert.signal_type not in ("", alert.monitoring_service) else ""
    return (
        *lines_of([("Resource", resource) for resource in resources[:_SHOWN_RESOURCES]]),
        *lines_of(
            [("Resource", f"and {len(resources) - _SHOWN_RESOURCES} more")] if resources[_SHOWN_RESOURCES:] else []
        ),
        *lines_of(
            [
                ("Rule", name_of(alert.alert_rule)),
                ("Severity", alert.severity.value if alert.severity else ""),
                ("Fired", utc_text(alert.fired_date_time)),
                ("Resolved", utc_text(alert.resolved_date_time)),
                ("Monitoring service", one_line(f"{alert.monitoring_service}{signal}")),
            ]
        ),
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
            kept[index] = replace(part, text=text)
            room -= length(text) + 2
    names = list(dict.fromkeys(missed[index] for index in sorted(missed)))
    last = clip(f"Left out or shortened: {some([clip(name, 30) for name in names])}.", _LAST_LINE - 2)
    return [*(kept[index] for index in sorted(kept)), _Part(paragraph=99, name="", text=last)]


def _joined(parts: list[_Part]) -> str:
    paragraphs: dict[int, list[str]] = {}
    for part in parts:
        paragraphs.setdefault(part.paragraph, []).append(part.text)
    return "\n\n".join("\n".join([*_HEADINGS.get(number, ()), *texts]) for number, texts in sorted(paragraphs.items()))
