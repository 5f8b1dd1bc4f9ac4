"""What was learnt of the ServiceNow instance, for processes that have just started.

`servicenow.knowledge` reads and writes here. One row for each instance and account, in a partition of the table
`alerts` whose RowKeys are no keys of alerts. The RowKey is a digest of the address of the instance and of who we are
there, so that what another instance or another account showed is never found. Each write is conditional, because
several processes learn. A person who knows better deletes the row.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict
from itsm_bridge.facts import Fact, outweighing
from itsm_bridge.storage.account import answering, created_if_absent

PARTITION: Final = "instance"

_ATTEMPTS: Final = 5

#: Hex digits of a RowKey; one of an alert has 64.
_ROW_KEY_LENGTH: Final = 40

# The columns of a fact are its subject and its subject with these endings.
_LEARNT, _BELIEVED = "_learnt_at", "_believed_until"


class InstanceFactsTable:
    """The row of one instance and account; safe to share between threads."""

    def __init__(self, table: TableClient, *, instance_url: str, account: Callable[[], str]) -> None:
        """Remember whose row is meant; nothing is sent yet.

        Args:
            table: The table `alerts`.
            instance_url: The address of the instance.
            account: Returns who we are there: how we sign in and as whom, no secret. Called when a row is needed.
        """
        self._table = table
        self._instance = _normalised(instance_url)
        self._account = account
        self._row_key = ""

    def known(self) -> Mapping[str, Fact]:
        """Return what is kept, by subject.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                return _facts(self._table.get_entity(PARTITION, self._key()))
            except ResourceNotFoundError:
                return {}

    def learn(self, subject: str, fact: Fact) -> Mapping[str, Fact]:
        """Keep `fact` unless what is kept outweighs it; return what is kept then. Idempotent.

        Raises:
            Conflict: other processes kept changing the row.
            Unavailable: the table did not answer; it may or may not be kept.
        """
        for _ in range(_ATTEMPTS):
            with answering("the table"), suppress(ResourceExistsError, ResourceModifiedError):
                return created_if_absent(
                    lambda: self._written(subject, fact), create=self._table.create_table, absent="TableNotFound"
                )
        raise Conflict("the row of the instance keeps changing")

    def _written(self, subject: str, fact: Fact) -> Mapping[str, Fact]:
        try:
            row = self._table.get_entity(PARTITION, self._key())
        except ResourceNotFoundError:
            created = {"PartitionKey": PARTITION, "RowKey": self._key(), "instance": self._instance}
            self._table.create_entity(created | _columns(subject, fact))
            return {subject: fact}
        known = _facts(row)
        kept = outweighing(known.get(subject), fact)
        if kept == known.get(subject):
            return known
        self._table.update_entity(
            {**row, **_columns(subject, kept)},
            mode=UpdateMode.REPLACE,
            etag=str(row.metadata["etag"]),
            match_condition=MatchConditions.IfNotModified,
        )
        return {**known, subject: kept}

    def _key(self) -> str:
        if not self._row_key:
            whose = f"{self._instance}\n{self._account()}"
            self._row_key = hashlib.sha256(whose.encode()).hexdigest()[:_ROW_KEY_LENGTH]
        return self._row_key


def _normalised(address: str) -> str:
    """Return scheme and host as every spelling of one address has them."""
    parts = urlsplit(address)
    port = "" if parts.port in (None, {"https": 443, "http": 80}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _columns(subject: str, fact: Fact) -> dict[str, Any]:
    return {
        subject: fact.value,
        f"{subject}{_LEARNT}": fact.learnt_at,
        f"{subject}{_BELIEVED}": fact.believed_until,
    }


def _facts(row: Mapping[str, Any]) -> Mapping[str, Fact]:
    """Return the facts of a row; what is none, as in a row that a person edited, is left out."""
    facts = {}
    for subject, value in row.items():
        learnt_at, believed_until = row.get(f"{subject}{_LEARNT}"), row.get(f"{subject}{_BELIEVED}")
        if isinstance(value, bool) and isinstance(learnt_at, datetime) and isinstance(believed_until, datetime):
            facts[subject] = Fact(value=value, learnt_at=learnt_at, believed_until=believed_until)
    return facts
