"""What does an incident say that stands for several alerts?

The target calls this after each word of one of them. Title, impact and urgency are those of the worst alert that fires;
the description names the alerts, those that fire first, and tells the newest in full. It is pure.
"""

from collections.abc import Mapping, Sequence

from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.reconcile.desired import Desired, Signal
from itsm_bridge.reconcile.gathering import Shared
from itsm_bridge.servicenow.fields import fitted
from itsm_bridge.servicenow.incident import FIELD_LENGTHS
from itsm_bridge.text import clip, length

#: How many alerts the description names that fire, and how many that are over.
_FIRING_NAMED = 15
_OVER_NAMED = 5

#: How long the line of one alert may be.
_LINE = 150

_IN_COMMON = {
    Shared.RESOURCE: "on {name}",
    Shared.RULE: "of the alert rule {name}",
    Shared.EVENT: "about the event {name}",
    Shared.STORM: 'in a storm that the rule "{name}" gathers',
}


def combined_content(desired: Desired) -> Mapping[str, str]:
    """Return the fields of the incident; `desired` holds two alerts at least."""
    firing = _newest_first(desired, is_firing=True)
    over = _newest_first(desired, is_firing=False)
    worst = min(firing or over, key=_rank)
    newest = (firing or over)[0]
    fields = {**newest.fields, **{name: worst.fields.get(name, "") for name in ("impact", "urgency")}}
    return {
        **{name: text for name, text in fields.items() if text},
        "short_description": _title(desired, worst),
        "description": _description(desired, firing, over, newest),
    }


def _rank(signal: Signal) -> tuple[str, str]:
    return signal.fields.get("impact") or "9", signal.fields.get("urgency") or "9"


def _newest_first(desired: Desired, *, is_firing: bool) -> Sequence[Signal]:
    chosen = [signal for signal in desired.signals.values() if signal.fields and signal.is_firing is is_firing]
    return sorted(chosen, key=lambda signal: signal.revision, reverse=True)


def _title(desired: Desired, worst: Signal) -> str:
    more = desired.firing - 1 if desired.firing else desired.count - 1
    ending = f" (and {more} more)" if more else ""
    room = FIELD_LENGTHS["short_description"] - length(ending)
    return fitted("short_description", clip(worst.fields.get("short_description", ""), room) + ending)


def _description(desired: Desired, firing: Sequence[Signal], over: Sequence[Signal], newest: Signal) -> str:
    in_common = _IN_COMMON[desired.shared].format(name=desired.shared_name) if desired.shared else ""
    number = "none fires now" if not firing else f"{len(firing)} fire{'s' if len(firing) == 1 else ''} now"
    parts = [
        f"This incident stands for {desired.count} alerts {in_common}; {number}.",
        *_listed("Firing, newest first:", firing, most=_FIRING_NAMED),
        *_listed("Over:", over, most=_OVER_NAMED),
    ]
    summary = "\n".join(parts)
    text = newest.fields.get("description", "")
    whole = f"{summary}\n\nThe newest of them:\n\n{text}" if text else summary
    return fitted("description", whole)


def _listed(label: str, signals: Sequence[Signal], *, most: int) -> Sequence[str]:
    if not signals:
        return ()
    more = [f"- and {len(signals) - most} more"] if len(signals) > most else []
    return (label, *(_line(signal) for signal in signals[:most]), *more)


def _line(signal: Signal) -> str:
    since = utc_text(signal.began_at or signal.at) if signal.is_firing else ""
    said = signal.fields.get("short_description", "an alert")
    return f"- {clip(said, _LINE)}" + (f", since {since}" if since else "")
