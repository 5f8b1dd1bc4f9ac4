"""python -m local.entra: see `authority`."""

from local.entra.authority import main

if __name__ == "__main__":
    main()
