"""What does a Terraform module declare? It is parsed by tree-sitter; `terraform_checks` says whether it is right."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tree_sitter
import tree_sitter_hcl

ROOT = Path(__file__).parents[2] / "infra"
PROVIDERS = ROOT / "schemas" / "providers.json"
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "terraform").glob("*.tf"))}

#: What every resource may say besides its own arguments.
OF_THE_LANGUAGE = {"count", "for_each", "depends_on", "provider", "lifecycle"}

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


@dataclass(frozen=True, kw_only=True)
class Module:
    """All files of a folder, which are one to Terraform."""

    blocks: tuple[Block, ...]
    roots: Mapping[str, tree_sitter.Node]

    @classmethod
    def parse(cls, files: Mapping[str, str]) -> Self:
        parsed = {name: _parsed(text) for name, text in files.items()}
        roots = {name: root for name, (root, _) in parsed.items()}
        return cls(blocks=tuple(each for _, blocks in parsed.values() for each in blocks), roots=roots)

    def of(self, kind: str) -> list[Block]:
        return [each for each in self.blocks if each.type == kind]

    @property
    def resources(self) -> list[Block]:
        return [*self.of("resource"), *self.of("data")]

    @property
    def variables(self) -> dict[str, Block]:
        return {each.labels[0]: each for each in self.of("variable")}

    @functools.cached_property
    def locals(self) -> dict[str, Any]:
        return {name: value for each in self.of("locals") for name, value in each.attributes.items()}

    def resolved(self, value: Any) -> Any:
        """Follow a local to its value."""
        while isinstance(value, Expression) and value.text.removeprefix("local.") in self.locals:
            value = self.locals[value.text.removeprefix("local.")]
        return value


@functools.cache
def _parsed(text: str) -> tuple[tree_sitter.Node, tuple[Block, ...]]:
    """Parse a file, once for each text, because tests change one of many."""
    root = _PARSER.parse(text.encode()).root_node
    return root, tuple(each for body in root.named_children for each in _blocks(body))


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


def required_variables(module: Module) -> set[str]:
    return {name for name, each in module.variables.items() if "default" not in each.attributes}


def calls_of(files: Mapping[str, str]) -> list[Block]:
    """Return the modules that a configuration calls."""
    return [each for each in Module.parse(files).blocks if each.type == "module"]
