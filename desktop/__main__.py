"""`python -m desktop` is `brimline`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; returns its exit code."""
    if sys.argv[1:2] == ["scan"]:
        from desktop import quick

        try:
            said = quick.scan(sys.argv[1:])
        except KeyboardInterrupt:
            return 130
        if said is not None:
            quick.leave(said)
    if sys.flags.no_site and not getattr(sys, "frozen", False):
        import site  # a scan is done before that (see packaging/bootstrap.py)

        site.main()
    from desktop import cli  # here: its words take longer to load than a scan

    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
