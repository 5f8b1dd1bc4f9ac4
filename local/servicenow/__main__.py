"""python -m local.servicenow: see `instance`."""

from local.servicenow.instance import main

if __name__ == "__main__":
    main()
