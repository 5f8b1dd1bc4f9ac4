"""python -m itsm_bridge: the command line; see `cli`."""

import sys

from itsm_bridge.operate.cli import main

sys.exit(main())
