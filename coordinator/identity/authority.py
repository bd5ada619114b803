"""The certificate authority of one fleet: signs requests and revocation lists (RFC 5280).

Who may have a certificate is not decided here but in `coordinator.enrolment`. The authority's key is made
once and never replaced: every gateway trusts it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import Corrupt, Misconfigured
from common.files import write_file
from coordinator.identity.requests import checked_key, key_at

LIFETIME = timedelta(days=90)
AUTHORITY_LIFETIME = timedelta(days=20 * 365)
# Gateways without a battery-backed clock wake up in the past; a day back costs nothing.
SKEW = timedelta(days=1)
# And no more than this part of the life: two thirds of it are counted from its beginning.
_SKEW_PART = 90


class Usage(Enum):
    """What a certificate is good for; the other side of a connection insists on it."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of a revocation list; `at` is Unix time."""

    serial: int
    at: float


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority's certificate and, out of sight, its key."""

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign_request(
        self,
        request: bytes,
        *,
        identity: str,
        usage: Usage,
        now: float,
        names: Sequence[str] = (),
        lifetime: timedelta = LIFETIME,
    ) -> x509.Certificate:
        """Certify the key of a PEM signing request as `identity` for `lifetime`: the one way to a
        certificate.

        Nothing but the key is taken over from the request. `names` are the host names and addresses of a
        server. Raises Rejected: OVERSIZED, MALFORMED, FORGED or INVALID.
        """
        key = checked_key(request, identity)
        builder = _certificate(identity, key, _moment(now), lifetime)
        builder = builder.issuer_name(self.certificate.subject)
        builder = _with_leaf_extensions(builder, key, self.certificate, usage)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())

    def has_signed(self, revocations: x509.CertificateRevocationList) -> bool:
        """True for a revocation list of this authority."""
        return revocations.is_signature_valid(self._key.public_key())

    def revocation_list(
        self, revoked: Iterable[Revoked], number: int, now: float, after: float | None = None
    ) -> bytes:
        """The PEM revocation list, valid as long as the authority; `after` is the former list's time.

        The new list is always later, whatever the clock did: whoever holds two lists believes the later
        one (RFC 5280, 6.3.3). And OpenSSL refuses *every* client once the list is past its next update, so
        that is far away.
        """
        issued = _moment(now) - SKEW
        if after is not None:
            issued = max(issued, _moment(after) + timedelta(seconds=1))
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(issued)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_key_identifier_of(self.certificate), critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(_revoked_entry(entry))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def authority_at(folder: Path, now: float) -> Authority:
    """The authority in `folder` (`ca.crt`, `ca.key`), made when there is none; never overwritten.

    Raises Misconfigured when the certificate has lost its key, Corrupt when the two do not belong together.
    """
    certificate_path, key_path = folder / "ca.crt", folder / "ca.key"
    if certificate_path.exists() and not key_path.exists():
        raise Misconfigured(
            f"{key_path} is missing beside its certificate",
            "restore ca.key from a backup; without it no certificate can be issued or revoked",
        )
    # A key alone is what a crash in the middle leaves: nothing was signed yet, so go on with it.
    key = key_at(key_path)
    if not certificate_path.exists():
        pem = _self_signed(key, now).public_bytes(serialization.Encoding.PEM)
        write_file(certificate_path, pem)
    certificate = read_certificate(certificate_path)
    if not is_issued_by(certificate, certificate):
        raise Corrupt(f"{certificate_path} is damaged; restore it from a backup or any gateway's ca.crt")
    if certificate.public_key() != key.public_key():
        raise Corrupt(f"{certificate_path} and {key_path} do not belong together; restore both from a backup")
    return Authority(certificate, key)


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file. Raises Corrupt."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError, x509.InvalidVersion) as error:
        raise Corrupt(f"{path} holds no readable certificate") from error


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate` as it is. Asked before anything else in it is read: damage shows
    here, while fields are parsed only when they are wanted."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, x509.InvalidVersion, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _self_signed(key: ec.EllipticCurvePrivateKey, now: float) -> x509.Certificate:
    # Part of the key's digest in the name tells the authorities of two fleets apart in TLS errors.
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:12]
    builder = _certificate(f"meshtwin authority {digest}", key.public_key(), _moment(now), AUTHORITY_LIFETIME)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meshtwin authority {digest}")])
    return (
        builder.issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(SKEW, lifetime / _SKEW_PART))
        .not_valid_after(now + lifetime)
    )


def _with_leaf_extensions(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, issuer: x509.Certificate, usage: Usage
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage.value]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_key_identifier_of(issuer), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _revoked_entry(entry: Revoked) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(entry.serial)
        .revocation_date(_moment(entry.at))
        .build()
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
