"""What does one alert ask of an incident?

A notification is an alert after correlation and wording: it names the key that it belongs to, and holds what people
are told when the incident is there already. What the incident itself says is rendered by its target.
It knows nothing of what was notified before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from itsm_bridge.azure_monitor.alert import Alert, Kind, MonitorCondition, Severity
from itsm_bridge.azure_monitor.correlation import Correlation, correlate
from itsm_bridge.azure_monitor.criteria import is_measured_at_end
from itsm_bridge.azure_monitor.timestamps import lasting_text, utc_text
from itsm_bridge.azure_monitor.wording.activity_log import STAGE, event_time
from itsm_bridge.azure_monitor.wording.description import TEST_NOTICE, property_lines
from itsm_bridge.azure_monitor.wording.form import Wording, name_of, resources_of, sentences
from itsm_bridge.text import clip, one_line, plain

#: The fact that is shown and is no news: it changes with the facts that it is made of.
HEADLINE = "Alert"

#: The fact that is news only between two notifications that have it: some schemas leave it out.
SEVERITY = "Severity"

#: How long a note may be: a journal entry holds 4000 characters, and others may stand beside it.
_NOTE_LENGTH = 3000
_FACT_LENGTH = 200

#: How far a service's clock may be ahead of ours without a word about it.
_AHEAD = timedelta(minutes=2)

#: Longer than any title.
_WHOLE = 10_000

#: How many resources are looked up as configuration items at most.
_RESOURCES = 50

_HEALTH = (Kind.SERVICE_HEALTH, Kind.RESOURCE_HEALTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What Azure Monitor said once about one correlation key."""

    #: Which row and which incident: SHA-256 in hex over the lower-cased key parts.
    key: str
    #: Which of the key's signals speaks, so that one that clears does not silence another:
    #: the lower-cased alertId, or "" where the key has a single voice (Service Health, Resource Health).
    signal: str
    #: Whether it calls for an incident: Fired, and all that is like it.
    opens: bool
    #: Whether it ends its signal: Resolved, and all that is like it.
    #: A test notification both opens and closes.
    closes: bool
    #: When Azure says it happened, aware UTC; None if the alert does not tell.
    at: datetime | None
    #: Equal for two deliveries of the same notification, different if anything differs that an incident shows.
    digest: str
    #: What changed, for people: display facts by label ("Severity": "Sev1"), compared to tell an update.
    facts: Mapping[str, str]
    #: The work note if this notification updates, resolves or reopens an existing incident, without the changed facts.
    note: str


def notification_of(alert: Alert, wording: Wording) -> Notification:
    """Return what `alert`, which `wording` has put into words, asks of an incident."""
    correlation = correlate(alert)
    facts = _facts(alert, correlation, wording)
    return Notification(
        key=correlation.key,
        signal=correlation.signal,
        opens=correlation.opens,
        closes=correlation.closes,
        at=_time_of(alert),
        digest=_digest(alert, correlation, wording, facts),
        facts=facts,
        note=_note(alert, wording),
    )


def received_at(notification: Notification, now: datetime) -> Notification:
    """Return the notification as a person should read it who gets it `now`, our clock, aware UTC.

    A time in the future is told as such: clocks differ, and a note at 12:34 about 12:44 reads like a mistake.
    """
    # The text of an end is compared with that of the same end by way of another action group, so it is told as it is.
    if notification.closes or notification.at is None or notification.at - now <= _AHEAD:
        return notification
    ahead = f"By the clock of this integration, that time is {lasting_text(now, notification.at)} in the future."
    return replace(notification, note=clip(f"{notification.note}\n\n{ahead}", _NOTE_LENGTH))


def affected_resources(alert: Alert) -> tuple[str, ...]:
    """Return the affected resources, ARM ids or names, the best candidate for a configuration item first."""
    return tuple(plain(resource) for resource in resources_of(alert)[:_RESOURCES])


def changed_note(before: Mapping[str, str], after: Notification) -> str:
    """Return the work note for news of a known signal: each fact that differs from `before`, then the note."""
    labels = [label for label in (*after.facts, *(before.keys() - after.facts.keys())) if label != HEADLINE]
    changes = [
        f"{label}: {before.get(label) or 'none'} → {after.facts.get(label) or 'none'}"
        for label in labels
        if _is_news(label, before.get(label, ""), after.facts.get(label, ""))
    ]
    return clip("\n".join(changes) + "\n\n" + after.note if changes else after.note, _NOTE_LENGTH)


def _is_news(label: str, before: str, after: str) -> bool:
    return before != after and (label != SEVERITY or bool(before and after))


def _facts(alert: Alert, correlation: Correlation, wording: Wording) -> Mapping[str, str]:
    # Health that is well again has no severity, and the incident keeps the one that it was opened with.
    has_severity = correlation.opens or alert.kind not in _HEALTH
    # The incidents of Service Health are shared by all rules that watch it, so the rule is no fact of theirs.
    rule = "" if alert.kind is Kind.SERVICE_HEALTH else name_of(alert.alert_rule)
    facts = {
        HEADLINE: wording.headline,
        SEVERITY: (alert.severity or "") if has_severity else "",
        "Rule": rule,
        **{line.label: line.text for line in wording.lines if line.is_fact},
    }
    return {label: clip(plain(one_line(text)), _FACT_LENGTH) for label, text in facts.items() if text}


def _note(alert: Alert, wording: Wording) -> str:
    first = _end(alert, wording) if alert.monitor_condition is MonitorCondition.RESOLVED else _news(alert, wording)
    story = wording.story if alert.kind in _HEALTH else ""
    return clip(plain("\n\n".join(filter(None, (TEST_NOTICE if alert.is_test else "", first, story)))), _NOTE_LENGTH)


def _news(alert: Alert, wording: Wording) -> str:
    """Return what Azure Monitor says of an alert that goes on."""
    what = "Update" if alert.kind in _HEALTH else alert.monitor_condition.value
    measured = f"Measured: {wording.measured}" if wording.measured else ""
    return sentences(
        f"{what} {utc_text(_time_of(alert))}".rstrip() + f"{_stage(wording)}: {wording.headline}", measured
    )


def _end(alert: Alert, wording: Wording) -> str:
    """Return what Azure Monitor says of an alert that is over, without a value that was measured before that.

    Many a Resolved does not say when that was, or repeats the time at which the alert fired.
    """
    fired, resolved = alert.fired_date_time, alert.resolved_date_time
    if resolved is None and alert.kind in _HEALTH:
        resolved = event_time(alert.context)
    lasting = lasting_text(fired, resolved)
    if resolved is None or (fired and not lasting):
        when = "Azure Monitor reports it resolved and does not say when"
        since = f"It fired at {utc_text(fired)}" if fired else ""
    else:
        when = f"Azure Monitor reports it resolved at {utc_text(resolved)}"
        since = f"It fired for {lasting}" if lasting else ""
    measured = f"Last measured: {wording.measured}" if wording.measured and is_measured_at_end(alert) else ""
    return sentences(f"Resolved{_stage(wording)}: {wording.headline}", when, since, measured)


def _stage(wording: Wording) -> str:
    return next((f", stage {line.text}" for line in wording.lines if line.label == STAGE), "")


def _digest(alert: Alert, correlation: Correlation, wording: Wording, facts: Mapping[str, str]) -> str:
    """Return a hash over what stays the same when the same is said again, in any casing of ids and order of names."""
    is_shared = alert.kind is Kind.SERVICE_HEALTH
    lines = (*wording.lines, *(() if is_shared else property_lines(alert)))
    # As it was sent, because a change of rules makes no news of what was said before. An alert without severity weighs
    # as much as one of Sev4.
    weight = (alert.sent_severity if SEVERITY in facts else None) or Severity.SEV4
    said = [
        *(f"{line.label}: {line.text}" for line in lines if line.is_stable),
        *(f"{label}: {text}" for label, text in {**facts, SEVERITY: weight}.items()),
        "test" if alert.is_test else "",
        wording.title(_WHOLE),
        wording.story,
        "" if is_shared else alert.description,
    ]
    whole = [correlation.opens, correlation.closes, *sorted(plain(text).lower() for text in said)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _time_of(alert: Alert) -> datetime | None:
    """Return when it happened: for health that of the event, since its updates are alerts of their own."""
    if alert.kind in _HEALTH:
        return event_time(alert.context) or alert.fired_date_time
    if alert.monitor_condition is MonitorCondition.RESOLVED:
        return alert.resolved_date_time or alert.fired_date_time
    return alert.fired_date_time
