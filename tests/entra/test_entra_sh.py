"""The hook that runs the Entra set-up, as azd and people run it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.entra.graph import TOKEN, GraphStandIn

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "entra.sh"

#: Stands for an interpreter that is too old, or that is new enough and makes virtual environments of such scripts.
OLD = "#!/bin/sh\nexit 1\n"
NEW = """#!/bin/sh
case "$1 $2" in
"-c import azure"*) exit 1 ;;
"-c "*) exit 0 ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*) echo "$@" >>calls ;;
esac
"""


@pytest.fixture
def tenant() -> Iterator[GraphStandIn]:
    with GraphStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of the project as far as the script looks at it, with a folder of programs."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "programs").mkdir()
    shutil.copy(SCRIPT, tmp_path / "infra")
    shutil.copy(ROOT / "infra" / "python.sh", tmp_path / "infra")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def ran(clone: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{clone / 'programs'}:/usr/bin:/bin"
    # The system may have interpreters of its own; a dash keeps theirs out of sight.
    hidden = {f"python{version}": OLD for version in ("3.13", "3.12", "3.11", "3", "")}
    for name, text in hidden.items():
        if not (clone / "programs" / name).exists():
            program(clone, name, text)
    return subprocess.run(
        ["sh", str(clone / "infra" / "entra.sh"), *options],
        env={"PATH": path, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(clone: Path, name: str, text: str) -> None:
    path = clone / "programs" / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["python3.13", "python3.11", "python3", "python"])
def test_a_python_that_is_new_enough_is_found_among_older_ones(clone: Path, name: str) -> None:
    program(clone, name, NEW)

    done = ran(clone, "--check")

    assert (done.returncode, done.stderr) == (0, "")
    install, command = (clone / "calls").read_text().splitlines()
    assert install.endswith("-r .azure/venv/requirements.txt")
    assert command == "-m itsm_bridge.entra.setup --check"


def test_without_a_python_that_is_new_enough_it_is_told_what_is_needed(clone: Path) -> None:
    done = ran(clone, "--check")

    assert done.returncode == 1
    assert "older than 3.11" in done.stderr


def test_a_virtual_environment_of_an_older_python_is_made_anew(clone: Path) -> None:
    (clone / ".azure" / "venv" / "bin").mkdir(parents=True)
    (clone / ".azure" / "venv" / "bin" / "python").write_text(OLD)
    program(clone, "python3.12", NEW)

    assert ran(clone, "--check").returncode == 0


def test_a_python_that_was_named_and_does_not_fit_is_not_replaced_by_another(clone: Path) -> None:
    program(clone, "python3", NEW)
    program(clone, "mine", OLD)

    assert "mine does not run" in ran(clone, "--check", PYTHON="mine").stderr
    assert not (clone / "calls").exists()


def test_the_library_of_the_functions_host_is_left_out(clone: Path) -> None:
    program(clone, "python3", NEW)

    ran(clone, "--check")

    left = (clone / ".azure" / "venv" / "requirements.txt").read_text()
    assert "azure-functions-runtime==" not in left
    assert "azure-identity==" in left
    assert "requests==" in left
    whole = (clone / "requirements.txt").read_text().splitlines()
    assert len([line for line in whole if line not in left.splitlines()]) < 10


def test_azd_runs_it_without_options_and_can_leave_it_out(clone: Path) -> None:
    program(clone, "python3", NEW)

    assert ran(clone, ENTRA_SETUP="skip").returncode == 0
    assert not (clone / "calls").exists()
    ran(clone)
    assert (clone / "calls").read_text().splitlines()[-1] == "-m itsm_bridge.entra.setup --azd"
    assert ran(clone, "--check", ENTRA_SETUP="skip").returncode == 0


def test_it_sets_up_a_tenant_and_stores_the_result_in_the_azd_environment(tenant: GraphStandIn, tmp_path: Path) -> None:
    azd = tmp_path / "azd"
    azd.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    azd.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "AZURE_ENV_NAME": "prod",
        "GRAPH_ACCESS_TOKEN": TOKEN,
    }

    done = subprocess.run(
        ["sh", str(SCRIPT), "--azd", "--graph", tenant.url],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    [application] = tenant.applications
    assert application["displayName"] == "itsm-bridge-prod"
    assert len(tenant.assignments) == 1
    assert f"env set ENTRA_OBJECT_ID {application['id']}" in (tmp_path / "calls").read_text().splitlines()
    assert TOKEN not in done.stdout + done.stderr
