"""Does it get slower as the table and the queue grow? Nothing on the path of an alert may.

Azurite keeps everything in memory and may itself get slower, so the bare minimum is measured in the same table and
queue at each size: a path that grows would show in the ratio.
"""

import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from bench.bare import Bare, record_of
from bench.figures import Goal, Report, Spread, Table, milliseconds
from bench.instance import Instance
from bench.load import Clients, alerts
from itsm_bridge.settings import Settings
from itsm_bridge.storage.account import QUEUE, TABLE, connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import to_entity
from local.world import World
from proof.apart import Apart

#: Settled rows in the table: once, ten times, a hundred times.
ROWS = (200, 2_000, 20_000)
#: Wake-ups in the queue that are not due: once and ten times.
MESSAGES = (100, 1_000)
ALERTS = 30
REPEATS = 3
#: Rows of one transaction, the most that the service takes.
_BATCH = 100
_DAY = timedelta(days=1)


def run() -> Report:
    """Measure at each size."""
    rows = []
    ratios = []
    with ExitStack() as stack:
        instance = stack.enter_context(Instance())
        world = stack.enter_context(World(settings=instance.settings))
        bare = stack.enter_context(Apart(Bare, world.azurite.connection_string, instance.url, TABLE, QUEUE))
        clients = Clients(world.webhook, world.entra.mint())
        clients.each(alerts(10), clients=1)
        storage = Settings.from_environ(world.settings).storage
        table, queue = connect_table(storage), connect_queue(storage)
        in_table, in_queue = 0, 0
        for wanted_rows, wanted_messages in [*((each, 0) for each in ROWS), *((ROWS[-1], each) for each in MESSAGES)]:
            _add_rows(table, in_table, wanted_rows)
            _add_messages(queue, wanted_messages - in_queue)
            in_table, in_queue = wanted_rows, max(in_queue, wanted_messages)
            app, floor = _measure(clients, bare)
            ratios.append(app / floor)
            rows.append(
                (
                    *(f"{in_table:,}", f"{in_queue:,}", milliseconds(app), milliseconds(floor), f"{ratios[-1]:.2f}"),
                    milliseconds(_resync_query(table)),
                )
            )
    return Report(
        title="Growth",
        parts=(
            (
                f"p50 of new alerts, one client, ServiceNow takes 0 ms, medians of {REPEATS} repeats; "
                "the last column is the query of `resync`, which no alert waits for."
            ),
            Table(
                headings=("rows", "messages", "answered, ms", "bare minimum, ms", "ratio", "query of resync, ms"),
                rows=rows,
            ),
        ),
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
    """Insert settled rows, a transaction for each hundred: they must share a partition."""
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


def _resync_query(table: TableClient) -> float:
    began = time.perf_counter()
    list(AlertTable(table).awaiting_work(due_before=datetime.now(UTC) - _DAY))
    return time.perf_counter() - began
