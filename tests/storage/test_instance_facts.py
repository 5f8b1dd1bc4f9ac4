"""What a process learnt of an instance is there for the next one, and for no other instance or account."""

import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from azure.data.tables import TableClient

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.facts import Fact
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import account_of, credentials_of
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.knowledge import Knowledge
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.instance_facts import InstanceFactsTable
from itsm_bridge.storage.listing import Listing
from local.azurite import Azurite
from local.servicenow.glide import SysIds
from local.servicenow.instance import ServiceNowStandIn
from tests.builders import NOW, record

DAY = timedelta(days=1)
URL = "https://name.service-now.com"
YES = Fact(value=True, learnt_at=NOW, believed_until=NOW + DAY)
NO = Fact(value=False, learnt_at=NOW, believed_until=NOW + DAY)
SETTINGS: Mapping[str, Any] = {
    "instance_url": URL,
    "client_id": "made-up-id",
    "client_secret": "made-up-client-secret",
    "api_key": "",
    "username": "",
    "password": "made-up-password",
    "max_concurrency": 4,
}


@pytest.fixture
def rows(azurite: Azurite) -> Iterator[TableClient]:
    with TableClient.from_connection_string(azurite.connection_string, f"t{uuid.uuid4().hex[:12]}") as table:
        yield table


def facts_of(rows: TableClient, url: str = URL, account: str = "me") -> InstanceFactsTable:
    return InstanceFactsTable(rows, instance_url=url, account=lambda: account)


def test_nothing_is_known_where_there_is_no_table(rows: TableClient) -> None:
    assert facts_of(rows).known() == {}


def test_what_is_learnt_is_known(rows: TableClient) -> None:
    assert facts_of(rows).learn("one", YES) == {"one": YES}
    assert facts_of(rows).learn("other", NO) == {"one": YES, "other": NO}

    assert facts_of(rows).known() == {"one": YES, "other": NO}


def test_one_no_outweighs_every_yes(rows: TableClient) -> None:
    facts_of(rows).learn("one", NO)

    assert facts_of(rows).learn("one", YES._replace(learnt_at=NOW + DAY / 2)) == {"one": NO}
    assert facts_of(rows).learn("one", YES._replace(learnt_at=NOW + DAY)) != {"one": NO}


@pytest.mark.parametrize(
    ("url", "account"), [("https://other.service-now.com", "me"), (URL, "somebody else"), (f"{URL}:8443", "me")]
)
def test_what_another_instance_or_account_showed_is_never_found(rows: TableClient, url: str, account: str) -> None:
    facts_of(rows).learn("one", YES)

    assert facts_of(rows, url, account).known() == {}


@pytest.mark.parametrize("url", [f"{URL}/", "https://NAME.service-now.com", f"{URL}:443"])
def test_every_spelling_of_an_address_is_the_same_instance(rows: TableClient, url: str) -> None:
    facts_of(rows).learn("one", YES)

    assert facts_of(rows, url).known() == {"one": YES}


def test_processes_that_learn_at_once_lose_nothing(rows: TableClient) -> None:
    facts_of(rows).learn("first", YES)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: facts_of(rows).learn(name, YES), ["a", "b", "c"]))

    assert set(facts_of(rows).known()) == {"first", "a", "b", "c"}


def test_the_row_is_no_alert_and_holds_no_secret(rows: TableClient) -> None:
    settings = ServiceNowSettings(**SETTINGS)
    InstanceFactsTable(rows, instance_url=URL, account=partial(account_of, settings)).learn("one", YES)
    AlertTable(rows).insert(record())

    listing = Listing(rows)
    kept = str([dict(row) for row in rows.query_entities("PartitionKey eq 'instance'")])

    assert sum(listing.counts().values()) == 1
    assert listing.set_aside() == []
    assert listing.unreadable == ()
    assert "made-up" not in kept


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another-id"},
        {"username": "a.user"},
        {"client_id": "", "api_key": "made-up-api-key"},
        {"client_id": "", "api_key": "made-up-api-key-2"},
        {"client_id": "", "username": "a.user"},
        {"client_id": "", "username": "b.user"},
    ],
)
def test_accounts_differ_and_tell_no_secret(change: Mapping[str, str]) -> None:
    account = account_of(ServiceNowSettings(**{**SETTINGS, **change}))

    assert account != account_of(ServiceNowSettings(**SETTINGS))
    assert account == account_of(
        ServiceNowSettings(**{**SETTINGS, **change, "client_secret": "new", "password": "new"})
    )
    assert "made-up" not in account.replace("made-up-id", "")


def test_what_a_person_made_of_the_row_is_left_out(rows: TableClient) -> None:
    facts = facts_of(rows)
    facts.learn("one", YES)
    row = next(iter(rows.query_entities("PartitionKey eq 'instance'")))
    rows.update_entity({**row, "one": "yes", "two": True, "two_learnt_at": "today"})

    assert facts.known() == {}
    assert facts.learn("one", NO) == {"one": NO}


def test_a_row_that_a_person_deleted_says_nothing(rows: TableClient) -> None:
    facts = facts_of(rows)
    facts.learn("one", NO)
    row = next(iter(rows.query_entities("PartitionKey eq 'instance'")))
    rows.delete_entity(row["PartitionKey"], row["RowKey"])

    assert facts.known() == {}
    assert facts.learn("one", YES) == {"one": YES}


def test_a_table_that_does_not_answer_is_told() -> None:
    nobody = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:9/a;"
    with TableClient.from_connection_string(nobody, "alerts", retry_total=0) as table:
        facts = facts_of(table)
        with pytest.raises(Unavailable):
            facts.known()
        with pytest.raises(Unavailable):
            facts.learn("one", YES)


@pytest.mark.parametrize("honours", [True, False])
def test_a_process_that_has_just_started_knows_whether_a_creation_can_be_repeated(
    rows: TableClient, honours: bool
) -> None:
    with ServiceNowStandIn(has_demo_cmdb=False) as instance:
        instance.switches.sys_ids = SysIds.HONOURED if honours else SysIds.IGNORED
        known = instance.credentials
        settings = ServiceNowSettings(
            **{**SETTINGS, "instance_url": instance.url, "client_id": "", "api_key": known.api_key}
        )

        def process() -> Incidents:
            place = InstanceFactsTable(rows, instance_url=instance.url, account=partial(account_of, settings))
            knowledge = Knowledge(place)
            knowledge.look()
            return Incidents(TableApi(instance.url, credentials_of(settings)), knowledge=knowledge)

        first = process()
        assert first.honours_sys_id is None
        first.create({"sys_id": "a" * 32}, deadline=Deadline.after(timedelta(seconds=10)))
        kept = InstanceFactsTable(rows, instance_url=instance.url, account=partial(account_of, settings))
        ends_at = time.monotonic() + 10
        while not kept.known():
            assert time.monotonic() < ends_at
            time.sleep(0.01)

        assert process().honours_sys_id is honours


def test_a_process_that_has_just_started_asks_for_no_batch_where_another_found_none(rows: TableClient) -> None:
    with ServiceNowStandIn() as instance:
        instance.switches.has_batch_api = False
        settings = ServiceNowSettings(
            **{**SETTINGS, "instance_url": instance.url, "client_id": "", "api_key": instance.credentials.api_key}
        )
        place = InstanceFactsTable(rows, instance_url=instance.url, account=partial(account_of, settings))

        def process() -> Cmdb:
            knowledge = Knowledge(place)
            knowledge.look()
            return Cmdb(TableApi(instance.url, credentials_of(settings), knowledge=knowledge))

        def search(cmdb: Cmdb) -> None:
            cmdb.find(["vm-nowhere"], deadline=Deadline.after(timedelta(seconds=10)))

        search(process())
        ends_at = time.monotonic() + 10
        while not place.known():
            assert time.monotonic() < ends_at
            time.sleep(0.01)
        search(process())

        assert [call.table for call in instance.calls].count("batch") == 1
