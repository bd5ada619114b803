"""What the stack tells of what it received."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from firmware_bridge.stack.iv_index import Change


@dataclass(frozen=True, slots=True)
class AccessReceived:
    """An access message for this node, authentic and new (3.7.3).

    `application` is the index of its application key, None where a device key served. `ttl` is what was left
    of the sender's. `label` is the Label UUID of a virtual destination.
    """

    source: int
    destination: int
    payload: bytes = field(repr=False)
    application: int | None
    network: int
    ttl: int
    label: bytes | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A heartbeat (3.6.5.10): the hops it took (1: a neighbour's) and the sender's features
    (`control.Features`)."""

    source: int
    destination: int
    hops: int
    features: int


@dataclass(frozen=True, slots=True)
class IvIndexChanged:
    """The network's IV index moved (3.11.5)."""

    index: int
    change: Change


Received: TypeAlias = "AccessReceived | HeartbeatReceived | IvIndexChanged"
