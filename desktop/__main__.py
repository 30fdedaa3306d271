"""`python -m desktop` is `brimline`."""

from desktop.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
