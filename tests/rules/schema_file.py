"""docs/rules.schema.json: what editors complete and check rules files by, made from the model.

python -m tests.rules.schema_file    writes the file; a test compares it
"""

import json
from pathlib import Path

from itsm_bridge.rules.schema import schema

FILE = Path(__file__).parents[2] / "docs" / "rules.schema.json"


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
