"""Which benchmarks run, and where is what they found?

    python -m bench             all of them, in twenty minutes; writes docs/performance.md
    python -m bench NAME ...    some of them; prints only

Ends with 1 if a count is off.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    cold_start,
    cost,
    counts,
    elastalert2,
    growth,
    hot_path,
    machine,
    recovery,
    rules,
    throughput,
    time_to_incident,
    tokens,
    unknown_resources,
)
from bench.figures import Report

DOCUMENT = Path(__file__).parents[1] / "docs/performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

#: In the order of the document. What a benchmark reckons with was found by those before it.
BENCHMARKS: Mapping[str, Callable[[Mapping[str, float]], Report]] = {
    "time-to-incident": lambda _: time_to_incident.run(),
    "counts": lambda _: counts.run(),
    "unknown-resources": lambda _: unknown_resources.run(),
    "hot-path": lambda _: hot_path.run(),
    "rules": lambda _: rules.run(),
    "cold-start": lambda _: cold_start.run(),
    "tokens": lambda _: tokens.run(),
    "throughput": lambda _: throughput.run_sustained(),
    "surge": lambda _: throughput.run_surge(),
    "storm": lambda _: throughput.run_storm(),
    "whole-storm": lambda _: throughput.run_storm(whole=True),
    "recovery": lambda _: recovery.run(),
    "growth": lambda _: growth.run(),
    "elastalert2": lambda _: elastalert2.run(),
    "cost": cost.run,
}
#: Only when asked for by name: the emulator takes a quarter of an hour for a queue of 6,000 messages.
ALONE = ("whole-storm",)
#: Benchmarks whose figures another one needs.
NEEDS: Mapping[str, Sequence[str]] = {"cost": ("counts",)}


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and compare within one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all without")
    names: list[str] = parser.parse_args().names
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    elastalert2.installed()
    began = datetime.now(UTC)
    reports = _run(names or [name for name in BENCHMARKS if name not in ALONE])
    text = _measured(reports, began)
    if not names:
        _write(text)
    off = [check for report in reports for check in report.checks if not check.is_so]
    print(f"\n{sum(len(report.checks) for report in reports)} counts, {len(off)} off. {_took(began)}")
    for check in off:
        print(check, file=sys.stderr)
    return 1 if off else 0


def _run(names: Sequence[str]) -> list[Report]:
    wanted = [need for name in names for need in (*NEEDS.get(name, ()), name)]
    facts: dict[str, float] = {}
    reports = []
    print(f"{machine.told()}\n", flush=True)
    for name in dict.fromkeys(wanted):
        load, began = machine.load(), time.monotonic()
        report = BENCHMARKS[name](facts)
        facts |= report.facts
        print(
            f"{report}\n\n({name}: {time.monotonic() - began:.0f} s, load before {load}, after {machine.load()})\n",
            flush=True,
        )
        reports.append(report)
    return reports


def _measured(reports: Sequence[Report], began: datetime) -> str:
    machine_line = (
        f"Measured {began:%Y-%m-%d} by `python -m bench` on {machine.told()}. {_took(began)} "
        f"Load (programs that wanted a core, last minute) at the end: {machine.load()}."
    )
    return "\n\n".join([machine_line, *map(str, reports)])


def _took(began: datetime) -> str:
    return f"The run took {(datetime.now(UTC) - began).total_seconds():.0f} s."


def _write(text: str) -> None:
    """Put the text between the marks of the document.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} lacks its marks")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
