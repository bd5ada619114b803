"""Signs of life of every node, pure: what `common.policy.liveness` judges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from common.features import Window
from common.mesh.configuration import NodeConfiguration
from common.policy.liveness import Evidence

MAX_NODES = 32_767
ROUND_TRIPS = 16
"""Answers of a node whose times are kept, in seconds, cleaned of outliers."""


@dataclass(slots=True)
class NodeRecord:
    """What is known of one node. Times are monotonic seconds. `has_lamp`: it serves Generic OnOff."""

    configuration: NodeConfiguration
    name: str = ""
    has_lamp: bool = True
    heard_at: float = 0.0
    read_at: float | None = None
    silent_at: float | None = None
    """When it was last asked for its configuration in vain, as long as it never told it."""
    lost_by: dict[int, float] = field(default_factory=dict)
    unanswered: int = 0
    answered_at: float = -inf
    """When it last answered a question, whoever asked it through this gateway."""
    dead_since: float | None = None
    back_at: float | None = None
    hops: int | None = None
    round_trips: Window = field(default_factory=lambda: Window(ROUND_TRIPS))

    def alive_sign(self, t: float) -> None:
        """Something at time `t` proves that the node lives."""
        if t >= self.heard_at:
            self.heard_at = t
            self.unanswered = 0
            self.lost_by.clear()


class NodeBook:
    """Every node of the site file, and any further one that makes itself heard."""

    def __init__(self, known: Iterable[NodeRecord]) -> None:
        self._nodes = {record.configuration.address: record for record in known}
        self._removed: set[int] = set()

    def __getitem__(self, address: int) -> NodeRecord:
        return self._nodes[address]

    def __contains__(self, address: int) -> bool:
        return address in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def items(self) -> Iterable[tuple[int, NodeRecord]]:
        """Address and record of each node."""
        return self._nodes.items()

    def get(self, address: int) -> NodeRecord | None:
        """A node's record; None for one that is not known."""
        return self._nodes.get(address)

    def add(self, record: NodeRecord) -> None:
        """Take in a node that the site file names anew."""
        self._removed.discard(record.configuration.address)
        self._nodes.setdefault(record.configuration.address, record)

    def remove(self, address: int) -> None:
        """Forget a node that left the site; what is still heard of it does not bring it back."""
        self._removed.add(address)
        self._nodes.pop(address, None)

    def is_removed(self, address: int) -> bool:
        """Whether a node left the site for good."""
        return address in self._removed

    def ensure(self, address: int, t: float) -> NodeRecord:
        """A node's record, made when it is new; one that nobody keeps for a node that was removed."""
        record = self._nodes.get(address)
        if record is None:
            record = NodeRecord(NodeConfiguration(address), heard_at=t)
            if len(self._nodes) < MAX_NODES and address not in self._removed:
                self._nodes[address] = record
        return record

    def lost(self, receiver: int, transmitter: int, t: float) -> None:
        """`receiver` says that it no longer hears `transmitter`."""
        record = self._nodes.get(transmitter)
        if record is not None and t > record.heard_at:
            if not record.lost_by:
                record.unanswered = 0  # Only questions asked under suspicion count.
            record.lost_by[receiver] = t

    def configurations(self) -> dict[int, NodeConfiguration]:
        """What is known of every node's configuration."""
        return {address: record.configuration for address, record in self._nodes.items()}

    def dead(self) -> frozenset[int]:
        """The nodes held dead."""
        return frozenset(a for a, record in self._nodes.items() if record.dead_since is not None)

    def evidence(self, address: int, listeners: Mapping[int, float]) -> Evidence:
        """What speaks for and against one node; `listeners` as `Evidence` wants them."""
        record = self._nodes[address]
        return Evidence(
            heard_at=record.heard_at,
            lost_by=dict(record.lost_by),
            listeners=listeners,
            unanswered=record.unanswered,
            dead=record.dead_since is not None,
        )
