"""The daemon: `python -m edge_agent --config FILE`. Imports nothing that only people need.

`edge-agent run` ends up here; systemd may call it directly.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import logs
from common.errors import MeshtwinError, Misconfigured
from edge_agent.config import check_files, load_config

USAGE = "usage: python -m edge_agent --config FILE"


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until it is stopped. Exit codes: 0 stopped, 2 misconfigured, 1 anything else."""
    match sys.argv[1:] if arguments is None else arguments:
        # Two words are all that systemd and `edge-agent run` ever say: no parser for them in memory.
        case ["--config", path]:
            pass
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    try:
        config = load_config(Path(path))
        logs.configure(config.log.level, config.log.style)
        for warning in check_files(config):
            logs.get_logger(__name__).warning("configuration", warning=warning)
        # Late, so that a wrong configuration is told at once.
        from edge_agent import app

        app.main(config)
    except Misconfigured as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        return 2
    except MeshtwinError as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
