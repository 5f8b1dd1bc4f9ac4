"""What is wrong in a rules file, and where?

Reading a file raises these; the command line, the log and health tell them. Shapes only: nothing is judged here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from itsm_bridge.errors import PermanentError


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault, at a place that is counted as editors count it: from 1."""

    line: int
    column: int
    #: What is wrong, in a sentence without an end mark.
    message: str
    #: What to write instead; "" if there is nothing to say.
    hint: str = ""

    def __str__(self) -> str:
        """Return "12:5: message (hint)"."""
        return f"{self.line}:{self.column}: {self.message}" + f" ({self.hint})" * bool(self.hint)


class InvalidRules(PermanentError):
    """A rules file has faults, so none of it is taken."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        #: In the order of the file.
        self.faults = tuple(sorted(set(faults)))
        super().__init__("; ".join(map(str, self.faults)))
