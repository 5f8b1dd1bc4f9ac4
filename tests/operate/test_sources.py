"""Where the settings of a command come from."""

import json
import os
from pathlib import Path

import pytest

from itsm_bridge.errors import InvalidSettings
from itsm_bridge.operate import cli
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.operate.sources import WORLDS, environment, local_world
from itsm_bridge.settings import storage_from


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AzureWebJobsStorage", "ENTRA_", "SERVICENOW_", "LOCAL_WORLD")):
            monkeypatch.delenv(name)


def leave_world(folder: Path, name: str = "one", text: str | None = None) -> None:
    path = folder / WORLDS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or json.dumps({"settings": {"ENTRA_TENANT_ID": name, "N": 1}, "webhook": "http://x"}))


def test_the_local_world_is_used_if_nothing_else_says_anything(tmp_path: Path) -> None:
    leave_world(tmp_path)

    assert environment(tmp_path)["ENTRA_TENANT_ID"] == "one"
    assert environment(tmp_path)["N"] == "1"


def test_a_setting_in_the_environment_hides_the_local_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_world(tmp_path)
    monkeypatch.setenv("SERVICENOW_API_KEY", "made-up")

    assert "ENTRA_TENANT_ID" not in environment(tmp_path)


def test_of_two_worlds_the_one_that_is_named_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_world(tmp_path, "one")
    leave_world(tmp_path, "two")

    with pytest.raises(NotUnderstood, match="one, two"):
        environment(tmp_path)
    monkeypatch.setenv("LOCAL_WORLD", "two")
    assert environment(tmp_path)["ENTRA_TENANT_ID"] == "two"
    monkeypatch.setenv("LOCAL_WORLD", "three")
    with pytest.raises(NotUnderstood, match="no local world three"):
        environment(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", "nonsense", '{"settings": []}'])
def test_a_file_that_no_world_left(text: str, tmp_path: Path) -> None:
    leave_world(tmp_path, text=text)

    with pytest.raises(InvalidSettings, match="remove it"):
        local_world(tmp_path)


def test_an_account_by_its_name_replaces_the_storage_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_world(tmp_path)
    monkeypatch.setenv("AzureWebJobsStorage", "@Microsoft.KeyVault(SecretUri=https://v.example/s)")

    settings = storage_from(environment(tmp_path, account="stbridge"))

    assert settings.table_service_uri == "https://stbridge.table.core.windows.net"
    assert (settings.connection_string, settings.credential) == ("", "")


@pytest.mark.parametrize("name", ["UPPER_case!", "a", "https://x.table.core.windows.net"])
def test_what_is_no_name_of_an_account(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.main(["status", "--account", name]) == 2
    assert "not the name of a storage account" in capsys.readouterr().err


def test_a_key_vault_reference_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AzureWebJobsStorage", "@Microsoft.KeyVault(SecretUri=https://v.example/s)")

    assert cli.main(["status"]) == 2
    assert "is a Key Vault reference that was not resolved" in capsys.readouterr().err
