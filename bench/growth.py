"""Does it get slower as the table and the queue grow? Nothing on the path of an alert may, and `resync` may not either.

Azurite keeps everything in memory and may itself get slower, so the bare minimum is measured in the same table and
queue at each size: a path that grows would show in the ratio.

`resync` is judged by its operations, which do not depend on who answers them. Its seconds do: Azurite looks at every
row of the table for each query, where the service goes to the range that is asked for, and takes half an hour for a
million rows. So the seconds of the same queries without the program stand beside, and the table is a smaller one.
"""

import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from bench.bare import Bare, record_of
from bench.figures import Check, Goal, Report, Spread, Table, milliseconds
from bench.instance import Instance
from bench.load import Clients, alerts
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.pages import Place
from itsm_bridge.reconcile.reconciler import Reconciler
from itsm_bridge.servicenow.target import ServiceNow
from itsm_bridge.settings import Settings
from itsm_bridge.storage.account import QUEUE, TABLE, connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.index_rows import OPEN as OPEN_ENTRIES
from itsm_bridge.storage.index_rows import OPEN_END, PARTITIONS
from itsm_bridge.storage.row_format import to_entity
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from local.azurite import Azurite
from local.world import World
from proof.apart import Apart
from proof.simulator.memory import MemoryIncidents, MemoryInstance
from proof.tap import Tap

#: Settled rows in the table: once, ten times, a hundred times.
ROWS = (200, 2_000, 20_000)
#: Wake-ups in the queue that are not due: once and ten times.
MESSAGES = (100, 1_000)
ALERTS = 30
REPEATS = 3
#: Rows of one transaction, the most that the service takes.
_BATCH = 100
_DAY = timedelta(days=1)
#: Unsettled rows of a `resync`, and the operations that it may take.
OPEN = 100
AIM = 300


def run() -> Report:
    """Measure at each size."""
    rows = []
    ratios = []
    with ExitStack() as stack:
        instance = stack.enter_context(Instance())
        world = stack.enter_context(World(settings=instance.settings))
        bare = stack.enter_context(Apart(Bare, world.azurite.connection_string, instance.url, TABLE))
        clients = Clients(world.webhook, world.entra.mint())
        clients.each(alerts(10), clients=1)
        storage = Settings.from_environ(world.settings).storage
        table, queue = connect_table(storage), connect_queue(storage)
        WakeUpQueue(lambda: queue).check()  # makes the queue, which no alert above needed
        in_table, in_queue = 0, 0
        sizes = [*((each, 0) for each in ROWS), *((ROWS[-1], each) for each in MESSAGES)]
        for wanted_rows, wanted_messages in sizes:
            _add_rows(table, in_table, wanted_rows)
            _add_messages(queue, wanted_messages - in_queue)
            in_table, in_queue = wanted_rows, max(in_queue, wanted_messages)
            app, floor = _measure(clients, bare)
            ratios.append(app / floor)
            told = (milliseconds(app), milliseconds(floor), f"{ratios[-1]:.2f}")
            rows.append((f"{in_table:,}", f"{in_queue:,}", *told))
    timer_rows, checks = _timer()
    return Report(
        title="Growth",
        parts=(
            f"p50 of new alerts, one client, ServiceNow takes 0 ms, medians of {REPEATS} repeats:",
            Table(headings=("rows", "messages", "answered, ms", "bare minimum, ms", "ratio"), rows=rows),
            (
                f"One `resync`, {OPEN} alerts unsettled. {len(PARTITIONS)} operations read the index as soon as "
                "the table is more than a page, whatever it holds. The last column is those queries without the "
                "program: Azurite looks at every row for each of them, which the service does not."
            ),
            Table(headings=("rows", "unsettled", "operations", "seconds", "bare queries, seconds"), rows=timer_rows),
        ),
        checks=checks,
        goals=(
            Goal(
                what="ratio at 100 times the rows ÷ ratio at first", measured=ratios[len(ROWS) - 1] / ratios[0], aim=1.2
            ),
            Goal(what="ratio at 10 times the messages ÷ ratio before", measured=ratios[-1] / ratios[-2], aim=1.2),
        ),
    )


def _measure(clients: Clients, bare: Apart) -> tuple[float, float]:
    """Return p50 of the app and of the bare minimum, in seconds."""
    app, floor = [], []
    for _ in range(REPEATS):
        floor.append(Spread.of(sum(steps) for steps in bare.call("run", 1, ALERTS)).p50)
        app.append(Spread.of(each.seconds for each in clients.each(alerts(ALERTS), clients=1)).p50)
    return statistics.median(app), statistics.median(floor)


def _add_rows(table: TableClient, first: int, end: int) -> None:
    """Insert settled rows, a transaction for each hundred: they must share a partition. The index is silent of them."""
    now = datetime.now(UTC)
    record = record_of(alerts(1)[0], now)
    for start in range(first, end, _BATCH):
        partition = f"{start // _BATCH % 256:02x}"
        keys = [f"{partition}{number:062x}" for number in range(start, min(start + _BATCH, end))]
        table.submit_transaction(
            [
                ("create", to_entity(replace(record, observed=replace(record.observed, revision=1), key=key)))
                for key in keys
            ]
        )


def _add_messages(queue: QueueClient, number: int) -> None:
    for _ in range(number):
        queue.send_message("0" * 64, visibility_timeout=round(_DAY.total_seconds()), time_to_live=-1)


def _timer() -> tuple[list[tuple[str, ...]], list[Check]]:
    """Return what one `resync` costs at each size, in a table of its own, and whether that is within its bounds."""
    rows: list[tuple[str, ...]] = []
    checks, in_table = [], 0
    with Azurite() as azurite, Tap(azurite.connection_string) as tap:
        timer = _Timer(azurite.connection_string, tap)
        timer.leave_open()
        for wanted in ROWS:
            _add_rows(timer.table, in_table, wanted)
            in_table = wanted
            checks.append(Check.at_most(f"operations, {wanted:,} rows, wake-ups under way", timer.operations(), AIM))
            rows.append((f"{wanted:,}", "wake-ups under way", *timer.told()))
        timer.make_overdue()
        # Each is read, sent a wake-up and written.
        checks.append(Check.at_most(f"operations, {in_table:,} rows, overdue", timer.operations(), AIM + 3 * OPEN))
        rows.append((f"{in_table:,}", "overdue", *timer.told()))
    return rows, checks


class _Timer:
    """The function `resync` over a table and a queue whose operations are counted; sweeps go on in the middle."""

    def __init__(self, connection_string: str, tap: Tap) -> None:
        self._tap = tap
        self.table = TableClient.from_connection_string(connection_string, TABLE)
        self._store = AlertTable(self.table)
        self._store.check()
        self._counted = self._reconciler(tap.connection_string)
        self._timed = self._reconciler(connection_string)
        self._operations = 0
        self._is_overdue = False

    def _reconciler(self, connection_string: str) -> Reconciler:
        return Reconciler(
            store=AlertTable(TableClient.from_connection_string(connection_string, TABLE)),
            wakeups=WakeUpQueue(lambda: QueueClient.from_connection_string(connection_string, QUEUE)),
            target=ServiceNow(MemoryIncidents(MemoryInstance(now=_now))),  # type: ignore[arg-type] # never called
            circuit=Circuit(slots=4, now=_now),
            retry_horizon=_DAY,
            retention=90 * _DAY,
            now=_now,
        )

    def leave_open(self) -> None:
        """Insert unsettled rows whose wake-ups are known and not due."""
        record = record_of(alerts(1)[0], _now())
        work = replace(record.work, wake_up_at=_now() + _DAY, wake_up_id="under way")
        for number in range(OPEN):
            self._store.insert(replace(record, key=f"{number * 2 % 256:02x}{'f' * 52}{number:010x}", work=work))

    def make_overdue(self) -> None:
        """Let the wake-ups of all of them be lost."""
        self._is_overdue = True

    def operations(self) -> int:
        """Return how many operations of storage one run takes."""
        self._prepare()
        before = self._tap.counted.total()
        self._counted.resync()
        self._operations = self._tap.counted.total() - before
        return self._operations

    def told(self) -> tuple[str, str, str]:
        """Return operations and seconds of one run, and the seconds of its queries without the program."""
        self._prepare()
        began = time.perf_counter()
        self._timed.resync()
        took = time.perf_counter() - began
        began = time.perf_counter()
        for partition in PARTITIONS:
            parameters = {"partition": partition, "first": OPEN_ENTRIES, "end": OPEN_END}
            condition = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end"
            list(self.table.query_entities(condition, parameters=parameters))
        return f"{self._operations:,}", f"{took:.2f}", f"{time.perf_counter() - began:.2f}"

    def _prepare(self) -> None:
        known = self._store.progress()
        self._store.save_progress(replace(known, place=Place("40", ""), ran_at=_now(), hasty_since=None))
        for outline in self._store.index().outlines if self._is_overdue else ():
            row = self._store.read(outline.key)
            if row is not None:
                lost = replace(row.work, wake_up_at=_now() - _DAY, wake_up_id="lost")
                self._store.replace(row.with_work(lost))


def _now() -> datetime:
    return datetime.now(UTC)
