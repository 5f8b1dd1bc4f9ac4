"""How do editors learn what a rules file may say?

`docs/rules.schema.json` is written with this, and a test keeps it current; YAML language servers complete and check by
it. It is made of `model`, which it cannot wholly express: what stands between two values is found by `rules check`.

Source of truth: https://json-schema.org/draft/2020-12 and https://github.com/redhat-developer/yaml-language-server
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from itsm_bridge.rules.model import RulesFile


def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a rules file."""
    made = msgspec.json.schema(RulesFile)
    for each in made["$defs"].values():
        # The names of classes are not what editors should show.
        each.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of itsm-bridge",
        **made,
    }
