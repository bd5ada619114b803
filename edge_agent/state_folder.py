"""Where an agent keeps its state when its configuration does not say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from common.errors import Misconfigured

MACHINE: Final = Path("/var/lib/meshtwin/agent")
VARIABLE: Final = "MESHTWIN_AGENT_STATE"


def default_state(gateway: str, machine: Path = MACHINE) -> Path:
    """$MESHTWIN_AGENT_STATE; or the machine's folder for root and the account that it belongs to; or one in
    the user's home, for each gateway its own.

    Raises Misconfigured for a user without a home.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    if os.geteuid() == 0 or os.access(machine, os.W_OK | os.X_OK):
        return machine
    try:
        return Path.home() / ".local/state/meshtwin/agent" / gateway
    except RuntimeError as error:
        raise Misconfigured(
            "there is no home to keep the agent's state in", "set gateway.state_dir in the configuration"
        ) from error
