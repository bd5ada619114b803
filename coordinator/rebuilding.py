"""Making a lost registry again: from its copy, or, when that is lost as well, from what else proves who was
enrolled. For an operator who asks: `coordinator init --rebuild-fleet`.

A revocation is never forgotten on the way: whatever the revocation list names stays on it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cryptography.x509.oid import NameOID
from pydantic import BaseModel, BeforeValidator

from common import config as toml
from common.errors import Corrupt, MeshtwinError, Misconfigured
from common.mesh import addresses
from coordinator.broker.files import present_revocations
from coordinator.config import StatePaths
from coordinator.identity.authority import Authority, is_issued_by, read_certificate
from coordinator.identity.fleet import RESERVED, Fleet, Gateway, Issued, RegistryLost, Revocation
from coordinator.registry import copy_of_fleet, current_fleet, identities, listed, store_fleet

_UNKNOWN: Final = (
    "certificates that gateways renewed by themselves are in no folder: such a gateway is refused models and "
    "renewals until it is enrolled with --again; a gateway whose key was stolen needs another id"
)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A registry that was made again, and what the operator has to know of it."""

    fleet: Fleet
    notes: tuple[str, ...]


def rebuild_fleet(paths: StatePaths, authority: Authority, now: float) -> Rebuilt:
    """Make the registry again where it is damaged or missing; a damaged file is kept as `.damaged`.

    The caller holds the installation's lock. Raises Misconfigured when it cannot be written.
    """
    try:
        return Rebuilt(current_fleet(paths, authority), ("fleet.json is whole: nothing was rebuilt",))
    except RegistryLost as error:
        lost = str(error).splitlines()[0]
    revoked = _revoked(paths, authority)
    copy = copy_of_fleet(paths)
    whole = copy is not None and copy.version > 0
    found = Rebuilt(copy, ()) if copy is not None and whole else _from_folders(paths, authority, revoked, now)
    fleet = found.fleet.with_revocations(revoked.values())
    _set_aside(paths.fleet)
    store_fleet(paths, fleet)
    source = "its copy, with nothing lost" if whole else "the folders in gateways/, as far as they tell"
    told = f"fleet.json was rebuilt from {source}: {len(fleet.active())} gateway(s) in good standing"
    return Rebuilt(fleet, (lost, told, *found.notes))


def _revoked(paths: StatePaths, authority: Authority) -> dict[str, Revocation]:
    """What the revocation list names, by serial."""
    entries = present_revocations(paths.revocations, authority) or ()
    found = [Revocation(serial=f"{e.serial_number:x}", at=e.revocation_date_utc.timestamp()) for e in entries]
    return {entry.serial: entry for entry in found}


def _from_folders(paths: StatePaths, authority: Authority, revoked: Collection[str], now: float) -> Rebuilt:
    """Who has an identity folder. In good standing is whom the access list names and whose certificate is
    neither revoked nor over; everybody else comes back only by being enrolled again."""
    gateways, notes, rights = {}, [_UNKNOWN], listed(paths)
    for path in identities(paths):
        name = path.parent.name
        try:
            gateway = _gateway(path, name, authority)
        except (MeshtwinError, ValueError) as error:
            notes.append(f"{name} was left out: {str(error).splitlines()[0]}; enrol it anew")
            continue
        only = gateway.newest
        if name not in rights or only.serial in revoked or only.not_after < now:
            gateway = gateway.model_copy(update={"revoked": True})
            notes.append(
                f"{name} is kept out: it was revoked, or has renewed its certificate since; to let it in: "
                f"coordinator gateways enrol {gateway.site} {name} --again, and copy its folder to it"
            )
        gateways[name] = gateway
    return Rebuilt(Fleet(version=1, gateways=gateways), tuple(notes))


def _gateway(path: Path, name: str, authority: Authority) -> Gateway:
    """A gateway as its folder tells. Raises Corrupt, Misconfigured or ValueError."""
    certificate = read_certificate(path)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    is_own = is_issued_by(certificate, authority.certificate) and [n.value for n in names] == [name]
    if not is_own or name in RESERVED:
        raise Corrupt("its certificate is not this authority's")
    told = toml.load(_Identity, path.parent / "agent.toml").gateway
    return Gateway(site=told.site, address=told.address, certificates=(Issued.of(certificate),))


class _Told(BaseModel):
    site: str
    address: Annotated[int | None, BeforeValidator(lambda text: addresses.parse(str(text)))] = None


class _Identity(BaseModel):
    """As much of the `agent.toml` that was written for a gateway as the registry holds."""

    gateway: _Told


def _set_aside(path: Path) -> None:
    try:
        with suppress(FileNotFoundError):
            os.replace(path, path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be moved: {error.strerror}", "check owner and mode of its folder"
        ) from error
