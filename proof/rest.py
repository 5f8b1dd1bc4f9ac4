"""When has a world in which processes were killed come to rest, and what is in its journals then?

The proofs with a real host wait here, and then judge on their own.
"""

import re
from datetime import timedelta
from functools import cached_property

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from itsm_bridge.storage.account import QUEUE, TABLE
from itsm_bridge.storage.listing import Listing, RowState
from local.host.launcher import FunctionsHost
from local.world import World

#: The real host hides a message for 10 minutes after the worker that had it died.
MESSAGE_LEASE = timedelta(seconds=20)
#: A write of unknown outcome is waited for 6 minutes, a wake-up is given up after 10.
REST_WITHIN = timedelta(minutes=25)

#: The mark at the end of each note that a notification made.
_MARK = re.compile(r"\(ref [0-9a-f]{10}, by which itsm-bridge knows its note\)")


class Resting(World):
    """The world, with messages that come back soon after their worker died, that knows when nothing is left to do."""

    def _make_host(self) -> FunctionsHost:
        return FunctionsHost(
            app=self._app,
            settings=self.settings,
            function_key=self.function_key,
            message_lease=MESSAGE_LEASE,
            log_file=self._log_file,
        )

    @cached_property
    def _clients(self) -> tuple[Listing, QueueClient]:
        there = self.azurite.connection_string
        return (
            Listing(TableClient.from_connection_string(there, TABLE)),
            QueueClient.from_connection_string(there, QUEUE),
        )

    def is_at_rest(self) -> bool:
        """Whether no row awaits work and no wake-up is left, due or not."""
        listing, queue = self._clients
        try:
            messages = queue.get_queue_properties().approximate_message_count
        except ResourceNotFoundError:
            messages = 0
        return not messages and not listing.counts()[RowState.UNSETTLED]


def marks_of(world: World, sys_id: str) -> list[str]:
    """Return the marks of the notes in an incident's journal, oldest first."""
    return [mark for note in world.servicenow.notes(sys_id) for mark in _MARK.findall(note)]
