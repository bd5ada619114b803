"""`coordinator broker run`: bring the broker's files up to date, then become the broker."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from coordinator.broker.process import execute
from coordinator.installation import refresh


def run_broker(state: Path) -> NoReturn:
    """Replace this process by the broker of `state`; its log goes to standard error.

    Raises Unavailable when one runs already, Misconfigured (not initialised, mosquitto missing) or Corrupt.
    """
    refresh(state)
    execute(state)
