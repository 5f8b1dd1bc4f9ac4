"""python -m itsm_bridge: the command line; see `operate.cli`.

What is wrong with the Python that runs it is said in a sentence, so that nothing here needs a newer one.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - that is the question
    sys.exit("itsm-bridge needs Python 3.11 or newer, and this is %d.%d." % sys.version_info[:2])  # noqa: UP031

try:
    from itsm_bridge.operate.cli import main
except ImportError as missing:
    package = (missing.name or "").partition(".")[0]
    if package in ("", "itsm_bridge"):
        raise
    sys.exit(
        f"The package {package} is missing in {sys.executable}. From the folder of itsm-bridge,"
        " `make setup` installs all packages into .venv; then use .venv/bin/python."
    )

sys.exit(main())
