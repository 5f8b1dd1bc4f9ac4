"""What the documentation says can be typed, followed and found."""

import re
from pathlib import Path

import pytest

from itsm_bridge.servicenow import people
from itsm_bridge.servicenow.incidents import FIELDS
from tests.infra.bicep import Template
from tests.infra.commands import COMMANDS, PAGES, ROOT, Command, az_commands, commands_of, documented, problems

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
EXAMPLE = (ROOT / "infra" / "example.bicepparam").read_text(encoding="utf-8")
GROUP_DEPLOYMENT = "```sh\naz deployment group create --resource-group G --template-file"
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def test_every_command_would_be_taken_by_its_program() -> None:
    commands = documented()

    assert len(commands) > 60
    assert problems(commands) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`python -m itsm_bridge repair`", "is no command"),
        ("`python -m itsm_bridge status --all`", "unrecognized arguments: --all"),
        ("`python -m itsm_bridge show --json`", "required: WHAT"),
        ("`python -m itsm_bridge setup --owners X`", "unrecognized arguments"),
        ("`python -m local.packages --into dist`", "local.packages is not there"),
        ("`sh infra/entra.sh --chek`", "unrecognized arguments: --chek"),
        ("`sh infra/enter.sh --check`", "is not there"),
        ("`sh infra/python.sh -m itsm_bridge stats`", "is no command"),
        ("`azd env set ALWAYS_READY 1`", "ALWAYS_READY is no variable"),
        ("`azd env set PROBE_FREQUENCY`", "it takes 2 to 2 words"),
        ("`azd env get-value HEALTH_URL`", "HEALTH_URL is no output"),
        ("`azd destroy`", "it is not known"),
        ("`az functionapp restart --name X`", "--resource-group is missing"),
        ("`az functionapp restart --nam X --resource-group Y`", "--nam is not known"),
        ("`az functionapp keys set --resource-group G --name X --key-name K`", "--key-type is missing"),
        ("`az functionapp rekey --name X`", "az functionapp rekey is not known"),
        ('```sh\naz group list && azd env set A "$(azd env get-value B)"\n```\n', "B is no output"),
        (
            f"{GROUP_DEPLOYMENT} infra/forward.bicep --parameters x=1\n```\n",
            "forward.bicep has no parameter x",
        ),
        (
            f"{GROUP_DEPLOYMENT} infra/forward.bicep --parameters name=x\n```\n",
            "actionGroupIds is missing",
        ),
        (
            f"{GROUP_DEPLOYMENT} infra/no.bicep --parameters name=x\n```\n",
            "no.bicep is not there",
        ),
    ],
)
def test_a_command_that_would_be_refused_is_found(text: str, problem: str) -> None:
    found = problems(commands_of("page.md", text))

    assert any(problem in each for each in found), found


def test_the_options_of_the_azure_cli_are_known_for_what_is_documented_and_nothing_else() -> None:
    import json  # noqa: PLC0415

    assert set(json.loads(COMMANDS.read_text(encoding="utf-8"))["commands"]) == az_commands(documented())


def slugs(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links within the repository that lead nowhere."""
    found = []
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        is_there = file.exists()
        anchors = slugs(text if file == page else file.read_text(encoding="utf-8")) if is_there and anchor else set()
        if not is_there or (anchor and anchor not in anchors):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "link", ["[x](deploy.md#rotations)", "[x](deployment.md)", "[x](#no-such-heading)", "[x](../infra/bridge.bicep)"]
)
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    page = ROOT / "docs" / "deploy.md"

    assert len(broken_links(page, f"{DEPLOY}\n{link}\n")) == 1


def test_the_example_of_parameters_sets_what_is_required_and_nothing_unknown() -> None:
    [template] = re.findall(r"^using '([\w.-]+)'$", EXAMPLE, re.MULTILINE)
    parameters = Template.parse((ROOT / "infra" / template).read_text(encoding="utf-8")).parameters
    given = set(re.findall(r"^param (\w+) = ", EXAMPLE, re.MULTILINE))

    assert given <= set(parameters)
    assert {name for name, each in parameters.items() if each.is_required} <= given
    for name in given:
        if parameters[name].is_secure:
            assert f"param {name} = readEnvironmentVariable(" in EXAMPLE


def test_settings_that_the_pages_name_exist() -> None:
    variables = set(re.findall(r"\$\{(\w+)", (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")))
    others = {"ENTRA_SETUP", "ENTRA_CLOUD", "GRAPH_ACCESS_TOKEN", "OUTGOING_ADDRESS", "HEALTH_URI", "RESOURCE_GROUP"}
    for name in ("deploy.md", "networks-and-tenants.md", "servicenow.md"):
        named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", (ROOT / "docs" / name).read_text(encoding="utf-8")))
        assert named <= variables | others, name


def test_the_hand_out_names_every_field_that_is_written_or_asked_back() -> None:
    page = (ROOT / "docs" / "servicenow.md").read_text(encoding="utf-8")
    kept_by_the_instance = {"number"}

    assert {
        name for name in (*FIELDS, *people.FIELDS) if f"`{name.partition('.')[0]}`" not in page
    } == kept_by_the_instance


def test_the_hand_out_names_every_table_that_is_asked() -> None:
    page = (ROOT / "docs" / "servicenow.md").read_text(encoding="utf-8")
    asked = set()
    for path in (ROOT / "itsm_bridge" / "servicenow").glob("*.py"):
        asked |= set(re.findall(r'"((?:sys|incident)[a-z_]*)",\n', path.read_text(encoding="utf-8")))

    assert {"sys_choice", "sys_journal_field"} <= asked
    assert {name for name in asked - {"sys_id", "sys_created_on", "sys_mod_count"} if f"`{name}`" not in page} == set()


def test_the_arithmetic_of_the_costs_is_right_and_is_that_of_the_defaults() -> None:
    page = DEPLOY.partition("## Costs")[2]
    parameters = Template.parse((ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")).parameters
    hours, frequency = 730, int(parameters["probeFrequency"].default)
    instance = round(2 * hours * 3600 * 0.000004, 2)
    tests = 3 * 3600 // frequency * hours

    assert f"| {instance:.2f} |" in page
    assert f"{tests:,} tests" in page
    assert f"| {tests * 0.0006:.2f} |" in page
    assert f"{3 * 12 * hours:,} tests \N{MULTIPLICATION SIGN} 0.0006 = {3 * 12 * hours * 0.0006:.2f}" in page
    assert f"+{(3 * 12 * hours - tests) * 0.0006:.2f}" in page
    assert f"+{4 * hours * 0.01 + 4 * 0.5:.2f}" in page
    assert f"+{hours * 0.05:.2f}" in page
    watch = Template.parse((ROOT / "infra" / "watch.bicep").read_text(encoding="utf-8"))
    rules = 1.5 * len(watch.variables["troubles"])
    assert f"| {rules:.2f} |" in page
    total = instance + tests * 0.0006 + rules + 0.3 + 0.5
    assert f"about {total + 0.6:.0f} US dollars" in page


def test_a_command_names_its_page() -> None:
    assert str(Command("deploy.md", ("azd", "up"))) == "deploy.md: azd up"
