"""What is wrong in a rules file, and where?

All modules that read a file return faults of this shape; editors, the command line and health show them.
Shapes only: nothing is judged here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from itsm_bridge.errors import PermanentError

#: How many characters of the file a message quotes.
_QUOTED = 60
#: How many known words a hint names.
_NAMED = 30
#: How many known words one is compared with, because that is slow.
_COMPARED = 1_000
#: How many faults of one file are told; a file of 10 MB may have one in each line.
MOST_FAULTS = 200


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
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column}: {self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with one value, whose place the reader knows."""

    message: str
    hint: str = ""


class InvalidRules(PermanentError):
    """A rules file has faults, so none of it is taken."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        #: In the order of the file.
        self.faults = tuple(sorted(set(faults)))[:MOST_FAULTS]
        super().__init__("; ".join(map(str, self.faults[:5])) + ("; …" if len(self.faults) > 5 else ""))  # noqa: PLR2004


def quoted(text: str) -> str:
    """Return a text of the file as messages show it: printable and short."""
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: _QUOTED + 1])
    return f"'{shown[:_QUOTED]}…'" if len(shown) > _QUOTED else f"'{shown}'"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the hint for a word that is not known: the word that was meant, or all that are known."""
    by_lower = {each.lower(): each for each in islice(known, _COMPARED)}
    close = get_close_matches(word[:_QUOTED].lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_lower[close[0]]}?"
    more = ", …" if len(by_lower) > _NAMED else ""
    return f"known: {', '.join(islice(by_lower.values(), _NAMED))}{more}"
