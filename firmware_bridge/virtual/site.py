"""A simulated site as a pure state machine: time comes in through `advance`, messages through `send`.

Everything random is drawn from the seed, so that the same calls at the same times give the same site.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from common.errors import Rejected
from common.mesh.addresses import ALL_NODES, is_unicast
from common.mesh.configuration import Transmit
from common.scenario import Radio, Scenario
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import MONITOR_PROBES, MONITOR_REPORTS, MonitorStatus, Restart
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.virtual.flood import Arrival, flood
from firmware_bridge.virtual.monitoring import Monitoring
from firmware_bridge.virtual.node import PROBING, REQUESTS, TWICE, VirtualNode
from firmware_bridge.virtual.radio import (
    DRIFT_PERIOD_S,
    DRIFT_STRETCH_S,
    LinkKey,
    Links,
    margins_of,
    pdr_of,
    threshold_dbm,
)
from firmware_bridge.virtual.signal import Signals
from firmware_bridge.virtual.traffic import Traffic

ANSWER_DELAY_S = (0.002, 0.008)
RESTART_AFTER_S = 0.2
RESTART_TAKES_S = 1.0


@dataclass(frozen=True, slots=True)
class Packet:
    """An access message (or a heartbeat, without payload) as it reaches a node, at site time `t`."""

    t: float
    source: int
    destination: int
    payload: bytes | None
    hops: int
    device_key: bool = False


class Gateway(Protocol):
    """What listens on a gateway's node."""

    def received(self, packet: Packet) -> None:
        """A message that is not for the node's own servers."""

    def powered(self, alive: bool) -> None:
        """The gateway's node lost or regained power."""


class VirtualSite:
    """Nodes, links and what is under way between them. Times are seconds since the site began.

    `pdr` gives every directed link; `relays` who relays; `monitor` the probe settings of every node but
    those `without_monitor`. `gateways` are nodes that are silent while nobody is attached to them. `loss` is
    the part of `pdr` that others on the air are to blame for; nodes read signal strength if `rssi`, which
    lies `margins` (dB) above the threshold at first.
    """

    def __init__(
        self,
        pdr: Mapping[LinkKey, float],
        *,
        relays: Iterable[int] = (),
        ttl: int = 7,
        network_transmit: Transmit = TWICE,
        relay_retransmit: Transmit = TWICE,
        monitor: MonitorStatus = PROBING,
        without_monitor: Iterable[int] = (),
        without_relay: Iterable[int] = (),
        gateways: Iterable[int] = (),
        groups: Mapping[int, Iterable[int]] | None = None,
        nodes: Iterable[int] = (),
        drift: float = 0.0,
        seed: int = 1,
        loss: float = 0.0,
        noise_figure_db: float = Radio().noise_figure_db,
        margins: Mapping[LinkKey, float] | None = None,
        rssi: bool = True,
    ) -> None:
        addresses = sorted({address for key in pdr for address in key} | set(nodes))
        unmonitored, incapable, on = set(without_monitor), set(without_relay), set(relays)
        self.nodes = {
            address: VirtualNode(
                address,
                relay=address in on,
                relay_supported=address not in incapable,
                default_ttl=ttl,
                network_transmit=network_transmit,
                relay_retransmit=relay_retransmit,
                monitored=address not in unmonitored,
                monitor=monitor,
            )
            for address in addresses
        }
        self.links = Links(pdr, drift, seed, 1.0 - loss, margins)
        self.signals = Signals(self.links, threshold_dbm(noise_figure_db), seed) if rssi else None
        self.groups = {group: frozenset(members) for group, members in (groups or {}).items()}
        self.gateways = set(gateways)
        self.now = 0.0
        self.origin: float | None = None
        """What the clock of the attached links showed at site time 0; theirs to set."""
        self.random = Random(seed)
        self.messages = 0
        self._attached: dict[int, Gateway] = {}
        self._agenda: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._entries = 0
        self._decay_scheduled = False
        self.monitoring = Monitoring(self, monitor)
        self.traffic = Traffic(self)
        for node in self.nodes.values():
            self.monitoring.start(node)
            if not node.monitored:
                self.traffic.add_heartbeats(node)
        if drift:
            self.after(DRIFT_PERIOD_S, self._drift)

    @classmethod
    def from_scenario(
        cls, scenario: Scenario, *, loss: float = 0.0, drift: float = 0.5, gateways: Iterable[int] = ()
    ) -> VirtualSite:
        """The site of a scenario; `loss` is lost on every link besides what the radio loses."""
        configuration = scenario.configuration
        site = cls(
            pdr_of(scenario, loss),
            relays=(node.address for node in scenario.nodes if node.relay),
            ttl=configuration.ttl,
            network_transmit=configuration.network_transmit.transmit(),
            relay_retransmit=configuration.relay_retransmit.transmit(),
            gateways=gateways,
            groups=scenario.groups,
            nodes=(node.address for node in scenario.nodes),
            drift=drift,
            seed=scenario.seed,
            loss=loss,
            noise_figure_db=scenario.radio.noise_figure_db,
            margins=margins_of(scenario),
        )
        for t, address, what in scenario.failures:
            site.after(t, site.down if what == "down" else site.up, address)
        for flow in scenario.flows:
            site.traffic.add_flow(flow)
        return site

    # Time

    def after(self, delay_s: float, action: Callable[..., object], *arguments: Any) -> None:
        """Have `action` called in `delay_s` seconds of site time."""
        self._entries += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._entries, action, arguments))

    def advance(self, to: float) -> None:
        """Let everything happen that is due until site time `to`."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= to:
            t, _, action, arguments = heapq.heappop(agenda)
            self.now = max(self.now, t)
            action(*arguments)
        self.now = max(self.now, to)

    def next_time(self) -> float | None:
        """When something happens next, if ever."""
        return self._agenda[0][0] if self._agenda else None

    # Gateways and messages

    def attach(self, address: int, gateway: Gateway) -> None:
        """Let `gateway` listen on its node, which then counts as a gateway's."""
        self.gateways.add(address)
        self._attached[address] = gateway

    def detach(self, address: int, gateway: Gateway) -> None:
        """Stop listening; harmless when it did not."""
        if self._attached.get(address) is gateway:
            del self._attached[address]
            self.monitoring.farewell(self.nodes[address])
        if not self._attached:
            self.origin = None

    def speaks(self, address: int) -> bool:
        """Whether a node's application runs: it has power, and a gateway's node its gateway."""
        return self.nodes[address].alive and (address not in self.gateways or address in self._attached)

    def publish(self, source: int, destination: int, message: AccessMessage) -> None:
        """Send a message of the link monitor; counted as monitoring load."""
        self.messages += 1
        self.send(source, destination, build(message))

    def send(
        self, source: int, destination: int, payload: bytes | None, device_key: bool = False
    ) -> set[int]:
        """Flood a message from a node now. Returns the nodes that will receive it, unless they die."""
        sender = self.nodes[source]
        if not sender.alive:
            return set()
        targets = self._targets(destination)
        arrivals = self._flood(sender, targets - {source})
        if source in targets:
            arrivals[source] = Arrival(0.0, 0)
        for address, arrival in arrivals.items():
            packet = Packet(
                self.now + arrival.delay_s, source, destination, payload, arrival.hops, device_key
            )
            self.after(arrival.delay_s, self._arrive, address, packet)
        return set(arrivals)

    def round_trip(self, gateway: int, address: int) -> float | None:
        """Seconds that a question and its answer would take now, or None if either got lost. For tools:
        nothing happens to the nodes."""
        one, other = self.nodes[gateway], self.nodes[address]
        if not (one.alive and other.alive):
            return None
        there = self._flood(one, {address}).get(address)
        back = self._flood(other, {gateway}).get(gateway) if there else None
        return there.delay_s + back.delay_s if there and back else None

    # Faults

    def down(self, address: int) -> None:
        """A node loses power, or would not regain it by itself."""
        node = self.nodes[address]
        node.deaths += 1
        if node.alive:
            node.alive = False
            if address in self._attached:
                self._attached[address].powered(alive=False)

    def up(self, address: int) -> None:
        """A node regains power: its configuration is kept, its neighbour table is not."""
        node = self.nodes[address]
        if not node.alive:
            node.alive = True
            self.monitoring.restarted(node)
            if address in self._attached:
                self._attached[address].powered(alive=True)

    def decay(self, transmitter: int, receiver: int, to: float, seconds: float) -> None:
        """Let a link go to another PDR within `seconds`."""
        self.links.decay(transmitter, receiver, to, seconds, self.now)
        if not self._decay_scheduled:
            self._decay_scheduled = True
            self.after(DRIFT_STRETCH_S, self._decay)

    # What happens

    def _flood(self, sender: VirtualNode, targets: set[int]) -> dict[int, Arrival]:
        relays = {a: n.relay_retransmit for a, n in self.nodes.items() if n.relay and n.alive}
        alive = {a for a in targets if self.nodes[a].alive}
        return flood(
            self.links.out, relays, sender.address, sender.default_ttl, sender.network_transmit, alive,
            len(alive), self.random,
        )  # fmt: skip

    def _targets(self, destination: int) -> set[int]:
        if is_unicast(destination):
            return {destination} & self.nodes.keys()
        if destination == ALL_NODES:
            return set(self.nodes)
        if destination == MONITOR_REPORTS:
            return set(self._attached)
        if destination == MONITOR_PROBES:
            return {address for address, node in self.nodes.items() if node.monitored}
        return set(self.groups.get(destination, ()))

    def _arrive(self, address: int, packet: Packet) -> None:
        node = self.nodes[address]
        if not node.alive:
            return
        message = _understood(packet.payload)
        if isinstance(message, REQUESTS):
            self._serve(node, packet, message)
        elif address in self._attached:
            self._attached[address].received(packet)

    def _serve(self, node: VirtualNode, packet: Packet, message: AccessMessage | Opaque) -> None:
        before = node.monitor
        answer = node.configured(message) if packet.device_key else node.answered(message)
        if node.monitor != before:
            self.monitoring.changed(node, before)
        if isinstance(message, Restart) and answer is not None:
            if node.restarted_by != (packet.source, message.token):
                self.after(RESTART_AFTER_S, self._reboot, node, node.deaths)
            node.restarted_by = (packet.source, message.token)
        if answer is not None and is_unicast(packet.destination):
            delay = self.random.uniform(*ANSWER_DELAY_S)
            self.after(delay, self.send, node.address, packet.source, build(answer), packet.device_key)

    def _reboot(self, node: VirtualNode, deaths: int) -> None:
        if node.deaths == deaths:
            self.down(node.address)
            self.after(RESTART_TAKES_S, self._rebooted, node, node.deaths)

    def _rebooted(self, node: VirtualNode, deaths: int) -> None:
        # Unless it was killed for good meanwhile.
        if node.deaths == deaths:
            self.up(node.address)

    def _drift(self) -> None:
        self.after(DRIFT_PERIOD_S, self._drift)
        self.links.drift()

    def _decay(self) -> None:
        self.links.move_decays(self.now)
        self._decay_scheduled = self.links.decaying
        if self._decay_scheduled:
            self.after(DRIFT_STRETCH_S, self._decay)


def _understood(payload: bytes | None) -> AccessMessage | Opaque | None:
    try:
        return None if payload is None else catalogue.parse(payload)
    except Rejected:
        # As a node does with a message it cannot parse: whoever listens there may still know better.
        return None
