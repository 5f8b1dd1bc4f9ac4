"""What goes wrong is counted by several processes in a handful of rows."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Unavailable
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.listing import Listing
from itsm_bridge.storage.trouble_table import TroubleTable
from itsm_bridge.troubles import Tally, Trouble
from local.azurite import Azurite
from tests.builders import HOUR, MINUTE, NOW, record

DAY = 24 * HOUR


@pytest.fixture
def rows(azurite: Azurite) -> Iterator[TableClient]:
    with TableClient.from_connection_string(azurite.connection_string, f"t{uuid.uuid4().hex[:12]}") as table:
        yield table


def tally(count: int = 1, *, after: timedelta = timedelta(0), detail: str = "") -> Tally:
    return Tally(count=count, first_at=NOW + after, last_at=NOW + after, detail=detail)


def test_nothing_is_known_where_there_is_no_table(rows: TableClient) -> None:
    assert TroubleTable(rows).known() == {}


def test_counts_add_up_and_the_last_detail_stays(rows: TableClient) -> None:
    table = TroubleTable(rows)
    for minutes, detail in enumerate(["first", "second"]):
        table.add(Trouble.ROLE, tally(2, after=minutes * MINUTE, detail=detail), over_after=DAY)
    table.add(Trouble.SIGN_IN, tally(), over_after=DAY)

    assert table.known() == {
        Trouble.ROLE: Tally(count=4, first_at=NOW, last_at=NOW + MINUTE, detail="second"),
        Trouble.SIGN_IN: tally(),
    }


def test_a_trouble_that_was_long_over_is_counted_anew(rows: TableClient) -> None:
    table = TroubleTable(rows)
    table.add(Trouble.ROLE, tally(100), over_after=DAY)
    table.add(Trouble.ROLE, tally(after=25 * HOUR), over_after=DAY)

    assert table.known()[Trouble.ROLE].count == 1


def test_processes_that_count_at_once_lose_nothing(rows: TableClient) -> None:
    tables = [TroubleTable(rows) for _ in range(3)]
    tables[0].add(Trouble.ROLE, tally(), over_after=DAY)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda table: table.add(Trouble.ROLE, tally(5), over_after=DAY), tables))

    assert tables[0].known()[Trouble.ROLE].count == 16


def test_the_rows_are_no_alerts(rows: TableClient) -> None:
    TroubleTable(rows).add(Trouble.ROLE, tally(), over_after=DAY)
    AlertTable(rows).insert(record())

    listing = Listing(rows)

    assert sum(listing.counts().values()) == 1
    assert len(list(listing.changed())) == 1
    assert listing.set_aside() == []
    assert listing.unreadable == ()


def test_a_kind_of_a_newer_version_is_left_out(rows: TableClient) -> None:
    table = TroubleTable(rows)
    table.add(Trouble.ROLE, tally(), over_after=DAY)
    rows.create_entity({"PartitionKey": "troubles", "RowKey": "something-new", "count": 1})

    assert list(table.known()) == [Trouble.ROLE]


def test_what_is_acknowledged_is_gone(rows: TableClient) -> None:
    table = TroubleTable(rows)
    table.add(Trouble.ROLE, tally(), over_after=DAY)

    table.clear()
    table.clear()

    assert table.known() == {}


def test_a_table_that_does_not_answer_is_told() -> None:
    nobody = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:9/a;"
    with TableClient.from_connection_string(nobody, "alerts", retry_total=0) as rows:
        table = TroubleTable(rows)
        with pytest.raises(Unavailable):
            table.add(Trouble.ROLE, tally(), over_after=DAY)
        with pytest.raises(Unavailable):
            table.known()
