"""What does each template set, leaf by leaf? For the comparison of the two.

A leaf is `symbol.property.property`, rows of lists are `[]`; its value is a literal, or the text of an expression.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra import bicep, terraform

_Expression = bicep.Expression | terraform.Expression

#: Deployed by themselves, and what they set is in the others too.
_APART = {"main.bicep", "forward.bicep", "second-tenant.bicep"}


def of_bicep(files: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the values of each leaf of the resources of an installation."""
    found: dict[str, list[Any]] = {}
    for name in sorted(files.keys() - _APART):
        template = bicep.Template.parse(files[name])
        for resource in template.resources:
            if not resource.is_existing:
                body = {key: each for key, each in resource.body.items() if key not in bicep.OF_THE_LANGUAGE}
                _add(found, _of_value(resource.symbol, body))
    return found


def of_terraform(files: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the values of each leaf of the resources of the module, those of the directory left out."""
    found: dict[str, list[Any]] = {}
    for resource in terraform.Module.parse(files).of("resource"):
        if not resource.kind.startswith("azuread_"):
            _add(found, _of_block(resource.address, resource))
    return found


def _add(found: dict[str, list[Any]], leaves: Iterator[tuple[str, Any]]) -> None:
    for path, value in leaves:
        found.setdefault(path, []).append(value)


def _of_value(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _of_value(f"{path}.{key}", inner)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _of_value(f"{path}[]", inner)
    else:
        yield path, f"${{{value.text}}}" if isinstance(value, _Expression) else value


def _of_block(path: str, block: terraform.Block) -> Iterator[tuple[str, Any]]:
    for name, value in block.attributes.items():
        if name not in terraform.OF_THE_LANGUAGE:
            yield from _of_value(f"{path}.{name}", value)
    for inner in block.blocks:
        if inner.type not in terraform.OF_THE_LANGUAGE:
            yield from _of_block(f"{path}.{inner.type}", inner)
