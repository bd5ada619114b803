"""The text of `mosquitto.conf`, for mosquitto 2.0 (2.0.11 is what Debian 12 ships).

Every departure from the defaults has its reason here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coordinator.config import Broker, StatePaths

# Four times the largest message that is accepted: what is too large in earnest still reaches ingest, which
# refuses and counts it by its gateway. Beyond this the broker ends the sender's connection, and says so only
# in its log; the coordinator hears nothing of it.
MAX_PACKET_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Where the broker's files lie."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "mosquitto.conf"

    @property
    def acl(self) -> Path:
        return self.folder / "acl"

    @property
    def pid(self) -> Path:
        return self.folder / "broker.pid"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"


def mosquitto_conf(broker: Broker, paths: StatePaths, user: str | None) -> str:
    """The configuration. `user` is the account to stay, needed when started as root: mosquitto would
    otherwise become `mosquitto`, which cannot read the owner's 0600 keys."""
    files = BrokerFiles(paths.broker)
    lines = [
        "# Written by `coordinator`; edit coordinator.toml instead.",
        *([f"user {user}"] if user else []),
        *_LIMITS,
        "persistence true",
        f"persistence_location {files.data}/",
        f"acl_file {files.acl}",
        f"listener {broker.port} {broker.host}",
        f"cafile {paths.pki / 'ca.crt'}",
        f"certfile {paths.pki / 'broker.crt'}",
        f"keyfile {paths.pki / 'broker.key'}",
        f"crlfile {paths.revocations}",
        *_IDENTITY,
    ]
    return "\n".join(lines) + "\n"


_LIMITS = (
    # One list of rights for all listeners; true would need each option repeated per listener.
    "per_listener_settings false",
    # 51 to 9.5 ms for a connection with client certificates.
    "set_tcp_nodelay true",
    f"max_packet_size {MAX_PACKET_BYTES}",
    # The default of 1,000 dropped nearly everything that a slow reader had not yet taken.
    "max_queued_messages 100000",
    "max_queued_bytes 268435456",
    "max_inflight_messages 200",
    # A killed broker forgets what came after its last save. The agents' outboxes cover that; this keeps
    # retained statuses and offline commands.
    # Retained messages of a gateway that was revoked are not handed out. It is the documented default, but
    # does not hold after a reload unless it is said.
    "check_retain_source true",
    "autosave_interval 5",
    # Sessions of gateways that never come back.
    "persistent_client_expiration 14d",
    "log_dest stderr",
    "log_type error",
    "log_type warning",
    "log_type notice",
    "log_timestamp_format %Y-%m-%dT%H:%M:%S",
)

_IDENTITY = (
    "tls_version tlsv1.2",
    "require_certificate true",
    "allow_anonymous false",
    # The certificate's name is user and client id, whatever the client says about itself.
    "use_identity_as_username true",
    "use_username_as_clientid true",
)
