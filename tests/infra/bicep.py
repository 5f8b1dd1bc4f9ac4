"""Is this Bicep file right? It is parsed, and what it says is held against the shapes of Azure's resource types.

Not a compiler: expressions are followed where that is simple (variables, both branches of a condition, the parts of
`union` and `concat`, the rows of a loop), and trusted where it is not. What it does find: syntax errors, unknown
names, names without use, unknown, missing and ill-typed properties, values outside their choice, and modules called
with the wrong parameters or asked for outputs that they lack.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tree_sitter
import tree_sitter_bicep

TYPES: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "infra" / "schemas" / "types.json").read_text(encoding="utf-8")
)["resources"]

#: What every resource may say besides its own properties.
OF_THE_LANGUAGE = {"dependsOn", "parent", "scope"}
FUNCTIONS = {
    *("cidrSubnet", "concat", "contains", "empty", "environment", "filter", "guid", "indexOf", "items", "join"),
    "loadTextContent",
    *("listKeys", "map", "replace", "resourceGroup", "split", "string", "subscription", "subscriptionResourceId"),
    *("substring", "take", "tenant", "toLower", "toObject", "trim", "union", "uniqueString", "uri"),
}
SCALARS = {"string": str, "int": int, "bool": bool}

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

    @classmethod
    def parse(cls, text: str) -> Self:
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
            loop = (_loop_names(node)[0], value_of(node.named_children[1]))
        node = node.named_children[-1]
    body = value_of(node)
    if not isinstance(body, dict):
        raise TypeError("an object was expected")
    return body, loop


def _loop_names(node: tree_sitter.Node) -> list[str]:
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


def problems(files: Mapping[str, str]) -> list[str]:
    """Return what is wrong with these files, given as text by their names."""
    templates = {name: Template.parse(text) for name, text in files.items()}
    found = []
    for name, template in templates.items():
        found += [f"{name}: {problem}" for problem in _of_syntax(template.root)]
        found += [f"{name}: {problem}" for problem in _of_names(template)]
        found += [
            f"{name}:{each.line}: {each.symbol}{bad}" for each in template.resources for bad in _of(each, template)
        ]
        found += [f"{name}:{each.line}: {bad}" for each in template.modules for bad in _of_module(each, templates)]
        found += [f"{name}: {problem}" for problem in _of_references(template, templates)]
    return found


def _of_syntax(node: tree_sitter.Node) -> Iterator[str]:
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1} is not Bicep"
    for child in node.children:
        yield from _of_syntax(child)


def _of_names(template: Template) -> Iterator[str]:
    symbols = [each.symbol for each in _declared(template)]
    declared = {*template.parameters, *template.variables, *symbols}
    used = set()
    for node in _all(template.root):
        if node.type == "identifier" and _is_reference(node):
            used.add(text_of(node))
    local = {
        name
        for node in _all(template.root)
        if node.type in {"for_statement", "lambda_expression"}
        for name in _loop_names(node)
    }
    yield from (f"{name} is not declared" for name in sorted(used - declared - local - FUNCTIONS))
    for name in sorted({*template.parameters, *template.variables} - used):
        yield f"{name} is never used"


def _declared(template: Template) -> list[Resource | Module]:
    return [*template.resources, *template.modules]


def _all(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.named_children:
        yield from _all(child)


def _is_reference(node: tree_sitter.Node) -> bool:
    parent = node.parent
    if parent is None or any(above.type == "decorators" for above in _above(node)):
        return False
    is_first = parent.named_children[0] == node
    declares = parent.type.endswith("_declaration") or parent.type in {"object_property", "for_statement", "type"}
    return not (is_first and declares)


def _above(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _of(resource: Resource, template: Template) -> Iterator[str]:
    if resource.is_existing:
        return
    shape = TYPES.get(resource.type)
    if shape is None:
        yield f" is of the unknown type {resource.type}"
        return
    body = {key: value for key, value in resource.body.items() if key not in OF_THE_LANGUAGE}
    for row in template.rows(resource):
        yield from _mismatches("", body, shape, _Scope(template, resource.loop, row))


@dataclass(frozen=True, slots=True)
class _Scope:
    template: Template
    loop: tuple[str, Any] | None
    row: Any

    def resolved(self, value: Any) -> Any:
        """Follow a name, or a property of the row of the loop."""
        if isinstance(value, Expression) and self.loop is not None:
            name, _, key = value.text.partition(".")
            if name == self.loop[0]:
                return self.row.get(key, value) if key and isinstance(self.row, dict) else self.row
        return self.template.resolved(value)


def _mismatches(path: str, value: Any, shape: Any, scope: _Scope) -> Iterator[str]:
    value = scope.resolved(value)
    if shape == "any" or value is None:
        return
    if isinstance(value, Expression):
        yield from _of_expression(path, value, shape, scope)
    elif _takes_text(shape) or isinstance(shape, str):
        yield from _of_scalar(path, value, shape)
    elif "list" in shape:
        if not isinstance(value, list):
            yield f"{path} is not a list"
            return
        for row in value:
            yield from _mismatches(f"{path}[]", row, shape["list"], scope)
    else:
        yield from _of_object(path, value, shape, scope)


def _of_scalar(path: str, value: Any, shape: Any) -> Iterator[str]:
    if isinstance(shape, str):
        if type(value) is not SCALARS[shape]:
            yield f"{path} is not of type {shape}"
    elif value not in shape["choice"]:
        yield f"{path} is {value!r}, not one of {', '.join(shape['choice'])}"


def _of_object(path: str, value: Any, shape: Mapping[str, Any], scope: _Scope) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is not an object"
        return
    if "by" in shape:
        kind = shape["kinds"].get(scope.resolved(value.get(shape["by"])))
        if kind is None:
            yield f"{path}.{shape['by']} is none of {', '.join(shape['kinds'])}"
        else:
            yield from _of_object(path, value, kind, scope)
        return
    for key in shape["required"]:
        if key not in value:
            yield f"{path}.{key} is missing"
    for key, inner in value.items():
        known = shape["properties"].get(key, shape.get("others"))
        if known is None:
            yield f"{path}.{key} is unknown"
        else:
            yield from _mismatches(f"{path}.{key}", inner, known, scope)


def _of_expression(path: str, value: Expression, shape: Any, scope: _Scope) -> Iterator[str]:
    """Look into the parts of an expression that end up in its value."""
    if value.node.type == "string" and not _takes_text(shape):
        yield f"{path} is a string"
    for part in _parts(value.node):
        yield from _mismatches(path, part, shape, scope)
    if value.text in scope.template.parameters:
        declared = scope.template.parameters[value.text].type
        if not _fits(declared, shape):
            yield f"{path} is the parameter {value.text} of type {declared}"


def _parts(node: tree_sitter.Node) -> list[Any]:
    match node.type:
        case "ternary_expression":
            return [value_of(branch) for branch in node.named_children[1:]]
        case "for_statement":
            return [[value_of(node.named_children[-1])]]
        case "call_expression" if text_of(node.named_children[0]) in {"concat", "union"}:
            return [value_of(part) for part in node.named_children[1].named_children]
    return []


def _takes_text(shape: Any) -> bool:
    return shape == "string" or "choice" in shape


def _fits(declared: str, shape: Any) -> bool:
    if isinstance(shape, str):
        return declared == shape
    return declared == ("string" if "choice" in shape else "array" if "list" in shape else "object")


def _of_module(module: Module, templates: Mapping[str, Template]) -> Iterator[str]:
    called = templates.get(module.file)
    if called is None:
        yield f"{module.file} is not there"
        return
    given = module.body.get("params", {})
    yield from (f"{module.symbol} has no parameter {name}" for name in given.keys() - called.parameters.keys())
    for name, parameter in called.parameters.items():
        if parameter.is_required and name not in given:
            yield f"{module.symbol} is not given {name}"


def _of_references(template: Template, templates: Mapping[str, Template]) -> Iterator[str]:
    """Look for `module.outputs.name` that the module does not have."""
    files = {module.symbol: module.file for module in template.modules}
    for node in _all(template.root):
        parts = text_of(node).replace("!", "").split(".") if node.type == "member_expression" else []
        if len(parts) == 3 and parts[1] == "outputs" and parts[0] in files:
            called = templates.get(files[parts[0]])
            if called and parts[2] not in called.outputs:
                yield f"{parts[0]} has no output {parts[2]}"
