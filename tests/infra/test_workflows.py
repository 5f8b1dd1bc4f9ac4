import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
PARAMETERS = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")
#: Set by azd up itself; secrets are in the vault already.
NOT_OF_GITHUB = {"CREATE_ACTION_GROUP", "SERVICENOW_CLIENT_SECRET", "SERVICENOW_API_KEY", "SERVICENOW_PASSWORD"}
#: The most that each job may do.
PERMISSIONS: dict[tuple[str, str], dict[str, str]] = {
    ("deploy.yml", "deploy"): {"contents": "read", "id-token": "write"},
    ("release.yml", "publish"): {"contents": "write", "id-token": "write", "attestations": "write"},
}


def read(name: str) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    return content


def unpinned(text: str) -> list[str]:
    """Return the actions that are not pinned to a commit whose version is told."""
    uses = re.findall(r"uses: (.+)", text)
    return [each for each in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_to_a_commit(path: Path) -> None:
    assert unpinned(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "action", ["actions/checkout@v5", "actions/checkout@main", "a/b@08c6903cd8c0fde910a37f88 # v5.0.0"]
)
def test_an_action_that_can_change_is_found(action: str) -> None:
    assert unpinned(f"      - uses: {action}\n") == [action]


def test_an_action_has_one_version_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, commit in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", path.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(commit)

    assert [name for name, commits in pins.items() if len(commits) > 1] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_do_no_more_than_it_needs(path: Path) -> None:
    workflow = read(path.name)

    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == PERMISSIONS.get((path.name, name), {"contents": "read"})
        assert job["timeout-minutes"] <= 40
        for step in job["steps"]:
            if "checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_holds_no_secret_and_runs_nothing_that_others_wrote(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert "secrets." not in text
    assert "pull_request_target" not in text
    for job in read(path.name)["jobs"].values():
        assert not any("${{" in step.get("run", "") for step in job["steps"])


def test_the_deployment_from_github_can_set_all_that_azd_can() -> None:
    env = read("deploy.yml")["jobs"]["deploy"]["env"]
    variables = set(re.findall(r"\$\{(\w+)", PARAMETERS))

    assert variables - set(env) == NOT_OF_GITHUB
    assert {name for name in env if name in variables and env[name] != f"${{{{ vars.{name} }}}}"} == set()
    assert env["ENTRA_SETUP"] == "skip"


def test_a_release_is_tested_built_and_attested() -> None:
    workflow = read("release.yml")
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    commands = [step.get("run", "") for step in build["steps"]]

    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML reads `on` as true
    assert commands.index("make check") < next(at for at, each in enumerate(commands) if "local.package" in each)
    assert any("cyclonedx-py requirements requirements.txt" in each for each in commands)
    assert publish["needs"] == "build"
    assert any("attest-build-provenance@" in step.get("uses", "") for step in publish["steps"])
    assert "--notes-file dist/NOTES.md" in publish["steps"][-1]["run"]


def test_what_is_installed_is_looked_up_among_known_weaknesses() -> None:
    commands = [step.get("run", "") for step in read("check.yml")["jobs"]["weaknesses"]["steps"]]

    assert any("pip_audit --require-hashes" in each and "-r requirements.txt" in each for each in commands)


def test_dependabot_looks_at_every_list_of_dependencies() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]

    watched = {(each["package-ecosystem"], each["directory"]) for each in updates}
    assert watched == {("pip", "/"), ("npm", "/local"), ("github-actions", "/"), ("terraform", "/infra/terraform")}
    for _, folder in watched:
        assert (ROOT / folder.strip("/")).is_dir()


def test_all_templates_that_people_deploy_are_compiled() -> None:
    commands = "\n".join(step.get("run", "") for step in read("check.yml")["jobs"]["templates"]["steps"])
    compiled = set(re.findall(r"for file in ([\w -]+);", commands)[0].split())
    called = set(
        re.findall(
            r"^module \w+ '([\w-]+)\.bicep'",
            "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra").glob("*.bicep")),
            re.MULTILINE,
        )
    )

    assert {path.stem for path in (ROOT / "infra").glob("*.bicep")} == compiled | called
    assert "terraform -chdir=infra/terraform/example validate" in commands
