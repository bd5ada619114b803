"""What a play comes to: delivery, hops and latency of each flow, and what the play cost.

Plain values without numpy, so that they travel between processes and into JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds. `standard_error` is the mean's; 0 for a single sample."""

    mean: float
    p50: float
    p95: float
    p99: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class FlowOutcome:
    """One flow's messages.

    `sent` counts messages times recipients: one for a unicast destination, the members for a group (but for
    the source itself). `delivered` counts the arrivals, each recipient's first; 0 ≤ delivered ≤ sent, and
    `pdr` is their ratio (1.0 where nothing was sent). `reached_any` is the share of messages that came to
    one recipient at least: what a gateway gets that listens by several proxies, modelled as a group of them.
    `hops` is the mean over arrivals; 0.0 without any. `one_way_ms` and `round_trip_ms` are None without
    samples; the latter, and `answered` (responses that came back), are of acknowledged flows alone.
    """

    source: int
    destination: int
    sent: int
    delivered: int
    pdr: float
    reached_any: float
    hops: float
    one_way_ms: Latency | None
    answered: int | None = None
    round_trip_ms: Latency | None = None

    def as_json(self) -> dict[str, Any]:
        """The form of `coordinator twin simulate --json`; of an acknowledgement only where there is one.
        Shares of nothing sent are None."""
        document = asdict(self)
        if not self.sent:
            document["pdr"] = document["reached_any"] = None
        if self.answered is None:
            del document["answered"], document["round_trip_ms"]
        return document


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened on the air, and what it cost to work out.

    `transmissions` counts advertising events (each is sent on all three channels). `collisions` counts
    receptions spoilt by another transmission. `dropped` counts messages to be sent or relayed that found the
    node's queue full. `cpu_s` is without compiling; `simulated_s` reaches to the last event.
    """

    events: int
    transmissions: int
    collisions: int
    dropped: int
    cpu_s: float
    simulated_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """`flows` in the scenario's order, or in the order of `only_flows`."""

    flows: tuple[FlowOutcome, ...]
    totals: Totals

    def as_json(self) -> dict[str, Any]:
        """The document that `coordinator twin simulate --json` prints."""
        return {"flows": [flow.as_json() for flow in self.flows], "totals": asdict(self.totals)}
