"""A simulated site as a pure state machine: time comes in through `advance`, messages through `send`.

What nodes do is here; what becomes of their messages on the air is the event simulator's, which `air` keeps
at the site's time. Everything random is drawn from the seed, so that the same calls at the same times give
the same site, however the time between them is cut.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any, Final, Protocol

from common.errors import Rejected, Unavailable
from common.mesh.addresses import ALL_NODES, is_unicast
from common.mesh.configuration import Transmit
from common.scenario import NetworkConfiguration, Radio, Scenario
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import (
    MONITOR_PROBES,
    MONITOR_REPORTS,
    Lost,
    MonitorStatus,
    Restart,
)
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.virtual import trial
from firmware_bridge.virtual.air import HARDWARE, Air, Heard
from firmware_bridge.virtual.bursts import Bursts
from firmware_bridge.virtual.monitoring import Monitoring
from firmware_bridge.virtual.node import PROBING, REQUESTS, THINKING_S, TWICE, VirtualNode
from firmware_bridge.virtual.radio import (
    DRIFT_PERIOD_S,
    DRIFT_STRETCH_S,
    LinkKey,
    Links,
    margins_of,
    pdr_at,
    shifts_db,
)
from firmware_bridge.virtual.signal import Signals
from firmware_bridge.virtual.traffic import Traffic
from firmware_bridge.virtual.truths import NONE, HiddenTruths

RESTART_AFTER_S = 0.2
RESTART_TAKES_S = 1.0

LEISURE_S: Final = 0.1
"""Reports, heartbeats and flows may come to a gateway so late; they say when they came."""

HEARTBEAT_BYTES: Final = 7
"""A heartbeat is a control message: as long on air as an access message of so many bytes."""


@dataclass(frozen=True, slots=True)
class Packet:
    """An access message (or a heartbeat, without payload) as it reaches a node, at site time `t`."""

    t: float
    source: int
    destination: int
    payload: bytes | None
    hops: int
    device_key: bool = False


class SiteFailed(Unavailable):
    """The simulation itself broke: a mistake of ours, which is the cause. The site stays broken."""


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
    lies `margins` (dB) above the threshold at first. `faint` are such margins of pairs that never hear but
    disturb each other. `drift` is `truths.drift_db`, for those who want nothing else of `truths`. Of
    `hardware` only what no message can change counts: scanning, advertising sets, cache.
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
        faint: Mapping[LinkKey, float] | None = None,
        rssi: bool = True,
        truths: HiddenTruths = NONE,
        hardware: NetworkConfiguration = HARDWARE,
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
        self.truths = truths
        drift = truths.drift_db or drift
        self.links = Links(pdr, drift, seed, 1.0 - loss, margins, truths.drift_s)
        self.signals = Signals(seed) if rssi else None
        self._monitored = frozenset(addresses) - unmonitored
        self.groups = {group: frozenset(members) for group, members in (groups or {}).items()}
        self.gateways = set(gateways)
        self.now = 0.0
        self.origin: float | None = None
        """What the clock of the attached links showed at site time 0; theirs to set."""
        self.random = Random(seed)
        self._trials = Random(f"trials {seed}")
        self.messages = 0
        self.failure: Exception | None = None
        """What broke the simulation, if anything did."""
        self._attached: dict[int, Gateway] = {}
        self._agenda: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._entries = 0
        self._decay_scheduled = False
        self.air = Air(self.nodes, self.links, faint or {}, noise_figure_db, hardware, seed)
        for group, members in self.groups.items():
            self.air.group(group, members & self.nodes.keys())
        self.air.group(MONITOR_PROBES, self._monitored)
        self._group_gateways()
        self.monitoring = Monitoring(self, monitor)
        self.traffic = Traffic(self)
        for node in self.nodes.values():
            self.monitoring.start(node)
            if not node.monitored:
                self.traffic.add_heartbeats(node)
        if drift:
            self.after(DRIFT_PERIOD_S, self._drift)
        self.bursts = Bursts(self, truths, seed)

    @classmethod
    def from_scenario(
        cls,
        scenario: Scenario,
        *,
        loss: float = 0.0,
        drift: float = 0.5,
        gateways: Iterable[int] = (),
        truths: HiddenTruths = NONE,
    ) -> VirtualSite:
        """The site of a scenario; `loss` is lost on every link besides what the radio loses."""
        configuration = scenario.configuration
        addresses = [node.address for node in scenario.nodes]
        shift_db = shifts_db(addresses, truths, scenario.seed)
        margins = {(a, b): margin + shift_db(a, b) for (a, b), margin in margins_of(scenario).items()}
        pdr = pdr_at(margins, loss)
        site = cls(
            pdr,
            relays=(node.address for node in scenario.nodes if node.relay),
            ttl=configuration.ttl,
            network_transmit=configuration.network_transmit.transmit(),
            relay_retransmit=configuration.relay_retransmit.transmit(),
            gateways=gateways,
            groups=scenario.groups,
            nodes=addresses,
            drift=drift,
            seed=scenario.seed,
            loss=loss,
            noise_figure_db=scenario.radio.noise_figure_db,
            margins=margins,
            faint={key: margin for key, margin in margins.items() if key not in pdr},
            truths=truths,
            hardware=configuration,
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
        """Let everything happen that is due until site time `to`. Raises SiteFailed when something in it
        breaks, and ever after: what went on from a moment that happened by half would be no site any more."""
        if self.failure is None:
            try:
                self._advance(to)
            except Exception as error:
                self.failure = error
        if self.failure is not None:
            what = f"{type(self.failure).__name__}: {self.failure}"
            raise SiteFailed(f"the simulated site failed at {self.now:.3f} s: {what}") from self.failure

    def _advance(self, to: float) -> None:
        agenda = self._agenda
        while self.now < to or (agenda and agenda[0][0] <= to):
            self._listen(min(to, agenda[0][0] if agenda else inf))
            while agenda and agenda[0][0] <= self.now:
                _, _, action, arguments = heapq.heappop(agenda)
                action(*arguments)

    def _listen(self, to: float) -> None:
        """Let the air go on until `to`, or until somebody might answer what came meanwhile."""
        to = min(to, self.air.answers_from())
        for take, heard in self.air.advance(to):
            # A little ago: packets are judged when they have ended. What follows, follows from then.
            self.now = heard.t
            take(heard)
        self.now = to

    def next_time(self) -> float | None:
        """When something happens next that a gateway should know of soon, if ever. All the rest has time."""
        due = self._agenda[0][0] if self._agenda else inf
        if not self.monitoring.doubts.open:
            due = max(due, self.now + LEISURE_S)
        due = min(due, self.air.urgent_from())
        return None if due == inf else due

    # Gateways and messages

    def attach(self, address: int, gateway: Gateway) -> None:
        """Let `gateway` listen on its node, which then counts as a gateway's."""
        self.gateways.add(address)
        self._attached[address] = gateway
        self._group_gateways()

    def detach(self, address: int, gateway: Gateway) -> None:
        """Stop listening; harmless when it did not."""
        if self._attached.get(address) is gateway:
            del self._attached[address]
            self._group_gateways()
            self.monitoring.farewell(self.nodes[address])
        if not self._attached:
            self.origin = None

    def speaks(self, address: int) -> bool:
        """Whether a node's application runs: it has power, and a gateway's node its gateway."""
        return self.nodes[address].alive and (address not in self.gateways or address in self._attached)

    def publish(self, source: int, destination: int, message: AccessMessage) -> None:
        """Send a message of the link monitor; counted as monitoring load."""
        self.messages += 1
        self.send(source, destination, build(message), urgent=isinstance(message, Lost))

    def say(
        self,
        node: VirtualNode,
        message: AccessMessage,
        take: Callable[[Heard], None],
        delay_s: float = 0.0,
        to: int | None = None,
    ) -> None:
        """Publish something to direct neighbours, as often as a probe. `take` gets whoever hears it, or `to`
        alone, who then may answer."""
        self.air.publish(node, len(build(message)), take, self.now + delay_s, to=to)

    def send(
        self,
        source: int,
        destination: int,
        payload: bytes | None,
        device_key: bool = False,
        arrived: Callable[[int], None] | None = None,
        urgent: bool = True,
    ) -> None:
        """Flood a message from a node now. `arrived` is told each node of its destination that it reaches.
        Gateways get it without delay if it is `urgent`."""
        sender = self.nodes[source]
        if not sender.alive:
            return
        message = _understood(payload)
        targets = self._targets(destination)

        def take(heard: Heard) -> None:
            packet = Packet(heard.t, source, destination, payload, heard.hops, device_key)
            self._arrive(heard.node, packet, message)
            if arrived is not None:
                arrived(heard.node)

        if source in targets:
            self.after(0.0, take, Heard(source, self.now, 0, 0.0))
        answered = isinstance(message, REQUESTS) or (urgent and arrived is not None)
        waiting = targets if answered else self._attached.keys() & targets if urgent else frozenset()
        self.air.flood(
            sender,
            destination,
            HEARTBEAT_BYTES if payload is None else len(payload),
            take,
            len(waiting - {source}),
            answered,
        )

    def round_trip(self, gateway: int, address: int) -> float | None:
        """Seconds that a question and its answer would take now, or None if either got lost. For tools:
        nothing happens to the nodes."""
        if not (self.nodes[gateway].alive and self.nodes[address].alive):
            return None
        return trial.round_trip(self.air.fork(self._trials.getrandbits(60)), gateway, address)

    def delivery(self, source: int, destination: int, tries: int = 400) -> float:
        """The share of messages that would arrive now, each alone on the air. For tools, as `round_trip`."""
        return trial.delivery(self.air.fork(self._trials.getrandbits(60)), source, destination, tries)

    # Faults

    def down(self, address: int) -> None:
        """A node loses power, or would not regain it by itself."""
        node = self.nodes[address]
        node.deaths += 1
        if node.alive:
            node.alive = False
            self.air.fail(address)
            if address in self._attached:
                self._attached[address].powered(alive=False)

    def up(self, address: int) -> None:
        """A node regains power: its configuration is kept, its neighbour table is not."""
        node = self.nodes[address]
        if not node.alive:
            node.alive = True
            self.air.restore(address)
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

    def _group_gateways(self) -> None:
        self.air.group(MONITOR_REPORTS, self._attached)

    def _targets(self, destination: int) -> frozenset[int]:
        if is_unicast(destination):
            return frozenset({destination} & self.nodes.keys())
        if destination == ALL_NODES:
            return frozenset(self.nodes)
        if destination == MONITOR_REPORTS:
            return frozenset(self._attached)
        if destination == MONITOR_PROBES:
            return self._monitored
        return self.groups.get(destination, frozenset())

    def _arrive(self, address: int, packet: Packet, message: AccessMessage | Opaque | None) -> None:
        node = self.nodes[address]
        if not node.alive:
            return
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
            delay = self.random.uniform(*THINKING_S)
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
