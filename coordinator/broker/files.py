"""Writing what the broker reads: its configuration, the access list and the revocation list.

All three derive from `coordinator.toml` and the registry, so they can be made again at any time.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from cryptography import x509

from common.files import write_file
from coordinator.broker.acl import access_list
from coordinator.broker.configuration import BrokerFiles, mosquitto_conf
from coordinator.config import Broker, StatePaths
from coordinator.identity.authority import Authority
from coordinator.identity.fleet import Fleet


def write_broker_files(
    paths: StatePaths, broker: Broker, authority: Authority, fleet: Fleet, now: float
) -> bool:
    """Bring the three files up to date; True if any changed. Raises Misconfigured."""
    files = BrokerFiles(paths.broker)
    user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() == 0 else None
    changed = [
        _write_changed(files.acl, access_list(fleet.active())),
        _write_changed(files.configuration, mosquitto_conf(broker, paths, user)),
        _write_revocations(paths.revocations, authority, fleet, now),
    ]
    return any(changed)


def _write_revocations(path: Path, authority: Authority, fleet: Fleet, now: float) -> bool:
    """Write the list unless the present one is this authority's and names the same certificates."""
    wanted = fleet.revoked_certificates()
    present = present_revocations(path, authority)
    # Not `if present`: an empty list is false.
    if present is not None and {entry.serial_number for entry in present} == {
        entry.serial for entry in wanted
    }:
        return False
    after = present.last_update_utc.timestamp() if present is not None else None
    write_file(path, authority.revocation_list(wanted, fleet.version, now, after))
    return True


def present_revocations(path: Path, authority: Authority) -> x509.CertificateRevocationList | None:
    """The list that is there, or None if it is damaged or another authority's: then it is made again.

    An empty list is false, too.
    """
    try:
        present = x509.load_pem_x509_crl(path.read_bytes())
    except (FileNotFoundError, ValueError, x509.InvalidVersion):
        return None
    return present if authority.has_signed(present) else None


def _write_changed(path: Path, text: str) -> bool:
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_file(path, text)
    return True
