"""What may stand in a field of an incident?

The modules that put an alert into words, and those that fill fields, ask. Which fields there are is not known here.
Only plain text may stand there, because anybody who names a resource or writes a log line can put anything into an
alert, and people read it in a browser. The text stays readable and only loses its power:

1. `[code]` and `[/code]`, in any case and spacing, switch a ServiceNow journal to HTML: they get round brackets.
2. `<` before a letter, `/`, `!` or `?` would begin a tag: it becomes a single angle quotation mark. `a < b` stays.
3. Control characters but the line feed, invisible and direction-changing characters, and half characters go.
4. Columns of up to 255 characters cannot hold what takes four bytes in UTF-8: it becomes `?` there.
5. A text that is too long ends with `…`.
"""

import math
import re

_NEW_LINES = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)
_CODE = re.compile(r"\[(\s*/?\s*code\s*)\]", re.IGNORECASE)
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")
_SPACES = re.compile(r"\s+")

#: Longer than any float is written.
_NUMBER_LENGTH = 40
#: Up to here a float holds every digit of a whole number.
_EXACT = 1e15
#: Below, four digits after the point say nothing.
_SMALL = 0.001


def plain(text: str) -> str:
    """Return `text` without power, never longer. Applying it again changes nothing."""
    # Nearly every text is of this kind, and an alert has dozens.
    if text.isascii() and "[" not in text and "<" not in text and text.replace("\n", "").isprintable():
        return text
    text = _INVISIBLE.sub("", _NEW_LINES.sub("\n", text).replace("\t", " "))
    text = _CODE.sub(r"(\1)", text)
    return _TAG_START.sub("\u2039", text)


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one space."""
    # Nearly every text is of this kind, and an alert has hundreds.
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()


def narrow(text: str) -> str:
    """Return `text` with `?` for each character that short columns cannot hold."""
    return _FOUR_BYTES.sub("?", text)


def length(text: str) -> int:
    """Return the length of `text` as ServiceNow counts it: in UTF-16 units, as Java does."""
    return len(text.encode("utf-16-le", "replace")) // 2


def clip(text: str, limit: int) -> str:
    """Return `text` no longer than `limit`, as `length` counts, with … if it was cut; "" if there is no room."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    if limit < 1:
        return ""
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def number_text(text: str) -> str:
    """Return a number for people: separated thousands, no fraction of zeros, four digits of any other fraction.

    Any other text stays as it is.
    """
    try:
        number = float(text) if len(text) <= _NUMBER_LENGTH else math.nan
    except ValueError:
        return text
    if not abs(number) < _EXACT:
        return text
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:.3g}" if abs(number) < _SMALL else f"{round(number, 4):,}"
