"""How does a peer do that anyone can install? ElastAlert2's ServiceNow alerter, from PyPI, beside the program.

Both create incidents in the same stand-in, in turns. Theirs is a call of a Python method that posts one incident:
no caller to check, nothing remembered, nothing repeated, no end of an alert. Ours is the whole way from the webhook.
"""

import json
import subprocess
import venv
from collections import Counter
from pathlib import Path

from bench.figures import Check, Report, Spread, Table, median_ratio
from bench.load import alerts
from bench.time_to_incident import Stage, stage
from local.servicenow.table_api import Credentials
from local.world import ROOT

REQUIREMENTS = Path(__file__).with_name("requirements-elastalert2.txt")
ALONE = Path(__file__).with_name("elastalert2_alone.py")
HOME = ROOT / ".local/elastalert2"

DELAYS = (0.0, 0.05, 0.15)
ALERTS = 20
REPEATS = 3


def run() -> Report:
    """Measure both."""
    python = installed()
    rows = []
    with stage() as on:
        for delay in DELAYS:
            on.instance.delay(delay)
            ours, theirs = [], []
            for _ in range(REPEATS):
                theirs.append(Spread.of(_theirs(on, python, ALERTS)))
                ours.append(Spread.of(each.seconds for each in on.clients.each(alerts(ALERTS), clients=1)))
            rows.append(
                (
                    *(f"{delay * 1000:.0f} ms", str(Spread.median_of(ours)), str(Spread.median_of(theirs))),
                    f"{median_ratio(zip((each.p50 for each in ours), (each.p50 for each in theirs), strict=True)):.2f}",
                )
            )
        on.instance.delay(0)
        doubled = _same_twice(on, python)
    return Report(
        title="Beside ElastAlert2",
        parts=(
            (
                f"{REQUIREMENTS.read_text(encoding='utf-8').split()[-1].replace('==', ' ')}, `ServiceNowAlerter`. "
                "p50 / p95 / p99 in ms, one client, medians of three repeats. *Ratio*: ours ÷ theirs, both p50. "
                "Ours checks the caller, remembers the alert in table and queue, and answers over HTTP."
            ),
            Table(headings=("ServiceNow", "ours, to the answer", "theirs, to the incident", "ratio"), rows=rows),
            f"The same alert twice: ours makes {doubled['ours']} incident, theirs {doubled['theirs']}.",
        ),
        checks=(Check.equal("incidents of one alert sent twice", doubled["ours"], 1),),
    )


def installed() -> Path:
    """Return the interpreter that has ElastAlert2, installing it from PyPI if need be.

    Raises:
        CalledProcessError: pip could not install it.
    """
    python = HOME / "bin/python"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    stamp = HOME / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(HOME, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _theirs(on: Stage, python: Path, number: int) -> list[float]:
    known = Credentials()
    command = [str(python), str(ALONE), on.instance.url, known.username, known.password, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken: list[float] = json.loads(done.stdout)
    return taken[1:] or taken


def _same_twice(on: Stage, python: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    body = alerts(1)[0]
    on.instance.forget()
    on.clients.each([body, body], clients=1)
    counted["ours"] = sum(map(len, on.instance.created().values()))
    on.instance.forget()
    _theirs(on, python, 2)
    counted["theirs"] = sum(map(len, on.instance.created().values()))
    return counted
