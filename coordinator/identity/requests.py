"""Keys and certificate signing requests (PKCS #10, RFC 2986): made here, and checked before signing."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.errors import Corrupt, Rejected, RejectReason
from common.files import write_file

MAX_REQUEST_BYTES = 16 * 1024


def make_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_at(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in the file `path`, made (mode 0600) when there is none. Raises Corrupt."""
    if not path.exists():
        key = make_key()
        write_file(path, key_pem(key))
        return key
    try:
        key_or_other = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Corrupt(f"{path} holds no readable key; restore it from a backup") from error
    if not isinstance(key_or_other, ec.EllipticCurvePrivateKey):
        raise Corrupt(f"{path} holds a key of another kind than P-256; restore it from a backup")
    return key_or_other


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The unencrypted PEM form, for files of mode 0600 only."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_request(key: ec.EllipticCurvePrivateKey, identity: str) -> bytes:
    """A PEM signing request for `identity`, signed with its own key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def checked_key(request: bytes, identity: str) -> ec.EllipticCurvePublicKey:
    """The public key of a PEM signing request that asks for `identity` and holds the private key.

    Raises Rejected: OVERSIZED, MALFORMED, FORGED (its own signature is wrong, or it names somebody else)
    or INVALID (not a P-256 key).
    """
    try:
        parsed = _parse(request)
        key = parsed.public_key()
        signed = parsed.is_signature_valid
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm, InvalidSignature) as error:
        raise Rejected(RejectReason.MALFORMED, f"signing request: {error}"[:200]) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Rejected(RejectReason.INVALID, "signing request: the key is not an elliptic curve P-256 key")
    if not signed:
        raise Rejected(RejectReason.FORGED, "signing request: its signature does not match its key")
    _check_identity(parsed, identity)
    return key


def _parse(request: bytes) -> x509.CertificateSigningRequest:
    if len(request) > MAX_REQUEST_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"signing request: more than {MAX_REQUEST_BYTES} bytes")
    return x509.load_pem_x509_csr(request)


def _check_identity(request: x509.CertificateSigningRequest, identity: str) -> None:
    # A second common name could be read as the identity by another parser: exactly one, alone.
    names = [(attribute.oid, attribute.value) for attribute in request.subject]
    if names != [(NameOID.COMMON_NAME, identity)]:
        raise Rejected(RejectReason.FORGED, f"signing request: its subject is not exactly CN={identity}")
