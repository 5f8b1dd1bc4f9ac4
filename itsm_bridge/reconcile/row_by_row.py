"""How are many rows changed, so that one that cannot be changed keeps no other from it?

`resync` and `sweep` call it. Which rows, and what is done with each, they decide.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, NewerVersion, TemporaryError, Unavailable
from itsm_bridge.reconcile.outline import Outline, outline_of
from itsm_bridge.reconcile.ports import Store
from itsm_bridge.reconcile.record import Record

_T = TypeVar("_T")

log = logging.getLogger(__name__)

_FAILURES_IN_A_ROW = 5


def each_alone(subjects: Iterable[_T], change: Callable[[_T], object]) -> None:
    """Call `change` with each, even if it fails for another; give up if storage fails for several in a row.

    Raises:
        Unavailable: storage did not answer.
    """
    failures = 0
    for subject in subjects:
        try:
            change(subject)
        except Conflict:
            # Somebody else changed it, and sees to it.
            failures = 0
        except TemporaryError as error:
            log.warning("%s stays as it is: %s", _name_of(subject), error)
            failures += 1
            if failures >= _FAILURES_IN_A_ROW:
                raise Unavailable("storage does not answer") from error
        else:
            failures = 0


def each_as_outlined(
    store: Store, outlines: Iterable[Outline], is_meant: Callable[[Outline], bool], change: Callable[[Record], object]
) -> int:
    """Read the row of each outline and change it if it is meant by what it says itself; return how many were changed.

    An outline that is not true any more is put right, because an older version of the program may have left it so.

    Raises:
        Unavailable: storage did not answer.
    """
    changed = 0

    def change_one(outline: Outline) -> None:
        nonlocal changed
        row = read_outlined(store, outline, is_meant)
        if row is not None:
            change(row)
            changed += 1

    each_alone(outlines, change_one)
    return changed


def read_outlined(store: Store, outline: Outline, is_meant: Callable[[Outline], bool]) -> Record | None:
    """Return the row of an outline if it is meant by what it says itself, else None.

    Raises:
        Unavailable, Conflict: as `Store.read` and `Store.heal`.
    """
    try:
        row = store.read(outline.key)
    except LeadsNowhere:
        row = None
    except (Damaged, NewerVersion) as error:
        # Its key goes on with the next notification, or with the newer version.
        log.error("%s", error)
        return None
    if row is None or row.key != outline.key:
        store.heal(outline.key)
        return None
    if is_meant(outline_of(row)):
        return row
    store.heal(outline.key)
    return None


def _name_of(subject: object) -> str:
    return str(getattr(subject, "key", subject))
