"""How wide is the screen, and does it show colours?

The commands lay their text out by it. A pipe or a file gets neither colours nor line breaks of ours. Nothing is printed
here.
"""

import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, TextIO

#: Columns of a screen on which tables are laid out as tables.
TABLE_WIDTH: Final = 72

_BOLD, _RED, _YELLOW, _GREEN, _FAINT = "1", "31", "33", "32", "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The place where text is read."""

    #: Columns; None if lines may be of any length, as in a pipe.
    width: int | None = None
    has_colours: bool = False

    @classmethod
    def of(cls, out: TextIO) -> Self:
        """Return what `out` is: a terminal, whose COLUMNS and NO_COLOR are heeded, or a pipe or file."""
        if not out.isatty():
            return cls()
        has_colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(width=max(20, shutil.get_terminal_size().columns), has_colours=has_colours)

    @property
    def is_narrow(self) -> bool:
        """Whether tables do not fit."""
        return self.width is not None and self.width < TABLE_WIDTH

    def wrapped(self, text: str, *, indent: int = 0, first: str = "") -> str:
        """Return `text` in lines that fit: the first begins with `first`, the others with `indent` blanks."""
        if self.width is None:
            return first + text
        indent = min(indent, self.width // 3)
        lines = textwrap.wrap(
            first + text, self.width, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=True
        )
        return "\n".join(lines)

    def columns(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return rows as lines with aligned columns, the last one wrapped; on a narrow screen one cell after another.

        The first row holds the headings.
        """
        if not rows:
            return []
        if self.is_narrow:
            return [self.wrapped("  ".join(cell for cell in row if cell), indent=2) for row in rows[1:]]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        lines = []
        for row in rows:
            first = "".join(cell.ljust(width + 2) for cell, width in zip(row[:-1], widths, strict=True))
            lines.append(self.wrapped(row[-1], first=first, indent=len(first)).rstrip())
        return lines

    def bold(self, text: str) -> str:
        """Return a heading."""
        return self._in(_BOLD, text)

    def good(self, text: str) -> str:
        """Return what is well."""
        return self._in(_GREEN, text)

    def bad(self, text: str) -> str:
        """Return what is broken."""
        return self._in(_RED, text)

    def doubtful(self, text: str) -> str:
        """Return what an operator should look at."""
        return self._in(_YELLOW, text)

    def faint(self, text: str) -> str:
        """Return what matters little."""
        return self._in(_FAINT, text)

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.has_colours and text else text
