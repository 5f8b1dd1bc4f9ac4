"""Is the storage account as the program needs it?

The command `doctor` calls `examine`. A row of its own is written, written again under a wrong ETag, and deleted; a
message that stays invisible is sent and deleted. Nothing of an alert is touched.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode
from azure.storage.queue import QueueClient

from itsm_bridge.errors import Unavailable
from itsm_bridge.finding import Report, broken, ok, warning
from itsm_bridge.settings import StorageSettings
from itsm_bridge.storage.account import (
    NotPermitted,
    answering,
    connect_poison_queue,
    connect_queue,
    connect_table,
    created_if_absent,
)

_PARTITION: Final = "doctor"
#: Seconds for which the message of the test stays invisible, and after which it is gone whatever happens.
_INVISIBLE: Final = int(timedelta(minutes=5).total_seconds())
_GONE: Final = int(timedelta(minutes=6).total_seconds())

_REMEDY: Final = (
    "compare AzureWebJobsStorage with the account; an owner of it looks at its firewall, its keys and the roles Storage"
    " Table Data Contributor and Storage Queue Data Contributor"
)


def examine(settings: StorageSettings, report: Report) -> None:
    """Look at table and queue, and report what was found."""
    _report(report, "storage.table", lambda: _try_table(connect_table(settings)), "the table can be read and written")
    _report(report, "storage.queue", lambda: _try_queue(connect_queue(settings)), "the queue takes and gives messages")
    with suppress(Unavailable):  # the queue is looked at above
        _look_at_poison(connect_poison_queue(settings), report)


def _report(report: Report, check: str, run: Callable[[], str], message: str) -> None:
    try:
        fault = run()
    except NotPermitted as error:
        report(
            warning(check, f"not looked at: {error}", "whoever runs doctor needs a role of their own; the app has its")
        )
        return
    except Unavailable as error:
        report(broken(check, str(error), _REMEDY))
        return
    report(broken(check, fault, _REMEDY) if fault else ok(check, message))


def _try_table(table: TableClient) -> str:
    """Write, read, protect and delete a row; return what does not work, "" if all does.

    Raises:
        Unavailable: the table did not answer, or does not let us.
    """
    row = {"PartitionKey": _PARTITION, "RowKey": f"doctor-{uuid.uuid4().hex}", "text": "written by doctor"}
    with table, answering("the table"):
        created_if_absent(lambda: table.create_entity(row), create=table.create_table, absent="TableNotFound")
        try:
            found = table.get_entity(_PARTITION, row["RowKey"])
            if found["text"] != row["text"]:
                return "the table gives back something else than was written"
            table.update_entity(row, mode=UpdateMode.REPLACE)
            with suppress(ResourceModifiedError):
                table.update_entity(
                    row,
                    mode=UpdateMode.REPLACE,
                    etag=str(found.metadata["etag"]),
                    match_condition=MatchConditions.IfNotModified,
                )
                return "the table does not heed ETags, so that writes of several processes undo each other"
        finally:
            table.delete_entity(_PARTITION, row["RowKey"])
    return ""


def _try_queue(queue: QueueClient) -> str:
    with queue, answering("the queue"):
        sent = created_if_absent(
            lambda: queue.send_message("doctor", visibility_timeout=_INVISIBLE, time_to_live=_GONE),
            create=queue.create_queue,
            absent="QueueNotFound",
        )
        with suppress(ResourceNotFoundError):
            queue.delete_message(sent.id, sent.pop_receipt)
    return ""


def _look_at_poison(queue: QueueClient, report: Report) -> None:
    with queue, answering("the queue"):
        try:
            count = int(queue.get_queue_properties().approximate_message_count or 0)
        except (ResourceNotFoundError, ResourceExistsError):
            count = 0
    if count:
        report(
            warning(
                "storage.poison",
                f"{count} wake-ups failed too often and lie in the poison queue",
                "their alerts are not lost: `resync` wakes them; whoever keeps the app reads the log of"
                " reconcile_alert, and clears the queue",
            )
        )
        return
    report(ok("storage.poison", "no wake-up failed for good"))
