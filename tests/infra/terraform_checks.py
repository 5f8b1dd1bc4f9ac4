"""Is this Terraform module right? It is parsed, and what it says is held against the schemas of its providers.

Not `terraform validate`, which the workflow runs and which needs the providers themselves. What this finds without
them: syntax errors, unknown names, variables and locals without use, unknown, missing and ill-typed arguments,
attributes that a resource does not have, and bodies of azapi that do not fit Azure's resource type.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import tree_sitter

from tests.infra.bicep_checks import TYPES
from tests.infra.terraform import OF_THE_LANGUAGE, PROVIDERS, Block, Expression, Module, text_of, value_of

SCALARS: Mapping[str, Any] = {"string": str, "number": (int, float), "bool": bool}
#: Names that are not declared: loops, paths, and the current row.
_BUILT_IN = {"each", "count", "path", "self", "terraform"}


@functools.cache
def schemas() -> dict[str, Any]:
    """Return the schema of each type that the module uses."""
    found = json.loads(PROVIDERS.read_text(encoding="utf-8"))
    return {name: each for provider in found.values() for name, each in provider["types"].items()}


def problems(files: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a module, given as the text of its files by their names."""
    module = Module.parse(files)
    found = [f"{name}: {bad}" for name, root in module.roots.items() for bad in _of_syntax(root)]
    known = schemas()
    for resource in module.resources:
        schema = known.get(resource.kind)
        if schema is None:
            found.append(f"{resource.address} is of a type that is not known")
            continue
        found += [f"{resource.address}{bad}" for bad in _of_block(resource, schema, module, is_outer=True)]
        found += [f"{resource.address}{bad}" for bad in _of_azapi(resource, module)]
    return [*found, *_of_names(module), *_of_attributes(module, known)]


def _of_syntax(node: tree_sitter.Node) -> Iterator[str]:
    if not node.has_error:
        return
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1} is not Terraform"
    for child in node.children:
        yield from _of_syntax(child)


def _of_block(block: Block, schema: Mapping[str, Any], module: Module, *, is_outer: bool = False) -> Iterator[str]:
    given = {*block.attributes, *(each.type for each in block.blocks)}
    of_language = OF_THE_LANGUAGE if is_outer else set()
    yield from (f".{name} is unknown" for name in sorted(given - set(schema["attributes"]) - of_language))
    yield from (f".{name} is missing" for name in schema["required"] if name not in given)
    for name, value in block.attributes.items():
        if name in schema["attributes"]:
            yield from _of_value(f".{name}", module.resolved(value), schema["attributes"][name])
    for inner in block.blocks:
        shape = schema["attributes"].get(inner.type)
        shape = shape["list"] if isinstance(shape, Mapping) and "list" in shape else shape
        if isinstance(shape, Mapping) and "attributes" in shape:
            yield from (f".{inner.type}{bad}" for bad in _of_block(inner, shape, module))
        elif shape is not None:
            yield f".{inner.type} is no block"


def _of_value(path: str, value: Any, shape: Any) -> Iterator[str]:
    if value is None or shape == "any" or isinstance(value, Expression):
        return
    if isinstance(shape, str):
        is_right = isinstance(value, SCALARS[shape]) and (shape == "bool" or not isinstance(value, bool))
        if not is_right:
            yield f"{path} is not of type {shape}"
    elif "list" in shape:
        if not isinstance(value, list):
            yield f"{path} is not a list"
        else:
            for each in value:
                yield from _of_value(f"{path}[]", each, shape["list"])
    elif not isinstance(value, dict):
        yield f"{path} is not an object"


def _of_azapi(resource: Block, module: Module) -> Iterator[str]:
    """Hold what azapi sends against Azure's resource type."""
    name = resource.attributes.get("type")
    if not resource.kind.startswith("azapi_") or not isinstance(name, str):
        return
    shape = TYPES.get(name)
    if shape is None:
        yield f" sends the unknown type {name}"
        return
    body = {**resource.attributes.get("body", {}), **resource.attributes.get("sensitive_body", {})}
    if "by" in shape:
        # A loop over names sends the same to each, so any of them tells the shape.
        told = resource.attributes[shape["by"]]
        shape = next(iter(shape["kinds"].values())) if isinstance(told, Expression) else shape["kinds"][told]
    # azapi puts these in from arguments of its own.
    own = {"name", "location", "tags", "identity", "parent"}
    yield from _of_body(".body", body, {**shape, "required": [x for x in shape["required"] if x not in own]}, module)


def _of_body(path: str, value: Any, shape: Any, module: Module) -> Iterator[str]:
    value = module.resolved(value)
    if value is None or shape == "any":
        return
    if isinstance(value, Expression):
        for part in _parts(value.node):
            yield from _of_body(path, part, shape, module)
    elif isinstance(shape, str) or "choice" in shape:
        yield from _of_scalar(path, value, shape)
    elif "list" not in shape:
        yield from _of_object(path, value, shape, module)
    elif not isinstance(value, list):
        yield f"{path} is not a list"
    else:
        for each in value:
            yield from _of_body(f"{path}[]", each, shape["list"], module)


def _of_scalar(path: str, value: Any, shape: Any) -> Iterator[str]:
    wanted = {"string": str, "int": int, "bool": bool}[shape if isinstance(shape, str) else "string"]
    if type(value) is not wanted:
        yield f"{path} is not of type {shape}"
    elif isinstance(shape, Mapping) and value not in shape["choice"]:
        yield f"{path} is {value!r}, not one of {', '.join(shape['choice'])}"


def _of_object(path: str, value: Any, shape: Mapping[str, Any], module: Module) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is not an object"
        return
    if "by" in shape:
        kind = shape["kinds"].get(value.get(shape["by"]))
        if kind is None:
            yield f"{path}.{shape['by']} is none of {', '.join(shape['kinds'])}"
        else:
            yield from _of_object(path, value, kind, module)
        return
    yield from (f"{path}.{name} is missing" for name in shape["required"] if name not in value)
    for name, inner in value.items():
        known = shape["properties"].get(name, shape.get("others"))
        if known is None:
            yield f"{path}.{name} is unknown"
        else:
            yield from _of_body(f"{path}.{name}", inner, known, module)


def _parts(node: tree_sitter.Node) -> list[Any]:
    """Return the parts of an expression that end up in its value."""
    while node.type in {"expression", "collection_value"} and len(node.named_children) == 1:
        node = node.named_children[0]
    match node.type:
        case "conditional":
            return [value_of(branch) for branch in node.named_children[1:]]
        case "function_call" if text_of(node.named_children[0]) == "concat":
            arguments = next(child for child in node.named_children if child.type == "function_arguments")
            return [value_of(each) for each in arguments.named_children if each.type == "expression"]
        case "for_expr":
            [loop] = node.named_children
            return [[value_of(loop.named_children[2])]] if loop.type == "for_tuple_expr" else []
    return []


def references(module: Module) -> set[tuple[str, ...]]:
    """Return all names that are referred to, with what is read of them: ("var", "location")."""
    return {each for root in module.roots.values() for each in _references_of(root)}


@functools.cache
def _references_of(root: tree_sitter.Node) -> frozenset[tuple[str, ...]]:
    return frozenset(_reference(node) for node in _all(root) if node.type == "variable_expr")


def _reference(node: tree_sitter.Node) -> tuple[str, ...]:
    names = [text_of(node)]
    following = node.next_named_sibling
    while following is not None and following.type in {"get_attr", "index", "splat"}:
        names += (
            [text_of(each) for each in _all(following) if each.type == "identifier"][:1]
            if (following.type == "get_attr")
            else []
        )
        following = following.next_named_sibling
    return tuple(names)


def _all(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.named_children:
        yield from _all(child)


@functools.cache
def _loop_names(root: tree_sitter.Node) -> frozenset[str]:
    loops = [node for node in _all(root) if node.type == "for_intro"]
    return frozenset(text_of(name) for node in loops for name in node.named_children if name.type == "identifier")


def _of_names(module: Module) -> Iterator[str]:
    used = references(module)
    declared: set[tuple[str, ...]] = {("var", name) for name in module.variables} | {
        ("local", name) for name in module.locals
    }
    declared |= {tuple(each.address.split(".")) for each in module.resources}
    heads = {each[: 3 if each[0] == "data" else 2] for each in used if len(each) > 1}
    loops = {name for root in module.roots.values() for name in _loop_names(root)}
    dynamic = {"private_dns_zone_group", "action"}
    for each in sorted(heads - declared):
        if each[0] not in _BUILT_IN | loops | dynamic:
            yield f"{'.'.join(each)} is not declared"
    for each in sorted(each for each in declared - heads if each[0] in {"var", "local"}):
        yield f"{'.'.join(each)} is never used"


def _of_attributes(module: Module, known: Mapping[str, Any]) -> Iterator[str]:
    """Look for `azurerm_key_vault.vault.idd`."""
    kinds = {tuple(each.address.split(".")): each.kind for each in module.resources}
    for each in sorted(references(module)):
        head = each[: 3 if each[0] == "data" else 2]
        rest = each[len(head) :]
        exported = known.get(kinds.get(head, ""), {}).get("exports")
        if exported and rest and rest[0] not in exported:
            yield f"{'.'.join(head)} has no attribute {rest[0]}"
