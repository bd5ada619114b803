"""The durable stream that a benchmark's gateway sends, and the account it gives of it afterwards.

A message is what an agent would send: fifty samples, ten links in five windows. No two are alike.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgpack

from common.codec import pack
from common.messages import SCHEMA_VERSION, Kind, encode_measurement

EPOCH: Final = 1
LINKS: Final = 10
WINDOWS: Final = 5
SAMPLES: Final = LINKS * WINDOWS
_DIGEST_BYTES: Final = 8


def measurement(t: float, window_s: float, transmitter: int = 1, receiver: int = 2) -> bytes:
    """The body: links from `transmitter` to `LINKS` receivers, the first of which is `receiver`, in
    `WINDOWS` windows of `window_s` seconds, the last of which ended at `t` (Unix time)."""
    times = [t - window_s * n for n in range(WINDOWS - 1, -1, -1)]
    return encode_measurement(
        Kind.LINKS,
        {
            "t": array("d", [time for time in times for _ in range(LINKS)]),
            "transmitter": array("H", [transmitter] * SAMPLES),
            "receiver": array("H", list(range(receiver, receiver + LINKS)) * WINDOWS),
            "pdr": array("f", [0.5 + n / (2 * SAMPLES) for n in range(SAMPLES)]),
        },
    )


def envelope(site: str, gateway: str, sequence: int, t: float, body: bytes) -> bytes:
    """The wire form of `Envelope`, unchecked: what checks it is under test."""
    return pack(
        {
            "v": SCHEMA_VERSION,
            "site": site,
            "gateway": gateway,
            "epoch": EPOCH,
            "sequence": sequence,
            "time": t,
            "kind": Kind.LINKS.value,
            "body": body,
        }
    )


def digest(body: bytes) -> bytes:
    """What stands for a body in an account."""
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


@dataclass(slots=True)
class Account:
    """What one gateway sent: a digest per body in the order of sequences, from 1 on, of which the first
    `acked` were acknowledged as stored."""

    gateway: str
    acked: int = 0
    digests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What a publisher tells at its end. `elapsed_s` lies between first message and last acknowledgement."""

    elapsed_s: float
    accounts: list[Account]

    def packed(self) -> bytes:
        """The form in which it is handed over."""
        return pack([self.elapsed_s, [[a.gateway, a.acked, b"".join(a.digests)] for a in self.accounts]])

    @classmethod
    def parse(cls, data: bytes) -> Report:
        """The inverse of `packed`; for what our own processes tell only."""
        elapsed_s, accounts = msgpack.unpackb(data)
        return cls(elapsed_s, [Account(name, acked, _parts(joined)) for name, acked, joined in accounts])


def _parts(joined: bytes) -> list[bytes]:
    return [joined[n : n + _DIGEST_BYTES] for n in range(0, len(joined), _DIGEST_BYTES)]
