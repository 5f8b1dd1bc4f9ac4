"""Azure Monitor gives up, and its own list has the alerts: histories of that, and their parts held to account."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
from azure.data.tables import TableClient

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict
from itsm_bridge.resource_manager.answers import TooManyChanges
from itsm_bridge.resource_manager.client import MOST_PAGES, Changes, ResourceManager
from itsm_bridge.storage.progress_table import ProgressTable
from local.alerts import SUBSCRIPTION, MetricAlert
from local.resource_manager.azure_monitor import VirtualClock
from local.resource_manager.service import ResourceManagerStandIn
from proof.simulator.azure import BEGIN
from proof.simulator.azure_list import AzureList
from proof.simulator.following import MemoryProgress
from proof.simulator.gives_up import gives_up
from proof.simulator.history import Options
from proof.simulator.playing import play
from proof.simulator.ruled import operators_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.no_cover]

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize("first", range(4000, 4100, 25))
def test_every_alert_of_our_action_group_ends_well_though_azure_monitor_gives_up(first: int) -> None:
    for seed in range(first, first + 25):
        ending = play(seed, Options(gives_up=True))

        assert not ending.faults, f"\n{ending}"


def test_histories_full_of_trouble_and_deaths_end_well_though_azure_monitor_gives_up() -> None:
    worst = Options(deaths=12, storage=0.3, servicenow=0.3, gives_up=True)
    for seed in range(4200, 4220):
        ending = play(seed, worst)

        assert not ending.faults, f"\n{ending}"


@pytest.mark.parametrize("seed", [50])
def test_one_row_that_cannot_be_written_keeps_no_other_missed_alert_waiting(seed: int) -> None:
    ending = play(seed, Options(rows="wake-ups lost", gives_up=True))

    assert not ending.faults, f"\n{ending}"


def test_azure_monitor_gives_up_in_a_part_of_the_histories_and_the_list_brings_what_it_did_not() -> None:
    drawn = [seed for seed in range(400) if gives_up(seed) and not operators_of(seed)]
    seen = Counter[str]()
    for seed in range(4000, 4012):
        story = "\n".join(play(seed, Options(gives_up=True)).story)
        seen.update(sign for sign in ("gives k", "never sent", "answered 403", "is found in the list") if sign in story)

    assert 400 / 8 < len(drawn) < 400 / 4
    assert len(seen) == 4


def test_the_same_seed_tells_the_same_story_though_azure_monitor_gives_up() -> None:
    told = [play(seed, Options(gives_up=True)).story for seed in (4001, 4001, 4002)]

    assert told[0] == told[1]
    assert told[1] != told[2]


def test_without_the_option_a_history_is_what_it_was() -> None:
    usual = next(seed for seed in range(400) if not gives_up(seed) and not operators_of(seed))

    assert play(usual).story == play(usual, Options(gives_up=False)).story


# What stands for Azure's list answers as the stand-in does over HTTP, through the real client.

Changed = Callable[..., list[str]]


@pytest.fixture(params=["memory", "http"])
def changed(request: pytest.FixtureRequest) -> Iterator[Changed]:
    """Give what asks for the changes of 60 alerts, one a second."""
    clock = VirtualClock(BEGIN)
    memory = AzureList(now=clock, page=50)
    with ResourceManagerStandIn(now=clock) as stand_in:
        for number in range(60):
            alert = MetricAlert(guid=f"00000000-0000-4000-8000-{number:012}", fired_at=BEGIN)
            stored = stand_in.told(alert.fired())
            assert stored is not None
            memory.tell(stored, subscription=SUBSCRIPTION, known_at=BEGIN)
            clock.now += SECOND
        clock.now += MINUTE
        client = ResourceManager(stand_in.url, lambda _: stand_in.identity.token, now=clock)
        over_http: Callable[..., Changes] = partial(client.changed, deadline=Deadline.after(MINUTE))
        listed: Callable[..., Changes] = memory.changed if request.param == "memory" else over_http

        def ask(since: int, until: int, most_pages: int = MOST_PAGES) -> list[str]:
            span = {"since": BEGIN + since * SECOND, "until": BEGIN + until * SECOND}
            return [each.guid[-2:] for each in listed(SUBSCRIPTION, **span, most_pages=most_pages).alerts]

        yield ask


def test_the_list_has_what_changed_between_two_moments_the_oldest_first(changed: Changed) -> None:
    assert changed(3, 6) == ["03", "04", "05", "06"]


def test_a_look_that_takes_too_many_pages_is_refused(changed: Changed) -> None:
    with pytest.raises(TooManyChanges) as told:
        changed(0, 59, most_pages=1)

    assert told.value.reached == BEGIN + 10 * SECOND


def test_a_look_that_ends_before_the_next_page_takes_one(changed: Changed) -> None:
    assert len(changed(12, 59, most_pages=1)) == 48


# Where it is written down how far looks came.


@pytest.fixture(params=["memory", "table"])
def progress(request: pytest.FixtureRequest) -> Iterator[MemoryProgress | ProgressTable]:
    if request.param == "memory":
        yield MemoryProgress()
        return
    connection = request.getfixturevalue("azurite").connection_string
    with TableClient.from_connection_string(connection, "progressofsim") as table:
        yield ProgressTable(table)


def test_what_was_written_down_is_read(progress: MemoryProgress | ProgressTable) -> None:
    name = "read"
    assert progress.read(name) == ({}, "")

    progress.write(name, {"complete_until": "now"}, etag="")

    assert progress.read(name).document == {"complete_until": "now"}
    assert progress.read(name).etag


def test_of_two_that_write_one_is_refused(progress: MemoryProgress | ProgressTable) -> None:
    name = "conflict"
    progress.write(name, {"by": 1}, etag="")
    before = progress.read(name).etag
    progress.write(name, {"by": 2}, etag=before)

    for etag in ("", before):
        with pytest.raises(Conflict):
            progress.write(name, {"by": 3}, etag=etag)
    assert progress.read(name).document == {"by": 2}


def test_what_is_too_long_is_refused(progress: MemoryProgress | ProgressTable) -> None:
    with pytest.raises(ValueError, match="characters"):
        progress.write("long", {"marks": "x" * 32_000}, etag="")
