"""Is this Bicep file right? It is parsed, and what it says is held against the shapes of Azure's resource types.

Not a compiler: expressions are followed where that is simple (variables, both branches of a condition, the parts of
`union` and `concat`, the rows of a loop), and trusted where it is not. What it does find: syntax errors, unknown
names, names without use, unknown, missing and ill-typed properties, values outside their choice, and modules called
with the wrong parameters or asked for outputs that they lack.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter

from tests.infra.bicep import (
    OF_THE_LANGUAGE,
    Expression,
    Module,
    Resource,
    Template,
    loop_names,
    text_of,
    value_of,
)

TYPES: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "infra" / "schemas" / "types.json").read_text(encoding="utf-8")
)["resources"]

#: The type of what a function gives, where it is always the same.
GIVES = {
    **dict.fromkeys(("concat", "filter", "items", "map", "split"), "array"),
    **dict.fromkeys(("contains", "empty"), "bool"),
    **dict.fromkeys(("cidrSubnet", "guid", "join", "replace", "string", "substring", "take", "toLower"), "string"),
    **dict.fromkeys(("subscriptionResourceId", "trim", "uniqueString", "uri"), "string"),
    **dict.fromkeys(("indexOf",), "int"),
    **dict.fromkeys(("toObject",), "object"),
}

_COMPARISONS = {"&&", "||", "==", "!=", ">", "<", ">=", "<="}

FUNCTIONS = {
    *("cidrSubnet", "concat", "contains", "empty", "environment", "filter", "guid", "indexOf", "items", "join"),
    "loadTextContent",
    *(
        "listKeys",
        "map",
        "replace",
        "resourceGroup",
        "resourceId",
        "split",
        "string",
        "subscription",
        "subscriptionResourceId",
    ),
    *("substring", "take", "tenant", "toLower", "toObject", "trim", "union", "uniqueString", "uri"),
}
SCALARS = {"string": str, "int": int, "bool": bool}


def problems(files: Mapping[str, str]) -> list[str]:
    """Return what is wrong with these files, given as text by their names."""
    templates = {name: Template.parse(text) for name, text in files.items()}
    found = []
    for name, template in templates.items():
        found += [f"{name}{problem}" for problem in _within_file(files[name])]
        found += [
            f"{name}:{each.line}: {bad}" for each in template.modules for bad in _of_module(each, template, templates)
        ]
        found += [f"{name}: {problem}" for problem in _of_references(files[name], template, templates)]
    return found


@functools.cache
def _within_file(text: str) -> tuple[str, ...]:
    """Return what is wrong with a file, whatever stands in others."""
    template = Template.parse(text)
    return (
        *(f": {problem}" for problem in _of_syntax(template.root)),
        *(f": {problem}" for problem in _of_names(template)),
        *(f":{each.line}: {each.symbol}{bad}" for each in template.resources for bad in _of(each, template)),
    )


def _of_syntax(node: tree_sitter.Node) -> Iterator[str]:
    if not node.has_error:
        return
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
        for name in loop_names(node)
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


def kind_of(value: Any, template: Template, templates: Mapping[str, Template]) -> str:
    """Return the type of a value: string, int, bool, array, object; "" if that is not simple to tell."""
    value = template.resolved(value)
    if not isinstance(value, Expression):
        return {str: "string", bool: "bool", int: "int", list: "array", dict: "object"}.get(type(value), "")
    node = value.node
    if node.type == "ternary_expression":
        branches = {kind_of(value_of(each), template, templates) for each in node.named_children[1:]}
        return next(iter(branches - {""}), "")
    if node.type == "member_expression":
        return _kind_of_output(value.text, template, templates)
    if node.type == "identifier":
        return template.parameters[value.text].type if value.text in template.parameters else ""
    return _kind_of_node(node)


def _kind_of_node(node: tree_sitter.Node) -> str:
    if node.type == "call_expression":
        return GIVES.get(text_of(node.named_children[0]), "")
    if node.type == "binary_expression":
        return "bool" if node.children[1].type in _COMPARISONS else ""
    return {"string": "string", "for_statement": "array"}.get(node.type, "")


def _kind_of_output(text: str, template: Template, templates: Mapping[str, Template]) -> str:
    symbol, _, name = text.replace("!", "").partition(".outputs.")
    files = {module.symbol: module.file for module in template.modules}
    called = templates.get(files.get(symbol, ""))
    return called.output_types.get(name, "") if called else ""


def _of_module(module: Module, template: Template, templates: Mapping[str, Template]) -> Iterator[str]:
    called = templates.get(module.file)
    if called is None:
        yield f"{module.file} is not there"
        return
    given = module.body.get("params", {})
    yield from (f"{module.symbol} has no parameter {name}" for name in given.keys() - called.parameters.keys())
    for name, parameter in called.parameters.items():
        if parameter.is_required and name not in given:
            yield f"{module.symbol} is not given {name}"
        kind = kind_of(given.get(name), template, templates)
        if kind not in ("", parameter.type):
            yield f"{module.symbol} is given {name} of type {kind}, not {parameter.type}"


def _of_references(text: str, template: Template, templates: Mapping[str, Template]) -> Iterator[str]:
    """Look for `module.outputs.name` that the module does not have."""
    files = {module.symbol: module.file for module in template.modules}
    for symbol, name in _outputs_read(text):
        called = templates.get(files.get(symbol, ""))
        if called and name not in called.outputs:
            yield f"{symbol} has no output {name}"


@functools.cache
def _outputs_read(text: str) -> tuple[tuple[str, str], ...]:
    nodes = (node for node in _all(Template.parse(text).root) if node.type == "member_expression")
    parts = (text_of(node).replace("!", "").split(".") for node in nodes)
    return tuple((each[0], each[2]) for each in parts if len(each) == 3 and each[1] == "outputs")
