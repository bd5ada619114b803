"""The registry of gateways on disk: `fleet.json`, and a second copy of it beside the authority's key.

The copy is written first and so is never behind: whichever of the two has the higher version holds. A
registry that is damaged or missing is a named error; `coordinator.rebuilding` makes it again when asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from common.errors import Corrupt
from common.logs import get_logger
from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.files import present_revocations
from coordinator.config import StatePaths
from coordinator.identity.authority import Authority
from coordinator.identity.fleet import Fleet, RegistryLost, lost, read_fleet, write_fleet
from coordinator.identity.own import COORDINATOR

_USER: Final = re.compile(r"^user (\S+)$", re.MULTILINE)

log = get_logger(__name__)


def current_fleet(paths: StatePaths, authority: Authority) -> Fleet:
    """The registry, with file and copy brought to the same version. The caller holds the installation's lock.

    Raises RegistryLost, naming the command that mends it, when it is damaged, when there were gateways and
    it knows of none, or when it and its copy differ though neither is behind.
    """
    fleet, copy = read_fleet(paths.fleet), copy_of_fleet(paths)
    if not fleet.gateways and not fleet.version and (proof := _proof(paths, authority, copy)):
        raise lost(paths.fleet, f"is missing or empty, but {proof}")
    if copy is not None and copy.version > fleet.version:
        # A crash between the two; or an older file was put back, which does not know who was revoked since.
        log.warning("registry-older-than-its-copy", version=fleet.version, copy=copy.version)
        store_fleet(paths, copy)
        return copy
    if copy is not None and copy.version == fleet.version and copy != fleet:
        raise _contradiction(paths)
    if copy != fleet or not paths.fleet.exists():
        store_fleet(paths, fleet)
    return fleet


def store_fleet(paths: StatePaths, fleet: Fleet) -> None:
    """Write copy and file. Raises Misconfigured."""
    write_fleet(paths.fleet_copy, fleet)
    write_fleet(paths.fleet, fleet)


def copy_of_fleet(paths: StatePaths) -> Fleet | None:
    """The copy; None when it is missing or damaged."""
    try:
        return read_fleet(paths.fleet_copy) if paths.fleet_copy.exists() else None
    except Corrupt:
        return None


def identities(paths: StatePaths) -> list[Path]:
    """The certificates in the folders that were made for gateways."""
    return sorted((paths.root / "gateways").glob("*/gateway.crt"))


def listed(paths: StatePaths) -> frozenset[str]:
    """The gateways that the broker's access list names; none when it cannot be read."""
    try:
        text = BrokerFiles(paths.broker).acl.read_text(errors="replace")
    except OSError:
        return frozenset()
    return frozenset(_USER.findall(text)) - {COORDINATOR}


def _contradiction(paths: StatePaths) -> RegistryLost:
    return RegistryLost(
        f"{paths.fleet} and its copy {paths.fleet_copy} contradict each other\n  fix: if the copy is right: "
        f"coordinator init --rebuild-fleet --state {paths.root}; if the file is: remove the copy"
    )


def _proof(paths: StatePaths, authority: Authority, copy: Fleet | None) -> str:
    """What tells that gateways were enrolled here; empty when nothing does."""
    if copy is not None and copy.gateways:
        return f"its copy knows {len(copy.gateways)} gateway(s)"
    if folders := identities(paths):
        return f"gateways/ holds the identities of {len(folders)} gateway(s)"
    if listed(paths):
        return "the broker's access list names gateways"
    if present_revocations(paths.revocations, authority):
        return "the revocation list names certificates"
    return ""
