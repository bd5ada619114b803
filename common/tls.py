"""The TLS side of a connection to the broker or the coordinator's HTTPS, the same for all who dial.

Makes contexts from files; issues and renews nothing.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from common.errors import Misconfigured


def client_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """A client context that trusts `ca` alone, checks the broker's name and shows `certificate`.

    TLS 1.2 or newer. All three are PEM files. Raises Misconfigured, naming the file that is wrong.
    """
    for path in (ca, certificate, key):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise Misconfigured(f"{ca} holds no certificate: {error}", "copy ca.crt again") from error
    try:
        # Without a password callback OpenSSL asks on the terminal, and a daemon would hang.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise Misconfigured(
            f"{certificate} and {key} are no pair of certificate and unencrypted key: {error}",
            "copy both from one enrolment",
        ) from error
    return context


# X509_V_ERR_… of OpenSSL's x509_vfy.h, as far as an operator can do something about them.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER, _NOT_VERIFIED = 18, 19, 20, 21
_WRONG_NAME, _WRONG_ADDRESS = 62, 64
_OTHER_NAMES = (
    "the server's certificate is for other names",
    "add the name that is dialled to [broker] names in coordinator.toml and run: coordinator init",
)
_OTHER_AUTHORITY = (
    "the server's certificate is of another authority",
    "copy ca.crt of this coordinator again, or enrol this gateway there",
)
_EXPLAINED = {
    _NOT_YET_VALID: ("the server's certificate is not valid yet", "set this machine's clock"),
    _EXPIRED: (
        "the server's certificate has expired",
        "run on the server: coordinator init; when it is good there, set this machine's clock",
    ),
    _SELF_SIGNED: _OTHER_AUTHORITY,
    _SELF_SIGNED_IN_CHAIN: _OTHER_AUTHORITY,
    _NO_ISSUER: _OTHER_AUTHORITY,
    _NOT_VERIFIED: _OTHER_AUTHORITY,
    _WRONG_NAME: _OTHER_NAMES,
    _WRONG_ADDRESS: _OTHER_NAMES,
}


def explain(error: BaseException) -> tuple[str, str]:
    """What an error of a connection attempt means, and what helps against it; often nothing is known to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _EXPLAINED.get(error.verify_code, (f"the server's certificate: {error.verify_message}", ""))
    return f"{type(error).__name__}: {error}", ""


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}",
            "enrol this gateway, or mend owner and mode of the file",
        ) from error
