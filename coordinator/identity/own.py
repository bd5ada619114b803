"""The coordinator's own certificates: the broker's, that of its client side, and that of its HTTPS for
gateways.

All are renewed while a third of their life is left, or when the names of a server change.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from common.errors import Corrupt
from common.files import write_file
from coordinator.config import Broker, CoordinatorConfig
from coordinator.identity.authority import Authority, Usage, is_issued_by, read_certificate
from coordinator.identity.requests import key_at, make_request

COORDINATOR = "coordinator"
BROKER = "broker"
GATEWAY_API = "gateway-api"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def renew_own(authority: Authority, folder: Path, config: CoordinatorConfig, now: float) -> tuple[str, ...]:
    """Make or renew what is missing or due in `folder`, and return the names. Raises Corrupt (a key)."""
    life = timedelta(days=config.identity.server_days)
    wanted = (
        (BROKER, Usage.SERVER, server_names(config.broker)),
        (COORDINATOR, Usage.CLIENT, ()),
        (GATEWAY_API, Usage.SERVER, _api_names(config)),
    )
    return tuple(
        name for name, usage, names in wanted if _certify(authority, folder, name, usage, names, now, life)
    )


def _api_names(config: CoordinatorConfig) -> tuple[str, ...]:
    """Gateways dial the broker's names unless HTTPS has an address of its own."""
    own, names = config.gateways.host, server_names(config.broker)
    return names if own is None or own in WILDCARDS else tuple(dict.fromkeys((*names, own)))


def server_names(broker: Broker) -> tuple[str, ...]:
    """Every name and address that the broker may be dialled by, each once."""
    own = ["localhost", "127.0.0.1", "::1", _machine_name(), *broker.names]
    if broker.host not in WILDCARDS:
        own.append(broker.host)
    return tuple(dict.fromkeys(own))


def dial_name(broker: Broker) -> str:
    """The host name or address under which gateways reach the broker."""
    if broker.names:
        return broker.names[0]
    return _machine_name() if broker.host in WILDCARDS else broker.host


def _machine_name() -> str:
    name = socket.gethostname()
    return name if name and name.isascii() else "localhost"


def _certify(
    authority: Authority,
    folder: Path,
    name: str,
    usage: Usage,
    names: tuple[str, ...],
    now: float,
    life: timedelta,
) -> bool:
    key = key_at(folder / f"{name}.key")
    path = folder / f"{name}.crt"
    present = _readable(path, authority)
    if present and present.public_key() == key.public_key() and _still_good(present, authority, names, now):
        return False
    request = make_request(key, name)
    certificate = authority.sign_request(
        request, identity=name, usage=usage, now=now, names=names, lifetime=life
    )
    write_file(path, certificate.public_bytes(serialization.Encoding.PEM))
    return True


def _readable(path: Path, authority: Authority) -> x509.Certificate | None:
    """The certificate, or None: a damaged one is simply issued again."""
    try:
        found = read_certificate(path)
        text = path.read_bytes()
    except (Corrupt, OSError):
        return None
    # To the byte: OpenSSL, which the broker uses, takes less than the reader here does.
    is_as_written = text == found.public_bytes(serialization.Encoding.PEM)
    return found if is_as_written and is_issued_by(found, authority.certificate) else None


def _still_good(
    certificate: x509.Certificate, authority: Authority, names: tuple[str, ...], now: float
) -> bool:
    ends = certificate.not_valid_after_utc
    life = ends - certificate.not_valid_before_utc
    issued_here = certificate.issuer == authority.certificate.subject
    # Issued while this machine's clock was ahead: gateways would refuse it until then.
    early = certificate.not_valid_before_utc.timestamp() > now
    same_names = _names(certificate) == set(names)
    return issued_here and same_names and not early and ends.timestamp() - now > life.total_seconds() / 3


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = found.get_values_for_type(x509.IPAddress)
    return {*found.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)}
