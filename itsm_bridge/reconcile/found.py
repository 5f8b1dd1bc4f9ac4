"""Is what was found in Azure's list the same as what a call brings?

`merge` asks for each word of a signal that is known, and `resource_manager` what a row lacks. An alert whose call did
not reach us is found in Azure's own list, and its call may come after all, or may have come just before. Whichever is
second says nothing new, even if its words differ a little, because the list tells some things in its own way. Pure.
"""

from datetime import timedelta
from typing import Final

from itsm_bridge.azure_monitor.notification import SEVERITY
from itsm_bridge.azure_monitor.timestamps import is_before
from itsm_bridge.reconcile.desired import News, Signal

#: How far the list and a call may date the beginning of one alert apart.
FOUND_WITHIN: Final = timedelta(minutes=5)


def is_found_twice(known: Signal, news: News) -> bool:
    """Return whether a call and Azure's list tell the same beginning or the same end, one of them first.

    An alert with an alertId begins once and ends once. A single voice tells each event with the time of that.
    """
    if not (known.is_recovered or news.recovered) or news.opens is not known.is_firing:
        return False
    if news.signal and news.closes:
        return known.ended_firing
    is_as_severe = known.facts.get(SEVERITY) == news.facts.get(SEVERITY)
    return is_as_severe and _is_same_time(known, news, within=FOUND_WITHIN if news.signal else timedelta(0))


def is_missed_beginning(known: Signal, news: News) -> bool:
    """Return whether it is the beginning, found in Azure's list, of an alert whose end alone had reached us.

    A rule that holds alerts back wants nothing of one that is over.
    """
    if not (news.recovered and news.signal and news.opens) or news.lifecycle.hold:
        return False
    return knows_end_alone(known)


def knows_end_alone(known: Signal) -> bool:
    """Return whether an alert is known to have ended, and no call told that it began."""
    return not (known.is_firing or known.ended_firing or known.fields or known.ignored_by or known.began_late)


def _is_same_time(known: Signal, news: News, *, within: timedelta) -> bool:
    if known.at is None or news.at is None:
        return False
    return not is_before(known.at, news.at, within=within) and not is_before(news.at, known.at, within=within)
