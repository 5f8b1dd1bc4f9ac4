import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from itsm_bridge import __version__
from local.package import NotReleasable, deployed, notes_of, packaged

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of what is committed and changed, ready for a release of its own version."""
    folder = tmp_path / "clone"
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def test_the_package_holds_the_app_alone_and_at_its_root(clone: Path, tmp_path: Path) -> None:
    package = packaged(clone, f"v{__version__}", tmp_path / "dist")

    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"function_app.py", "host.json", "requirements.txt", "itsm_bridge"}
    assert "itsm_bridge/app.py" in names
    assert not any(name.endswith((".pyc", ".md")) for name in names)


def test_the_package_has_all_that_the_app_reads(clone: Path, tmp_path: Path) -> None:
    package = packaged(clone, f"v{__version__}", tmp_path / "dist")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "app")

    program = "from itsm_bridge import app; print(len(app.built_in_rules().rules))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "app", capture_output=True, text=True, check=True, timeout=60
    )

    assert int(told.stdout) > 0


def test_the_same_commit_gives_the_same_bytes(clone: Path, tmp_path: Path) -> None:
    first = packaged(clone, f"v{__version__}", tmp_path / "one")
    (clone / "function_app.py").touch()
    second = packaged(clone, "", tmp_path / "two")

    assert first.read_bytes() == second.read_bytes()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert (tmp_path / "one" / "SHA256SUMS").read_text() == f"{digest}  itsm-bridge-{__version__}.zip\n"


def test_the_notes_are_those_of_the_version(clone: Path, tmp_path: Path) -> None:
    packaged(clone, f"v{__version__}", tmp_path / "dist")

    notes = (tmp_path / "dist" / "NOTES.md").read_text(encoding="utf-8")
    assert notes.startswith("### ")
    assert "## [" not in notes


def test_a_tag_of_another_version_is_refused(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReleasable, match="is not v"):
        packaged(clone, "v99.0.0", tmp_path / "dist")

    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    "changelog", ["# Changelog\n\n## [Unreleased]\n\n- x\n", "## [1.0.0] - 2026-01-01\n\n## [0.9.0]\n- y\n"]
)
def test_a_version_without_notes_is_refused(changelog: str) -> None:
    with pytest.raises(NotReleasable, match="says nothing"):
        notes_of(changelog, "1.0.0")


def test_a_pattern_leaves_out_folders_and_files_of_any_depth() -> None:
    names = ["app/x.py", "app/README.md", ".git/config", "tests/app.py", "x_env/a.py"]

    assert deployed(names, "# all that is not\n.*\n*.md\n*_env/\ntests/\n") == ["app/x.py"]
