"""What does Azure's own list of alerts answer? In memory, as `client.ResourceManager` shows the real one.

`listing` tells it of the alerts of a history, and `following` lets processes ask it. It knows each change of an alert
a while after it happened, it answers in pages, and some items and answers are not as documented for a while.
Items are written and read by the real code: the stand-in's words for a notification, the client's eyes for an item.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.resource_manager.answers import Gone, Malformed, TooManyChanges
from itsm_bridge.resource_manager.client import KEPT_FOR, MOST_PAGES, Changes, _changes
from itsm_bridge.resource_manager.history import Modification, modifications
from itsm_bridge.resource_manager.listed_alert import ListedAlert, guid_of, listed_alert, modified_at_of
from local.resource_manager.stored_alert import StoredAlert

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """One alert as the list has it from a moment on."""

    known_at: datetime
    document: Document
    modifications: Sequence[Document]


@dataclass(slots=True, kw_only=True)
class Item:
    """One alert of the list."""

    guid: str
    subscription: str
    #: The oldest first.
    versions: list[Version] = field(default_factory=list)
    #: Until when answers about this one alert are malformed.
    is_troubled_until: datetime | None = None
    #: Whether the list never shows more of it than its id and its time.
    is_without_essentials: bool = False

    def at(self, now: datetime) -> Version | None:
        """Return it as the list has it, None if it does not know it yet."""
        return next((each for each in reversed(self.versions) if each.known_at <= now), None)


class AzureList:
    """The alerts of some subscriptions."""

    def __init__(self, *, now: Callable[[], datetime], page: int) -> None:
        """Know nothing yet; a page holds `page` items."""
        self._now = now
        self._page = page
        self._items: dict[str, Item] = {}
        #: How many items of an answer come without essentials: asked at each item.
        self.is_item_cut: Callable[[], bool] = lambda: False

    def tell(self, alert: StoredAlert, *, subscription: str, known_at: datetime) -> Item:
        """Let the list know an alert as it is now, from `known_at` on; return its item."""
        item = self._items.setdefault(alert.guid, Item(guid=alert.guid, subscription=subscription))
        # No change is known before an earlier one.
        known_at = max(known_at, *(each.known_at for each in item.versions)) if item.versions else known_at
        item.versions.append(Version(known_at, deepcopy(alert.document), deepcopy(alert.modifications)))
        return item

    @property
    def known_by(self) -> datetime | None:
        """When it knows all and answers for all; None if there is nothing to know."""
        known = [each.known_at for item in self._items.values() for each in item.versions]
        troubled = [item.is_troubled_until for item in self._items.values() if item.is_troubled_until is not None]
        return max([*known, *troubled], default=None)

    # What is asked.

    def changed(self, subscription: str, *, since: datetime, until: datetime, most_pages: int = MOST_PAGES) -> Changes:
        """Return what changed; raises TooManyChanges."""
        now = self._now()
        oldest = max(since, now - KEPT_FOR)
        there = [
            (item, version)
            for item in self._items.values()
            if item.subscription == subscription and (version := item.at(now)) is not None
        ]
        items = [self._shown(item, version) for item, version in there]
        items = [each for each in items if _time_of(each) <= until]
        items = sorted(items, key=_time_of, reverse=True)
        pages = [items[start : start + self._page] for start in range(0, len(items), self._page)]
        # A page that ends before what is asked for is the last one that is read.
        older = (number for number, page in enumerate(pages, 1) if _time_of(page[-1]) < oldest)
        read = next(older, len(pages))
        if read > most_pages:
            reached = _time_of(pages[most_pages - 1][-1])
            raise TooManyChanges(f"more than {most_pages} pages of alerts changed", reached=reached)
        return _changes([each for page in pages[:read] for each in page], oldest, until)

    def alert(self, alert_id: str) -> ListedAlert | None:
        """Return one alert with its context; raises Malformed."""
        found = self._found(alert_id)
        return listed_alert(deepcopy(found.document)) if found else None

    def history(self, alert_id: str) -> Sequence[Modification]:
        """Return what happened to one alert; raises Malformed and Gone."""
        found = self._found(alert_id)
        if found is None:
            raise Gone("Azure Resource Manager answered 404")
        return modifications(Section({"properties": {"modifications": list(found.modifications)}}))

    def _found(self, alert_id: str) -> Version | None:
        item = self._items.get(guid_of(alert_id))
        if item is None:
            return None
        if item.is_troubled_until is not None and self._now() < item.is_troubled_until:
            raise Malformed("Azure Resource Manager answered with something other than a JSON object")
        return item.at(self._now())

    def _shown(self, item: Item, version: Version) -> Document:
        """Return an item as the list shows it: without its context, and sometimes without more."""
        shown = deepcopy(version.document)
        essentials = shown["properties"]["essentials"]
        shown["properties"] = {"essentials": essentials}
        if item.is_without_essentials or self.is_item_cut():
            shown["properties"] = {"essentials": {"lastModifiedDateTime": essentials["lastModifiedDateTime"]}}
        return shown


def _time_of(item: Mapping[str, Any]) -> datetime:
    found = modified_at_of(item)
    assert found is not None
    return found
