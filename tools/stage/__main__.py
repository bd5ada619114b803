"""`python -m tools.stage`: the demo, with Ctrl-C guarded against from the beginning."""

from __future__ import annotations

import sys
from collections.abc import Callable

from common.command_errors import enter


def _load() -> Callable[[], None]:
    from tools.stage.demo import main

    def play() -> None:
        sys.exit(main())

    return play


if __name__ == "__main__":
    sys.exit(enter("tools/demo", _load))
