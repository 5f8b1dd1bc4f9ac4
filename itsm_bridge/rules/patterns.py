"""Does a text fit what a rule names: a word, or a word with `*` in it?

`matching` compiles the patterns of each rule once. Case does not count, because Azure varies that of its ids and names.
There is no other sign than `*`, and each text is walked through once, so that no pattern can take long.
"""

from collections.abc import Callable, Sequence
from typing import Final

#: The sign for any run of characters, also for none.
ANY: Final = "*"

Fits = Callable[[str], bool]


def folded(text: str) -> str:
    """Return a text as it is compared: lower-cased, trimmed, each run of white space as one space."""
    return " ".join(text.split()).lower()


def squeezed(text: str) -> str:
    """Return a word of Azure as it is compared: "Resource Health" and "ResourceHealth" are the same."""
    return "".join(text.split()).lower()


def is_glob(pattern: str) -> bool:
    """Return whether a pattern stands for more than one word."""
    return ANY in pattern


def fits_any(patterns: Sequence[str], *, anywhere: bool = False) -> Fits:
    """Return what tells whether a text fits any of the patterns; both are folded the same way before.

    Args:
        patterns: Words, and words with `*`.
        anywhere: Whether a text fits that holds the pattern somewhere.
    """
    globs = [_glob(pattern, anywhere=anywhere) for pattern in patterns if anywhere or is_glob(pattern)]
    words = frozenset() if anywhere else frozenset(pattern for pattern in patterns if not is_glob(pattern))
    if not globs:
        return words.__contains__
    if not words and len(globs) == 1:
        return globs[0]
    return lambda text: text in words or any(glob(text) for glob in globs)


def _glob(pattern: str, *, anywhere: bool) -> Fits:
    wanted = f"{ANY}{pattern}{ANY}" if anywhere else pattern
    beginning, *rest = wanted.split(ANY)
    *middle, end = rest
    return _glob_fits(beginning, [part for part in middle if part], end)


def _glob_fits(beginning: str, middle: Sequence[str], end: str) -> Fits:
    least = len(beginning) + len(end)

    def fits(text: str) -> bool:
        if len(text) < least or not text.startswith(beginning) or not text.endswith(end):
            return False
        at, until = len(beginning), len(text) - len(end)
        for part in middle:
            found = text.find(part, at, until)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return fits
