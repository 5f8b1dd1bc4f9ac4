"""How far a look came is written once, by whoever read it last."""

import uuid

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Conflict
from itsm_bridge.storage.listing import Listing
from itsm_bridge.storage.progress_table import LONGEST, PARTITION, ProgressTable
from local.azurite import Azurite


@pytest.fixture
def client(azurite: Azurite) -> TableClient:
    return TableClient.from_connection_string(azurite.connection_string, f"alerts{uuid.uuid4().hex[:12]}")


@pytest.fixture
def progress(client: TableClient) -> ProgressTable:
    return ProgressTable(client)


def test_nothing_is_known_of_what_was_never_looked_at(progress: ProgressTable) -> None:
    assert progress.read("missed-one") == ({}, "")


def test_what_was_written_is_read_with_its_version(progress: ProgressTable) -> None:
    progress.write("missed-one", {"until": "now", "marks": "é"}, etag="")

    kept = progress.read("missed-one")

    assert kept.document == {"until": "now", "marks": "é"}
    assert kept.etag
    assert progress.read("missed-two") == ({}, "")


def test_of_two_who_read_the_same_one_writes(progress: ProgressTable) -> None:
    progress.write("missed-one", {"until": 1}, etag="")
    with pytest.raises(Conflict):
        progress.write("missed-one", {"until": 2}, etag="")
    first = second = progress.read("missed-one").etag
    progress.write("missed-one", {"until": 3}, etag=first)

    with pytest.raises(Conflict):
        progress.write("missed-one", {"until": 4}, etag=second)

    assert progress.read("missed-one").document == {"until": 3}


def test_a_row_that_was_deleted_is_not_brought_back_by_who_read_it(
    progress: ProgressTable, client: TableClient
) -> None:
    progress.write("missed-one", {}, etag="")
    etag = progress.read("missed-one").etag
    client.delete_entity(PARTITION, "missed-one")

    with pytest.raises(Conflict):
        progress.write("missed-one", {}, etag=etag)


@pytest.mark.parametrize("document", ["", "{", "[]", "7"])
def test_what_cannot_be_read_is_nothing_and_can_be_replaced(
    document: str, progress: ProgressTable, client: TableClient
) -> None:
    progress.write("missed-one", {"until": 1}, etag="")
    client.upsert_entity({"PartitionKey": PARTITION, "RowKey": "missed-one", "document": document})

    kept = progress.read("missed-one")
    progress.write("missed-one", {"until": 2}, etag=kept.etag)

    assert kept.document == {}
    assert progress.read("missed-one").document == {"until": 2}


def test_the_longest_document_fits_into_a_row(progress: ProgressTable) -> None:
    longest = {"marks": "x" * (LONGEST - len('{"marks":""}'))}
    progress.write("missed-one", longest, etag="")

    assert progress.read("missed-one").document == longest
    with pytest.raises(ValueError, match="characters"):
        progress.write("missed-two", {"marks": longest["marks"] + "x"}, etag="")


def test_it_is_no_alert_to_operators(progress: ProgressTable, client: TableClient) -> None:
    progress.write("missed-one", {"until": 1}, etag="")

    assert list(Listing(client).changed()) == []
    assert sum(Listing(client).counts().values()) == 0
