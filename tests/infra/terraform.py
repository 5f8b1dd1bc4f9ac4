"""Is this Terraform module right? It is parsed, and what it says is held against the schemas of its providers.

Not `terraform validate`, which the workflow runs and which needs the providers themselves. What this finds without
them: syntax errors, unknown names, variables and locals without use, unknown, missing and ill-typed arguments,
attributes that a resource does not have, and bodies of azapi that do not fit Azure's resource type.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tree_sitter
import tree_sitter_hcl

from tests.infra.bicep import TYPES

ROOT = Path(__file__).parents[2] / "infra"
PROVIDERS = ROOT / "schemas" / "providers.json"
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "terraform").glob("*.tf"))}

#: What every resource may say besides its own arguments.
OF_THE_LANGUAGE = {"count", "for_each", "depends_on", "provider", "lifecycle"}
SCALARS: Mapping[str, Any] = {"string": str, "number": (int, float), "bool": bool}
#: Names that are not declared: loops, paths, and the current row.
_BUILT_IN = {"each", "count", "path", "self", "terraform"}

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_hcl.language()))


@dataclass(frozen=True, slots=True)
class Expression:
    """Whatever is not a literal."""

    node: tree_sitter.Node

    @property
    def text(self) -> str:
        return " ".join(text_of(self.node).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block with its labels, for instance resource "azurerm_key_vault" "vault"."""

    type: str
    labels: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: tuple["Block", ...] = ()
    line: int

    @property
    def address(self) -> str:
        """Return what other blocks call it: azurerm_key_vault.vault, or data.azurerm_client_config.current."""
        return ".".join(("data", *self.labels) if self.type == "data" else self.labels)

    @property
    def kind(self) -> str:
        """Return the type of a resource or of a source of data."""
        return self.address.rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """All files of a folder, which are one to Terraform."""

    blocks: tuple[Block, ...]
    roots: Mapping[str, tree_sitter.Node]

    @classmethod
    def parse(cls, files: Mapping[str, str]) -> Self:
        roots = {name: _PARSER.parse(text.encode()).root_node for name, text in files.items()}
        blocks = [each for root in roots.values() for body in root.named_children for each in _blocks(body)]
        return cls(blocks=tuple(blocks), roots=roots)

    def of(self, kind: str) -> list[Block]:
        return [each for each in self.blocks if each.type == kind]

    @property
    def resources(self) -> list[Block]:
        return [*self.of("resource"), *self.of("data")]

    @property
    def variables(self) -> dict[str, Block]:
        return {each.labels[0]: each for each in self.of("variable")}

    @property
    def locals(self) -> dict[str, Any]:
        return {name: value for each in self.of("locals") for name, value in each.attributes.items()}

    def resolved(self, value: Any) -> Any:
        """Follow a local to its value."""
        while isinstance(value, Expression) and value.text.removeprefix("local.") in self.locals:
            value = self.locals[value.text.removeprefix("local.")]
        return value


def text_of(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def value_of(node: tree_sitter.Node) -> Any:
    """Return the value of a literal; an `Expression` for anything else."""
    while node.type in {"expression", "literal_value", "collection_value", "template_expr"}:
        if len(node.named_children) != 1:
            return Expression(node)
        node = node.named_children[0]
    read = _LITERALS.get(node.type)
    is_plain = not any(child.type == "template_interpolation" for child in node.named_children)
    return read(node) if read and is_plain else Expression(node)


def _string(node: tree_sitter.Node) -> str:
    text = "".join(text_of(child) for child in node.named_children if child.type == "template_literal")
    unescaped: str = json.loads(f'"{text}"')
    return unescaped


def _object(node: tree_sitter.Node) -> dict[str, Any]:
    elements = [child for child in node.named_children if child.type == "object_elem"]
    return {_key(each.named_children[0]): value_of(each.named_children[-1]) for each in elements}


def _key(node: tree_sitter.Node) -> str:
    value = value_of(node)
    return value.text.strip('"') if isinstance(value, Expression) else str(value)


def _tuple(node: tree_sitter.Node) -> list[Any]:
    return [value_of(child) for child in node.named_children if child.type == "expression"]


_LITERALS: Mapping[str, Callable[[tree_sitter.Node], Any]] = {
    "bool_lit": lambda node: text_of(node) == "true",
    "null_lit": lambda _: None,
    "numeric_lit": lambda node: int(text_of(node)),
    "object": _object,
    "quoted_template": _string,
    "string_lit": _string,
    "tuple": _tuple,
}


def _blocks(body: tree_sitter.Node) -> Iterator[Block]:
    for node in body.named_children:
        if node.type == "block":
            yield _block(node)


def _block(node: tree_sitter.Node) -> Block:
    names = [child for child in node.named_children if child.type in {"identifier", "string_lit"}]
    inner = next((child for child in node.named_children if child.type == "body"), None)
    attributes, blocks = {}, []
    for child in inner.named_children if inner else []:
        if child.type == "attribute":
            attributes[text_of(child.named_children[0])] = value_of(child.named_children[1])
        elif child.type == "block":
            blocks.append(_seen_through(_block(child)))
    labels = tuple(_string(each) if each.type == "string_lit" else text_of(each) for each in names[1:])
    return Block(
        type=text_of(names[0]),
        labels=labels,
        attributes=attributes,
        blocks=tuple(blocks),
        line=node.start_point[0] + 1,
    )


def _seen_through(block: Block) -> Block:
    """Return what a dynamic block makes."""
    if block.type != "dynamic":
        return block
    [content] = block.blocks
    return Block(type=block.labels[0], labels=(), attributes=content.attributes, blocks=content.blocks, line=block.line)


def used_types() -> set[str]:
    """Return the types of resources and data of the module."""
    return {each.kind for each in Module.parse(FILES).resources}


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
    found: set[tuple[str, ...]] = set()
    for root in module.roots.values():
        for node in _all(root):
            if node.type == "variable_expr":
                found.add(_reference(node))
    return found


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


def _of_names(module: Module) -> Iterator[str]:
    used = references(module)
    declared: set[tuple[str, ...]] = {("var", name) for name in module.variables} | {
        ("local", name) for name in module.locals
    }
    declared |= {tuple(each.address.split(".")) for each in module.resources}
    heads = {each[: 3 if each[0] == "data" else 2] for each in used if len(each) > 1}
    loops = {
        text_of(name)
        for root in module.roots.values()
        for node in _all(root)
        if node.type == "for_intro"
        for name in node.named_children
        if name.type == "identifier"
    }
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


def required_variables(module: Module) -> set[str]:
    return {name for name, each in module.variables.items() if "default" not in each.attributes}


def calls_of(files: Mapping[str, str]) -> list[Block]:
    """Return the modules that a configuration calls."""
    return [each for each in Module.parse(files).blocks if each.type == "module"]
