"""What is a release? The package that Functions takes, its checksums, and its notes.

    python -m local.package [--tag vX.Y.Z] --into dist

The release workflow runs it, and people may, to compare: the same commit gives the same bytes. The package holds what
`.funcignore` leaves of the commit, at its root, as `func azure functionapp publish` and `az functionapp deployment
source config-zip --build-remote true` want it (https://learn.microsoft.com/azure/azure-functions/deployment-zip-push).
"""

import argparse
import fnmatch
import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: The earliest time that a zip can tell; every file has it, so that the bytes depend on the content alone.
_TIME: Final = (1980, 1, 1, 0, 0, 0)


class NotReleasable(Exception):
    """Something does not fit together; the message says what."""


def notes_of(changelog: str, version: str) -> str:
    """Return what CHANGELOG.md says of a version.

    Raises:
        NotReleasable: it says nothing.
    """
    found = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    notes = found[1].strip() if found else ""
    if not notes:
        raise NotReleasable(f"CHANGELOG.md says nothing of version {version}.")
    return f"{notes}\n"


def deployed(names: Iterable[str], ignored: str) -> list[str]:
    """Return which of the files are deployed, in order: those that no pattern of `.funcignore` fits."""
    patterns = [line.rstrip("/") for line in ignored.splitlines() if line and not line.startswith("#")]

    def is_ignored(name: str) -> bool:
        parts = name.split("/")
        return any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in patterns)

    return sorted(name for name in names if not is_ignored(name))


def zipped(files: dict[str, bytes], target: Path) -> None:
    """Write the files into a zip whose bytes depend on them alone."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


def packaged(folder: Path, tag: str, target: Path) -> Path:
    """Write package, checksums and notes of the commit that is checked out into `target`; return the package.

    Raises:
        NotReleasable: the tag is not the version of the program, or the changelog does not know it.
    """
    told = re.search(
        r'^__version__ = "([^"]+)"', (folder / "itsm_bridge" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    version = told[1] if told else ""
    if not version or tag not in ("", f"v{version}"):
        raise NotReleasable(f"The tag {tag} is not v{version}, the version in itsm_bridge/__init__.py.")
    notes = notes_of((folder / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    listed = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    names = deployed(listed.stdout.splitlines(), (folder / ".funcignore").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    package = target / f"itsm-bridge-{version}.zip"
    zipped({name: (folder / name).read_bytes() for name in names}, package)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    (target / "SHA256SUMS").write_text(f"{digest}  {package.name}\n", encoding="utf-8")
    (target / "NOTES.md").write_text(notes, encoding="utf-8")
    return package


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.package", description="Build the files of a release.")
    parser.add_argument("--tag", default="", help="the tag of the release, vX.Y.Z (that of the program)")
    parser.add_argument("--into", type=Path, default=Path("dist"), help="folder for the files (%(default)s)")
    asked = parser.parse_args()
    try:
        print(packaged(ROOT, asked.tag, asked.into))
    except NotReleasable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
