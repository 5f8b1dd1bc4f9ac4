"""The files that are written say what the actions did, can be used as they are, and hold no secret."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from itsm_bridge.app import compile_rules
from itsm_bridge.migration.exports import read, resources_of
from itsm_bridge.migration.inventory import Inventory, inventory_of
from itsm_bridge.migration.rules_text import TRIAL
from itsm_bridge.migration.servicenow_templates import templates_of
from itsm_bridge.operate.migrate import files_of
from tests.infra import bicep, bicep_checks, terraform, terraform_checks
from tests.migration.estate import (
    CONNECTION,
    GROUPS,
    OTHER_CONNECTION,
    OTHER_SUBSCRIPTION,
    RULES,
    SECRET,
    SUBSCRIPTION,
    action,
    exported,
    group,
    resources,
    ticket,
)

INVENTORY = inventory_of(read(exported()))
FILES = files_of(INVENTORY)
PLACE = f"{'_'.join(SUBSCRIPTION.split('-'))}-rg_alerts"
WITH_ITSM = [each for each in GROUPS.values() if each["properties"]["itsmReceivers"]]
GOLDEN = Path(__file__).parent / "expected"


def rules(name: str = "rules.yaml", files: Mapping[str, str] = FILES) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in yaml.safe_load(files[name]).get("rules", ())}


def own(text: str) -> list[str]:
    """Return the names of the rules of a file, once the checker took it."""
    return [each.name for each in compile_rules(text).rules if not each.is_built_in]


def of(*groups: dict[str, Any], connections: tuple[str, ...] = ()) -> Inventory:
    return inventory_of(resources_of([*groups, *RULES]), connections=connections)


def test_there_is_a_file_for_each_purpose() -> None:
    assert {name.partition("/")[0] for name in FILES} == {
        *("report.md", "inventory.json", "rules.yaml", "rules-trial.yaml", "bicep", "terraform"),
        *("az-trial.sh", "az-trial-back.sh", "az-final.sh", "az-final-back.sh"),
    }


def test_no_file_holds_a_secret() -> None:
    assert not [name for name, text in FILES.items() if SECRET in text]


@pytest.mark.parametrize("name", ["report.md", "rules-trial.yaml"])
def test_the_whole_file_is_as_people_last_read_it(name: str) -> None:
    assert FILES[name] == (GOLDEN / name).read_text(encoding="utf-8")


class TestRules:
    """Mode and fields are those of the action."""

    @pytest.mark.parametrize("name", ["rules.yaml", "rules-trial.yaml"])
    def test_they_have_no_fault(self, name: str) -> None:
        assert own(FILES[name]) == list(rules(name))

    def test_both_files_differ_by_the_trial_alone(self) -> None:
        trial = rules("rules-trial.yaml")

        assert next(iter(trial)) == TRIAL
        assert trial.pop(TRIAL) == {"name": TRIAL, "action": "shadow"}
        assert trial == rules()

    @pytest.mark.parametrize(
        ("name", "per", "fields"),
        [
            (
                "ag-per-ci / ServiceNow",
                "resource",
                {"contact_type": "email", "impact": "3", "urgency": "2", "category": "software"},
            ),
            ("ag-per-rule / ServiceNow", "rule", {"contact_type": "email", "impact": "3"}),
        ],
    )
    def test_mode_and_fields_are_reproduced(self, name: str, per: str, fields: dict[str, str]) -> None:
        whole, log_search = rules()[name], rules()[f"{name}: log search"]

        assert (whole["correlate"], log_search["correlate"]) == ({"per": "alert"}, {"per": per})
        assert whole["lifecycle"] == {"auto_resolve": "note", "after_closed": "new"}
        assert fields.items() <= whole["set"].items()
        assert log_search["match"]["rule"] == whole["match"]["rule"]
        assert "Log Alerts V2" in log_search["match"]["service"]

    def test_alerts_of_metrics_and_of_the_activity_log_have_one_each_in_every_mode(self) -> None:
        made = {name: each for name, each in rules().items() if name.startswith(("ag-metrics", "ag-by-hand"))}

        assert list(made) == ["ag-by-hand / ServiceNow", "ag-metrics / ServiceNow"]
        assert made["ag-metrics / ServiceNow"]["set"] == {"impact": "1", "urgency": "1"}
        assert {each["correlate"]["per"] for each in made.values()} == {"alert"}

    def test_the_alert_rules_of_the_group_are_matched_by_every_name_that_they_have(self) -> None:
        assert rules()["ag-per-ci / ServiceNow"]["match"] == {"rule": ["disk-full", "Disk is full"]}
        assert set(rules()["ag-several / ServiceNow"]["match"]["rule"]) == {"anomalies", "PodCrashes", "NodeDown"}

    def test_an_alert_processing_rule_is_matched_by_its_scope_and_severity(self) -> None:
        match = rules()["ag-template / ServiceNow"]["match"]

        scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-pay"
        assert match == {"resource": {"id": [scope, f"{scope}/*"]}, "severity": ["Sev0", "Sev1"]}
        assert "no equal: the condition of the processing rule pay is vital: MonitorService" in FILES["rules.yaml"]

    def test_a_name_of_another_record_is_looked_up_and_what_no_rule_may_set_is_explained(self) -> None:
        assert rules()["ag-by-hand / ServiceNow"]["set"] == {"assignment_group": {"name": "Shop Operations"}}
        assert "no equal: priority: 2 (no rule may set priority" in FILES["rules.yaml"]
        assert "no equal: Colour: blue" in FILES["rules.yaml"]

    @pytest.mark.parametrize(
        ("part", "why"),
        [
            ("Event", "work items of the type Event"),
            ('template "Azure | outage"', "write the fields"),
            ("cannot be read", "not JSON"),
            ("each log entry", "events alone"),
        ],
    )
    def test_what_has_no_equal_stands_there_with_its_reason(self, part: str, why: str) -> None:
        assert any(part in line and why in line and "# no equal" in line for line in FILES["rules.yaml"].splitlines())

    @pytest.mark.parametrize("name", ["AZURE | outage", "Another"])
    def test_the_fields_of_a_template_that_was_exported_are_set(self, name: str) -> None:
        rows = [{"name": name, "sys_id": "1", "template": "impact=1^category=software^description=a^^b=c^EQ"}]
        export = resources_of([GROUPS["a template"], *RULES])

        files = files_of(inventory_of(export, templates=templates_of(rows)))

        made = rules(files=files)["ag-template / ServiceNow"].get("set", {})
        is_known = name != "Another"
        assert made == ({"impact": "1", "category": "software", "description": "a^b=c"} if is_known else {})
        assert ("changes nothing here" in files["rules.yaml"]) == is_known
        assert ("write the fields" in files["rules.yaml"]) != is_known

    def test_groups_of_one_name_have_rules_of_their_own(self) -> None:
        one = GROUPS["one for each rule"]
        other = json.loads(json.dumps(one).replace("rg-alerts", "rg-more"))
        user = json.loads(json.dumps(RULES[1]).replace("rg-alerts", "rg-more"))

        both = resources_of([one, other, *RULES, {**user, "id": "/x", "name": "more"}])

        text = files_of(inventory_of(both))["rules.yaml"]

        assert len(set(own(text))) == 4

    def test_an_alert_rule_of_two_groups_is_told(self) -> None:
        user = json.loads(json.dumps(RULES[3]))
        user["properties"]["actions"].append({"actionGroupId": GROUPS["one for each rule"]["id"]})
        pair = [GROUPS["one for each rule"], GROUPS["one for each alert"], user]

        files = files_of(inventory_of(resources_of(pair)))

        for name in ("report.md", "rules.yaml"):
            assert "metric alert rule cpu-high sends to several groups" in files[name]

    def test_a_group_that_nobody_uses_makes_no_rule_and_says_so(self) -> None:
        text = files_of(of(GROUPS["disabled"]))["rules.yaml"]

        assert "nothing to match" in text
        assert own(text) == []

    def test_actions_of_another_connection_are_left_out(self) -> None:
        files = files_of(inventory_of(read(exported()), connections=[OTHER_CONNECTION.upper()]))

        assert set(yaml.safe_load(files["rules-trial.yaml"])["rules"][0]) == {"name", "action"}
        assert "ag-per-ci" not in files["rules.yaml"]
        assert "ag-other-instance" in files["az-trial.sh"]
        assert "ag-per-ci" not in files["az-trial.sh"]

    @pytest.mark.parametrize(
        "odd",
        ['x"\n  - name: evil', "{{ alert }}", "{% if x %}", "a: b", "# no", "\u2028", "é", "'", "*x", "&x", "!x", "%x"],
    )
    def test_whatever_a_field_or_a_name_holds_it_says_nothing_else(self, odd: str) -> None:
        one = group(odd, action(odd, ticket({"category": odd, odd: "1", "short_description": odd})))
        user = json.loads(json.dumps(RULES[0]).replace("AG-per-CI", json.dumps(odd)[1:-1]))
        inventory = inventory_of(resources_of([one, {**user, "name": odd}]))

        files = files_of(inventory)

        made = rules("rules-trial.yaml", files)
        assert len(own(files["rules-trial.yaml"])) == len(made)
        assert all(name == TRIAL or each.get("action") is None for name, each in made.items())
        assert len(made) == (3 if inventory.groups[0].used_by else 1)


class TestTemplates:
    """Each states the action group as it is, and the webhook beside or in the place of the ITSM actions."""

    @pytest.mark.parametrize("step", ["trial", "final"])
    def test_bicep_fits_the_shape_of_the_resource(self, step: str) -> None:
        files = {name: text for name, text in FILES.items() if name.startswith(f"bicep/{step}/")}

        assert len(files) == 2
        assert [each for name, text in files.items() for each in bicep_checks.problems({name: text})] == []

    @pytest.mark.parametrize("step", ["trial", "final"])
    def test_terraform_fits_the_schema_of_the_provider(self, step: str) -> None:
        files = {name: text for name, text in FILES.items() if name.startswith(f"terraform/{step}/")}

        assert len(files) == 2
        assert [each for name, text in files.items() for each in terraform_checks.problems({name: text})] == []

    def bodies(self, step: str) -> dict[str, dict[str, Any]]:
        template = bicep.Template.parse(FILES[f"bicep/{step}/{PLACE}.bicep"])
        return {each.body["name"]: each.body for each in template.resources}

    def test_on_trial_nothing_is_taken_away(self) -> None:
        for name, body in self.bodies("trial").items():
            before = next(each for each in WITH_ITSM if each["name"] == name and SUBSCRIPTION in each["id"])
            for kind, rows in before["properties"].items():
                if not kind.endswith("Receivers"):
                    assert body["properties"][kind] == rows
                    continue
                kept = {each["name"]: each for each in body["properties"].get(kind, ())}
                assert {each["name"] for each in rows} <= set(kept)
                for row in rows:
                    plain = {key: value for key, value in row.items() if SECRET not in str(value) and key != "status"}
                    assert plain.items() <= kept[row["name"]].items()
            assert body["tags"] == before["tags"]

    def test_the_webhook_comes_beside_and_then_in_the_place(self) -> None:
        for step, has_itsm in (("trial", True), ("final", False)):
            for name, body in self.bodies(step).items():
                properties = body["properties"]
                hooks = [each for each in properties["webhookReceivers"] if each.get("useAadAuth")]
                assert (len(hooks), bool(properties.get("itsmReceivers"))) == (1, has_itsm), name

    def test_terraform_says_the_same_as_bicep(self) -> None:
        for step in ("trial", "final"):
            text = FILES[f"terraform/{step}/{PLACE.removesuffix('-rg_alerts')}/action_groups.tf"]
            module = terraform.Module.parse({"action_groups.tf": text})
            found = {each.attributes["name"]: each for each in module.resources}
            assert set(found) == set(self.bodies(step))
            for name, body in self.bodies(step).items():
                receivers = {
                    each["name"]
                    for kind, rows in body["properties"].items()
                    if kind.endswith("Receivers")
                    for each in rows
                }
                assert {each.attributes["name"] for each in found[name].blocks} == receivers

    def test_signs_of_the_languages_are_text(self) -> None:
        files = files_of(of({**group("ag", action("ServiceNow", ticket())), "tags": {"a b": "it's ${ours} %{x}\n"}}))

        assert "'a b': 'it\\'s \\${ours} %{x}\\n'" in files[f"bicep/trial/{PLACE}.bicep"]
        (terraform_file,) = [text for name, text in files.items() if name.startswith("terraform/trial/")]
        assert '"a b" = "it\'s $${ours} %%{x}\\n"' in terraform_file

    def test_an_action_that_stays_is_there_in_the_end(self) -> None:
        both = group("ag-two", action("moves", ticket()), action("stays", ticket(), connection=OTHER_CONNECTION))

        text = files_of(of(both, connections=(CONNECTION,)))[f"bicep/final/{PLACE}.bicep"]

        (body,) = [each.body for each in bicep.Template.parse(text).resources]
        assert [each["name"] for each in body["properties"]["itsmReceivers"]] == ["stays"]

    def test_a_receiver_that_has_the_name_already_gets_it_not_again(self) -> None:
        taken = group(
            "ag", action("ServiceNow", ticket()), emailReceivers=[{"name": "ITSM-bridge", "emailAddress": "x"}]
        )

        (one,) = of(taken).groups

        assert one.webhook == "itsm-bridge-2"


class TestScripts:
    """The commands are run by a shell, with an `az` that writes down what it is told."""

    @pytest.fixture
    def az(self, tmp_path: Path) -> Path:
        log = tmp_path / "log"
        fake = tmp_path / "az"
        fake.write_text(
            f'#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word" >> "{log}"; done\nprintf "\\n" >> "{log}"\n'
        )
        fake.chmod(0o755)
        return log

    def run(self, script: str, az: Path, **environ: str) -> tuple[int, str, list[list[str]]]:
        shell = shutil.which("sh")
        assert shell
        path = f"{az.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [shell, "-c", FILES[script]], env={"PATH": path, **environ}, capture_output=True, text=True, check=False
        )
        lines = az.read_text(encoding="utf-8").split("\0\n") if az.exists() else []
        return done.returncode, done.stderr, [line.split("\0") for line in lines if line]

    SETTINGS: Mapping[str, str] = {
        "BRIDGE_URI": "https://bridge.example/api/alerts?code=a b",
        "ENTRA_OBJECT_ID": "object",
        "ENTRA_IDENTIFIER_URI": "api://bridge",
    }

    def test_the_webhook_is_added_beside(self, az: Path) -> None:
        code, _, commands = self.run("az-trial.sh", az, **self.SETTINGS)

        assert code == 0
        # One of them has the webhook already.
        assert len(commands) == len(WITH_ITSM) - 1
        assert commands[0] == [
            *("monitor", "action-group", "update", "--subscription", SUBSCRIPTION, "--resource-group", "rg-alerts"),
            *("--name", "ag-broken", "--add-action", "webhook", "itsm-bridge", self.SETTINGS["BRIDGE_URI"]),
            *("useaadauth", "object", "api://bridge", "usecommonalertschema"),
        ]

    def test_what_is_missing_is_said_before_anything_is_done(self, az: Path) -> None:
        code, said, commands = self.run("az-trial.sh", az, BRIDGE_URI="https://x")

        assert code != 0
        assert "ENTRA_OBJECT_ID" in said
        assert commands == []

    def test_the_way_back_gives_each_action_again_as_it_was(self, az: Path) -> None:
        _, _, removed = self.run("az-final.sh", az)
        az.unlink()
        code, _, added = self.run("az-final-back.sh", az)

        assert code == 0
        assert len(removed) == len(WITH_ITSM)
        assert {tuple(line[-6:]) for line in added} == {
            (
                "itsm",
                each["name"],
                each["workspaceId"],
                each["connectionId"],
                each["ticketConfiguration"],
                each["region"],
            )
            for one in WITH_ITSM
            for each in one["properties"]["itsmReceivers"]
        }

    def test_the_trial_is_taken_back_by_the_name_of_the_webhook(self, az: Path) -> None:
        code, _, commands = self.run("az-trial-back.sh", az)

        assert code == 0
        assert all(line[-2:] == ["--remove-action", "itsm-bridge"] for line in commands)

    def test_groups_of_another_subscription_are_changed_there(self, az: Path) -> None:
        _, _, commands = self.run("az-final.sh", az)

        assert [line[line.index("--name") + 1] for line in commands if OTHER_SUBSCRIPTION in line] == ["ag-per-rule"]


class TestReport:
    """A change board reads it."""

    def test_every_action_is_there(self) -> None:
        for one in WITH_ITSM:
            assert f"## {one['name']}" in FILES["report.md"]

    def test_nothing_in_a_name_is_markup(self) -> None:
        odd = group("a|b <script> [x](y) `z`", action("*ServiceNow*", ticket({"category": "<b>|"})))

        text = files_of(of(odd))["report.md"]

        assert "<script>" not in text
        assert "[x](" not in text
        assert "\\*ServiceNow\\*" in text

    def test_nothing_of_what_was_exported_is_lost_in_the_inventory(self) -> None:
        content = json.loads(FILES["inventory.json"])

        raw = [each["raw"] for one in content["action_groups"] for each in one["itsm_actions"]]
        assert sorted(map(json.dumps, raw)) == sorted(
            json.dumps(each) for one in WITH_ITSM for each in one["properties"]["itsmReceivers"]
        )
        assert content["action_groups_seen"] == len(GROUPS)
        assert len(resources()) == len(GROUPS) + len(RULES)
