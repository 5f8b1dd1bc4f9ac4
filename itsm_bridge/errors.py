"""Is it worth trying again?

Every room raises these errors; the webhook, the worker and the commands catch them.

    BridgeError
    ├── TemporaryError      the same call may succeed later; the queue retries it
    │   ├── Unavailable     a remote service is down, slow, or refusing for now; nothing was changed
    │   ├── Unconfirmed     a write was sent and its outcome is unknown: look before writing again
    │   ├── Conflict        another process or person changed it first: read it again and decide again
    │   ├── Damaged         a row cannot be read: it is set aside, and its key goes on
    │   └── NewerVersion    a row belongs to a newer version of this program, which runs beside this one
    └── PermanentError      no retry can help; a person has to act
        ├── InvalidToken    the caller did not prove who it is
        ├── Forbidden       the caller is genuine, and not allowed
        ├── InvalidAlert    the body is not a JSON object
        ├── TooLarge        the body is larger than an alert can be
        ├── InvalidSettings app settings are missing or malformed
        └── Rejected        ServiceNow understood the request and said no

The branch answers the question, the leaf tells what happened.
Any other exception is a bug: the webhook answers it with 503, and the worker counts it as a failed attempt.
Messages name the attempt, its object and its result: no secret, no header, no body.
"""

import traceback
from datetime import timedelta
from pathlib import Path


class BridgeError(Exception):
    """The root of every error this program raises on purpose."""


class TemporaryError(BridgeError):
    """The same call may succeed later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None, is_refusal: bool = False) -> None:
        super().__init__(message)
        #: How long the other side asked us to wait; None if it did not say.
        self.retry_after = retry_after
        #: Whether the other side is well and refuses this one request.
        self.is_refusal = is_refusal


class Unavailable(TemporaryError):
    """A remote service is down, slow, or refusing for now; nothing was changed there."""


class Unconfirmed(TemporaryError):
    """A write was sent and its outcome is unknown; it may still take effect."""


class Conflict(TemporaryError):
    """Another process or person changed it since it was read."""


class Damaged(TemporaryError):
    """A row of the table cannot be read; the next writer of its key sets it aside."""


class LeadsNowhere(TemporaryError):
    """The row of an alert leads to that of a group, which is not there."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the group {key} has no row")
        self.key = key


class NewerVersion(TemporaryError):
    """A row was written by a newer version of this program, and only that may write it."""


class PermanentError(BridgeError):
    """No retry can help; a person has to act."""


class InvalidToken(PermanentError):
    """The caller did not prove who it is."""


class Forbidden(PermanentError):
    """The caller is genuine, and not allowed."""


class InvalidAlert(PermanentError):
    """The body is not a JSON object."""


class TooLarge(PermanentError):
    """The body is larger than an alert can be."""


class InvalidSettings(PermanentError):
    """App settings are missing or malformed; the message names all of them."""


class Rejected(PermanentError):
    """ServiceNow understood the request and said no."""


def place_of(error: Exception) -> str:
    """Return the lines that an error came through. Its message is not for the log: it may quote the alert."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
