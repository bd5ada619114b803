"""The broker's saved state: set aside when it was cut short, because mosquitto refuses to start on it.

Nothing in it is needed: durable messages are in the agents' outboxes, and commands are repeated. Only the
outline of the file is checked, not what is inside its chunks.
"""

from __future__ import annotations

import struct
from pathlib import Path

from common.logs import get_logger

NAME = "mosquitto.db"
_MAGIC = b"\x00\xb5\x00mosquitto db"
_FILE_HEADER = struct.Struct(">15sII")  # magic, an unused checksum, version of the format
_CHUNK_HEADER = struct.Struct(">II")  # kind, length
_KNOWN_VERSION = 6  # mosquitto 2.0

log = get_logger(__name__)


def set_aside_if_cut(folder: Path) -> Path | None:
    """Rename a cut file in `folder` to `mosquitto.db.damaged`, replacing an earlier one; its new path.

    Call it only while no broker runs.
    """
    path = folder / NAME
    if not path.exists() or is_whole(path.read_bytes()):
        return None
    return set_aside(path, "cut short")


def set_aside(path: Path, reason: str) -> Path:
    """Keep a saved state for people to look at, and say so; its new path."""
    aside = path.with_name(f"{NAME}.damaged")
    path.replace(aside)
    log.warning("broker-state-set-aside", file=str(aside), reason=reason)
    return aside


def is_whole(data: bytes) -> bool:
    """True when the file's chunks end where the file ends, or its format is a newer one."""
    if len(data) < _FILE_HEADER.size:
        return False
    magic, _, version = _FILE_HEADER.unpack_from(data)
    if magic != _MAGIC:
        return False
    if version != _KNOWN_VERSION:
        return True
    at = _FILE_HEADER.size
    while at + _CHUNK_HEADER.size <= len(data):
        _, length = _CHUNK_HEADER.unpack_from(data, at)
        at += _CHUNK_HEADER.size + length
    return at == len(data)
