"""`edge-agent install-service`: the unit `meshtwin-agent`, its account and its folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from common.units import Installation

UNIT: Final = "meshtwin-agent.service"
NEXT: Final = """\
next:
  1. copy this gateway's identity folder (coordinator gateways enrol) to /etc/meshtwin, and its site file
  2. edge-agent install-service     again: hands what lies there to the service's account
  3. edge-agent check-config
  4. systemctl enable --now meshtwin-agent
then: systemctl status meshtwin-agent, edge-agent status --watch"""


def installation(root: Path = Path("/"), python: str = sys.executable) -> Installation:
    """What is installed for an agent."""
    return Installation("edge_agent.service", (UNIT,), root, python)
