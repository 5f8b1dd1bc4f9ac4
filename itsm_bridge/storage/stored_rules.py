"""Which rules were pushed, by whom, and which were in force before them?

`rules_in_force` reads here in every process; the commands of `operate.rules_versions` read and write. Whether a text is
a good rules file is not known here.

The rows lie in a partition of the table `alerts`, under RowKeys that no alert can have. A process that can write the
row of an alert can therefore read the rules too, whatever its identity or its signature allows:

    current              the newest version, without its text
    version-0000000012   a version: who pushed it, when, its digest, and its text in pieces
    file                 the last good text of the file that `ITSM_RULES_FILE` named

1. A version is one row, so it is there whole or not at all; its digest proves that nothing was changed since.
2. A push is one transaction: the new version, `current` under the ETag that was read, and the end of versions that are
   too old. Of two pushes at once one comes to nothing and is told so.
3. Numbers are never given twice, and the text of a version never changes. A push also mends a damaged `current`.

A binary property holds 64 KiB and an entity 1 MiB, which leaves 896 KiB for a text
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, NewerVersion
from itsm_bridge.storage.account import answering, created_if_absent

_T = TypeVar("_T")

#: How many versions are kept, the one in force included.
KEPT: Final = 10

#: The partition. Those of alerts are two hexadecimal digits.
PARTITION: Final = "rules"

_CURRENT: Final = "current"
_FILE: Final = "file"
_VERSION: Final = "version-"

#: The layout of these rows that this program understands. A program that is too old takes no such row.
LAYOUT: Final = 1

#: Bytes in a piece of a text, and pieces in a row.
_PIECE: Final = 64 * 1024
_MOST_PIECES: Final = 14

#: Bytes of UTF-8 that a text may have.
LARGEST_TEXT: Final = _PIECE * _MOST_PIECES

#: Seconds for a row with a text, or a page of such: more than any row of an alert holds.
_TEXT_PATIENCE: Final = 5

#: The statuses of a transaction that is refused because another process wrote first.
_CHANGED_MEANWHILE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)

#: The columns of a version but its text.
_COLUMNS: Final = ("RowKey", "number", "pushed_at", "pushed_by", "digest", "size", "restores", "layout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One push, without its text."""

    #: From 1 upwards. 0 is never stored: it stands for the built-in rules.
    number: int
    #: Aware UTC, by the clock of the machine that pushed.
    pushed_at: datetime
    pushed_by: str
    #: SHA-256 of the text in UTF-8, in hex.
    digest: str
    #: Bytes of the text in UTF-8; 0 if this version brought the built-in rules back.
    size: int
    #: The number of the version whose text this one repeats; None if the text was new. 0 stands for the built-in rules.
    restores: int | None = None

    @property
    def is_built_in(self) -> bool:
        """Whether this version says that the built-in rules alone are in force."""
        return self.size == 0


def digest_of(text: str) -> str:
    """Return the digest of a text: SHA-256 of its UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class StoredRules:
    """The rows; safe to share between threads."""

    def __init__(self, table: TableClient) -> None:
        """Use the table `alerts`; nothing is sent yet."""
        self._table = table

    def newest(self) -> Version | None:
        """Return the newest version, None if none was ever pushed; one row of a few bytes is read.

        Raises:
            Unavailable: the table did not answer.
            NewerVersion: a newer version of this program wrote it.
            Damaged: the row cannot be read.
        """
        return self._pointer()[0]

    def read(self, number: int) -> tuple[Version, str] | None:
        """Return a version and its text, "" for the built-in rules; None if it is not kept any more.

        Raises:
            Unavailable: the table did not answer.
            NewerVersion: a newer version of this program wrote it.
            Damaged: its text is not what was pushed.
        """
        row = self._row(_row_key(number))
        return None if row is None else (_version_of(row), _text_of(row))

    def history(self) -> Sequence[Version]:
        """Return the versions that are kept, the newest first; those that cannot be read are left out.

        Raises:
            Unavailable: the table did not answer.
        """
        return sorted(_readable(self._versions()), key=lambda version: version.number, reverse=True)

    def push(self, text: str, *, by: str, at: datetime, after: int, restores: int | None = None) -> Version:
        """Make `text` the newest version, "" for the built-in rules; return it.

        Args:
            text: The rules, at most `LARGEST_TEXT` bytes in UTF-8.
            by: Who pushes, for people.
            at: When, aware.
            after: The number of the version that was the newest when the caller decided; 0 if there was none, or if the
                row that names it is damaged.
            restores: The number of the version that had this text.

        Raises:
            Conflict: another push was faster; nothing was written.
            Unavailable: the table did not answer; the version may or may not be there. Look before pushing again.
            NewerVersion: a newer version of this program pushed last, and only that may push now.
            ValueError: the text is too long. A bug of the caller, who has to tell a person.
        """
        newest, etag = self._pointer(is_mended=True)
        if (newest.number if newest else 0) != after:
            raise Conflict(f"version {newest.number if newest else 0} was pushed meanwhile")
        keys = [str(row["RowKey"]) for row in self._versions()]
        version = Version(
            number=1 + max([after, *map(_number_of, keys)]),
            pushed_at=at.astimezone(UTC),
            pushed_by=by,
            digest=digest_of(text),
            size=len(text.encode()),
            restores=restores,
        )
        pointer = _row(_CURRENT, **_columns_of(version))
        condition = {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
        operations: list[Any] = [
            ("create", _row(_row_key(version.number), **_columns_of(version), **_pieces_of(text))),
            ("update", pointer, condition) if etag else ("create", pointer),
            *(("delete", _row_of(key)) for key in keys if _number_of(key) <= version.number - KEPT),
        ]
        if not etag:
            self._create()
        with answering("the table"):
            try:
                self._table.submit_transaction(operations, read_timeout=_TEXT_PATIENCE)
            except TableTransactionError as error:
                if error.status_code not in _CHANGED_MEANWHILE:
                    raise
                refusal = error
            else:
                return version
        # The library repeats a request whose answer was lost: then the push that was faster may be this one.
        there = self.read(version.number)
        if there is None or there[0] != version:
            raise Conflict("another push was faster") from refusal
        return version

    def kept_file(self) -> str | None:
        """Return the last good text of the app's rules file; None if there is none.

        Raises:
            Unavailable: the table did not answer.
            NewerVersion: a newer version of this program wrote it.
            Damaged: it is not what was written.
        """
        row = self._row(_FILE)
        return None if row is None else _text_of(row)

    def keep_file(self, text: str) -> None:
        """Remember the text of a rules file that is good; idempotent, and written only if it differs.

        Raises:
            Unavailable: the table did not answer.
        """
        digest = digest_of(text)
        known = self._row(_FILE, select=("RowKey", "digest"))
        if known is None or known.get("digest") != digest:
            entity = _row(_FILE, digest=digest, size=len(text.encode()), **_pieces_of(text))
            self._asked(lambda: self._table.upsert_entity(entity, mode=UpdateMode.REPLACE))

    def forget_file(self) -> None:
        """Forget the rules file, because the app has none any more; idempotent.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                self._table.delete_entity(PARTITION, _FILE)
            except ResourceNotFoundError:  # nor is there a table
                return

    def _pointer(self, *, is_mended: bool = False) -> tuple[Version | None, str]:
        """Return the newest version and the ETag of the row that says so; None and "" if there is none.

        Where the caller will write it anew, a damaged row names no version instead of raising.
        """
        row = self._row(_CURRENT)
        if row is None:
            return None, ""
        etag = str(row.metadata["etag"])
        try:
            return _version_of(row), etag
        except Damaged:
            if not is_mended:
                raise
            return None, etag

    def _row(self, key: str, *, select: Sequence[str] | None = None) -> Any:  # noqa: ANN401 - TableEntity, or None
        """Return a row of ours, None if there is none.

        Raises:
            Unavailable: the table did not answer.
            NewerVersion: this program is too old for it.
        """
        options: dict[str, Any] = {"select": list(select)} if select else {}
        if key != _CURRENT and not select:
            options["read_timeout"] = _TEXT_PATIENCE
        with answering("the table"):
            try:
                row = self._table.get_entity(PARTITION, key, **options)
            except ResourceNotFoundError:  # neither the row nor, perhaps, the table: nothing was ever pushed
                return None
        _check_layout(row)
        return row

    def _versions(self) -> Iterator[Mapping[str, Any]]:
        parameters = {"partition": PARTITION, "first": _VERSION, "end": f"{_VERSION}~"}
        condition = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end"
        with answering("the table"):
            try:
                yield from self._table.query_entities(condition, parameters=parameters, select=list(_COLUMNS))
            except ResourceNotFoundError:
                return

    def _create(self) -> None:
        with answering("the table"), suppress(ResourceExistsError):
            self._table.create_table()

    def _asked(self, call: Callable[[], _T]) -> _T:
        with answering("the table"):
            return created_if_absent(call, create=self._table.create_table, absent="TableNotFound")


def _row_key(number: int) -> str:
    return f"{_VERSION}{max(number, 0):010d}"


def _number_of(key: str) -> int:
    """Return the number of the version with this RowKey; 0 if it is none of ours."""
    digits = key.removeprefix(_VERSION)
    return int(digits) if digits.isdecimal() else 0


def _row_of(key: str) -> dict[str, Any]:
    return {"PartitionKey": PARTITION, "RowKey": key}


def _row(key: str, **columns: object) -> dict[str, Any]:
    return {**_row_of(key), "layout": LAYOUT, **columns}


def _columns_of(version: Version) -> Mapping[str, object]:
    columns: dict[str, object] = {name: getattr(version, name) for name in ("number", "pushed_at", "pushed_by")}
    columns |= {"digest": version.digest, "size": version.size}
    return columns if version.restores is None else {**columns, "restores": version.restores}


def _pieces_of(text: str) -> Mapping[str, bytes]:
    raw = text.encode()
    if len(raw) > LARGEST_TEXT:
        raise ValueError(f"a text of {len(raw)} bytes is more than a version holds")
    return {f"text_{start // _PIECE:02}": raw[start : start + _PIECE] for start in range(0, len(raw), _PIECE)}


def _text_of(row: Mapping[str, Any]) -> str:
    """Return the text that the pieces of a row make.

    Raises:
        Damaged: it is not the text whose digest the row has.
    """
    pieces = [row.get(f"text_{number:02}", b"") for number in range(_MOST_PIECES)]
    try:
        text = b"".join(pieces).decode()
    except (TypeError, UnicodeDecodeError) as error:
        raise Damaged(f"the rules in the row {row['RowKey']} cannot be read") from error
    if digest_of(text) != row.get("digest"):
        raise Damaged(f"the rules in the row {row['RowKey']} are not those that were pushed")
    return text


def _version_of(row: Mapping[str, Any]) -> Version:
    """Return the version of a row.

    Raises:
        Damaged: a column is missing or of another kind.
        NewerVersion: this program is too old for it.
    """
    _check_layout(row)
    try:
        version = Version(**{name: row[name] for name in _COLUMNS if name not in ("RowKey", "layout") and name in row})
    except TypeError as error:
        raise Damaged(f"the row {row['RowKey']} cannot be read") from error
    numbers = (version.number, version.size, 0 if version.restores is None else version.restores)
    is_sound = all(isinstance(each, int) for each in numbers) and isinstance(version.pushed_at, datetime)
    if not is_sound or version.number < 1 or str(row["RowKey"]) not in (_CURRENT, _row_key(version.number)):
        raise Damaged(f"the row {row['RowKey']} cannot be read")
    return version


def _readable(rows: Iterator[Mapping[str, Any]]) -> Iterator[Version]:
    for row in rows:
        try:
            yield _version_of(row)
        except (Damaged, NewerVersion):
            continue


def _check_layout(row: Mapping[str, Any]) -> None:
    layout = row.get("layout", LAYOUT)
    if not isinstance(layout, int) or layout > LAYOUT:
        raise NewerVersion(f"the row {row.get('RowKey')} of the rules needs a newer version of this program")
