"""What does a JSON body hold, whoever wrote it?

`alert` loads a body here, and the whole room reads it through `Section`. What the names mean is not known here.

1. Every JSON object can be read, whatever its encoding and its values. An object that is nested deeper or holds more
   values than an alert of Azure Monitor can is not taken apart: it is known as `{"body": its text}`.
2. Nothing but `InvalidAlert` is raised, and the work stays small whatever a caller sends.
3. Numbers stay the text that they were written as: no digit is lost, none is too large.
4. A name is found whatever its case, because Azure's spelling varies (`alertRuleID`, `alertRuleId`).
   A value that is missing, null, a word for nothing ("None"), or of another type than expected reads as empty.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice
from typing import Any

from itsm_bridge.errors import InvalidAlert

#: How deep objects and lists may be nested: far deeper than any alert, far shallower than Python's own limit.
_DEEPEST = 100

#: How much work a body may be, counted in the marks that structure it. An alert has at most 256 KB, and its tables of
#: results hold fewer marks.
_MOST = 80_000

#: How many entries of one list or object are read for people.
_ENTRIES = 100

#: How many characters of an id or name in a list are read.
_ID_LENGTH = 2_000

#: How many values are looked through for scalars.
_LEAVES = 5_000

#: How many characters of one text are read, because the longest field of an incident holds 4000.
_LONGEST = 20_000

#: A JSON string. It matches unterminated strings too, so that no text is scanned twice.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

#: What senders write where a text is optional and has no value, lower-cased.
_WORDS_FOR_NOTHING = frozenset({"none", "null", "n/a", "-"})

_HALF_CHARACTERS = re.compile("[\ud800-\udfff]+")
#: An escape that stands for half a character; two of them, a pair, stand for a whole one.
_HALF_CHARACTER_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

#: Characters that may stand before and after a JSON value, because some senders leave byte order marks and zeros.
_PADDING = " \t\r\n\x00\ufeff"

_STEPS = {"{": 1, "[": 1, "}": -1, "]": -1}
_ONLY_BRACKETS = re.compile(r"[^\[\]{}]+")


def load(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `body`.

    Raises:
        InvalidAlert: the body is not JSON, or JSON that is not an object.
    """
    text = body.decode(json.detect_encoding(body), errors="replace").strip(_PADDING)
    if not text:
        raise InvalidAlert("The body is empty. Send the alert as a JSON object.")
    is_beyond = _is_beyond_alerts(text)
    if is_beyond and text.startswith("{") and text.endswith("}"):
        return {"body": text}
    value = None if is_beyond else _parsed(text)
    if not isinstance(value, dict):
        raise InvalidAlert("The body is not a JSON object. Send the alert as Azure Monitor made it.")
    return value


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document in hex: the same for any order of names and any white space."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def text_of(value: object) -> str:
    """Return a scalar as text, "" for anything else."""
    if isinstance(value, str):
        return value[:_LONGEST].strip()
    return str(value).lower() if isinstance(value, bool) else ""


class Section:
    """One JSON object, read by names of any case. Without an object it is empty."""

    __slots__ = ("_by_name", "_sections", "entries")

    def __init__(self, value: object) -> None:
        #: The object as it was sent.
        self.entries: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self._by_name = {name.lower(): entry for name, entry in self.entries.items()}
        #: The objects in it that were asked for: some are asked for again and again.
        self._sections: dict[str, Section] = {}

    def __bool__(self) -> bool:
        """Whether it holds anything."""
        return bool(self.entries)

    def value(self, name: str) -> object:
        """Return whatever stands under `name`, None if nothing does."""
        return self._by_name.get(name.lower())

    def has(self, *names: str) -> bool:
        """Return whether something other than null and words for nothing stands under any of the names."""
        return any((value := self.value(name)) is not None and not is_nothing(text_of(value)) for name in names)

    def text(self, *names: str) -> str:
        """Return the first scalar under the names that says anything, as text; "" if none does."""
        for name in names:
            text = text_of(self._by_name.get(name.lower()))
            if text and not is_nothing(text):
                return text
        return ""

    def section(self, name: str) -> "Section":
        """Return the object under `name`, also if it was sent as a string of JSON."""
        if name not in self._sections:
            self._sections[name] = Section(unpacked_value(self.value(name)))
        return self._sections[name]

    def sections(self, name: str) -> tuple["Section", ...]:
        """Return the objects in the list under `name`; a lone object counts as a list of one."""
        return tuple(Section(entry) for entry in _listed(self.value(name))[:_ENTRIES] if isinstance(entry, dict))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the scalars in the list under `name`, as text; a lone scalar counts as a list of one."""
        entries = _listed(self.value(name))[:_ENTRIES]
        texts = (text_of(entry) for entry in entries)
        return tuple(text[:_ID_LENGTH] for text in texts if text and not is_nothing(text))

    def scalars(self) -> Mapping[str, str]:
        """Return the scalars that say anything, words for nothing too, as text, by the names as sent."""
        return {name: text for name, value in islice(self.entries.items(), _ENTRIES) if (text := text_of(value))}


def is_nothing(text: str) -> bool:
    """Whether a text is a word for nothing."""
    return text.lower() in _WORDS_FOR_NOTHING


def leaves(value: object) -> Iterator[tuple[str, str]]:
    """Yield the scalars that say anything as (path, text), in the order sent, of the first values only."""
    waiting = [("", value)]
    for _ in range(_LEAVES):
        if not waiting:
            return
        path, value = waiting.pop()
        if text := text_of(value):
            yield path, text
        waiting += [(f"{path}.{name}" if path else str(name), child) for name, child in reversed(_children(value))]


def _children(value: object) -> list[tuple[object, object]]:
    if isinstance(value, dict):
        return list(islice(value.items(), _LEAVES))
    return list(enumerate(value[:_LEAVES], 1)) if isinstance(value, list) else []


def unpacked_value(value: object) -> object:
    """Return `value`, or the JSON value in it if it is a string that looks like an object or a list."""
    text = value.strip(_PADDING) if isinstance(value, str) else ""
    if not text.startswith(("{", "[")) or _is_beyond_alerts(text):
        return value
    try:
        return _parsed(text)
    except InvalidAlert:
        return value


def _parsed(text: str) -> object:
    """Return the JSON value in `text`, with U+FFFD in the place of half characters."""
    try:
        value = json.loads(text, strict=False, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise InvalidAlert(f"The body is not JSON: {error.msg} at character {error.pos}.") from error
    if not _HALF_CHARACTER_ESCAPE.search(text):
        return value
    whole: object = json.loads(_HALF_CHARACTERS.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    return whole


def _is_beyond_alerts(text: str) -> bool:
    """Whether it is nested too deep, at which Python's parser would fail, or holds too many values."""
    openings = text.count("{") + text.count("[")
    if 2 * openings + text.count(",") + text.count(":") > _MOST:
        return True
    if openings <= _DEEPEST:
        return False
    brackets = _ONLY_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > _DEEPEST


def _listed(value: object) -> list[Any]:
    unpacked = unpacked_value(value)
    if isinstance(unpacked, list):
        return unpacked
    return [] if unpacked is None else [unpacked]
