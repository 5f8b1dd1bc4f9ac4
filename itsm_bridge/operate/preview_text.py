"""How is what would become of an alert shown to a person, or to a script?

`preview` calls it. It looks nothing up and prints nothing: previews in, text or JSON content out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itsm_bridge.rules.ruling import BUILT_IN, Ruling
from itsm_bridge.text import clip, one_line

if TYPE_CHECKING:
    from datetime import timedelta

    from itsm_bridge.rules.engine import Verdict

#: The widest a title is in a table.
_TITLE = 70
#: Fields of several lines are shown below the others.
_LONG = ("description",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of one alert."""

    #: The name of its file.
    name: str
    #: The correlation key: that of the alert, or of the alerts that share its incident.
    key: str
    #: Whether it calls for an incident, and whether it ends one.
    opens: bool
    closes: bool
    #: What would be sent at creation, by ServiceNow's names; references are not looked up and not among them.
    fields: Mapping[str, str]
    ruling: Ruling
    #: Whether each rule applies; () unless that was asked for.
    verdicts: "tuple[Verdict, ...]"

    @property
    def said(self) -> Mapping[str, str | Mapping[str, str]]:
        """All fields: those that would be sent, and the references as the file has them."""
        if self.ruling.is_ignored:
            return {}
        references = {name: {each.field: each.value} for name, each in self.ruling.references.items()}
        return {**self.fields, **references}

    def source(self, name: str) -> str:
        """Return the rule that said something."""
        return self.ruling.because.get(name, BUILT_IN)


def content(preview: Preview, *, explain: bool) -> dict[str, object]:
    """Return a preview, to be printed as JSON."""
    ruling = preview.ruling
    lifecycle = lifecycle_of(ruling)
    names = [*preview.said, *lifecycle, "action", "severity"]
    told: dict[str, object] = {
        "alert_key": preview.key,
        "action": "ignore" if ruling.is_ignored else "incident",
        "fields": dict(preview.said),
        "because": {name: preview.source(name) for name in names},
        "lifecycle": dict(lifecycle),
    }
    if ruling.is_shadowed:
        told["shadow"] = True
    if ruling.faults:
        told["faults"] = list(ruling.faults)
    if explain:
        told["rules"] = [
            {"name": each.name, "built_in": each.is_built_in, "applies": each.applies, "reason": each.reason}
            for each in preview.verdicts
        ]
    return told


def contents(previews: Sequence[Preview], *, explain: bool) -> list[dict[str, object]]:
    """Return the previews of a folder, to be printed as JSON."""
    return [{"file": each.name, **content(each, explain=explain)} for each in previews]


def lifecycle_of(ruling: Ruling) -> Mapping[str, object]:
    """Return how the incident begins and ends and what it is shared with, in the words of a rules file."""
    life, correlate, storm = ruling.lifecycle, ruling.correlate, ruling.storm
    reopen = "always" if life.reopen_within is None else _spelled(life.reopen_within) if life.reopen_within else "never"
    return {
        "auto_resolve": str(life.auto_resolve),
        "reopen_within": reopen,
        "after_closed": str(life.after_closed),
        "hold": _spelled(life.hold),
        "close_after": _spelled(life.close_after) if life.close_after else "never",
        "correlate": {"per": str(correlate.per), "within": _spelled(correlate.within) if correlate.within else None},
        "storm": {"more_than": storm.more_than, "within": _spelled(storm.within)} if storm else None,
    }


def sheet(preview: Preview, *, explain: bool) -> str:
    """Return a preview as a person reads it."""
    parts = ["\n".join(f"{label:<10} {text}" for label, text in _head(preview).items())]
    if not preview.ruling.is_ignored:
        short = [
            (name, shown(value), preview.source(name)) for name, value in preview.said.items() if name not in _LONG
        ]
        parts.append(_columns([("FIELD", "VALUE", "RULE"), *short]))
        parts += [f"{name} ({preview.source(name)})\n\n{_indented(preview.fields[name])}" for name in _LONG]
        life = [(name, shown(value), preview.source(name)) for name, value in lifecycle_of(preview.ruling).items()]
        parts.append(
            _columns([("LIFECYCLE", "VALUE", "RULE"), *((name, text, rule) for name, text, rule in life if text)])
        )
    if preview.ruling.faults:
        parts.append("\n".join(["FAULTS", *preview.ruling.faults]))
    if explain:
        parts.append(_explained(preview))
    return "\n\n".join(parts)


def table(previews: Sequence[Preview]) -> str:
    """Return the previews of a folder, a line each."""
    lines = [("FILE", "I/U", "INCIDENT", "RULES")]
    for each in previews:
        said = list(dict.fromkeys(each.ruling.because.values()))
        fields = each.fields
        weight = f"{fields.get('impact', '-')}/{fields.get('urgency', '-')}"
        title = clip(one_line(fields.get("short_description", "")), _TITLE)
        what = f"none: {each.source('action')}" if each.ruling.is_ignored else title
        lines.append((each.name, "" if each.ruling.is_ignored else weight, what, ", ".join(said) or "-"))
    ignored = sum(each.ruling.is_ignored for each in previews)
    shadowed = sum(each.ruling.is_shadowed for each in previews)
    failed = sum(bool(each.ruling.faults) for each in previews)
    end = f"{len(previews)} alerts, {ignored} of them without an incident" + "".join(
        f", {count} {what}" for count, what in ((shadowed, "on trial"), (failed, "with faults")) if count
    )
    return f"{_columns(lines)}\n\n{end}."


def _head(preview: Preview) -> Mapping[str, str]:
    ruling = preview.ruling
    fate = {(True, False): "it begins", (False, True): "it is over", (True, True): "a test: it begins and is over"}
    action = f'none, says the rule "{preview.source("action")}"' if ruling.is_ignored else "one"
    if ruling.is_shadowed:
        action = f'one, once the trial by the rule "{preview.source("action")}" is over'
    severity = str(ruling.alert.severity or "none")
    reason = f", because {ruling.alert.severity_reason}" if ruling.alert.severity_reason else ""
    return {
        "Alert": preview.name,
        "Key": preview.key,
        "Says": fate.get((preview.opens, preview.closes), "nothing that begins or ends an incident"),
        "Severity": f"{severity}{reason}",
        "Incident": action,
    }


def _explained(preview: Preview) -> str:
    lines = ["RULES"]
    for each in preview.verdicts:
        name = f"{each.name} (built-in)" if each.is_built_in else each.name
        why = f"says {', '.join(each.says)}" if each.applies else each.reason
        lines.append(f"{'+' if each.applies else '-'} {name}: {why}")
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def shown(value: object) -> str:
    """Return a value in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text}" for name, text in value.items() if text is not None)
    return one_line(str(value)) if value is not None else ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def _spelled(duration: "timedelta") -> str:
    from itsm_bridge.rules.durations import spelled  # noqa: PLC0415 - other commands do not read rules

    return spelled(duration)
