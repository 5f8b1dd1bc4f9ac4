import json
from datetime import timedelta
from pathlib import Path

import pytest

from itsm_bridge.errors import InvalidSettings
from itsm_bridge.settings import Settings, azure_from, servicenow_from, storage_from, telemetry_from

ROOT = Path(__file__).parents[1]

ONE = "5E2A8F31-0c4d-4b7e-9a66-2f1d3c7b8e90"

LEAST = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "ENTRA_TENANT_ID": "7a000000-0000-0000-0000-000000000000",
    "ENTRA_AUDIENCE": "api://itsm-bridge",
    "SERVICENOW_INSTANCE_URL": "https://dev1.service-now.com/",
    "SERVICENOW_API_KEY": "key-of-nobody",
}


def problems(**changes: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environ({**LEAST, **changes})
    return str(caught.value)


def test_what_is_not_set_has_its_default() -> None:
    settings = Settings.from_environ(LEAST)

    assert settings.entra.allowed_callers == ("461e8683-5575-4561-ac7f-899cc907d62a",)
    assert settings.entra.required_role == "ActionGroupsSecureWebhook"
    assert settings.entra.authority == "https://login.microsoftonline.com"
    assert settings.servicenow.instance_url == "https://dev1.service-now.com"
    assert settings.servicenow.max_concurrency == 4
    assert settings.allowed_subscriptions == frozenset()
    assert (settings.retry_horizon, settings.retention) == (timedelta(hours=72), timedelta(days=90))


def test_lists_are_separated_by_commas() -> None:
    settings = Settings.from_environ(
        {
            **LEAST,
            "ENTRA_AUDIENCE": "api://a, b ,",
            "ALLOWED_SUBSCRIPTIONS": f"{ONE}, {ONE}",
            "ENTRA_TENANT_ID": "t1,t2",
        }
    )

    assert settings.entra.audiences == ("api://a", "b")
    assert settings.entra.tenants == ("t1", "t2")
    assert settings.allowed_subscriptions == {ONE.lower()}


@pytest.mark.parametrize("word", ["tenant", "Tenant", " TENANT "])
def test_a_word_among_the_subscriptions_stands_for_alerts_that_name_none(word: str) -> None:
    settings = Settings.from_environ({**LEAST, "ALLOWED_SUBSCRIPTIONS": f"{ONE},{word}"})

    assert settings.allowed_subscriptions == {ONE.lower(), "tenant"}


@pytest.mark.parametrize("text", ["tenants", "Shop production", f"/subscriptions/{ONE}", f"{ONE};{ONE}", f"{ONE},all"])
def test_what_is_no_subscription_id_is_named_without_its_value(text: str) -> None:
    assert problems(ALLOWED_SUBSCRIPTIONS=text) == (
        "ALLOWED_SUBSCRIPTIONS must be subscription ids and the word tenant, separated by commas"
    )


def test_the_empty_string_switches_the_role_check_off() -> None:
    assert Settings.from_environ({**LEAST, "ENTRA_REQUIRED_ROLE": ""}).entra.required_role == ""


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environ({})

    message = str(caught.value)
    for name in ("AzureWebJobsStorage", "ENTRA_TENANT_ID", "ENTRA_AUDIENCE", "SERVICENOW_INSTANCE_URL", "credentials"):
        assert name in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICENOW_INSTANCE_URL", "http://dev1.service-now.com"),
        ("SERVICENOW_INSTANCE_URL", "dev1.service-now.com"),
        ("SERVICENOW_INSTANCE_URL", "https://me:secret@dev1.service-now.com"),
        ("SERVICENOW_INSTANCE_URL", "https://dev1.service-now.com?x=1"),
        ("SERVICENOW_INSTANCE_URL", "https://[broken"),
        ("ENTRA_AUTHORITY", "http://login.example.com"),
        ("ENTRA_TENANT_ID", "../common"),
        ("ENTRA_ALLOWED_CALLERS", " , "),
        ("SERVICENOW_MAX_CONCURRENCY", "0"),
        ("SERVICENOW_MAX_CONCURRENCY", "many"),
        ("RETRY_HORIZON_HOURS", "-1"),
        ("RETENTION_DAYS", "1.5"),
        ("AzureWebJobsStorage", "nonsense"),
        ("AzureWebJobsStorage", "AccountName=x"),
        ("AzureWebJobsStorage", "AccountName=x;AccountKey=not base 64"),
        ("SERVICENOW_API_KEY", "umläut"),
        ("SERVICENOW_USERNAME", "only-half"),
        ("SERVICENOW_CLIENT_SECRET", "only-half"),
    ],
)
def test_what_is_malformed_is_named_without_its_value(name: str, value: str) -> None:
    message = problems(**{name: value})

    assert name in message
    assert value.strip(" ,") not in message or value in {"0", "-1", " , "}


def test_a_secret_that_the_platform_could_not_fetch_is_not_sent_in_its_place() -> None:
    message = problems(SERVICENOW_API_KEY="@Microsoft.KeyVault(SecretUri=https://v.example/secrets/key)")

    assert message.startswith("SERVICENOW_API_KEY is a Key Vault reference that was not resolved")
    assert message.count("was not resolved") == 1


def test_plain_http_is_allowed_to_loopback() -> None:
    settings = Settings.from_environ({**LEAST, "SERVICENOW_INSTANCE_URL": "http://127.0.0.1:8080"})

    assert settings.servicenow.instance_url == "http://127.0.0.1:8080"


def test_storage_can_be_reached_by_identity() -> None:
    by_name = Settings.from_environ({**LEAST, "AzureWebJobsStorage": "", "AzureWebJobsStorage__accountName": "shop"})
    by_uri = Settings.from_environ(
        {
            **LEAST,
            "AzureWebJobsStorage": "",
            "AzureWebJobsStorage__tableServiceUri": "https://t.example",
            "AzureWebJobsStorage__queueServiceUri": "https://q.example",
        }
    )

    assert by_name.storage.table_service_uri == "https://shop.table.core.windows.net"
    assert by_name.storage.queue_service_uri == "https://shop.queue.core.windows.net"
    assert (by_uri.storage.table_service_uri, by_uri.storage.queue_service_uri) == (
        "https://t.example",
        "https://q.example",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("AzureWebJobsStorage__accountName", "my account/"), ("AzureWebJobsStorage__tableServiceUri", "nonsense")],
)
def test_an_address_of_storage_that_is_none_is_named(name: str, value: str) -> None:
    assert name in problems(**{"AzureWebJobsStorage": "", name: value})


def test_no_secret_is_shown() -> None:
    environ = {
        **LEAST,
        "AzureWebJobsStorage": "AccountName=a;AccountKey=aHVzaA==",
        "SERVICENOW_API_KEY": "hush-api",
        "SERVICENOW_CLIENT_ID": "id",
        "SERVICENOW_CLIENT_SECRET": "hush-secret",
        "SERVICENOW_USERNAME": "user",
        "SERVICENOW_PASSWORD": "hush-password",
    }

    shown = repr(Settings.from_environ(environ))
    assert "hush" not in shown
    assert "aHVzaA" not in shown


class _Recording(dict[str, str]):
    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        self.asked.add(key)
        return super().get(key, default)


def test_the_example_lists_every_setting_and_no_other() -> None:
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    environ = _Recording({name: value for name, value in example.items() if value} | LEAST)

    Settings.from_environ(environ)

    of_the_host = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT"}
    assert environ.asked == set(example) - of_the_host


def test_a_rules_file_is_named_and_not_looked_at() -> None:
    assert Settings.from_environ(LEAST).rules_file == ""
    assert (
        Settings.from_environ({**LEAST, "ITSM_RULES_FILE": " no/such/rules.yaml "}).rules_file == "no/such/rules.yaml"
    )


def test_a_command_needs_only_the_settings_of_what_it_touches() -> None:
    storage = {name: value for name, value in LEAST.items() if name.startswith("AzureWebJobsStorage")}
    instance = {name: value for name, value in LEAST.items() if name.startswith("SERVICENOW_")}

    assert storage_from(storage) == Settings.from_environ(LEAST).storage
    assert servicenow_from(instance) == Settings.from_environ(LEAST).servicenow
    with pytest.raises(InvalidSettings, match=r"^AzureWebJobsStorage is missing"):
        storage_from(instance)
    with pytest.raises(InvalidSettings, match=r"^SERVICENOW_INSTANCE_URL is missing"):
        servicenow_from(storage)


def test_what_is_wrong_with_telemetry_refuses_no_alert() -> None:
    environ = {**LEAST, "TELEMETRY_TO_APPLICATION_INSIGHTS": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}

    assert Settings.from_environ(environ)
    assert telemetry_from(environ).is_wanted


def test_nothing_is_measured_for_anybody_by_default() -> None:
    assert not telemetry_from({"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x"}).is_wanted


def test_telemetry_names_no_connection_string() -> None:
    environ = {"TELEMETRY_TO_APPLICATION_INSIGHTS": "true", "APPLICATIONINSIGHTS_CONNECTION_STRING": "Key=secret"}

    assert "secret" not in repr(telemetry_from(environ))


GROUP = f"/subscriptions/{ONE}/resourceGroups/rg-Watch (1)/providers/Microsoft.Insights/actionGroups/ag itsm"


class TestAzure:
    def test_nothing_is_asked_of_azures_list_unless_a_setting_says_so(self) -> None:
        azure = Settings.from_environ(LEAST).azure

        assert not azure.is_wanted
        assert azure == (frozenset(), False, False, "", "https://management.azure.com")
        assert azure == azure_from({})

    def test_action_groups_are_known_whatever_their_case(self) -> None:
        azure = azure_from({"AZURE_ACTION_GROUP_IDS": f"{GROUP}, {GROUP.upper()}", "RECOVER_MISSED_ALERTS": "True"})

        assert azure.action_groups == {GROUP.lower()}
        assert azure.recovers_missed_alerts
        assert azure.is_wanted

    @pytest.mark.parametrize(
        "text",
        [
            "ag-itsm-bridge",
            f"/subscriptions/{ONE}/resourceGroups/rg",
            "/subscriptions/shop/resourceGroups/rg/providers/Microsoft.Insights/actionGroups/ag",
            f"{GROUP}/",
            f"{GROUP}?x=1",
            f"https://management.azure.com{GROUP}",
            GROUP.replace("actionGroups", "metricAlerts"),
        ],
    )
    def test_what_is_no_action_group_is_named_without_its_value(self, text: str) -> None:
        message = problems(AZURE_ACTION_GROUP_IDS=text)

        assert message.startswith("AZURE_ACTION_GROUP_IDS must be resource ids of action groups")
        assert text not in message

    def test_missed_alerts_cannot_be_told_from_others_without_action_groups(self) -> None:
        message = problems(RECOVER_MISSED_ALERTS="true", RETENTION_DAYS="soon", SYNC_ALERT_STATE="perhaps")

        assert "RECOVER_MISSED_ALERTS needs AZURE_ACTION_GROUP_IDS" in message
        assert "SYNC_ALERT_STATE must be true or false" in message
        assert "RETENTION_DAYS" in message

    def test_the_state_of_alerts_needs_no_action_groups(self) -> None:
        azure = azure_from({"SYNC_ALERT_STATE": "true"})

        assert azure.syncs_alert_state
        assert azure.is_wanted

    def test_the_identity_is_that_of_storage_unless_another_is_named(self) -> None:
        of_storage = azure_from({"AzureWebJobsStorage__clientId": "x"})
        own = azure_from({"AzureWebJobsStorage__clientId": "x", "AZURE_CLIENT_ID": ONE})

        assert (of_storage.client_id, own.client_id) == ("x", ONE)
        assert "AZURE_CLIENT_ID" in problems(AZURE_CLIENT_ID="id-itsm-bridge")

    def test_a_national_cloud_has_an_endpoint_of_its_own(self) -> None:
        azure = azure_from({"AZURE_RESOURCE_MANAGER": "https://management.usgovcloudapi.net/"})

        assert azure.endpoint == "https://management.usgovcloudapi.net"
        assert "AZURE_RESOURCE_MANAGER" in problems(AZURE_RESOURCE_MANAGER="http://management.azure.com")
        assert azure_from({"AZURE_RESOURCE_MANAGER": "http://127.0.0.1:1"}).endpoint == "http://127.0.0.1:1"
