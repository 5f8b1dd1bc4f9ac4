"""Where does the time of one new alert go? The function itself, called without a host, under cProfile.

Time is attributed to the package whose code was running; what waits in the kernel for an answer is *waiting*.
The profiler makes Python about twice as slow and waiting not at all: shares of Python count, not milliseconds.
"""

import cProfile
import os
import pstats
import sysconfig
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from bench.bare import Bare
from bench.figures import Report, Spread, Table, median_ratio, milliseconds
from bench.instance import Instance
from bench.load import alerts
from local.azurite import Azurite
from local.entra.authority import Entra
from local.world import ROOT, World
from proof.apart import Apart

#: What the host hands over beside the request, as far as the function asks for it: nothing is traced.
_CONTEXT = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=""))

ALERTS = 100
REPEATS = 3
_SHOWN = 12
_FUNCTIONS_SHOWN = 12
_LIBRARY = sysconfig.get_path("stdlib")
_SITE = sysconfig.get_path("purelib")


class Function:
    """`receive_alert` in a process of its own, without a host; for `Apart`."""

    def __init__(self, settings: Mapping[str, str], token: str) -> None:
        os.environ.update(settings)
        import azure.functions  # noqa: PLC0415 - it reads the settings

        import function_app  # noqa: PLC0415 - likewise

        self._make = azure.functions.HttpRequest
        self._receive: Any = function_app.receive_alert.build().get_user_function()
        self._token = token

    def __enter__(self) -> Self:
        """Send the first alerts of the process."""
        self.run(5)
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def run(self, number: int) -> list[float]:
        """Call the function so often; return what each call took, in seconds."""
        return [self._call(body) for body in alerts(number)]

    def profiled(self, number: int) -> tuple[dict[str, float], list[tuple[str, int, float]]]:
        """Return seconds by package, and the functions that took the most: name, calls, seconds."""
        profile = cProfile.Profile()
        bodies = alerts(number)
        profile.enable()
        for body in bodies:
            self._call(body)
        profile.disable()
        return _by_package(profile), _by_function(profile)

    def _call(self, body: bytes) -> float:
        headers = {"authorization": f"Bearer {self._token}"}
        request = self._make("POST", "http://127.0.0.1/api/alerts", headers=headers, body=body)
        began = time.perf_counter()
        answer = self._receive(request, _CONTEXT)
        seconds = time.perf_counter() - began
        if answer.status_code != HTTPStatus.OK:
            raise RuntimeError(f"answered {answer.status_code}")
        return seconds


def run() -> Report:
    """Measure and profile."""
    with ExitStack() as stack:
        azurite, entra = stack.enter_context(Azurite()), stack.enter_context(Entra())
        instance = stack.enter_context(Instance())
        settings = {**World(azurite=azurite).settings, **instance.settings, "ENTRA_AUTHORITY": entra.authority}
        function = stack.enter_context(Apart(Function, settings, entra.mint()))
        bare = stack.enter_context(Apart(Bare, azurite.connection_string, instance.url))
        floors, calls = [], []
        for _ in range(REPEATS):
            floors.append(Spread.of(sum(steps) for steps in bare.call("run", 1, ALERTS)).p50)
            calls.append(Spread.of(function.call("run", ALERTS)).p50)
        packages, functions = function.call("profiled", ALERTS)
    python = sum(seconds for name, seconds in packages.items() if name != "waiting")
    return Report(
        title="Hot path",
        parts=(
            (
                f"`receive_alert` without a host: {milliseconds(sorted(calls)[1])} ms, the bare minimum of I/O "
                f"{milliseconds(sorted(floors)[1])} ms, ratio {median_ratio(zip(calls, floors, strict=True)):.2f} "
                "(p50 of new alerts, one client, ServiceNow takes 0 ms)."
            ),
            Table(
                headings=("package", "ms per alert, profiled", "share of Python"),
                rows=[
                    (name, f"{seconds / ALERTS * 1000:.2f}", "-" if name == "waiting" else f"{seconds / python:.0%}")
                    for name, seconds in sorted(packages.items(), key=lambda each: -each[1])[:_SHOWN]
                ],
            ),
            Table(
                headings=("function", "calls per alert", "ms per alert, profiled"),
                rows=[
                    (name, f"{count / ALERTS:.1f}", f"{seconds / ALERTS * 1000:.2f}")
                    for name, count, seconds in functions
                ],
            ),
        ),
    )


def _entries(profile: cProfile.Profile) -> dict[tuple[str, int, str], tuple[int, int, float, float, Any]]:
    # typeshed does not know the attribute, the documentation of `pstats` does.
    entries: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = vars(pstats.Stats(profile))["stats"]
    return entries


def _by_package(profile: cProfile.Profile) -> dict[str, float]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, callers) in _entries(profile).items():
        if file != "~":
            seconds[_package(file)] += own
        elif _waits(name):
            seconds["waiting"] += own
        else:
            # Built in: whoever called it spends it.
            for (caller, _, _), (_, _, spent, _) in callers.items():
                seconds[_package(caller)] += spent
    return dict(seconds)


def _by_function(profile: cProfile.Profile) -> list[tuple[str, int, float]]:
    rows = [
        (f"`{_package(file)}` {name}", calls, own)
        for (file, _, name), (_, calls, own, _, _) in _entries(profile).items()
        if not _waits(name)
    ]
    return sorted(rows, key=lambda row: -row[2])[:_FUNCTIONS_SHOWN]


def _waits(name: str) -> bool:
    return any(method in name for method in ("recv_into", "'acquire'", "'poll'", "sendall", "'connect'"))


def _package(file: str) -> str:
    if file.startswith(_SITE):
        parts = Path(file).relative_to(_SITE).parts
        return "/".join(
            parts[:3] if parts[:2] in (("azure", "data"), ("azure", "storage")) else parts[: 1 + (parts[0] == "azure")]
        )
    if file.startswith(_LIBRARY):
        return f"standard library, {Path(file).relative_to(_LIBRARY).parts[0].removesuffix('.py')}"
    if file.startswith(str(ROOT)):
        return Path(file).relative_to(ROOT).parts[0].removesuffix(".py")
    return "built in"
