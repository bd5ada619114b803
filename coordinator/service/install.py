"""`coordinator install-service`: the units of broker and coordinator, their accounts and their folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from common.units import Installation

UNITS: Final = ("meshtwin-broker.service", "meshtwin-broker-reload.path", "meshtwin-coordinator.service")
NEXT: Final = """\
next:
  1. coordinator init --host 0.0.0.0 --name-of-broker NAME     as gateways shall dial this machine
  2. systemctl enable --now meshtwin-broker meshtwin-coordinator
  3. coordinator gateways enrol SITE GATEWAY                   for each gateway
then: systemctl status 'meshtwin-*', coordinator gateways
Commands of root are done as meshtwin-coordinator, to whom the state folder belongs."""


def installation(root: Path = Path("/"), python: str = sys.executable) -> Installation:
    """What is installed for broker and coordinator."""
    return Installation("coordinator.service", UNITS, root, python)
