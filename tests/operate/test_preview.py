"""`preview` shows the incident that an alert would become, without network and settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.operate import cli
from local.alerts import SAMPLES
from tests.alert_files import NAMES, alert_of, document_of, notified
from tests.builders import news_of

SHOP = """version: 1
defaults: { set: { caller_id: { user_name: azure.monitor } } }
windows: { night: { from: "22:00", to: "06:00", time_zone: Europe/Berlin } }
rules:
  - name: shop
    match: { resource_group: shop-* }
    set: { assignment_group: { name: Shop }, short_description: "{{ severity }} {{ rule }}" }
    lifecycle: { hold: 5m }
  - name: nights are quiet
    match: { during: night, severity: [Sev3, Sev4] }
    action: ignore
"""
#: What the samples become by the built-in rules, as `preview` prints it: read it as an operator would.
TABLE = Path(__file__).with_name("samples.txt")
TRIAL = Path(__file__).parents[2] / "docs" / "rules" / "trial.yaml"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, no storage, no ServiceNow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ITSM_RULES_FILE", raising=False)
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")


def sample(name: str) -> str:
    return str(SAMPLES / f"{name}.json")


def previewed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert cli.main(["preview", *arguments]) == status
    out, error = capsys.readouterr()
    return error if status else out


def test_all_samples_become_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m itsm_bridge preview local/alerts/samples > tests/operate/samples.txt` writes it anew."""
    assert previewed(capsys, str(SAMPLES)) == TABLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_without_rules_it_is_the_incident_that_the_program_makes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(previewed(capsys, sample(name), "--json"))
    news = notified(name)

    assert set(told) == {"alert_key", "action", "fields", "because", "lifecycle"}
    assert (told["alert_key"], told["action"]) == (news.key, "incident")
    assert told["fields"] == {
        "correlation_id": news.key,
        "sys_id": told["fields"]["sys_id"],
        **news.content.fields,
        **news.content.fields_at_creation,
    }
    assert set(told["because"].values()) == {"built-in"}


def test_the_json_names_fields_and_the_rules_that_set_them(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(previewed(capsys, sample("metric-static.fired"), "--rules", "shop.yaml", "--json"))

    assert told["action"] == "incident"
    assert told["fields"]["short_description"] == "Sev1 High CPU on web servers"
    assert told["fields"]["assignment_group"] == {"name": "Shop"}
    assert told["fields"]["impact"] == "1"
    because = told["because"]
    assert [because[each] for each in ("short_description", "assignment_group", "caller_id", "impact", "hold")] == [
        "shop",
        "shop",
        "defaults",
        "built-in",
        "shop",
    ]
    assert told["lifecycle"] == {
        "auto_resolve": "resolve",
        "reopen_within": "always",
        "after_closed": "new",
        "hold": "5m",
        "close_after": "never",
        "correlate": {"per": "alert", "within": None},
        "storm": None,
    }


def test_an_alert_on_trial_shows_the_incident_that_there_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    trial = ("--rules", str(TRIAL))

    told = json.loads(previewed(capsys, sample("metric-static.fired"), *trial, "--json"))
    text = previewed(capsys, sample("metric-static.fired"), *trial)
    folder = previewed(capsys, str(SAMPLES), *trial)

    assert (told["action"], told["shadow"], told["because"]["action"]) == ("incident", True, "trial")
    assert told["fields"]["short_description"].startswith("Sev1:")
    assert 'Incident   one, once the trial by the rule "trial" is over' in text
    assert " on trial." in folder


def test_an_alert_that_a_rule_ignores_has_no_fields(capsys: pytest.CaptureFixture[str]) -> None:
    night = ("--rules", "shop.yaml", "--at", "2026-03-02T23:00+01:00")

    told = json.loads(previewed(capsys, sample("activity-log-policy"), *night, "--json"))
    text = previewed(capsys, sample("activity-log-policy"), *night)
    by_day = previewed(capsys, sample("activity-log-policy"), "--rules", "shop.yaml", "--at", "2026-03-02T12:00")

    assert (told["action"], told["fields"], told["because"]["action"]) == ("ignore", {}, "nights are quiet")
    assert 'Incident   none, says the rule "nights are quiet"' in text
    assert "Incident   one" in by_day


def test_the_page_of_one_alert_is_the_incident_as_a_person_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = previewed(capsys, sample("activity-log-security"), "--rules", "shop.yaml")

    assert "Severity   Sev1, because the security alert is of severity High\n" in text
    assert "  Severity: Sev1, because the security alert is of severity High\n" in text
    lines = [line.split() for line in text.split("\n")]
    assert ["assignment_group", "name:", "Shop", "shop"] in lines
    assert ["hold", "5m", "shop"] in lines


def test_an_explanation_says_of_each_rule_whether_it_applies(capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--rules", "shop.yaml", "--explain", "--at", "2026-03-02T12:00+00:00")

    text = previewed(capsys, sample("metric-static.fired"), *at)
    told = json.loads(previewed(capsys, sample("metric-static.fired"), *at, "--json"))

    assert "+ shop: says assignment_group, short_description, hold\n" in text
    assert "- nights are quiet: severity is sev1, not Sev3 or Sev4\n" in text
    assert "- test notification (built-in): it is no test\n" in text
    assert [each["name"] for each in told["rules"] if each["applies"]] == ["shop"]


def test_a_folder_is_a_table_and_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    text = previewed(capsys, str(SAMPLES), "--rules", "shop.yaml")
    told: Any = json.loads(previewed(capsys, str(SAMPLES), "--rules", "shop.yaml", "--json"))

    assert f"\n{len(NAMES)} alerts, " in text
    assert sorted(each["file"] for each in told) == sorted(f"{name}.json" for name in NAMES)
    assert {each["alert_key"] for each in told} == {news_of(alert_of(name)).key for name in NAMES}


def test_the_file_of_the_setting_counts_unless_another_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ITSM_RULES_FILE", "shop.yaml")
    (tmp_path / "none.yaml").write_text("version: 1\n", encoding="utf-8")

    by_setting = json.loads(previewed(capsys, sample("metric-static.fired"), "--json"))
    by_option = json.loads(previewed(capsys, sample("metric-static.fired"), "--rules", "none.yaml", "--json"))

    assert by_setting["because"]["short_description"] == "shop"
    assert by_option["because"]["short_description"] == "built-in"


def test_a_template_that_fails_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = 'version: 1\nrules: [{ name: odd, set: { category: "{{ custom < 1 }}" } }]'
    (tmp_path / "odd.yaml").write_text(rules, encoding="utf-8")
    fault = 'the template of category in the rule "odd" gives no text: it fails with TypeError'

    told = json.loads(previewed(capsys, sample("metric-static.fired"), "--rules", "odd.yaml", "--json"))

    assert told["faults"] == [fault]
    assert f"FAULTS\n{fault}" in previewed(capsys, sample("metric-static.fired"), "--rules", "odd.yaml")
    assert "with faults." in previewed(capsys, str(SAMPLES), "--rules", "odd.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.json",), "nothing.json: No such file or directory"),
        (("empty",), "empty: there is no *.json in this folder"),
        (("text.json",), "text.json: The body is not JSON"),
        (("list.json",), "list.json: The body is not a JSON object"),
        (("big.json",), "big.json: it is larger than 1 MiB"),
        (("alert.json", "--rules", "nothing.yaml"), "nothing.yaml: No such file or directory"),
        (("alert.json", "--rules", "wrong.yaml"), "wrong.yaml:1:1: version is missing (write version: 1)"),
        (("alert.json", "--rules", "empty"), "empty: Is a directory"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for name, text in {
        "text.json": "no",
        "list.json": "[]",
        "big.json": " " * 2**20 + "{}",
        "wrong.yaml": "a: b",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "alert.json").write_text(json.dumps(document_of("metric-static.fired")), encoding="utf-8")

    assert said in previewed(capsys, *arguments, status=2)


def test_one_file_of_a_folder_that_is_no_alert_hides_no_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text("no", encoding="utf-8")
    (tmp_path / "b.json").write_text("{}", encoding="utf-8")

    status = cli.main(["preview", str(tmp_path)])
    out, error = capsys.readouterr()

    assert status == 2
    assert "b.json" in out
    assert "a.json: The body is not JSON" in error


def test_alerts_that_share_an_incident_have_its_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = tmp_path / "machines.yaml"
    rules.write_text("version: 1\ndefaults: { correlate: { per: resource } }\n", encoding="utf-8")
    names = ("metric-static.fired", "metric-static.resolved")

    keys = {json.loads(previewed(capsys, sample(name), "--rules", str(rules), "--json"))["alert_key"] for name in names}

    assert len(keys) == 1
    assert keys != {notified(names[0]).key}
