"""What does a rules file say, or what is wrong with it: all of it at once?

`compiling` asks with the text of a file. `nodes` reads its form; here the tree is walked beside the types of `model`,
and each value that does not fit is a fault with its place. `consistency` then compares values with each other.
msgspec makes the model of a tree without faults: https://jcristharif.com/msgspec/inspect.html
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice

import msgspec
from msgspec import inspect

from itsm_bridge.rules import nodes
from itsm_bridge.rules.checks import Check
from itsm_bridge.rules.consistency import faults_between
from itsm_bridge.rules.faults import MOST_FAULTS, Fault, InvalidRules, Trouble, quoted, suggestion
from itsm_bridge.rules.model import RulesFile
from itsm_bridge.rules.nodes import Node, Place, Scalar

#: The types that a text can have.
_TEXTS = (inspect.StrType, inspect.IntType, inspect.FloatType, inspect.BoolType, inspect.LiteralType)

Choice = tuple[inspect.Type, tuple[Check, ...]]


def read(source: str | bytes) -> RulesFile:
    """Return what a rules file says; pure.

    Raises:
        InvalidRules: it has faults. Those of its form hide the others, all else are told at once.
    """
    tree, faults = nodes.parsed(source)
    if tree is None or (isinstance(tree, Scalar) and tree.is_null):
        raise InvalidRules(faults or [Fault(1, 1, "the file is empty", "begin with version: 1")])
    reader = _Reader(faults)
    plain = reader.value(_type_of_file(), tree, ())
    faults += islice(faults_between(tree), MOST_FAULTS)
    if faults:
        raise InvalidRules(faults)
    return msgspec.convert(plain, RulesFile)


@cache
def _type_of_file() -> inspect.Type:
    return inspect.type_info(RulesFile)


class _Reader:
    """Walks a tree beside a type; collects faults, and returns plain data where there are none."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def value(self, type_: inspect.Type, node: Node, checks: tuple[Check, ...]) -> object:
        """Return the node as plain data of the type, None beside a fault."""
        if len(self._faults) >= MOST_FAULTS:
            return None
        choices = list(_choices(type_, checks))
        if isinstance(node, Scalar):
            return self._text(choices, node)
        if isinstance(node, nodes.Items):
            lists = [each for each in choices if isinstance(each[0], inspect.ListType)]
            return self._list(*lists[0], node) if lists else self._misfit(choices, node)
        for found, its_checks in choices:
            if isinstance(found, inspect.StructType):
                return self._shape(found, node)
            if isinstance(found, inspect.DictType):
                return self._names(found, its_checks, node)
        return self._misfit(choices, node)

    def _text(self, choices: list[Choice], node: Scalar) -> object:
        if node.is_null:
            return self._fault(node.place, Trouble("nothing stands here", f"write {_wanted(choices)}"))
        texts = [each for each in choices if isinstance(each[0], _TEXTS)]
        if not texts:
            return self._misfit(choices, node)
        for found, checks in texts:
            if isinstance(found, inspect.StrType):
                return self._checked(checks, node)
        found, _ = texts[0]
        if isinstance(found, inspect.LiteralType):
            return self._literal(found, choices, node)
        if isinstance(found, inspect.BoolType):
            return self._boolean(node)
        return self._number(found, node)

    def _checked(self, checks: tuple[Check, ...], node: Scalar) -> str:
        for check in checks:
            if trouble := check(node.text):
                self._fault(node.place, trouble)
        return node.text

    def _literal(self, type_: inspect.LiteralType, choices: list[Choice], node: Scalar) -> object:
        by_text = {str(value): value for value in type_.values}
        # Azure's words have capitals, which nobody has to remember.
        lower = {text.lower(): value for text, value in by_text.items()}
        if node.text.lower() in lower:
            return lower[node.text.lower()]
        others = "" if len(choices) == 1 else f", or {_wanted([each for each in choices if each[0] is not type_])}"
        hint = suggestion(node.text, by_text) + others
        return self._fault(node.place, Trouble(f"{quoted(node.text)} is not known here", hint))

    def _boolean(self, node: Scalar) -> object:
        known = {"true": True, "false": False}
        if node.is_plain and node.text.lower() in known:
            return known[node.text.lower()]
        return self._fault(node.place, Trouble(f"{quoted(node.text)} is neither true nor false", "write true or false"))

    def _number(self, type_: inspect.Type, node: Scalar) -> object:
        least, most = getattr(type_, "ge", None), getattr(type_, "le", None)
        text = node.text
        # int() is slow for long texts, and reads digits of every script.
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004
        if number is not None and (least is None or number >= least) and (most is None or number <= most):
            return number
        return self._fault(node.place, Trouble(f"{quoted(text)} is no number that fits", f"{least} to {most:,}"))

    def _list(self, type_: inspect.Type, checks: tuple[Check, ...], node: nodes.Items) -> object:
        assert isinstance(type_, inspect.ListType)  # noqa: S101 - for the type checker
        if not node.items and type_.min_length:
            return self._fault(
                node.place, Trouble("the list is empty, so nothing can fit", "write an entry, or no key")
            )
        return [self.value(type_.item_type, item, checks) for item in node.items]

    def _names(self, type_: inspect.DictType, checks: tuple[Check, ...], node: nodes.Mapping) -> object:
        found = {}
        for key, value in node.entries.values():
            name = self.value(type_.key_type, key, ())
            found[name] = self.value(type_.value_type, value, checks)
        return found

    def _shape(self, type_: inspect.StructType, node: nodes.Mapping) -> object:
        fields = {each.encode_name: each for each in type_.fields}
        found = {}
        for name, (key, value) in node.entries.items():
            if name not in fields:
                self._fault(key.place, Trouble(f"the key {quoted(name)} is not known here", suggestion(name, fields)))
            else:
                found[name] = self.value(fields[name].type, value, ())
        for name, each in fields.items():
            if each.required and name not in node.entries:
                self._fault(node.place, Trouble(f"{name} is missing", f"write {name}: {_example(each)}"))
        return found

    def _misfit(self, choices: list[Choice], node: Node) -> object:
        is_ = "a text" if isinstance(node, Scalar) else "a list" if isinstance(node, nodes.Items) else "a mapping"
        return self._fault(node.place, Trouble(f"{is_} stands here", f"write {_wanted(choices)}"))

    def _fault(self, place: Place, trouble: Trouble) -> object:
        self._faults.append(Fault(place.line, place.column, trouble.message, trouble.hint))
        return None


def _unwrapped(type_: inspect.Type, checks: tuple[Check, ...]) -> tuple[inspect.Type, tuple[Check, ...]]:
    """Return a type without what is told about it, and the checks of that."""
    while isinstance(type_, inspect.Metadata):
        check = (type_.extra or {}).get("check")
        checks = (*checks, check) if check else checks
        type_ = type_.type
    return type_, checks


def _choices(type_: inspect.Type, checks: tuple[Check, ...]) -> Iterator[Choice]:
    """Yield each type that a value can have, with its checks."""
    bare, checks = _unwrapped(type_, checks)
    if isinstance(bare, inspect.UnionType):
        for each in bare.types:
            yield from _choices(each, checks)
    else:
        yield bare, checks


#: How messages name the types that a value can have.
_NAMES: Mapping[type[inspect.Type], str] = {
    inspect.StrType: "a text",
    inspect.IntType: "a number",
    inspect.BoolType: "true or false",
    inspect.ListType: "a list (- …)",
    inspect.DictType: "names with values (name: …)",
}


def _wanted(choices: list[Choice]) -> str:
    names = []
    for found, _ in choices:
        if isinstance(found, inspect.LiteralType):
            names.append(" | ".join(map(str, found.values)))
        elif isinstance(found, inspect.StructType):
            keys = [each.encode_name for each in found.fields]
            names.append(f"a mapping with {', '.join(keys[:5])}{', …' if len(keys) > 5 else ''}")  # noqa: PLR2004
        elif type(found) in _NAMES:
            names.append(_NAMES[type(found)])
    return " or ".join(dict.fromkeys(names))


def _example(field: inspect.Field) -> str:
    bare, _ = _unwrapped(field.type, ())
    return " | ".join(map(str, bare.values)) if isinstance(bare, inspect.LiteralType) else "…"
