"""The daemon: `python -m edge_agent --config FILE`. Imports nothing that only people need.

`edge-agent run` ends up here; systemd may call it directly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common.command_errors import WRONG, enter
from edge_agent.retry import Pause

USAGE = "usage: python -m edge_agent --config FILE (the daemon alone; commands for people: edge-agent --help)"


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until it is stopped. Exit codes: `common.command_errors`; 0 when it was stopped."""
    match sys.argv[1:] if arguments is None else arguments:
        # systemd and `edge-agent run` pass exactly these words; a parser would stay in memory.
        case ["--config", path]:
            pause = Pause()
            code = enter("edge-agent", partial(_load, Path(path)))
            if code == WRONG:
                pause.take()
            return code
        case _:
            print(USAGE, file=sys.stderr)
            return WRONG


def _load(path: Path) -> Callable[[], None]:
    from common import logs
    from edge_agent.config import check_files, load_config

    config = load_config(path)
    logs.configure(config.log.level, config.log.style)
    for warning in check_files(config):
        logs.get_logger(__name__).warning("configuration", warning=warning)
    # Late, so that a wrong configuration is told at once.
    from edge_agent import app

    return partial(app.main, config)


if __name__ == "__main__":
    sys.exit(main())
