"""Which parts is the app made of, and how do they know each other?

The composition root: the one place that connects the parties. `function_app` calls `prepare` when the host imports it
and `bridge` at each call; the commands in `operate` call `stored`.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from itsm_bridge import __version__
from itsm_bridge.deadline import Deadline
from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import BridgeError, InvalidSettings, place_of
from itsm_bridge.operate.health import Check, Health, servicenow_check
from itsm_bridge.operate.recorder import Recorder
from itsm_bridge.reconcile.background import Threads
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.ports import Content
from itsm_bridge.reconcile.reconciler import Reconciler
from itsm_bridge.reconcile.resync import COVER_AFTER
from itsm_bridge.rules_in_force.choice import Choice
from itsm_bridge.rules_in_force.lookout import RulesInForce
from itsm_bridge.servicenow import fields
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import account_of, credentials_of
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.knowledge import Knowledge
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from itsm_bridge.settings import EntraSettings, ServiceNowSettings, Settings, azure_from, storage_from, telemetry_from
from itsm_bridge.storage.account import connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.instance_facts import InstanceFactsTable
from itsm_bridge.storage.stored_rules import StoredRules
from itsm_bridge.storage.trouble_table import TroubleTable
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from itsm_bridge.telemetry import NOTHING, Telemetry
from itsm_bridge.threads import (
    ensure_threads,
    is_worker,
    keys_at_once,
    requests_at_once,
    room_patience,
    webhooks_in_line,
)
from itsm_bridge.troubles import Tally, Trouble, Troubles
from itsm_bridge.webhook import Webhook

if TYPE_CHECKING:
    from azure.data.tables import TableClient

    from itsm_bridge.reconcile.outline import Outline
    from itsm_bridge.rules.engine import Rules
    from itsm_bridge.rules_in_force.choice import InForce
    from itsm_bridge.servicenow.people import Touched
    from itsm_bridge.storage.listing import Listing

# Not `__name__`: alert rules and operators look for the lines of the edge under the app's own name.
log = logging.getLogger("itsm_bridge")

#: The libraries of Azure log each request at INFO: a line per storage call, and nothing that an operator asks for.
_TALKATIVE = ("azure.core", "azure.identity", "azure.storage", "azure.data", "urllib3")

#: How long a look at Azure's own list of alerts may take; the next one comes two minutes after its beginning.
FOLLOW_BUDGET: Final = timedelta(seconds=60)

#: How often a process tries to look for what another one left behind; then `resync` finds it, a few minutes later.
_LOOKS: Final = 5

#: Two first calls at once must not make two bulkheads.
_building = threading.Lock()
_compiling = threading.Lock()


class Bridge(NamedTuple):
    """The parts that the triggers call, built once per process."""

    webhook: Webhook
    reconciler: Reconciler
    health: Health
    #: Tells how many alerts wait or are parked, by what `resync` found; raises Unavailable.
    tell_backlog: Callable[[Sequence["Outline"]], None]
    #: Looks at Azure's own list of alerts, if a setting wants that; raises TemporaryError.
    follow: Callable[[], None]


class Measured(NamedTuple):
    """The telemetry of this process."""

    telemetry: Telemetry
    #: Why nothing is sent although a setting wants it; "" if there is no such trouble.
    failure: str = ""


class Stored(NamedTuple):
    """The parts that the commands use: the table and the queue, without ServiceNow."""

    listing: "Listing"
    store: AlertTable
    wakeups: WakeUpQueue
    troubles: TroubleTable


def prepare(environ: Mapping[str, str]) -> int:
    """Make the process ready while the host imports the app, before any call; return how many threads it has.

    Nothing runs in the threads yet, so that the worker can be given more of them, and the app's settings are there.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    measured()
    return ensure_threads(environ)


def cover_soon(threads: int) -> None:
    """Let a thread look, a while after the start, for alerts that a process left behind which died.

    The Functions host starts a worker in the place of one that died, and answers 500 to the calls that it had, which
    Azure Monitor does not repeat. Where the app is imported by something else than the host, nothing is begun.
    """
    if is_worker():
        _after(COVER_AFTER, _cover, threads, _LOOKS)


def _cover(threads: int, looks: int) -> None:
    try:
        bridge(threads).reconciler.cover()
    except BridgeError as error:
        # The host drops this line, because it belongs to no call.
        log.warning("alerts that another process left behind could not be looked for: %s", error)
        if looks > 1:
            _after(COVER_AFTER, _cover, threads, looks - 1)


def _after(span: timedelta, call: Callable[..., None], *args: object) -> None:
    timer = threading.Timer(span.total_seconds(), call, args)
    timer.daemon = True
    timer.start()


def bridge(threads: int) -> Bridge:
    """Return the program, built on first use: an error at import would leave the host without any function.

    Args:
        threads: How many threads answer calls, as `prepare` returned it.

    Raises:
        InvalidSettings: some settings are missing or malformed. The next call tries again.
    """
    with _building:
        return _built(threads)


@functools.cache
def measured() -> Measured:
    """Return who is told what is measured: by default nobody, and then nothing of OpenTelemetry is imported.

    `prepare` calls it first, so that no call waits for the import.
    """
    try:
        settings = telemetry_from(os.environ)
    except InvalidSettings:
        # The same fault is told of all settings together, at the first call.
        return Measured(NOTHING)
    if not settings.is_wanted:
        return Measured(NOTHING)
    try:
        from itsm_bridge.collector.open_telemetry import started  # noqa: PLC0415 - where it is wanted alone

        return Measured(started(settings, version=__version__))
    except InvalidSettings as error:
        return Measured(NOTHING, failure=str(error))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with telemetry, alerts are taken in
        # Its message may quote a header or a connection string, which hold a key.
        return Measured(NOTHING, failure=f"{type(error).__name__} at {place_of(error)}")


def is_following(environ: Mapping[str, str]) -> bool:
    """Return whether a setting wants Azure's own list of alerts followed; True too if the settings cannot be read."""
    try:
        return azure_from(environ).is_wanted
    except InvalidSettings:
        # Told of all settings together, by whoever builds the program.
        return True


def stored(environ: Mapping[str, str]) -> Stored:
    """Return the table and the queue; nothing is sent yet.

    Raises:
        InvalidSettings: settings of the storage account are missing or malformed.
    """
    from itsm_bridge.storage.listing import Listing  # noqa: PLC0415 - commands alone need it, and imports are timed

    settings = storage_from(environ)
    table = connect_table(settings)
    return Stored(
        listing=Listing(table),
        store=AlertTable(table),
        wakeups=WakeUpQueue(functools.partial(connect_queue, settings)),
        troubles=TroubleTable(table),
    )


def stored_rules(environ: Mapping[str, str]) -> StoredRules:
    """Return the rules that were pushed; nothing is sent yet.

    Raises:
        InvalidSettings: the settings of the storage account are missing or malformed.
    """
    return StoredRules(connect_table(storage_from(environ)))


def chosen_rules(environ: Mapping[str, str]) -> "tuple[InForce[Rules], str]":
    """Return the rules that a process with these settings puts in force, and why they are not what operators want.

    Raises:
        InvalidSettings: the settings of the storage account are missing or malformed.
        Unavailable: storage did not answer.
    """
    return _choice(stored_rules(environ), environ.get("ITSM_RULES_FILE", "").strip()).made()


def common_content(environ: Mapping[str, str]) -> Content:
    """Return what the rules in force give every incident, whatever its alert; raises as `chosen_rules`."""
    return fields.common_content(*chosen_rules(environ)[0].rules.common())


def built_in_rules() -> "Rules":
    """Return the rules that ship with the program, compiled at first use."""
    # Of two first calls at once, the second waits for the first instead of doing the same.
    with _compiling:
        return _built_in_rules()


@functools.cache
def _built_in_rules() -> "Rules":
    return compile_rules(None)


def compile_rules(source: str | bytes | None) -> "Rules":
    """Return the rules in force with a file of an operator, its text or its bytes; None for the built-in rules alone.

    Raises:
        InvalidRules: the file has faults; none of it is taken.
    """
    # What reads rules is imported here, because cold starts are measured, and the first alert is soon enough.
    from itsm_bridge.rules.compiling import compiled  # noqa: PLC0415

    return compiled(source, built_in=built_in_text())


def built_in_text() -> str:
    """Return the file of the rules that ship with the program."""
    return (Path(__file__).parent / "rules" / "built_in.yaml").read_text(encoding="utf-8")


@functools.cache
def _verifier(entra: EntraSettings) -> TokenVerifier:
    """Return the verifier and begin to fetch keys: meanwhile the other parts are made.

    There is one for all calls, also while other settings are wrong, because its key rings limit how often Entra is
    asked.
    """
    verifier = TokenVerifier(
        tenants=entra.tenants,
        audiences=entra.audiences,
        allowed_callers=entra.allowed_callers,
        required_role=entra.required_role,
        authority=entra.authority,
    )
    _begin(verifier.warm)
    return verifier


@functools.cache
def _built(threads: int) -> Bridge:
    settings = Settings.from_environ(os.environ)
    instance = settings.servicenow
    verifier = _verifier(settings.entra)
    table = connect_table(settings.storage)
    store = AlertTable(table)
    telemetry, failure = measured()
    if failure:
        log.error("nothing is measured: %s", failure)
    troubles, trouble_table = Troubles(now=_now), TroubleTable(table)
    rules = RulesInForce(
        _choice(StoredRules(table), settings.rules_file), troubled=functools.partial(troubles.count, Trouble.RULES)
    )
    Recorder(troubles, functools.partial(_write_down, trouble_table))
    wakeups = WakeUpQueue(functools.partial(connect_queue, settings.storage))
    knowledge = Knowledge(
        InstanceFactsTable(table, instance_url=instance.instance_url, account=functools.partial(account_of, instance)),
        now=_now,
    )
    # The gate counts the requests of all who ask; the loop may work on a few keys more.
    requests = requests_at_once(instance.max_concurrency, threads=threads)
    gate, slots = Gate(requests), keys_at_once(requests, threads=threads)
    table_api = TableApi(
        instance.instance_url,
        credentials_of(instance, troubles, gate=gate),
        troubles=troubles,
        gate=gate,
        knowledge=knowledge,
        telemetry=telemetry,
    )
    incidents = Incidents(table_api, close_code=instance.close_code, troubles=troubles, knowledge=knowledge)
    # Not at import: the host drops log lines that belong to no call.
    level = logging.INFO if requests == instance.max_concurrency else logging.WARNING
    text = "itsm-bridge %s: %d threads answer calls, %d requests at once go to ServiceNow"
    log.log(level, text, __version__, threads, requests)
    circuit = Circuit(
        slots=slots, line=webhooks_in_line(slots, threads=threads), now=_now, name="ServiceNow", telemetry=telemetry
    )
    reconciler = Reconciler(
        store=store,
        wakeups=wakeups,
        target=ServiceNow(
            incidents,
            Cmdb(table_api),
            references=References(table_api, troubles=troubles),
            notes_missing_item=instance.notes_missing_item,
        ),
        circuit=circuit,
        background=Threads(slots, patience=room_patience(threads=threads)),
        retry_horizon=settings.retry_horizon,
        retention=settings.retention,
        now=_now,
        telemetry=telemetry,
        trials=lambda: rules.current().rules.shadows,
    )
    webhook = Webhook(
        verifier=verifier,
        allowed_subscriptions=settings.allowed_subscriptions,
        reconciler=reconciler,
        rules=lambda alert: rules.current().rules.apply(alert, _now()),
        troubles=troubles,
        telemetry=telemetry,
    )
    health = Health(
        Check(name="entra", run=verifier.warm),
        Check(name="table", run=store.check),
        Check(name="queue", run=wakeups.check),
        Check(name="rules", run=rules.check),
        servicenow_check(incidents, circuit),
        now=_now,
        standing=functools.partial(_known_down, trouble_table),
    )
    _begin(store.check, table_api.sign_in, rules.look, knowledge.look)
    return Bridge(
        webhook=webhook,
        reconciler=reconciler,
        health=health,
        tell_backlog=lambda found: _tell_backlog(found, store, rules, troubles, telemetry),
        follow=_follower(settings, table, webhook, wakeups=wakeups, touched=_touched(table_api)),
    )


def _follower(
    settings: Settings,
    table: "TableClient",
    webhook: Webhook,
    *,
    wakeups: WakeUpQueue,
    touched: "Callable[[timedelta, Deadline], Touched]",
) -> Callable[[], None]:
    """Return what looks at Azure's own list of alerts; made at its first call, because it has imports of its own."""

    @functools.cache
    def following() -> Callable[[Deadline], None]:
        from itsm_bridge.follow import BothSides, Means, followed_by  # noqa: PLC0415
        from itsm_bridge.resource_manager.identity import managed_identity  # noqa: PLC0415

        means = Means(
            settings=settings.azure,
            allowed_subscriptions=settings.allowed_subscriptions,
            table=table,
            token=managed_identity(settings.azure.endpoint, settings.azure.client_id),
            receive=webhook.recover,
            retention=settings.retention,
            now=_now,
            troubles=webhook.troubles,
            telemetry=webhook.telemetry,
        )
        return followed_by(means, BothSides(touched=touched, wakeups=wakeups))

    def follow() -> None:
        if settings.azure.is_wanted:
            following()(Deadline.after(FOLLOW_BUDGET))

    return follow


def touched_by(instance: ServiceNowSettings) -> "Callable[[timedelta, Deadline], Touched]":
    """Return who tells a command which incidents changed; nothing is sent yet."""
    from itsm_bridge.servicenow.people import People  # noqa: PLC0415 - one command alone needs it

    people = People(TableApi(instance.instance_url, credentials_of(instance)))
    return lambda within, deadline: people.touched(within, deadline=deadline)


def _touched(table_api: TableApi) -> "Callable[[timedelta, Deadline], Touched]":
    """Return who tells the app which incidents changed; what it needs is imported where states are followed."""

    def touched(within: timedelta, deadline: Deadline) -> "Touched":
        from itsm_bridge.servicenow.people import People  # noqa: PLC0415

        return People(table_api).touched(within, deadline=deadline)

    return touched


def _tell_backlog(
    found: Sequence["Outline"],
    store: AlertTable,
    rules: "RulesInForce[Rules]",
    troubles: Troubles,
    telemetry: Telemetry,
) -> None:
    """Tell what waits too long, what is parked, and whether the rules are those that operators want."""
    from itsm_bridge.operate.backlog import tell_backlog  # noqa: PLC0415 - the timer alone needs it

    # The timer may have a process of its own, where nobody else looks for rules.
    with suppress(BridgeError):
        rules.check()
    if rules.trouble:
        # In a call, because the host drops log lines that belong to none.
        troubles.count(Trouble.RULES, rules.trouble)
    tell_backlog(found, read=store.read, telemetry=telemetry, now=_now())


def _choice(pushed: StoredRules, file: str) -> "Choice[Rules]":
    """Return who chooses the rules; nothing is read yet. `file` is a path from the app's root, "" for none."""
    path = Path(__file__).parents[1] / file if file else None
    return Choice(pushed, compiled=compile_rules, built_in=built_in_rules, file=path)


def _write_down(table: TroubleTable, trouble: Trouble, tally: Tally) -> None:
    from itsm_bridge.operate.advice import MEANINGS  # noqa: PLC0415 - only troubles need it, and imports are timed

    table.add(trouble, tally, over_after=MEANINGS[trouble].told_for)


def _known_down(table: TroubleTable) -> Sequence[str]:
    from itsm_bridge.operate.advice import parts_down  # noqa: PLC0415 - only health needs it, and imports are timed

    return parts_down(table.known(), _now())


def _begin(*parts: Callable[[], object]) -> None:
    """Begin side by side the fetches that the first call would make one after the other: keys, connections, tokens.

    Nothing waits for them here. A call that needs an unfinished one waits for it, and tries a failed one again.
    """

    def attempt(part: Callable[[], object]) -> None:
        with suppress(BridgeError):
            part()

    for part in parts:
        threading.Thread(target=attempt, args=(part,), daemon=True).start()


def _now() -> datetime:
    return datetime.now(UTC)
