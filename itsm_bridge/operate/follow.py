"""What did Azure Monitor fail to bring, by Azure's own list, and what did people do that the other side does not say?

`python -m itsm_bridge follow` looks once, as the app does every two minutes, and brings it in; with `--dry-run` it
tells what it would bring in or change, and changes nothing anywhere. A dry run needs no setting that switches anything
on, so that people can look before they do: it tells of missed alerts where AZURE_ACTION_GROUP_IDS is set, and with
`--states` of what people did. It asks as the app's managed identity where there is one, else as the person who is
signed in.
"""

import argparse
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

from itsm_bridge import app
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidSettings
from itsm_bridge.operate.exit_status import ACT, DONE, NO_ANSWER, NotUnderstood
from itsm_bridge.settings import (
    AzureSettings,
    allowed_from,
    azure_from,
    retention_from,
    servicenow_from,
    storage_from,
)
from itsm_bridge.storage.account import connect_queue, connect_table
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from itsm_bridge.text import one_line, plain
from itsm_bridge.troubles import Troubles

if TYPE_CHECKING:
    from itsm_bridge.azure_monitor.alert import Alert
    from itsm_bridge.resource_manager.look import Found, Report
    from itsm_bridge.resource_manager.state_parts import StateReport

#: App Service tells its apps by these where their identity gets tokens.
_IDENTITY: Final = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")
#: A person can wait longer than a timer.
_BUDGET: Final = timedelta(minutes=10)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words after `follow`."""
    parser.add_argument("--dry-run", action="store_true", help="tell what would come in, and change nothing")
    parser.add_argument(
        "--states", action="store_true", help="with --dry-run: what people did, too, before SYNC_ALERT_STATE is true"
    )
    parser.add_argument("--subscription", metavar="ID", default="", help="this one instead of all that are followed")


def run(asked: argparse.Namespace, environ: Mapping[str, str], *, out: TextIO) -> int:
    """Look once and tell what was found; return the exit status.

    Raises:
        InvalidSettings: some that are needed are missing or malformed.
        TemporaryError: storage did not answer.
    """
    settings = azure_from(environ)
    wants_states = settings.syncs_alert_state or (asked.dry_run and asked.states)
    if not (settings.action_groups or wants_states):
        raise InvalidSettings("AZURE_ACTION_GROUP_IDS is missing: it says which alerts were meant for us")
    report, states = _looked(asked, environ, settings, wants_states=wants_states)
    if asked.json:
        text = json.dumps({**_document(report), **_states_document(states)}, indent=2)
    else:
        text = "\n\n".join([*([_told(report, is_dry=asked.dry_run)] if report else []), *_states_told(states, asked)])
    out.write(f"{text}\n")
    if (report and report.troubles) or (states and states.troubles):
        return NO_ANSWER
    return ACT if report and any(found.reason for found in report.found) else DONE


def _looked(
    asked: argparse.Namespace, environ: Mapping[str, str], settings: AzureSettings, *, wants_states: bool
) -> "tuple[Report | None, StateReport | None]":
    """Look once; None stands for what was not looked at."""
    # Other commands need none of it.
    from itsm_bridge.follow import BothSides, Means, client_of, missed_alerts, state_follower  # noqa: PLC0415

    allowed, only = allowed_from(environ), asked.subscription.strip().lower()
    if only and allowed and only not in allowed:
        raise NotUnderstood(f"ALLOWED_SUBSCRIPTIONS does not name {only}")
    means = Means(
        settings=settings,
        allowed_subscriptions=frozenset({only}) if only else allowed,
        table=connect_table(storage_from(environ)),
        token=token_of(environ, settings),
        receive=_receiver(environ) if settings.action_groups and not asked.dry_run else _never,
        now=lambda: datetime.now(UTC),
        troubles=Troubles(),
        retention=retention_from(environ),
        is_dry=asked.dry_run,
        since=asked.since,
    )
    azure, states = client_of(means), None
    if wants_states:
        sides = BothSides(
            touched=app.touched_by(servicenow_from(environ)),
            wakeups=WakeUpQueue(lambda: connect_queue(storage_from(environ))),
        )
        states = state_follower(means, azure, sides).run(Deadline.after(_BUDGET))
    missed = missed_alerts(means, azure).run(Deadline.after(_BUDGET)) if settings.action_groups else None
    return missed, states


def has_identity(environ: Mapping[str, str]) -> bool:
    """Return whether the app's managed identity can be asked here."""
    return all(environ.get(name) for name in _IDENTITY)


def token_of(environ: Mapping[str, str], settings: AzureSettings) -> Callable[[Deadline], str]:
    """Return what gets access tokens: the app's managed identity where there is one, else the person's."""
    if has_identity(environ):
        from itsm_bridge.resource_manager.identity import managed_identity  # noqa: PLC0415 - it is slow to import

        # The library reads them there, and the settings may be those of a local world.
        os.environ.update({name: environ[name] for name in _IDENTITY})
        return managed_identity(settings.endpoint, settings.client_id)
    from itsm_bridge.entra.person import token_for  # noqa: PLC0415

    person = functools.cache(token_for)
    return lambda _: person(settings.endpoint)


def _receiver(environ: Mapping[str, str]) -> "Callable[[Alert, str, Deadline], object]":
    """Return what takes alerts in: the app itself, with the settings of this command."""
    os.environ.update(environ)
    return app.bridge(1).webhook.recover


def _never(*_: object) -> NoReturn:
    raise AssertionError("a dry run takes nothing in")


def _told(report: "Report", *, is_dry: bool) -> str:
    would = "would come in" if is_dry else "came in"
    missed = [found for found in report.found if found.missed]
    unclear = [found for found in report.found if not found.missed]
    lines = [f"{_alerts(report.judged)} changed since the last look; {len(missed) or 'none'} of them {would}."]
    lines += [f"  {_line(found)}" for found in missed]
    if unclear:
        lines += ["", f"Of {_alerts(len(unclear))} nobody can tell whether it was meant for us:"]
        lines += [f"  {_line(found)}" for found in unclear]
    lines += ["", *report.troubles] if report.troubles else []
    if not report.is_complete:
        lines += ["", "More is left for the next look."]
    return "\n".join(lines)


def _alerts(number: int) -> str:
    return "1 alert" if number == 1 else f"{number} alerts"


def _line(found: "Found") -> str:
    what = " and ".join(found.missed) or found.reason
    rule = plain(one_line(found.rule.rpartition("/")[2]))
    return f"{found.at:%Y-%m-%d %H:%M:%S}  {rule}: {what}  ({found.alert_id})"


def _states_told(states: "StateReport | None", asked: argparse.Namespace) -> Sequence[str]:
    if states is None:
        return ()
    would = "would be" if asked.dry_run else "were"
    lines = [f"{len(states.changes) or 'No'} doings of people {would} passed on."]
    lines += [
        f"  {each.incident}: {each.action}  {each.reason}  ({plain(one_line(each.alert_id))})"
        for each in states.changes
    ]
    lines += ["", *states.troubles] if states.troubles else []
    return ["\n".join(lines)]


def _states_document(states: "StateReport | None") -> Mapping[str, Any]:
    if states is None:
        return {}
    changes = [
        {"alert_id": each.alert_id, "incident": each.incident, "action": each.action, "reason": each.reason}
        for each in states.changes
    ]
    return {"states": {"changes": changes, "troubles": states.troubles, "complete": states.is_complete}}


def _document(report: "Report | None") -> Mapping[str, Any]:
    if report is None:
        return {}
    return {
        "judged": report.judged,
        "found": [
            {
                "subscription": found.subscription,
                "alert_id": found.alert_id,
                "rule": found.rule,
                "service": found.service,
                "at": found.at.isoformat(),
                "missed": list(found.missed),
                "reason": found.reason,
            }
            for found in report.found
        ],
        "troubles": report.troubles,
        "complete": report.is_complete,
    }
