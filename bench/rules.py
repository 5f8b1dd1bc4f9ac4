"""What do rules cost? Two hundred rules of an operator against the sample alerts, in one process, without I/O.

Processor time is told, because nothing is waited for. No rule is left out that an alert would not reach: none stops,
and each has three things to compare.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench.figures import Check, Goal, Report, Table, milliseconds
from itsm_bridge.app import built_in_rules, compile_rules
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.wording.by_kind import wording_of
from itsm_bridge.rules.engine import Rules
from itsm_bridge.servicenow.fields import content_of
from local.alerts import samples

RULES = 200
PREVIEWS = 10_000
REPEATS = 5
_NOW = datetime(2026, 3, 1, tzinfo=UTC)


def run() -> Report:
    """Measure."""
    text = rules_file(RULES)
    began = time.process_time()
    rules = compile_rules(text)
    compiling = time.process_time() - began
    alerts = [parse_alert(body) for body in samples().values()]
    wording = _per_alert(lambda: [wording_of(alert) for alert in alerts], len(alerts))
    built_in = _per_alert(lambda: [built_in_rules().apply(alert, _NOW) for alert in alerts], len(alerts))
    own = _per_alert(lambda: [rules.apply(alert, _NOW) for alert in alerts], len(alerts))
    previews = _previews(rules)
    applied = sum(bool(rules.apply(alert, _NOW).because) for alert in alerts)
    return Report(
        title="Rules",
        parts=(
            f"{len(alerts)} sample alerts, medians of {REPEATS} rounds. Putting an alert into words is part of each.",
            Table(
                headings=("per alert", "ms", "ms above the words alone"),
                rows=[
                    ("the words alone", milliseconds(wording), ""),
                    ("built-in rules", milliseconds(built_in), milliseconds(built_in - wording)),
                    (f"{RULES} rules more", milliseconds(own), milliseconds(own - wording)),
                ],
            ),
            (
                f"{RULES} rules are read, checked and compiled in {milliseconds(compiling)} ms, once per file. "
                f"{PREVIEWS:,} previews against them, read and rendered, take {previews:.1f} s."
            ),
        ),
        checks=(Check.equal("alerts of which at least one of the rules speaks", applied > 0, expected=True),),
        goals=(
            Goal(what=f"ms per alert of {RULES} rules, above the words", measured=(own - wording) * 1000, aim=1),
            Goal(what=f"s for {PREVIEWS:,} previews against {RULES} rules", measured=previews, aim=10),
        ),
    )


def rules_file(number: int) -> str:
    """Return a file of so many rules, as operators write them: routing, a title, and noise that is ignored."""
    return "\n".join(["version: 1", "rules:", *(_rule(each) for each in range(number))])


def _rule(number: int) -> str:
    if number % 4 == 0:
        match = f'text: "disk {number}", resource: "vm-{number}-*", not: {{ severity: Sev0 }}'
        return f"  - {{ name: noise {number}, match: {{ {match} }}, action: ignore }}"
    match = (
        f'resource_group: [rg-{number}-*, "*-{number}"], severity: [Sev0, Sev1, Sev2], custom: {{ team: "t{number}*" }}'
    )
    if number % 20 == 1:
        match = 'resource_group: "*shop*", severity: [Sev0, Sev1, Sev2], condition: Fired'
    title = '"{{ severity }} {{ rule }} on {{ resource.name }}"'
    return (
        f"  - {{ name: team {number}, match: {{ {match} }}, "
        f"set: {{ assignment_group: {{ name: Group {number} }}, short_description: {title} }} }}"
    )


def _per_alert(work: Callable[[], object], alerts: int) -> float:
    """Return the median time of one alert, in seconds."""
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) / alerts)
    return statistics.median(taken)


def _previews(rules: Rules) -> float:
    """Return how long many previews take, in seconds."""
    bodies = list(samples().values())
    began = time.process_time()
    for number in range(PREVIEWS):
        content_of(rules.apply(parse_alert(bodies[number % len(bodies)]), _NOW))
    return time.process_time() - began
