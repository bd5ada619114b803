"""The errand that renews this gateway's certificate: a new key, made here and never sent; a signing request
to the coordinator, under the present identity; the answer checked as if from a stranger; and the pair kept.

A process of its own for the memory of the cryptographic library. What is wrong with the moment for it is
`edge_agent.identity.renewal`'s to know.
"""

from __future__ import annotations

import http.client
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common import tls
from common.errors import Rejected, RejectReason, Unavailable
from common.messages import Message, validate
from edge_agent import errand
from edge_agent.identity.certificate import MAX_PEM_BYTES
from edge_agent.identity.pair import keep

PATIENCE_S: Final = 60.0
ANSWER_S: Final = 15.0


class Order(Message):
    """What to do: all are paths, so that no secret is in it. `target` takes the new pair, which continues the
    configured certificate of digest `origin`. `confirm` only says again that the present pair is in use."""

    task: Literal["renew", "confirm"]
    host: str
    port: int
    ca: str
    certificate: str
    key: str
    gateway: str
    target: str
    origin: str


def carry_out(document: dict[str, Any]) -> dict[str, Any]:
    """The errand. Answers with the serial and the end of what was renewed, and whether the coordinator knows
    that it is in use.

    Raises Unavailable, Rejected (the coordinator refuses, or its answer is wrong) or Misconfigured.
    """
    order = validate(Order, document)
    if order.task == "confirm":
        _confirm(order, order.certificate, order.key)
        return {"confirmed": True}
    key = ec.generate_private_key(ec.SECP256R1())
    pem = _post(order, order.certificate, order.key, "/v1/certificate", _signing_request(key, order.gateway))
    certificate = checked(pem, key, order.gateway, Path(order.ca), time.time())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    keep(Path(order.target), certificate.public_bytes(serialization.Encoding.PEM), secret, order.origin)
    return {
        "serial": f"{certificate.serial_number:x}",
        "not_after": certificate.not_valid_after_utc.timestamp(),
        "confirmed": _is_confirmed(order),
    }


def checked(
    pem: bytes, key: ec.EllipticCurvePrivateKey, gateway: str, ca: Path, now: float
) -> x509.Certificate:
    """The certificate in an answer: for this key and name alone, by the authority, for a client, good now.

    Raises Rejected: MALFORMED, FORGED or EXPIRED.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        authority = x509.load_pem_x509_certificate(ca.read_bytes())
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        is_own = certificate.public_key() == key.public_key()
    except (ValueError, TypeError, x509.InvalidVersion, x509.ExtensionNotFound) as error:
        raise _wrong(RejectReason.MALFORMED, str(error)) from error
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise _wrong(RejectReason.FORGED, "it is not signed by the authority") from error
    names = [(name.oid, name.value) for name in certificate.subject]
    if not is_own or names != [(NameOID.COMMON_NAME, gateway)]:
        raise _wrong(RejectReason.FORGED, "it is for another key or name")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise _wrong(RejectReason.FORGED, "it is not for a client")
    if not certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp():
        raise _wrong(RejectReason.EXPIRED, "it is not valid at this machine's time")
    return certificate


def _wrong(reason: RejectReason, detail: str) -> Rejected:
    return Rejected(reason, f"the certificate in the coordinator's answer: {detail}"[:200])


def _signing_request(key: ec.EllipticCurvePrivateKey, gateway: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def _is_confirmed(order: Order) -> bool:
    """The new pair is on disk and shown to the coordinator, which then revokes the old one."""
    try:
        _confirm(order, order.target, order.target)
    except (Unavailable, Rejected):
        # The pair is good all the same; the daemon asks again.
        return False
    return True


def _confirm(order: Order, certificate: str, key: str) -> None:
    _post(order, certificate, key, "/v1/certificate/confirm", b"")


def _post(order: Order, certificate: str, key: str, path: str, body: bytes) -> bytes:
    """The body of a good answer. Raises Unavailable, or Rejected with the coordinator's reason."""
    context = tls.client_context(Path(order.ca), Path(certificate), Path(key))
    connection = http.client.HTTPSConnection(order.host, order.port, timeout=ANSWER_S, context=context)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/x-pem-file"})
        answer = connection.getresponse()
        content = answer.read(MAX_PEM_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        reason, fix = tls.explain(error)
        raise Unavailable(f"{order.host}:{order.port}: {reason}; {fix}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{order.host}:{order.port}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if answer.status == http.client.OK and len(content) <= MAX_PEM_BYTES:
        return content
    told = f"{order.host}:{order.port} answers {answer.status}: {_printable(content)}"
    if answer.status in (http.client.BAD_REQUEST, http.client.FORBIDDEN):
        raise Rejected(RejectReason.INVALID, told)
    raise Unavailable(told)


def _printable(content: bytes) -> str:
    return "".join(c if c.isprintable() else " " for c in content[:200].decode("utf-8", "replace"))


if __name__ == "__main__":
    # It ends also when the agent that would have ended it is gone.
    signal.alarm(int(2 * PATIENCE_S))
    sys.exit(errand.serve(carry_out))
