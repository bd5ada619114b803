"""The registry of gateways, `fleet.json`: which site each belongs to and which certificates it was given.

The access list and the revocation list are derived from it. Values are immutable; every change returns a
new registry, and `write_fleet` stores it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from cryptography import x509
from pydantic import AfterValidator, Field, ValidationError

from common import topics
from common.errors import Corrupt, Rejected, RejectReason
from common.files import write_file
from common.mesh.addresses import UNICAST_MAX
from coordinator.identity.authority import Revoked
from coordinator.identity.own import BROKER, COORDINATOR, GATEWAY_API
from coordinator.section import Section

# Names of parts of the system itself; as a gateway's id they would stand for somebody else's certificate, or
# for the coordinator among peers.
RESERVED = frozenset({COORDINATOR, BROKER, GATEWAY_API, topics.CLOUD})
# How long a certificate stays listed after its end, for machines whose clock is late.
_KEEP_S = 30 * 86_400.0


def _name(value: str) -> str:
    try:
        return topics.check_name(value)
    except Rejected as error:
        raise ValueError(error.detail) from error


Name = Annotated[str, AfterValidator(_name)]


class Issued(Section):
    """A certificate that was given out. `serial` is hexadecimal, times are Unix times."""

    serial: str = Field(pattern="^[0-9a-f]{1,40}$")
    not_after: float
    revoked_at: float | None = None

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Issued:
        """As it was given out."""
        return cls(
            serial=f"{certificate.serial_number:x}", not_after=certificate.not_valid_after_utc.timestamp()
        )


class Revocation(Section):
    """A certificate that was revoked before the registry was rebuilt; whose it was is no longer known."""

    serial: str = Field(pattern="^[0-9a-f]{1,40}$")
    at: float


class Gateway(Section):
    """One enrolled gateway with its certificates, the newest last; `address` in the mesh, where told."""

    site: Name
    address: int | None = Field(None, ge=1, le=UNICAST_MAX)
    certificates: tuple[Issued, ...]
    revoked: bool = False

    @property
    def newest(self) -> Issued:
        return self.certificates[-1]

    def given_after(self, not_after: float) -> int:
        """How many of its certificates end later than `not_after`: of equal lives, those given lately."""
        return sum(certificate.not_after > not_after for certificate in self.certificates)


class Fleet(Section):
    """All gateways ever enrolled, by id. `version` counts changes and numbers the revocation list."""

    v: Literal[1] = 1
    version: int = Field(0, ge=0)
    gateways: dict[Name, Gateway] = {}
    revocations: tuple[Revocation, ...] = ()
    """What else stays on the revocation list, for good: when those certificates end is not known."""

    def site_of(self, gateway: str) -> str | None:
        """The site of a gateway in good standing; None for one unknown or revoked."""
        known = self.gateways.get(gateway)
        return known.site if known and not known.revoked else None

    def active(self) -> dict[str, str]:
        """Gateway to site, in order of ids, without the revoked ones."""
        return {name: g.site for name, g in sorted(self.gateways.items()) if not g.revoked}

    def refusal(self, gateway: str, serial: str) -> str:
        """Why the holder of a certificate that this authority signed is not let in; empty when it is."""
        known = self.gateways.get(gateway)
        if known is None:
            return f"{gateway[:64]!r} is not an enrolled gateway"
        if known.revoked:
            return f"gateway {gateway} was revoked"
        found = next((c for c in known.certificates if c.serial == serial), None)
        if found is None:
            return f"certificate {serial[:40]} is not in the registry"
        return "" if found.revoked_at is None else f"certificate {serial} was replaced and revoked"

    def check_admissible(self, site: str, gateway: str, *, again: bool) -> None:
        """Raise Rejected(INVALID) unless `gateway` may get a certificate for `site`.

        `again` allows another certificate for a known gateway: renewal, or return after a revocation.
        """
        topics.check_name(site, "site")
        topics.check_name(gateway, "gateway")
        if gateway in RESERVED:
            raise _refusal(f"{gateway!r} is a reserved name")
        known = self.gateways.get(gateway)
        if known is None:
            return
        if known.site != site and not (known.revoked and again):
            raise _refusal(f"gateway {gateway} belongs to site {known.site}; ids are unique over the fleet")
        if not again:
            state = "was revoked" if known.revoked else "is already enrolled"
            raise _refusal(f"gateway {gateway} {state}; say `--again` for another certificate")

    def address_for(self, site: str, gateway: str, said: int | None) -> int | None:
        """The address that `gateway` of `site` gets: `said`, or else the one it had there.

        Raises Rejected(INVALID) when another gateway of the site has it: no node has two of them.
        """
        known = self.gateways.get(gateway)
        address = said if said is not None or known is None or known.site != site else known.address
        for name, other in sorted(self.gateways.items()):
            same = address is not None and other.address == address and other.site == site
            if same and name != gateway and not other.revoked:
                raise _refusal(f"gateway {name} of site {site} has address 0x{address:04x}; name another one")
        return address

    def with_certificate(
        self, site: str, gateway: str, issued: Issued, now: float, address: int | None = None
    ) -> Fleet:
        """The registry with one more certificate, and the gateway in good standing."""
        known = self.gateways.get(gateway)
        earlier = _still_listed(known.certificates, now) if known else ()
        return self._with(gateway, Gateway(site=site, address=address, certificates=(*earlier, issued)))

    def with_only(self, gateway: str, serial: str, now: float) -> Fleet:
        """The registry with every other certificate of `gateway` revoked, once `serial` is in use.

        The same registry when there is no other one. Raises Rejected(INVALID).
        """
        if reason := self.refusal(gateway, serial):
            raise _refusal(reason)
        known = self.gateways[gateway]
        certificates = tuple(_revoked(c, now) if c.serial != serial else c for c in known.certificates)
        if certificates == known.certificates:
            return self
        return self._with(gateway, known.model_copy(update={"certificates": certificates}))

    def without(self, gateway: str, now: float) -> Fleet:
        """The registry with `gateway` and all its certificates revoked. Raises Rejected(INVALID)."""
        known = self.gateways.get(gateway)
        if known is None:
            raise _refusal(f"gateway {gateway[:64]!r} is not enrolled")
        certificates = tuple(_revoked(c, now) for c in known.certificates)
        return self._with(gateway, known.model_copy(update={"certificates": certificates, "revoked": True}))

    def revoked_certificates(self) -> list[Revoked]:
        """What the revocation list has to name."""
        return [
            Revoked(int(c.serial, 16), c.revoked_at)
            for _, gateway in sorted(self.gateways.items())
            for c in gateway.certificates
            if c.revoked_at is not None
        ] + [Revoked(int(other.serial, 16), other.at) for other in self.revocations]

    def with_revocations(self, revoked: Iterable[Revocation]) -> Fleet:
        """The registry with all of `revoked` among its revoked certificates, whosesoever they are."""
        at = {entry.serial: entry.at for entry in revoked}
        gateways = {
            name: gateway.model_copy(
                update={
                    "certificates": tuple(
                        _revoked_at(c, at.pop(c.serial, None)) for c in gateway.certificates
                    )
                }
            )
            for name, gateway in self.gateways.items()
        }
        known = {other.serial for other in self.revocations}
        further = tuple(Revocation(serial=s, at=t) for s, t in at.items() if s not in known)
        return Fleet(version=self.version + 1, gateways=gateways, revocations=(*self.revocations, *further))

    def _with(self, name: str, gateway: Gateway) -> Fleet:
        return Fleet(
            version=self.version + 1,
            gateways={**self.gateways, name: gateway},
            revocations=self.revocations,
        )


class FleetView:
    """The registry as other processes change it: read again only when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._fleet = Fleet()

    def current(self) -> Fleet:
        """The registry as of now. Raises Corrupt, also when it is gone: the fleet is not."""
        stamp = self._look()
        if stamp is None and self._fleet.gateways:
            raise lost(self._path, "is missing")
        if stamp != self._stamp:
            self._fleet, self._stamp = read_fleet(self._path), stamp
        return self._fleet

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def read_fleet(path: Path) -> Fleet:
    """The registry in the file `path`; an empty one when there is none. Raises Corrupt."""
    try:
        return Fleet.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Fleet()
    except (OSError, ValidationError) as error:
        raise lost(path, "is damaged") from error


class RegistryLost(Corrupt):
    """Who is enrolled is not known: nobody is let in or put out until that is mended."""


def lost(path: Path, how: str) -> RegistryLost:
    """The error for a registry that cannot be read, or is gone, with what to do."""
    return RegistryLost(
        f"{path} {how}\n  fix: coordinator init --rebuild-fleet --state {path.parent} (from its copy, "
        "or from what else is there; it tells what it cannot know)"
    )


def write_fleet(path: Path, fleet: Fleet) -> None:
    """Store the registry as a whole. Raises Misconfigured."""
    write_file(path, fleet.model_dump_json(indent=1) + "\n")


def _revoked(certificate: Issued, now: float) -> Issued:
    if certificate.revoked_at is not None:
        return certificate
    return certificate.model_copy(update={"revoked_at": now})


def _revoked_at(certificate: Issued, at: float | None) -> Issued:
    return certificate if at is None else _revoked(certificate, at)


def _still_listed(certificates: tuple[Issued, ...], now: float) -> tuple[Issued, ...]:
    return tuple(c for c in certificates if c.not_after + _KEEP_S > now)


def _refusal(detail: str) -> Rejected:
    return Rejected(RejectReason.INVALID, detail)
