"""What will be looked for soon, so that a question asked now can answer for it?

`lookup` is told what waits and takes it along. What was never looked for in the end is forgotten after some minutes.
Nothing is sent here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from cachetools import TTLCache

from itsm_bridge.servicenow.cmdb.classes import Question
from itsm_bridge.servicenow.cmdb.match import MOST_RESOURCES, key_of
from itsm_bridge.servicenow.cmdb.search import soon_asked

#: Resources that are remembered, and for how many seconds: as long as what is found out about them.
_MOST: Final = 1000
_FRESH: Final = 300.0


class Expected:
    """The resources that will be looked for; whoever shares it between threads holds a lock."""

    def __init__(self, overrides: Mapping[str, str], *, clock: Callable[[], float]) -> None:
        """Expect nothing yet. The arguments are those of `Cmdb`."""
        self._overrides = overrides
        self._questions: TTLCache[str, Sequence[Question]] = TTLCache(_MOST, _FRESH, timer=clock)

    def add(self, resources: Sequence[str]) -> None:
        """Expect that the first of these are looked for."""
        for resource in resources[:MOST_RESOURCES]:
            key = key_of(resource)
            if key and key not in self._questions:
                self._questions[key] = soon_asked(resource, self._overrides)

    def forget(self, resources: Sequence[str]) -> None:
        """Expect these no more, because they are being looked for."""
        for resource in resources:
            self._questions.pop(key_of(resource), None)

    def at(self, places: Collection[tuple[str, str]]) -> Iterator[Question]:
        """Yield what will be asked of these tables by these fields, what was expected first first."""
        return (
            question
            for questions in self._questions.values()
            for question in questions
            if (question.table, question.field) in places
        )
