from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # They start nothing, and parse for seconds: too long for the quick tests.
    return True if config.option.quick and collection_path.name.startswith("test_") else None
