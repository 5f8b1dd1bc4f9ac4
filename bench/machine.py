"""What machine is this, and who else is using it?"""

import os
import platform
from pathlib import Path


def told() -> str:
    """Return the machine in one line."""
    return (
        f"{os.cpu_count()} cores of {_field(Path('/proc/cpuinfo'), 'model name')}, "
        f"{_kibibytes(Path('/proc/meminfo'), 'MemTotal') / 1024 / 1024:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def load() -> str:
    """Return how many programs wanted a core, over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def child(module: str) -> int:
    """Return the process id of our child that runs `python -m module`.

    Raises:
        LookupError: there is not exactly one.
    """
    found = [pid for pid in _children() if f"-m {module}" in _command(pid)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} children run {module}")
    return found[0]


def cpu_seconds(pid: int) -> float:
    """Return how much of a core the process has used so far, all its threads together."""
    # After the name, which may hold anything but ends with the last bracket: state is field 3, utime 14, stime 15.
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return how much memory the process holds."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmRSS") / 1024


def _children() -> list[int]:
    threads = Path("/proc/self/task").iterdir()
    return [int(pid) for thread in threads for pid in (thread / "children").read_text(encoding="utf-8").split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def _kibibytes(file: Path, name: str) -> int:
    return int(_field(file, name).split()[0])


def _field(file: Path, name: str) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"
