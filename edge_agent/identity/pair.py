"""Which certificate and key this gateway uses now: those of its configuration, or the pair that they were
renewed to.

A renewed pair is one file in the state folder, `identity.pem`, so that no crash can leave a certificate with
another's key, and the configuration's folder may be read-only. It names the configured certificate that it
continues: once an operator puts another one there, that one counts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

from common.errors import Corrupt, Misconfigured
from common.files import write_file
from edge_agent.config import AgentConfig
from edge_agent.identity.certificate import MAX_PEM_BYTES, Certificate, parse
from edge_agent.state_file import set_aside

IDENTITY_FILE: Final = "identity.pem"
_MARK: Final = "# meshtwin identity"


@dataclass(frozen=True, slots=True)
class Identity:
    """Files for `common.tls.client_context`, and the facts of the certificate in them.

    `certificate` and `key` are the same file when the pair was `renewed`. `origin` is the digest of the
    configured certificate. `lost` says why a renewed pair could not be used.
    """

    ca: Path
    certificate: Path
    key: Path
    facts: Certificate
    origin: str
    renewed: bool = False
    lost: str = ""


def current(config: AgentConfig) -> Identity:
    """The identity to use now. A damaged renewed pair is moved aside and told in `lost`, once.

    Raises Misconfigured when the configured certificate cannot be read.
    """
    broker = config.broker
    configured = _read_configured(broker.certificate)
    origin = sha256(configured).hexdigest()
    path, lost = config.gateway.state_dir / IDENTITY_FILE, ""
    try:
        if (kept := _read_kept(path, origin)) is not None:
            return Identity(broker.ca, path, path, kept, origin, renewed=True)
    except Corrupt as error:
        lost = str(error)
        with suppress(OSError):
            set_aside(path)
    facts = _facts(configured, broker.certificate)
    return Identity(broker.ca, broker.certificate, broker.key, facts, origin, lost=lost)


def keep(path: Path, certificate: bytes, key: bytes, origin: str) -> None:
    """Store a renewed pair, both PEM, as a whole: a crash leaves the former identity or this one.

    Raises Misconfigured when the disk refuses.
    """
    rest = b"\n".join((f"# continues {origin}".encode(), certificate.strip(), key.strip(), b""))
    write_file(path, _mark(rest) + rest)


def _read_kept(path: Path, origin: str) -> Certificate | None:
    """The facts of the renewed pair; None when there is none, or it continues another certificate."""
    try:
        with path.open("rb") as file:
            data = file.read(2 * MAX_PEM_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from error
    mark, _, rest = data.partition(b"\n")
    if mark + b"\n" != _mark(rest):
        raise Corrupt(f"{path.name} failed its check and was moved aside")
    return parse(rest) if rest.startswith(f"# continues {origin}\n".encode()) else None


def _mark(rest: bytes) -> bytes:
    return f"{_MARK}, {crc32(rest):08x}\n".encode()


def _read_configured(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}",
            "enrol this gateway, or mend owner and mode of the file",
        ) from error


def _facts(pem: bytes, path: Path) -> Certificate:
    try:
        return parse(pem)
    except Corrupt as error:
        raise Misconfigured(f"{path}: {error}", "copy it again from the enrolment") from error
