"""The command line of the coordinator. What takes long to import is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from common.command_errors import enter


def main() -> None:
    """Run `coordinator`. Exit codes: `common.command_errors`."""
    sys.exit(enter("coordinator", _load))


def _load() -> Callable[[], Any]:
    from coordinator.cli.commands import app

    return app
