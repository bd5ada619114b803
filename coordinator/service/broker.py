"""`python -m coordinator.service.broker FOLDER`: become the broker of a folder that was handed over.

What the unit `meshtwin-broker` runs, as an account that may read nothing else. By hand one runs
`coordinator broker run`, which also renews certificates.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common.command_errors import exit_code
from common.errors import MeshtwinError
from coordinator.broker.process import execute

USAGE = "usage: python -m coordinator.service.broker FOLDER"


def main(arguments: list[str]) -> int:
    """Return only when it cannot become the broker: 2 for what only the operator mends, else 1."""
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        execute(Path(arguments[0]))
    except MeshtwinError as error:
        print(f"meshtwin-broker: {error}", file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
