"""What was learnt of another system, and until when is it believed?

`servicenow.knowledge` learns facts about an instance and asks for them, `storage.instance_facts` keeps them. Which
facts there are, and what follows from them, is not known here.
"""

from datetime import datetime
from typing import NamedTuple


class Fact(NamedTuple):
    """One thing that is so or is not."""

    value: bool
    #: When an answer showed it, aware UTC.
    learnt_at: datetime
    #: Until when it counts, aware UTC; after that it is not known, and has to show itself anew.
    believed_until: datetime

    def is_believed(self, now: datetime) -> bool:
        """Return whether it still counts."""
        return now < self.believed_until


def outweighing(known: Fact | None, new: Fact) -> Fact:
    """Return which of two facts about one thing counts: the newer one, unless the older says no and is still believed.

    A yes that is wrong does harm, and a no that is wrong costs time. So where processes see different things, as while
    rights are being changed, one no outweighs every yes.
    """
    if known is not None and new.value and not known.value and known.is_believed(new.learnt_at):
        return known
    return known if known is not None and known.value is new.value and new.learnt_at < known.learnt_at else new
