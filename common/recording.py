"""A recorded stretch of a site, as one gateway's stream tells it: a file to replay as a mesh, or to a twin.

A gzip stream: the header as a MessagePack map, then the entries (kind, time, body), each part behind its
length in four bytes. Bodies are those of the durable stream, unchanged. Nothing secret is in it: no keys, and
no payloads of messages.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

from common.codec import MAX_MESSAGE_BYTES
from common.errors import Misconfigured, Rejected, RejectReason
from common.files import write_file
from common.messages import Address, Kind, Message, Name, UnixTime, decode, encode
from common.record import Field

MAX_ENTRIES: Final = 1_000_000
MAX_BYTES: Final = 1 << 30
"""Unpacked."""

KINDS: Final = frozenset({Kind.LINKS, Kind.NODES, Kind.FLOWS, Kind.CONFIGURATION})


class Header(Message):
    """Whose stretch it is: `gateway` at unicast `address` of `site`, from t0 to t1 (Unix time)."""

    v: Literal[1] = 1
    site: Name
    gateway: Name
    address: Address
    t0: UnixTime
    t1: UnixTime


class _Entry(Message):
    kind: str = Field(max_length=32)
    t: UnixTime
    body: Annotated[bytes, Field()]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the stream; `t` is when it was told (Unix time)."""

    t: float
    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """A stretch with its entries in order of time."""

    header: Header
    entries: tuple[Entry, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return max(0.0, self.header.t1 - self.header.t0)


def write(path: Path, header: Header, entries: Iterable[Entry]) -> None:
    """Write a recording, readable by its owner alone. Raises Misconfigured."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        _put(file, encode(header))
        for entry in sorted(entries, key=lambda e: e.t):
            _put(file, encode(_Entry(kind=entry.kind.value, t=entry.t, body=entry.body)))
    try:
        write_file(path, buffer.getvalue())
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}", "name another file") from error


def read(path: Path) -> Recording:
    """Read a recording whole. Raises Misconfigured (no such file) or Rejected (not a recording, or a part of
    one)."""
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            parts = _parts(file)
            first = next(parts, None)
            if first is None:
                raise Rejected(RejectReason.TRUNCATED, f"{path} is an empty recording")
            header = decode(Header, first)
            entries = tuple(sorted((_entry(part) for part in parts), key=lambda e: e.t))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Rejected(RejectReason.TRUNCATED, f"{path} is no whole recording: {error}") from error
    except OSError as error:
        raise Misconfigured(
            f"recording {path} cannot be read: {error.strerror}", "name a recording"
        ) from error
    return Recording(header, entries)


def _put(file: gzip.GzipFile, part: bytes) -> None:
    file.write(len(part).to_bytes(4, "big") + part)


def _parts(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    total = 0
    for _ in range(MAX_ENTRIES + 1):
        head = file.read(4)
        if not head:
            return
        size = int.from_bytes(head, "big")
        total += size
        if size > MAX_MESSAGE_BYTES + 1024 or total > MAX_BYTES:
            raise Rejected(RejectReason.OVERSIZED, f"a part of {size} bytes, {total} in all")
        part = file.read(size)
        if len(head) < 4 or len(part) < size:
            raise Rejected(RejectReason.TRUNCATED, "a recording ends within an entry")
        yield part
    raise Rejected(RejectReason.OVERSIZED, f"more than {MAX_ENTRIES} entries")


def _entry(part: bytes) -> Entry:
    read = decode(_Entry, part)
    if read.kind not in {kind.value for kind in KINDS}:
        raise Rejected(RejectReason.UNKNOWN_KIND, f"a recording has no entries of kind {read.kind!r}")
    return Entry(read.t, Kind(read.kind), read.body)
