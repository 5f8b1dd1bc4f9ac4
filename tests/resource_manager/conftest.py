from collections.abc import Iterator
from datetime import timedelta

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.resource_manager.client import ResourceManager
from local.resource_manager.azure_monitor import VirtualClock
from local.resource_manager.service import ResourceManagerStandIn
from tests.builders import NOW


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def azure(clock: VirtualClock) -> Iterator[ResourceManagerStandIn]:
    with ResourceManagerStandIn(now=clock) as running:
        yield running


@pytest.fixture
def client(azure: ResourceManagerStandIn, clock: VirtualClock) -> ResourceManager:
    return ResourceManager(azure.url, lambda _: azure.identity.token, now=clock)


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(timedelta(seconds=30))
