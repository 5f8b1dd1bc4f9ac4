"""What may each Terraform resource hold? Writes `infra/schemas/providers.json`, against which the module is checked.

The bindings of CDK Terrain are generated from the schemas of the providers themselves, one struct for each block, and
PyPI has them. They are not needed to run the checks, so they are not among the requirements.

    pip download --no-deps --dest /tmp/providers cdktn-provider-azapi==1.0.0 \
        cdktn-provider-azuread==17.1.0 cdktn-provider-azurerm==18.9.0
    python -m tests.infra.extract_providers /tmp/providers

A block is {"required": [names], "attributes": {name: shape}}; a shape is "string", "number", "bool", "any",
{"list": shape}, {"map": shape}, or a block. What a block may hold several times is {"list": block}.
"exports" are the attributes that other blocks may read.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.infra.terraform import PROVIDERS, used_types

#: Which version of each provider the bindings were made from stands in the links to its documentation.
_VERSION = re.compile(r"providers/[\w-]+/\w+/(\d+\.\d+\.\d+)/")
_NAME = re.compile(r"#(\w+) ")


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    for provider in ("azapi", "azuread", "azurerm"):
        [wheel] = folder.glob(f"cdktn_provider_{provider}-*.whl")
        types = bindings(wheel)
        own = [each for each in used_types() if each.split(".")[-1].startswith(f"{provider}_")]
        found[provider] = {
            "source": wheel.name.removesuffix("-py3-none-any.whl"),
            "version": version_of(types),
            "types": {name: described(name, provider, types) for name in sorted(own)},
        }
    PROVIDERS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def version_of(types: Mapping[str, Any]) -> str:
    link = _VERSION.search(json.dumps(types))
    assert link is not None
    return link[1]


def bindings(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(archive.read(name))) as inner:
            member = inner.extractfile("package/.jsii")
            assert member is not None
            types: dict[str, Any] = json.load(member)["types"]
            return types


def described(name: str, provider: str, types: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a resource takes, and the names of what it gives."""
    struct = struct_of(name, provider, types)
    owner = types[struct.removesuffix("Config")]
    return {
        **block(struct, types, ()),
        "exports": sorted({"id", *(snake(each["name"]) for each in owner.get("properties", []))}),
    }


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def struct_of(name: str, provider: str, types: Mapping[str, Any]) -> str:
    """Return the struct of `azurerm_key_vault`, or of `data.azurerm_client_config`."""
    kind, _, whole = name.rpartition(".")
    words = [kind, *whole.split("_")] if kind else whole.split("_")[1:]
    module = words[0] + "".join(word.capitalize() for word in words[1:])
    prefix = f"@cdktn/provider-{provider}.{module}."
    structs = [each for each in types if each.startswith(prefix) and each.endswith("Config")]
    return min((each for each in structs if types[each]["kind"] == "interface"), key=len)


def block(struct: str, types: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    required, attributes = [], {}
    for each in types[struct].get("properties", []):
        link = _NAME.search(json.dumps(each.get("docs", {})))
        name = link[1] if link else snake(each["name"])
        if not above and name in ("id", "timeouts"):
            continue
        attributes[name] = shape(each["type"], types, (*above, struct))
        if not each.get("optional"):
            required.append(name)
    return {"required": sorted(required), "attributes": attributes}


def shape(described: Mapping[str, Any], types: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    if "union" in described:
        parts = [each for each in described["union"]["types"] if each.get("fqn") != "cdktn.IResolvable"]
        return shape(parts[0], types, above)
    if "collection" in described:
        kind = "list" if described["collection"]["kind"] == "array" else "map"
        element = shape(described["collection"]["elementtype"], types, above)
        # How the bindings write what may have any type: the body of azapi, for instance.
        return "any" if (kind, element) == ("map", "any") else {kind: element}
    if "fqn" in described:
        known = described["fqn"] in types and described["fqn"] not in above
        return block(described["fqn"], types, above) if known else "any"
    primitive = described["primitive"]
    return {"boolean": "bool"}.get(primitive, primitive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
