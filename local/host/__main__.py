"""python -m local.host: see `server`."""

import sys

from local.host.server import main

if __name__ == "__main__":
    sys.exit(main())
