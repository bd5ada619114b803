"""What nodes of a simulated site send of their own accord, besides monitoring: flows and heartbeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.scenario import Flow
from firmware_bridge.access.link_monitor import MONITOR_REPORTS
from firmware_bridge.virtual.node import THINKING_S, VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

HEARTBEAT_PERIOD_S = 10.0


@dataclass(slots=True)
class Delivery:
    """How a flow fared: messages sent, and those that reached (a member of) their destination."""

    sent: int = 0
    delivered: int = 0


class Traffic:
    """Schedules flows, and the standard heartbeats of nodes without a link monitor."""

    def __init__(self, site: VirtualSite) -> None:
        self._site = site
        self.deliveries: dict[tuple[int, int], Delivery] = {}

    def add_flow(self, flow: Flow) -> None:
        """Let a flow begin at its offset, or at a random moment of its period."""
        offset = flow.offset_s if flow.offset_s is not None else flow.period_s * self._site.random.random()
        self._site.after(offset, self._send, flow)

    def add_heartbeats(self, node: VirtualNode) -> None:
        """Let a node send heartbeats to the gateways."""
        self._site.after(HEARTBEAT_PERIOD_S * self._site.random.random(), self._beat, node)

    def _send(self, flow: Flow) -> None:
        site = self._site
        site.after(flow.period_s * site.random.uniform(0.95, 1.05), self._send, flow)
        if not site.nodes[flow.source].alive:
            return
        delivery = self.deliveries.setdefault((flow.source, flow.destination), Delivery())
        delivery.sent += 1
        first = True

        def arrived(address: int) -> None:
            nonlocal first
            delivery.delivered += first
            first = False
            if flow.acknowledged and address == flow.destination:
                self._answer(flow)

        payload = _payload(flow.payload_bytes)
        site.send(flow.source, flow.destination, payload, arrived=arrived, urgent=flow.acknowledged)

    def _answer(self, flow: Flow) -> None:
        delay = max(THINKING_S[0], flow.response_delay_ms / 1000.0)
        response = _payload(flow.response_bytes)
        self._site.after(delay, self._site.send, flow.destination, flow.source, response)

    def _beat(self, node: VirtualNode) -> None:
        self._site.after(HEARTBEAT_PERIOD_S, self._beat, node)
        if node.alive:
            self._site.messages += 1
            self._site.send(node.address, MONITOR_REPORTS, None, urgent=False)


def _payload(size: int) -> bytes:
    """An access message of `size` bytes: Sensor Status (0x52) and something to fill it."""
    return b"\x52" + bytes(size - 1)
