"""Which row does a notification belong to?

Mostly that of its own key. Where rules give several alerts one incident, the row of an alert's own key leads to the row
of the group: it is written before anything else, once, and never changed, so that every later notification of the
alert finds the same incident, whatever the rules say then. The reconciler asks here for each notification that may join
a group. Which group that is, is worked out in `gathering`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.gathering import Group, joined
from itsm_bridge.reconcile.ports import Store


class Placing:
    """Places notifications; safe to share between threads."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def key_of(self, news: News, *, deadline: Deadline) -> str:
        """Return the key of the row that `news` belong to. Repeating it returns the same.

        Raises:
            Unavailable: storage did not answer, or too many alerts join the group at once; nothing is promised.
        """
        if news.ignored_by or not news.opens or (news.group is None and news.storm is None):
            return news.key
        group_key = self._joined(news.storm, news, deadline) if news.storm else ""
        if not group_key and news.group is not None:
            group_key = self._joined(news.group, news, deadline) if news.group.within else news.group.key
        return self._store.lead(news.key, to=group_key) if group_key else news.key

    def _joined(self, group: Group, news: News, deadline: Deadline) -> str:
        while deadline.left:
            known = self._store.gathering(group.key)
            after, key = joined(known, group, news.key, self._now())
            if after is known:
                return key
            with suppress(Conflict):
                self._store.gather(after)
                return key
        raise Unavailable("too many alerts join a group at once")
