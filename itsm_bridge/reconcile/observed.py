"""What was the target last seen to hold for one correlation key?

This is the observed part of a record. Only the worker that holds the lease writes it; the one exception is a webhook
that, while a lease lasts, notes in `unconfirmed_values` and `asked_revision` what that worker may send from now on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The incidents of a key, as far as we know them."""

    #: The revision that was last brought to the target.
    revision: int = 0
    #: The `firing_count` that the incident is known to tell of.
    told_firing_count: int = 0

    # Which incident.
    #: Its id in the target; "" as long as no answer named it.
    incident_id: str = ""
    #: Its number, by which people name it, and that of the generation before.
    number: str = ""
    previous_number: str = ""
    #: Which incident of this key it is: a new generation follows when the old incident is closed.
    generation: int = 1
    #: The `firing_count` for which this generation was begun, and when; None for the first one.
    generation_firing_count: int = 1
    generation_since: datetime | None = None
    #: The `firing_count` for which the target last confirmed a creation: no firing is created twice.
    created_firing_count: int = 0
    #: When incidents of this key were created or may have been, the last few.
    creations: tuple[datetime, ...] = ()
    #: Whether it was or will be created without an id of ours, so that it is found by its key alone.
    omits_id: bool = False
    #: Whether the target itself refused a creation that named our id: the id may be the reason.
    id_refused: bool = False
    #: Whether this row took the place of one that could not be read, so that its incident must be searched for.
    is_restored: bool = False

    # What it shows.
    #: By name of the link, the other end; "" if there is none; absent as long as no worker looked.
    links: Mapping[str, str] = field(default_factory=dict)
    #: Whether a note about a link may be in a journal that is hidden from us.
    link_may_be_told: bool = False
    #: By field and link, fingerprints of the value that we last asked the target to store and of the one it stored.
    confirmed_values: Mapping[str, str] = field(default_factory=dict)
    #: By field, fingerprints of the values that we may have sent since: one may be stored although no answer said so.
    unconfirmed_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The fields that the target did not store as we last sent them: refused, cut or mangled.
    fields_not_stored: tuple[str, ...] = ()
    #: The incident's version when it was last seen; "" if that is not known.
    incident_version: str = ""

    # Doubt.
    #: Until when a write of unknown outcome may still take effect; None if there is none.
    in_doubt_until: datetime | None = None
    #: Up to which revision notes may have been sent under the present lease, and under those that left a doubt.
    asked_revision: int = 0
    doubted_revision: int = 0
    #: The lowest revision that a write under the present lease may want, and that a write in doubt may want.
    asked_from: int = 0
    doubted_from: int = 0
    #: Whether a write in doubt was repeated: the incident may say what is wanted although that write is on its way.
    is_repeated: bool = False
    unknown: Mapping[str, Any] = field(default_factory=dict)
