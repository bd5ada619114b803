"""The TLS side of a connection to the broker, the same for agents and coordinator.

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


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}",
            "enrol this gateway, or mend owner and mode of the file",
        ) from error
