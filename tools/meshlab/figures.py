"""What the lab counts and measures, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.meshlab.child import Usage


@dataclass(frozen=True)
class NodeCount:
    """A node's datagrams: `tx` sent, by AD type in `types` ("0x2a" network, "0x2b" beacon, "0x29" PB-ADV);
    `rx` delivered to it; `lost` drawn as lost on the way to it; `full` and `gone`: its queue was full, it
    was down.
    """

    tx: int
    rx: int
    lost: int
    full: int
    gone: int
    types: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AirStats:
    """Counts since the air was started, by node index, and the CPU seconds that it used for them."""

    cpu_s: float
    up_s: float
    nodes: tuple[NodeCount, ...]

    @property
    def sent(self) -> int:
        """Datagrams that nodes sent."""
        return sum(node.tx for node in self.nodes)

    @property
    def delivered(self) -> int:
        """Datagrams that nodes received: one sent is delivered to every listener."""
        return sum(node.rx for node in self.nodes)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AirStats:
        nodes = tuple(NodeCount(**row) for row in document["nodes"])
        return cls(document["cpu_s"], document["up_s"], nodes)


@dataclass(frozen=True)
class LinkCount:
    """One directed link: its loss, and what became of the datagrams since the air was started."""

    source: int
    target: int
    loss: float
    heard: int
    lost: int
    full: int
    gone: int


@dataclass(frozen=True)
class LabUsage:
    """What each process used; None for a node that is down."""

    air: Usage
    bus: Usage
    nodes: tuple[Usage | None, ...]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LabUsage:
        nodes = tuple(Usage(**row) if row else None for row in document["nodes"])
        return cls(Usage(**document["air"]), Usage(**document["bus"]), nodes)


@dataclass(frozen=True)
class NodeState:
    """A daemon: `state` is "up", "paused" or "down"; `pid` is None for one that is down."""

    node: int
    state: str
    pid: int | None
    log: str
