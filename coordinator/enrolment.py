"""Letting gateways in and out: `coordinator gateways enrol` and `revoke` as plain functions, and the renewal
of certificates that gateways ask for themselves.

Each changes the registry first, then what derives from it (certificate, access list, revocation list), and
then lets a running broker read them; a crash in between is mended by the next of these calls or by
`coordinator init`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from common.errors import Rejected, RejectReason, Unavailable
from common.files import make_folder, write_file
from coordinator.broker.instance import reload_broker
from coordinator.config import Gateways
from coordinator.identity.authority import Usage
from coordinator.identity.fleet import Fleet, Issued
from coordinator.identity.own import WILDCARDS, dial_name
from coordinator.identity.requests import key_pem, make_key, make_request
from coordinator.installation import Installation, installed
from coordinator.registry import store_fleet

# A gateway that asks again and again would fill the registry and the revocation list.
RENEWALS = 5
RENEWALS_PART = 20
"""At most so many certificates within this part of a certificate's life."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A gateway's new identity; `folder` is to be copied to it. `reloaded`: a running broker knows it."""

    gateway: str
    site: str
    folder: Path
    serial: str
    not_after: float
    reloaded: bool

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.not_after, UTC).date()
        return f"{self.gateway} of site {self.site}: identity in {self.folder}, valid until {until}"


@dataclass(frozen=True, slots=True)
class RevokedGateway:
    """What a revocation did."""

    gateway: str
    site: str
    certificates: int
    reloaded: bool

    def __str__(self) -> str:
        return f"{self.gateway} of site {self.site}: {self.certificates} certificate(s) revoked"


def enrol(
    state: Path,
    site: str,
    gateway: str,
    csr: bytes | None = None,
    *,
    again: bool = False,
    address: int | None = None,
    now: float | None = None,
) -> Enrolled:
    """Give `gateway` of `site` a certificate and its rights at the broker.

    Writes `<state>/gateways/<gateway>/`: `ca.crt`, `gateway.crt`, `agent.toml`, and `gateway.key` unless a
    PEM signing request `csr` came from a key that stays on the gateway. `again` gives a known gateway
    another certificate: a renewal (the earlier one stays good until its end) or a return after revocation.
    `address` is the gateway's unicast address in the mesh, when it is known; a renewal keeps the one it had.

    Raises Rejected (name, id or address taken, signing request), Misconfigured (state not initialised) or
    Corrupt.
    """
    moment = time.time() if now is None else now
    with installed(state, now=now) as found:
        found.fleet.check_admissible(site, gateway, again=again)
        address = found.fleet.address_for(site, gateway, address)
        key = None if csr is not None else make_key()
        request = csr if key is None else make_request(key, gateway)
        assert request is not None
        certificate = _certify(found, gateway, request, moment)
        issued = Issued.of(certificate)
        _commit(found, found.fleet.with_certificate(site, gateway, issued, moment, address), moment)
        pem = None if key is None else key_pem(key)
        folder = _write_identity(found, site, gateway, certificate, pem, address)
    return Enrolled(gateway, site, folder, issued.serial, issued.not_after, reload_broker(state))


@dataclass(frozen=True, slots=True)
class Renewed:
    """A further certificate, PEM, for a gateway that has one."""

    certificate: bytes
    serial: str
    not_after: float


class TooMany(Unavailable):
    """The gateway was given enough certificates for now."""


def renew(state: Path, gateway: str, serial: str, csr: bytes, *, now: float | None = None) -> Renewed:
    """Certify a new key of `gateway`, which shows its certificate `serial`; that one stays good for now.

    Unlike `enrol`, this writes no identity folder: the key is on the gateway alone. Raises Rejected (not in
    good standing, signing request), TooMany, Misconfigured or Corrupt.
    """
    moment = time.time() if now is None else now
    with installed(state, now=now) as found:
        if reason := found.fleet.refusal(gateway, serial):
            raise Rejected(RejectReason.INVALID, reason)
        known = found.fleet.gateways[gateway]
        life = found.config.identity.gateway_days * 86_400.0
        if known.given_after(moment + life * (1 - 1 / RENEWALS_PART)) >= RENEWALS:
            raise TooMany(
                f"gateway {gateway} had {RENEWALS} certificates within {life / RENEWALS_PART:.0f} s"
            )
        certificate = _certify(found, gateway, csr, moment)
        issued = Issued.of(certificate)
        _commit(
            found, found.fleet.with_certificate(known.site, gateway, issued, moment, known.address), moment
        )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Renewed(pem, issued.serial, issued.not_after)


def confirm(state: Path, gateway: str, serial: str, *, now: float | None = None) -> int:
    """Revoke every other certificate of `gateway`, which shows that it uses `serial`; how many there were.

    Raises Rejected (not in good standing), Misconfigured or Corrupt.
    """
    moment = time.time() if now is None else now
    with installed(state, now=now) as found:
        fleet = found.fleet.with_only(gateway, serial, moment)
        revoked = len(fleet.revoked_certificates()) - len(found.fleet.revoked_certificates())
        if revoked:
            _commit(found, fleet, moment)
    if revoked:
        reload_broker(state)
    return revoked


def revoke(state: Path, gateway: str, *, now: float | None = None) -> RevokedGateway:
    """Take every right and certificate from `gateway`, at once where a broker runs. Safe to repeat.

    A connection that is open stays so, but nothing passes it any more. Raises Rejected (unknown gateway),
    Misconfigured or Corrupt.
    """
    moment = time.time() if now is None else now
    with installed(state, now=now) as found:
        fleet = found.fleet.without(gateway, moment)
        _commit(found, fleet, moment)
        known = fleet.gateways[gateway]
    return RevokedGateway(gateway, known.site, len(known.certificates), reload_broker(state))


def _certify(found: Installation, gateway: str, request: bytes, now: float) -> x509.Certificate:
    life = timedelta(days=found.config.identity.gateway_days)
    return found.authority.sign_request(request, identity=gateway, usage=Usage.CLIENT, now=now, lifetime=life)


def _commit(found: Installation, fleet: Fleet, now: float) -> None:
    """The registry first: what derives from it can always be made again."""
    store_fleet(found.paths, fleet)
    found.publish(fleet, now)


def _write_identity(
    found: Installation,
    site: str,
    gateway: str,
    certificate: x509.Certificate,
    key: bytes | None,
    address: int | None,
) -> Path:
    make_folder(found.paths.root / "gateways")
    folder = make_folder(found.paths.identity_of(gateway))
    if key is not None:
        write_file(folder / "gateway.key", key)
    write_file(folder / "gateway.crt", certificate.public_bytes(serialization.Encoding.PEM))
    write_file(folder / "ca.crt", found.authority.pem)
    write_file(folder / "agent.toml", _agent_text(found, site, gateway, address))
    return folder


def _agent_text(found: Installation, site: str, gateway: str, address: int | None) -> str:
    """The agent's configuration as far as the coordinator knows it; paths are relative to the file."""
    known = f'address = "0x{address:04x}"' if address else '# address = "0x0001"  # its own, in the mesh'
    return f"""\
[gateway]
site = "{site}"
id = "{gateway}"
{known}

[broker]
host = {json.dumps(dial_name(found.config.broker))}
port = {found.config.broker.port}
ca = "ca.crt"
certificate = "gateway.crt"
key = "gateway.key"

# Where models and renewed certificates come from; a host only where it is not the broker's.
[coordinator]
{_coordinator_keys(found)}

# The network's Mesh Configuration Database, as the commissioning app exports it.
# [mesh]
# site_file = "site.json"
"""


def _coordinator_keys(found: Installation) -> str:
    own = found.config.gateways
    host = f"host = {json.dumps(own.host)}\n" if own.host is not None and own.host not in WILDCARDS else ""
    return f"{host}port = {own.port or Gateways().port}"
