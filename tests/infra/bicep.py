"""What does a Bicep file declare? It is parsed by tree-sitter; `bicep_checks` says whether it is right.

Expressions are kept as they stand, and a name is followed to the variable that it names.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import tree_sitter
import tree_sitter_bicep

#: What every resource may say besides its own properties.
OF_THE_LANGUAGE = {"dependsOn", "parent", "scope"}

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))


@dataclass(frozen=True, slots=True)
class Expression:
    """Whatever is not a literal."""

    node: tree_sitter.Node

    @property
    def text(self) -> str:
        return text_of(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    type: str
    #: The text of what it is allowed to be; "" if anything.
    allowed: str
    default: Any
    is_required: bool
    is_secure: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    symbol: str
    #: With its version; a nested resource's is made whole.
    type: str
    body: dict[str, Any]
    is_existing: bool
    #: The name that a loop gives each row, and the rows.
    loop: tuple[str, Any] | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    symbol: str
    file: str
    body: dict[str, Any]
    line: int


@dataclass(slots=True)
class Template:
    """What a Bicep file declares."""

    root: tree_sitter.Node
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    output_types: dict[str, str] = field(default_factory=dict)

    @classmethod
    @functools.cache
    def parse(cls, text: str) -> Self:
        """Parse a file, once for each text, because tests change one of many."""
        root = _PARSER.parse(text.encode()).root_node
        template = cls(root)
        decorators: dict[str, str] = {}
        for node in root.named_children:
            if node.type == "decorators":
                decorators = _decorators(node)
            elif node.type != "comment":
                template._declare(node, decorators)
                decorators = {}
        return template

    def _declare(self, node: tree_sitter.Node, decorators: Mapping[str, str]) -> None:
        match node.type:
            case "parameter_declaration":
                self.parameters[_symbol(node)] = _parameter(node, decorators)
            case "variable_declaration":
                self.variables[_symbol(node)] = value_of(node.named_children[-1])
            case "output_declaration":
                self.outputs[_symbol(node)] = value_of(node.named_children[-1])
                self.output_types[_symbol(node)] = text_of(node.named_children[1])
            case "module_declaration":
                path = text_of(node.named_children[1]).strip("'")
                body, _ = _body(node.named_children[-1])
                line = node.start_point[0] + 1
                self.modules.append(Module(symbol=_symbol(node), file=path, body=body, line=line))
            case "resource_declaration":
                self.resources += _resources(node, outer="")

    def resolved(self, value: Any) -> Any:
        """Follow a name to the variable that it names."""
        while isinstance(value, Expression) and value.text in self.variables:
            value = self.variables[value.text]
        return value

    def rows(self, resource: Resource) -> list[Any]:
        """Return what a loop runs over; one row that says nothing if there is no loop, or only the caller knows."""
        if resource.loop is None:
            return [None]
        rows = self.resolved(resource.loop[1])
        return rows if isinstance(rows, list) else [None]


def text_of(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def value_of(node: tree_sitter.Node) -> Any:
    """Return the value of a literal; an `Expression` for anything else."""
    if node.type in _LITERALS and not any(child.type == "interpolation" for child in node.children):
        return _LITERALS[node.type](node)
    return Expression(node)


def _unescaped(node: tree_sitter.Node) -> str:
    text = text_of(node)
    return text.removeprefix("\\") if node.type == "escape_sequence" else text


def _properties(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    return [
        child
        for child in node.named_children
        if child.type == "object_property" and child.named_children[0].type != "resource_declaration"
    ]


def _key(node: tree_sitter.Node) -> str:
    return text_of(node.named_children[0]).strip("'")


_LITERALS: Mapping[str, Callable[[tree_sitter.Node], Any]] = {
    "array": lambda node: [value_of(child) for child in node.named_children if child.type != "comment"],
    "boolean": lambda node: text_of(node) == "true",
    "null": lambda _: None,
    "number": lambda node: int(text_of(node)),
    "object": lambda node: {_key(child): value_of(child.named_children[-1]) for child in _properties(node)},
    "parenthesized_expression": lambda node: value_of(node.named_children[0]),
    "string": lambda node: "".join(_unescaped(child) for child in node.named_children),
}


def _symbol(node: tree_sitter.Node) -> str:
    return text_of(node.named_children[0])


def _decorators(node: tree_sitter.Node) -> dict[str, str]:
    calls = [child for decorator in node.named_children for child in decorator.named_children]
    return {text_of(call.named_children[0]): text_of(call.named_children[1]).strip("()'") for call in calls}


def _parameter(node: tree_sitter.Node, decorators: Mapping[str, str]) -> Parameter:
    has_default = len(node.named_children) > 2
    return Parameter(
        type=text_of(node.named_children[1]),
        allowed=decorators.get("allowed", ""),
        default=value_of(node.named_children[-1]) if has_default else None,
        is_required=not has_default,
        is_secure="secure" in decorators,
        description=decorators.get("description", ""),
    )


def _body(node: tree_sitter.Node) -> tuple[dict[str, Any], tuple[str, Any] | None]:
    """Return the object of a resource or module, and its loop; conditions are seen through."""
    loop = None
    while node.type != "object":
        if node.type == "for_statement":
            loop = (loop_names(node)[0], value_of(node.named_children[1]))
        node = node.named_children[-1]
    body = value_of(node)
    if not isinstance(body, dict):
        raise TypeError("an object was expected")
    return body, loop


def loop_names(node: tree_sitter.Node) -> list[str]:
    """Return the names that a loop or a function without name gives to what it is called with."""
    first = node.named_children[0]
    return [text_of(each) for each in first.named_children] or [text_of(first)]


def _resources(node: tree_sitter.Node, outer: str) -> Iterator[Resource]:
    name, _, version = text_of(node.named_children[1]).strip("'").partition("@")
    if outer:
        outer_name, _, outer_version = outer.partition("@")
        name, version = f"{outer_name}/{name}", version or outer_version
    body, loop = _body(node.named_children[-1])
    yield Resource(
        symbol=_symbol(node),
        type=f"{name}@{version}",
        body=body,
        is_existing=any(child.type == "existing" for child in node.children),
        loop=loop,
        line=node.start_point[0] + 1,
    )
    for inner in _within(node.named_children[-1], "resource_declaration"):
        yield from _resources(inner, outer=f"{name}@{version}")


def _within(node: tree_sitter.Node, kind: str) -> Iterator[tree_sitter.Node]:
    """Yield the nodes of a kind, and nothing inside those."""
    for child in node.named_children:
        if child.type == kind:
            yield child
        else:
            yield from _within(child, kind)
