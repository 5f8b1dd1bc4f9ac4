"""How long until a new process can answer? Imports, by what they cost, and the first alert."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping

from bench.figures import Check, Goal, Report, Table, milliseconds
from bench.load import Clients, alerts
from local.azurite import Azurite
from local.world import ROOT, World

REPEATS = 7
#: What a process may import, each in turns: its name in the table, and the program.
PROGRAMS: Mapping[str, str] = {
    "bare interpreter": "pass",
    "azure.functions": "import azure.functions",
    "the libraries alone": (
        "import azure.functions, azure.data.tables, requests, jwt, cryptography.hazmat.primitives.asymmetric.rsa"
    ),
    "function_app": "import function_app",
}
#: They cost tens of milliseconds each and are needed seldom or never.
LAZY = (
    "azure.storage.queue",
    "azure.identity",
    "msal",
    "jinja2",
    "pydantic",
    "opentelemetry",
    "azure.monitor",
    "yaml",
    "msgspec",
    "aiohttp",
)
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
_SHOWN = 14


def run() -> Report:
    """Measure."""
    taken = _in_turns()
    bare = taken["bare interpreter"]
    own = _own_times()
    present = [name for name in LAZY if _is_imported(name)]
    started, first, second = _first_alerts()
    functions, app = taken["azure.functions"] - bare, taken["function_app"] - bare
    return Report(
        title="Cold start",
        parts=(
            f"Medians of {REPEATS} processes each, in turns, with compiled modules in the file cache.",
            Table(
                headings=("process imports", "ms", "above the bare interpreter", "÷ azure.functions"),
                rows=[
                    (name, milliseconds(seconds), milliseconds(seconds - bare), f"{(seconds - bare) / functions:.2f}")
                    for name, seconds in taken.items()
                ],
            ),
            (
                "Where the time of `import function_app` goes, by `python -X importtime` (which slows imports down; "
                "the shares count). A package's own modules only, not what they import:"
            ),
            Table(
                headings=("package", "modules", "ms", "share"),
                rows=[
                    (
                        name,
                        str(modules),
                        f"{seconds * 1000:.1f}",
                        f"{seconds / sum(each for _, each in own.values()):.0%}",
                    )
                    for name, (modules, seconds) in list(own.items())[:_SHOWN]
                ],
            ),
            (
                f"The local host is ready {milliseconds(started)} ms after its start. "
                f"The first alert takes {milliseconds(first)} ms: settings, keys of Entra, token of ServiceNow, table "
                f"and queue that do not exist yet, and connections to all. The second takes {milliseconds(second)} ms "
                f"({first / second:.1f} ÷ 1). Medians of three processes, ServiceNow takes 0 ms."
            ),
        ),
        checks=(Check.equal("imported although seldom or never needed", present, []),),
        goals=(
            Goal(what="import of function_app ÷ import of azure.functions", measured=app / functions, aim=2.45),
            Goal(what="import of function_app, ms above the bare interpreter", measured=app * 1000, aim=350),
        ),
    )


def _in_turns() -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(REPEATS + 1):
        for name, program in PROGRAMS.items():
            began = time.monotonic()
            # To the end of the import, by the clock that all processes share: how a process ends is nobody's wait.
            ended = float(_python("-c", f"{program}\nimport time; print(time.monotonic())"))
            taken[name].append(ended - began)
    # The first of each fills the file cache.
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def _own_times() -> dict[str, tuple[int, float]]:
    """Return the number of modules and the seconds of each package, the most expensive first."""
    lines = [match.groups() for match in _LINE.finditer(_python("-X", "importtime", "-c", PROGRAMS["function_app"]))]
    already = {line[3] for line in (match.groups() for match in _LINE.finditer(_python("-X", "importtime", "-c", "")))}
    seconds: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for own, _, _, module in lines:
        if module not in already:
            seconds[_package(module)] += int(own)
            modules[_package(module)] += 1
    return {name: (modules[name], microseconds / 1e6) for name, microseconds in seconds.most_common()}


def _package(module: str) -> str:
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return "standard library"
    return ".".join(parts[:2]) if parts[0] == "azure" else parts[0]


def _is_imported(module: str) -> bool:
    return _python("-c", f"import function_app, sys; print({module!r} in sys.modules)").strip() == "True"


def _python(*arguments: str) -> str:
    """Run the interpreter in the app's directory; return all that it says."""
    # An environment that forbids compiled modules would have each process compile the app's, and no library's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def _first_alerts() -> tuple[float, float, float]:
    """Return the start of the host, the first alert and the second, in seconds."""
    times = []
    for _ in range(3):
        with Azurite() as azurite, World(azurite=azurite) as world:
            world.host.stop()
            began = time.perf_counter()
            world.host.start()
            started = time.perf_counter() - began
            clients = Clients(world.webhook, world.entra.mint())
            first, second = (clients.send(body).seconds for body in alerts(2))
            times.append((started, first, second))
    started, first, second = (statistics.median(each) for each in zip(*times, strict=True))
    return started, first, second
