import fnmatch
import json
import os
import re
import subprocess
import threading
from importlib.metadata import metadata
from pathlib import Path

import pytest

from itsm_bridge.entra.wanted import CLOUDS, Result, Wanted
from local.http_server import Answer, HttpServer, Request
from tests.infra.bicep import Expression, Template
from tests.infra.test_bicep import FILES, TEMPLATES

ROOT = Path(__file__).parents[2]
PARAMETERS = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")


def out_of_reach(main: str, parameters: str) -> tuple[set[str], set[str]]:
    """Return the parameters that azd cannot set, and those that it sets and that do not exist."""
    handed_over = set(json.loads(parameters)["parameters"])
    declared = set(Template.parse(main).parameters)
    return declared - handed_over, handed_over - declared


def test_every_parameter_is_in_azds_reach() -> None:
    assert out_of_reach(FILES["main.bicep"], PARAMETERS) == (set(), set())


def test_a_parameter_out_of_azds_reach_is_found() -> None:
    more = FILES["main.bicep"] + "\nparam forgotten string = ''\n"
    misspelt = PARAMETERS.replace('"probeFrequency"', '"probeFrequencies"')

    assert out_of_reach(more, PARAMETERS) == ({"forgotten"}, set())
    assert out_of_reach(FILES["main.bicep"], misspelt) == ({"probeFrequency"}, {"probeFrequencies"})


def test_azd_can_set_lists_because_they_are_text() -> None:
    # azd converts text to booleans and numbers, and to nothing else.
    assert {each.type for each in TEMPLATES["main.bicep"].parameters.values()} == {"string", "int", "bool"}


def test_each_variable_of_azd_sets_one_parameter() -> None:
    variables = re.findall(r"\$\{(\w+)", PARAMETERS)

    assert sorted(variables) == sorted(set(variables))


def test_what_azd_hands_over_by_default_is_the_default_of_the_template() -> None:
    handed_over = json.loads(PARAMETERS)["parameters"]
    for name, parameter in TEMPLATES["main.bicep"].parameters.items():
        default = re.search(r"=(.*)\}", handed_over.get(name, {}).get("value", ""))
        if default and not isinstance(parameter.default, Expression):
            assert default[1] == str(parameter.default).replace("False", "false").replace("True", "true"), name


def test_azd_finds_the_app_by_its_tag() -> None:
    manifest = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    [service] = re.findall(r"^services:\n  (\w+):$", manifest, flags=re.MULTILINE)

    assert f"'azd-service-name': '{service}'" in FILES["app.bicep"]


def test_the_action_group_is_created_once_the_code_has_run() -> None:
    steps = re.findall(r"- azd: (.+)", (ROOT / "azure.yaml").read_text(encoding="utf-8"))
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")

    assert steps == ["provision", "deploy --all", "env set CREATE_ACTION_GROUP true", "provision"]
    assert "${CREATE_ACTION_GROUP=false}" in parameters


def test_what_the_set_up_stores_is_what_the_deployment_reads() -> None:
    result = Result(client_id="", object_id="", identifier_uri="", tenant_id="")
    wanted = Wanted(name="", client_id="", identifier_uri="", caller="", owners=())
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")

    for name in result.settings(wanted, CLOUDS["public"]):
        assert f"${{{name}" in parameters


def test_nothing_but_the_app_is_deployed() -> None:
    patterns = (ROOT / ".funcignore").read_text(encoding="utf-8").split("\n")
    ignored = [each.rstrip("/") for each in patterns if each and not each.startswith("#")]
    deployed = {
        each.name for each in ROOT.iterdir() if not any(fnmatch.fnmatchcase(each.name, pattern) for pattern in ignored)
    }

    assert deployed == {"function_app.py", "host.json", "requirements.txt", "itsm_bridge"}


def test_what_is_deployed_does_not_install_on_an_older_python() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    [line] = [each for each in lines if each.startswith("azure-functions-runtime==")]

    assert ";" not in line.removesuffix("\\")
    assert metadata("azure-functions-runtime")["Requires-Python"].startswith(">=3.13")


def test_a_deployment_is_over_when_the_app_is_healthy(tmp_path: Path) -> None:
    # An instance of the version before answers once more.
    answers = iter([503, 200, 503, 200, 200, 200])

    def answer(_: Request) -> Answer:
        return Answer(status=next(answers), body=b'{"status":"x"}')

    with HttpServer(0, answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        environment = {**os.environ, "HEALTH_URI": f"{server.url}/api/health", "HEALTH_PAUSE": "0"}
        done = subprocess.run(
            ["sh", str(ROOT / "infra" / "healthy.sh")], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        server.shutdown()

    assert (done.returncode, done.stdout) == (0, b"The app is healthy.\n")
    assert "infra/healthy.sh" in (ROOT / "azure.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("value", "status"), [("false", 1), ("true", 0), (None, 0)])
def test_azd_down_does_not_delete_a_resource_group_of_others(value: str | None, status: int) -> None:
    environment = {"PATH": os.environ["PATH"], "RESOURCE_GROUP": "rg-shared"}
    if value is not None:
        environment["CREATE_RESOURCE_GROUP"] = value

    done = subprocess.run(
        ["sh", str(ROOT / "infra" / "before-down.sh")], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    assert ("rg-shared" in done.stderr) == bool(status)
    assert "run: infra/before-down.sh" in (ROOT / "azure.yaml").read_text(encoding="utf-8")
