"""What was found when something was looked at?

Each party has a `checkup` that reports findings; the command `doctor` joins and prints them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works, and somebody should know.
    WARNING = "warning"
    #: Alerts are lost or do not become incidents.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: The party, a dot, and what was looked at there.
    check: str
    status: Status
    #: What it means, without a full stop.
    message: str
    #: What to do and who can, without a full stop; "" if there is nothing to do.
    remedy: str = ""


#: Takes findings as they are made, from any thread.
Report = Callable[[Finding], object]


def ok(check: str, message: str) -> Finding:
    """Return that it is well."""
    return Finding(check=check, status=Status.OK, message=message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Return that it works, and that somebody should know."""
    return Finding(check=check, status=Status.WARNING, message=message, remedy=remedy)


def broken(check: str, message: str, remedy: str) -> Finding:
    """Return that it does not work."""
    return Finding(check=check, status=Status.BROKEN, message=message, remedy=remedy)
