"""The command line `edge-agent`, for people and scripts. The daemon itself never imports this."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from common.command_errors import enter


def main() -> None:
    """Run `edge-agent`. Exit codes: `common.command_errors`."""
    sys.exit(enter("edge-agent", _load))


def _load() -> Callable[[], Any]:
    from edge_agent.cli.commands import app

    return app
