"""The program `hil`: `python -m outpost run scenario.toml --on software`."""

import sys

from ._outpost import main as hil


def main() -> None:
    """Runs `hil` with this process's arguments."""
    sys.exit(hil(sys.argv[1:]))


if __name__ == "__main__":
    main()
