"""What does a YAML text hold, and at which line and column?

`reading` asks. The text becomes a tree of mappings, sequences and scalars; what they mean is not known here.

1. Nothing is raised: faults come beside the tree, which is as whole as it can be.
2. A scalar stays the text that was written. `off` is no boolean, 22:30 no number and 2026-12-01 no date, as in YAML 1.2
   and as editors see it (https://yaml.org/spec/1.2.2/#103-core-schema); older YAML would make False and 1350 of them.
3. The work stays small whatever the file holds: its length, its depth and the nodes that aliases stand for are bounded.
   No tag makes an object of anything.
4. Merge keys (`<<`) work, because people know them: https://yaml.org/type/merge.html.
"""

import codecs
import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from itsm_bridge.rules.faults import Fault, Trouble, quoted

#: How long a file may be, in bytes or characters.
LONGEST: Final = 1024 * 1024
#: How deep mappings and sequences may be nested. The model needs seven levels.
_DEEPEST: Final = 20
#: How many nodes a file may hold, those that aliases repeat included.
_MOST: Final = 200_000

#: What YAML forbids anywhere, and halves of characters: https://yaml.org/spec/1.2.2/#51-character-set
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node begins, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, a number, a boolean: as it was written."""

    place: Place
    text: str
    #: Whether it stands without quotes.
    is_plain: bool = True
    size: int = 1

    @property
    def is_null(self) -> bool:
        """Whether it says nothing."""
        return self.is_plain and self.text in _NULLS


@dataclass(slots=True)
class Items:
    """A sequence."""

    place: Place
    items: "list[Node]" = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class Mapping:
    """Keys and values in their order, each key once."""

    place: Place
    entries: "dict[str, tuple[Scalar, Node]]" = field(default_factory=dict)
    size: int = 1

    def get(self, name: str) -> "Node | None":
        """Return the value of a key, None if it is absent."""
        entry = self.entries.get(name)
        return entry[1] if entry else None


Node = Scalar | Items | Mapping


def parsed(source: str | bytes) -> tuple[Node | None, list[Fault]]:
    """Return the tree of a text and the faults of its form; None if there is no tree."""
    faults: list[Fault] = []
    if len(source) > LONGEST:
        message = f"the file has {len(source):,} bytes, and {LONGEST:,} is the most"
        return None, [Fault(1, 1, message, "split nothing: leave out what no alert needs")]
    text = _decoded(source, faults)
    if text is None:
        return None, faults
    if forbidden := _FORBIDDEN.search(text):
        place = _place_in(text, forbidden.start())
        message = f"the character U+{ord(forbidden[0]):04X} cannot stand in a YAML file"
        return None, [Fault(place.line, place.column, message, "delete it")]
    tree = _Builder(text, faults).build()
    return tree, faults


def _decoded(source: str | bytes, faults: list[Fault]) -> str | None:
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    mark = next((name for mark, name in _BYTE_ORDER_MARKS if source.startswith(mark)), "")
    if mark:
        faults.append(Fault(1, 1, f"the file is in {mark}", "save it as UTF-8"))
        return None
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8", "replace")
        place = _place_in(before, len(before))
        faults.append(Fault(place.line, place.column, "the file is not in UTF-8", "save it as UTF-8"))
        return None


def _place_in(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


class _Stop(Exception):
    """The rest of the file is not read."""


class _Builder:
    """Builds a tree out of the events of the YAML parser."""

    def __init__(self, text: str, faults: list[Fault]) -> None:
        self._text = text
        self._faults = faults
        self._anchors: dict[str, Node | None] = {}
        self._count = 0
        # libyaml does not recurse, so that no depth ends the process.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events = yaml.parse(text, Loader=loader)

    def build(self) -> Node | None:
        """Return the first document; None if there is none or the text is no YAML."""
        tree: Node | None = None
        try:
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if tree is not None:
                        self._fault(event, Trouble("a second document begins", "keep all rules in one document"))
                        break
                    tree = self._node(next(self._events), 0)
        except _Stop:
            return None
        except yaml.YAMLError as error:
            self._faults.append(self._syntax_fault(error))
            return None
        return tree

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        if depth > _DEEPEST:
            self._fault(event, Trouble(f"it is nested deeper than {_DEEPEST} levels", "no rule needs that"))
            raise _Stop
        anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
        if anchor:
            self._anchors[anchor] = None
        node = self._made(event, depth)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _made(self, event: yaml.Event, depth: int) -> Node:
        self._counted(event, 1)
        self._check_tag(event)
        place = _place_of(event)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(place, event.value, is_plain=not event.style or event.style == ":")
        if isinstance(event, yaml.SequenceStartEvent):
            items = Items(place)
            while not isinstance(each := next(self._events), yaml.SequenceEndEvent):
                items.items.append(self._node(each, depth + 1))
            items.size += sum(item.size for item in items.items)
            return items
        return self._mapping(Mapping(place), depth)

    def _mapping(self, mapping: Mapping, depth: int) -> Mapping:
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            mapping.size += key.size + value.size
            if not isinstance(key, Scalar):
                self._fault(event, Trouble("a key is a list or a mapping", "write a name"))
            elif key.is_plain and key.text == "<<":
                merged += value.items if isinstance(value, Items) else [value]
            elif key.text in mapping.entries:
                first = mapping.entries[key.text][0].place.line
                trouble = Trouble(f"{quoted(key.text)} stands here twice", f"the first is in line {first}; keep one")
                self._fault(event, trouble)
            else:
                mapping.entries[key.text] = (key, value)
        self._merge(mapping, merged)
        return mapping

    def _merge(self, mapping: Mapping, merged: list[Node]) -> None:
        """Add the entries of other mappings; what is written out wins, then the first of the others."""
        for other in merged:
            if not isinstance(other, Mapping):
                message, hint = "a merge key (<<) has no mapping behind it", "write << : *NAME_OF_A_MAPPING"
                self._faults.append(Fault(other.place.line, other.place.column, message, hint))
                continue
            for name, entry in other.entries.items():
                mapping.entries.setdefault(name, entry)

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        name = event.anchor
        node = self._anchors.get(name or "")
        if node is None:
            hint = f"write &{name} before the value that is meant"
            is_open = name in self._anchors
            message = f"*{name} stands within the value that it names" if is_open else f"there is no &{name} before"
            self._fault(event, Trouble(message, "" if is_open else hint))
            raise _Stop
        self._counted(event, node.size)
        return node

    def _counted(self, event: yaml.Event, size: int) -> None:
        self._count += size
        if self._count > _MOST:
            message = f"the file holds more than {_MOST:,} values, with what its aliases repeat"
            self._fault(event, Trouble(message, "use fewer aliases"))
            raise _Stop

    def _check_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag not in _TEXT_TAGS:
            self._fault(event, Trouble(f"the tag {quoted(str(tag))} means nothing here", "delete it"))

    def _fault(self, event: yaml.Event, trouble: Trouble) -> None:
        place = _place_of(event)
        self._faults.append(Fault(place.line, place.column, trouble.message, trouble.hint))

    def _syntax_fault(self, error: yaml.YAMLError) -> Fault:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or "it is no YAML")
        if mark is None:
            return Fault(1, 1, problem)
        lines = self._text.split("\n")
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return Fault(mark.line + 1, line.index("\t") + 1, "a tab indents this line", "use spaces")
        context = getattr(error, "context", None)
        message = f"{problem}, {context}" if context else problem
        return Fault(mark.line + 1, mark.column + 1, message, _syntax_hint(line, problem))


def _syntax_hint(line: str, problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "put a text that holds ': ' in quotes, or check how far the line is indented"
    if "cannot start any token" in problem:
        return "put a text that begins with @, ` or % in quotes"
    if "{{" in line and not re.search(r"[\"'].*\{\{", line):
        return 'put a template in quotes: "{{ … }}"'
    return "check how far the line is indented, and its quotes and brackets"


def _place_of(event: yaml.Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
