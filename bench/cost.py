"""What do a million alerts cost? Quantities, from measured figures; prices differ by region and change.

Source of what is billed: https://learn.microsoft.com/azure/azure-functions/functions-consumption-costs
(Flex Consumption, on demand: executions, and the memory of an instance for as long as it executes anything).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from bench.figures import Report, Spread, Table
from bench.load import Clients
from bench.time_to_incident import stage
from local.alerts import MetricAlert

MILLION = 1_000_000
#: Of an instance as `infra/` deploys it.
GIGABYTES = 2
#: What ServiceNow takes here, in seconds.
DELAY = 0.15
LIVES = 8
HOURS_OF_A_MONTH = 730
RESYNCS_PER_HOUR = 12
_FORMULA = f"""\
    executions         = n * (1 + share that wake-ups take)
    GB-s               = n * seconds * {GIGABYTES} GB   (p50 of this run; less if several share the instance)
    storage operations = n * operations     (as counted above)
    ServiceNow calls   = n * calls          (as counted above)"""
KINDS = ("new", "duplicate", "changed", "resolved", "refired")


def run(facts: Mapping[str, float]) -> Report:
    """Measure how long each kind of notification runs, and multiply."""
    with stage() as on:
        on.instance.delay(DELAY)
        seconds = _seconds(on.clients)
    rows = [(f"a million {kind}", *_row(facts, [kind], seconds)) for kind in KINDS]
    rows.append(("a million alerts: new, then resolved", *_row(facts, ["new", "resolved"], seconds)))
    polls = facts["polls per hour"] * HOURS_OF_A_MONTH
    return Report(
        title="Cost",
        parts=(
            f"For n notifications of a kind, each alone on its instance, ServiceNow takes {DELAY * 1000:.0f} ms:",
            _FORMULA,
            Table(
                headings=(
                    "notifications",
                    "seconds each",
                    "executions",
                    "GB-s",
                    "storage operations",
                    "ServiceNow calls",
                ),
                rows=rows,
            ),
            (
                "That is with each alert settled within its call; one that is answered 202 costs "
                f"{facts['operations, new, after 202'] - facts['operations, new']:.0f} storage operations more. "
                f"An instance that never sleeps adds {polls:,.0f} polls of the queue and "
                f"{RESYNCS_PER_HOUR * HOURS_OF_A_MONTH:,} runs of `resync` a month, alerts or not."
            ),
        ),
    )


def _row(facts: Mapping[str, float], kinds: list[str], seconds: Mapping[str, float]) -> tuple[str, ...]:
    taken = sum(seconds[kind] for kind in kinds)
    operations = sum(facts[f"operations, {kind}"] for kind in kinds)
    calls = sum(facts[f"calls, {kind}"] for kind in kinds)
    quantities = (len(kinds), taken * GIGABYTES, operations, calls)
    return (f"{taken:.3f}", *(f"{each * MILLION:,.0f}" for each in quantities))


def _seconds(clients: Clients) -> dict[str, float]:
    """Return p50 of the answers, by the kind of notification."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(LIVES):
        alert = MetricAlert()
        worse = replace(alert, severity="Sev0")
        again = replace(alert, fired_at=alert.fired_at + timedelta(hours=1))
        life = (alert.fired(), alert.fired(), worse.fired(), worse.resolved(), again.fired())
        for kind, notification in zip(KINDS, life, strict=True):
            taken[kind].append(clients.send_until_taken(json.dumps(notification).encode()).seconds)
    return {kind: Spread.of(seconds).p50 for kind, seconds in taken.items()}
