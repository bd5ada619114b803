"""Flow observations, pure: messages per source and class, bytes, round trips of the gateway's requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from common.messages import FLOW_CLASSES

FlowKey = tuple[int, int, int]
"""(source, destination, index into FLOW_CLASSES)"""

OTHER, LIGHTING, SENSING, MONITORING, CONFIGURATION = range(len(FLOW_CLASSES))
MAX_FLOWS = 50_000

# First opcode byte of the SIG's lighting and level servers and clients (Mesh Model 1.1, section 7).
_TWO_BYTE_CLASSES = {0x82: LIGHTING, 0x80: CONFIGURATION}
# Sensor messages, from Descriptor Status to Setting Status, and from Descriptor Get to Setting Get.
_SENSOR_OPCODES = range(0x51, 0x5C)
_SENSOR_GET_OPCODES = range(0x8230, 0x8237)


@dataclass(slots=True)
class Flow:
    """Counts since they were last taken."""

    messages: int = 0
    bytes: int = 0
    requests: int = 0
    answers: int = 0
    hops: list[int] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)


def classify(payload: bytes) -> int:
    """A flow class by the opcode (Mesh Protocol 1.1, 3.7.3.1): vendor opcodes count as monitoring."""
    if not payload:
        return OTHER
    first = payload[0]
    if first >= 0xC0:
        return MONITORING
    if int.from_bytes(payload[:2], "big") in _SENSOR_GET_OPCODES:
        return SENSING
    if first >= 0x80:
        return _TWO_BYTE_CLASSES.get(first, OTHER)
    return SENSING if first in _SENSOR_OPCODES else OTHER


class FlowBook:
    """Every flow that this gateway sees, bounded; flows beyond the limit are refused and counted."""

    def __init__(self) -> None:
        self._flows: dict[FlowKey, Flow] = {}
        self.refused = 0

    def message(self, source: int, destination: int, payload: bytes, hops: int | None) -> None:
        """Count a message that arrived."""
        flow = self._flow((source, destination, classify(payload)))
        flow.messages += 1
        flow.bytes += len(payload)
        if hops is not None:
            flow.hops.append(hops)

    def request(self, key: FlowKey, round_trip_s: float | None) -> None:
        """Count an acknowledged message that the gateway sent; None when no answer came."""
        flow = self._flow(key)
        flow.requests += 1
        if round_trip_s is not None:
            flow.answers += 1
            flow.round_trips_ms.append(round_trip_s * 1000.0)

    def take(self) -> Iterable[tuple[FlowKey, Flow]]:
        """Everything counted since the last call."""
        taken, self._flows = self._flows, {}
        return taken.items()

    def _flow(self, key: FlowKey) -> Flow:
        flow = self._flows.get(key)
        if flow is None:
            flow = Flow()
            if len(self._flows) < MAX_FLOWS:
                self._flows[key] = flow
            else:
                self.refused += 1
        return flow
