"""Is everything as it must be, and if not, who can mend it?

`cli` calls `doctor`. It asks each party for its checkup, side by side: the settings, storage, Entra ID, ServiceNow, the
rules, and what the app itself met lately. It looks only; `--write` makes one incident marked as a test and resolves it.
A party whose settings are wrong is not asked. Another party needs nothing but a line in `_checkups`.
"""

import json
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NoReturn, TextIO

from itsm_bridge.app import chosen_rules, stored
from itsm_bridge.entra import checkup as entra
from itsm_bridge.entra.directory import Graph
from itsm_bridge.entra.person import token_for
from itsm_bridge.entra.wanted import CLOUDS
from itsm_bridge.errors import BridgeError, InvalidSettings, Unavailable, place_of
from itsm_bridge.finding import Finding, Report, Status, broken, ok, warning
from itsm_bridge.operate.advice import present
from itsm_bridge.operate.exit_status import ACT, DONE
from itsm_bridge.operate.follow import has_identity, token_of
from itsm_bridge.operate.show import time_of
from itsm_bridge.operate.terminal import Screen
from itsm_bridge.servicenow import checkup as servicenow
from itsm_bridge.servicenow.trial import try_incident
from itsm_bridge.settings import (
    EntraSettings,
    Settings,
    allowed_from,
    azure_from,
    entra_from,
    retention_from,
    servicenow_from,
    storage_from,
)
from itsm_bridge.storage import checkup as storage
from itsm_bridge.storage.account import connect_table
from itsm_bridge.troubles import Trouble, Troubles

#: The parties in the order in which they are printed, and what they are called.
_PARTIES: Final[Mapping[str, str]] = {
    "settings": "Settings",
    "storage": "Storage",
    "entra": "Entra ID",
    "servicenow": "ServiceNow",
    "azure": "Azure's own list of alerts",
    "rules": "Rules",
    "app": "What the app met lately",
}

#: What no look from outside tells, unless it writes.
_UNSEEN: Final = frozenset({Trouble.RIGHT_TO_CREATE, Trouble.RIGHT_TO_CHANGE, Trouble.FIELDS})

_KEEPER: Final = "whoever keeps the app"
#: As many threads as it takes that webhooks and wake-ups do not wait for each other.
_FEWEST_THREADS: Final = 8


def graph_of(settings: EntraSettings) -> Graph | None:
    """Return Microsoft Graph of the cloud whose authority the settings name; None for an authority that is unknown."""
    cloud = next((each for each in CLOUDS.values() if each.authority == settings.authority), None)
    if cloud is None:
        return None
    return Graph(host=cloud.graph, token=lambda: token_for(cloud.graph, authority=cloud.authority))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The things that one run looks at."""

    environ: Mapping[str, str]
    writes: bool = False
    #: Returns Microsoft Graph for the settings, or None if there is none in their cloud.
    graph: Callable[[EntraSettings], Graph | None] = graph_of


def doctor(asked: Asked, *, out: TextIO, as_json: bool) -> int:
    """Look at everything and tell what was found; 1 if anything is broken."""
    progress = _Progress(sys.stderr if sys.stderr.isatty() else None)
    found = examined(asked, progress.count)
    progress.end()
    if as_json:
        told = [
            {"check": each.check, "status": str(each.status), "message": each.message, "remedy": each.remedy}
            for each in found
        ]
        print(json.dumps(told, indent=2, ensure_ascii=False), file=out)
    else:
        print(_in_words(found, Screen.of(out), writes=asked.writes), file=out)
    return ACT if any(each.status is Status.BROKEN for each in found) else DONE


def examined(asked: Asked, report: Report = bool) -> Sequence[Finding]:
    """Return what was found, by party; `report` is given each finding as it is made, from any thread."""
    found: dict[str, list[Finding]] = {party: [] for party in _PARTIES}

    def run(party: str, look: Callable[[Report], object]) -> None:
        def take(finding: Finding) -> None:
            found[party].append(finding)
            report(finding)

        try:
            look(take)
        except InvalidSettings:
            return  # the settings have lines of their own
        except BridgeError as error:
            take(broken(f"{party}.checkup", str(error), "mend what is broken above, and look again"))
        except Exception as error:  # noqa: BLE001 - one party must not keep the others from being looked at
            told = f"not looked at: unexpected {type(error).__name__} at {place_of(error)}"
            take(broken(f"{party}.checkup", told, "this is a fault of itsm-bridge: report it"))

    checkups = _checkups(asked)
    with ThreadPoolExecutor(len(checkups)) as pool:
        list(pool.map(lambda each: run(*each), checkups))
    found["app"] = _not_seen(found["app"], found["servicenow"], writes=asked.writes)
    if found["rules"]:
        found["app"] = [each for each in found["app"] if each.check != f"app.{Trouble.RULES}"]
    return [finding for party in _PARTIES for finding in found[party]]


def _not_seen(met: Sequence[Finding], seen: Sequence[Finding], *, writes: bool) -> list[Finding]:
    """Return what the app met, without what the look at ServiceNow tells anyway; what works by now is a warning."""
    is_broken = any(each.status is Status.BROKEN for each in seen)
    told = []
    for each in met:
        kind = each.check.partition(".")[2]
        if not kind.startswith("servicenow-"):
            told.append(each)
        elif not is_broken:
            works = bool(seen) and (writes or kind not in _UNSEEN)
            told.append(
                replace(each, status=Status.WARNING, message=f"{each.message}; it works now") if works else each
            )
    return told


def _checkups(asked: Asked) -> Sequence[tuple[str, Callable[[Report], object]]]:
    environ = asked.environ

    def look_at_entra(report: Report) -> None:
        settings = entra_from(environ)
        entra.examine(settings, asked.graph(settings), report)

    def look_at_servicenow(report: Report) -> None:
        settings = servicenow_from(environ)
        if servicenow.examine(settings, report, filled=_filled(environ)) and asked.writes:
            try_incident(settings, report)

    return (
        ("settings", lambda report: _look_at_settings(environ, report)),
        ("storage", lambda report: storage.examine(storage_from(environ), report)),
        ("entra", look_at_entra),
        ("servicenow", look_at_servicenow),
        ("azure", lambda report: _look_at_azure(environ, report)),
        ("rules", lambda report: _look_at_rules(environ, report)),
        ("app", lambda report: _look_at_app(environ, report)),
    )


def _look_at_settings(environ: Mapping[str, str], report: Report) -> None:
    try:
        settings = Settings.from_environ(environ)
    except InvalidSettings as error:
        for problem in str(error).split("; "):
            report(broken("settings.valid", problem, f"{_KEEPER} sets it: README, Settings, says how"))
        return
    report(ok("settings.valid", "every setting is there and well-formed"))
    threads = environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    if not threads.isdecimal() or int(threads) < _FEWEST_THREADS:
        told = f"PYTHON_THREADPOOL_THREAD_COUNT is {threads or 'not set'}, so that webhooks may wait for wake-ups"
        report(warning("settings.threads", told, f"{_KEEPER} sets it to 16"))
    instance = settings.servicenow
    if not (instance.client_id or instance.api_key):
        told = "we sign in by basic authentication, which new instances refuse by default"
        report(warning("settings.sign-in", told, f"{_KEEPER} sets OAuth client credentials or an API key"))


def _look_at_azure(environ: Mapping[str, str], report: Report) -> None:
    """Report whether the followed alerts can be asked for, if any are followed."""
    settings = azure_from(environ)
    if not settings.is_wanted:
        return
    from itsm_bridge.follow import Means, client_of, last_looks, subscriptions_of  # noqa: PLC0415 - where it is wanted
    from itsm_bridge.resource_manager import checkup as azure  # noqa: PLC0415

    now = datetime.now(UTC)
    means = Means(
        settings=settings,
        allowed_subscriptions=allowed_from(environ),
        table=connect_table(storage_from(environ)),
        token=token_of(environ, settings),
        receive=_never,
        now=lambda: now,
        troubles=Troubles(),
        retention=retention_from(environ),
        is_dry=True,
    )
    try:
        subscriptions = subscriptions_of(means)
        looks = last_looks(means, subscriptions)
    except Unavailable:
        return  # storage has lines of its own
    azure.examine(
        settings,
        client_of(means),
        report,
        token=means.token,
        subscriptions=subscriptions,
        looks=looks,
        now=now,
        is_person=not has_identity(environ),
    )


def _never(*_: object) -> NoReturn:
    raise AssertionError("doctor takes nothing in")


def _look_at_rules(environ: Mapping[str, str], report: Report) -> None:
    """Report which rules count, and what is wrong with those that do not."""
    try:
        known, trouble = chosen_rules(environ)
    except Unavailable:
        return  # storage has lines of its own
    if trouble:
        after = "whoever wrote them runs `rules check FILE`; `rules push` or `rules restore N` puts good ones in force"
        report(broken("rules.valid", f"{trouble}; in force: {known.source}", after))
    else:
        report(ok("rules.valid", f"in force: {known.source}"))


def _filled(environ: Mapping[str, str]) -> Collection[str]:
    try:
        return chosen_rules(environ)[0].rules.filled
    except BridgeError:
        return ()


def _look_at_app(environ: Mapping[str, str], report: Report) -> None:
    """Report what the app counted: what no look from outside can find."""
    parts, now = stored(environ), datetime.now(UTC)
    try:
        troubles = present(parts.troubles.known(), now)
        parked = sum(1 for _ in parts.listing.parked())
    except BridgeError:
        return  # storage has lines of its own
    for trouble, tally, meaning in troubles:
        times = "once" if tally.count == 1 else f"{tally.count} times"
        detail = f" ({tally.detail})" if tally.detail else ""
        told = f"{meaning.meaning}: {times}, last {time_of(tally.last_at)}{detail}"
        after = f"{meaning.remedy}. Once it is mended: `status --acknowledge`"
        report(broken(f"app.{trouble}", told, after))
    if parked:
        remedy = "`status` says why; once that is mended: `replay --parked`"
        report(warning("app.parked", f"{parked} alerts are parked until somebody acts", remedy))
    if not troubles and not parked:
        report(ok("app.troubles", "nothing went wrong again and again"))


def _in_words(found: Sequence[Finding], screen: Screen, *, writes: bool) -> str:
    parts = [
        "\n".join([screen.bold(title), *_lines([each for each in found if _party(each) == party], screen)])
        for party, title in _PARTIES.items()
        if any(_party(each) == party for each in found)
    ]
    counts = {status: sum(each.status is status for each in found) for status in Status}
    warnings = "1 warning" if counts[Status.WARNING] == 1 else f"{counts[Status.WARNING]} warnings"
    summary = f"{counts[Status.BROKEN]} broken, {warnings}, {counts[Status.OK]} ok."
    told = screen.bad(summary) if counts[Status.BROKEN] else screen.good(summary)
    if not writes and not counts[Status.BROKEN]:
        told += " What cannot be seen is tried by `doctor --write`, which makes an incident marked as a test."
    return "\n\n".join([*parts, told])


def _lines(found: Iterable[Finding], screen: Screen) -> Iterable[str]:
    colours = {Status.OK: screen.good, Status.WARNING: screen.doubtful, Status.BROKEN: screen.bad}
    for each in found:
        name = each.check.partition(".")[2]
        mark = each.status.upper() if each.status is Status.BROKEN else str(each.status)
        text = screen.wrapped(f"{each.message}.", first=f"  {mark:<8} {name:<14} ", indent=26)
        yield text.replace(mark, colours[each.status](mark), 1)
        if each.remedy:
            yield screen.wrapped(f"To do: {each.remedy}.", first=" " * 26, indent=26)


def _party(finding: Finding) -> str:
    return finding.check.partition(".")[0]


class _Progress:
    """Shows how many things were looked at, on a terminal; safe to share between threads."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._count = 0

    def count(self, finding: Finding) -> None:
        """Count one more."""
        with self._lock:
            self._count += 1
            if self._out is not None:
                self._out.write(f"\r\033[K{self._count} looked at, {_PARTIES[_party(finding)]} …")
                self._out.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._out is not None:
            self._out.write("\r\033[K")
            self._out.flush()
