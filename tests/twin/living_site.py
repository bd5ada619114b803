"""A virtual site observed as agents observe theirs, in simulated time: what a coordinator would get to store.

The truth is the virtual site, whose links are shadowed, drift and lose packets to interference, of which the
twin is told nothing. What its gateways would send is made by the agent's own code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from common.mesh.configuration import NodeConfiguration
from common.messages import Configuration, Kind, Status, encode, encode_measurement
from common.policy.service import Service
from coordinator.repository.batch import Batch, Incoming, StatusHeard
from edge_agent.observe import tables
from edge_agent.observe.site import SiteView
from firmware_bridge.virtual import VirtualSite
from firmware_bridge.virtual.node import VirtualNode
from firmware_bridge.virtual.site import Packet
from firmware_bridge.virtual.translation import event

START = 1_700_000_000.0
PERIOD_S = 5.0
SENSING = 1
DEAD_AFTER_S = 3.0


class _Ear:
    """What one gateway gets to hear."""

    def __init__(self, name: str, address: int) -> None:
        self.name, self.address = name, address
        self.view = SiteView(address, None, 0.0)
        self.sequence = 0

    def received(self, packet: Packet) -> None:
        self.view.apply(event(packet.t, packet))

    def powered(self, alive: bool) -> None:
        """A gateway's node is not touched here."""


class LivingSite:
    """`live` lets time pass and returns what gateways `gw-1`, `gw-2` … sent. Each asks `questions` nodes for
    a round trip every five seconds."""

    def __init__(
        self, site: VirtualSite, questions: int = 2, name: str = "hall", seed: int = 1, start: float = START
    ) -> None:
        self.site, self.name, self._start = site, name, start
        self._questions = questions
        self._random = Random(seed)
        self.ears = [_Ear(f"gw-{i + 1}", address) for i, address in enumerate(sorted(site.gateways))]
        self._died: dict[int, float] = {}
        for ear in self.ears:
            site.attach(ear.address, ear)
            for node in site.nodes.values():
                ear.view.observe_configuration(_configuration(node), 0.0)

    @property
    def now(self) -> float:
        """Unix time at the site."""
        return self._start + self.site.now

    @property
    def addresses(self) -> dict[str, int]:
        """Each gateway's unicast address."""
        return {ear.name: ear.address for ear in self.ears}

    def live(self, seconds: float) -> list[Incoming]:
        """What was sent meanwhile, in order."""
        sent: list[Incoming] = []
        end = self.site.now + seconds
        while self.site.now < end - 1e-9:
            self.site.advance(min(end, self.site.now + PERIOD_S))
            for ear in self.ears:
                self._notice_deaths(ear)
                self._ask(ear)
                sent += self._tell(ear)
        return sent

    def set_relays(self, relays: Iterable[int]) -> None:
        """Apply a relay set, as an agent would, and let the gateways know."""
        chosen = set(relays)
        for address, node in self.site.nodes.items():
            node.relay = address in chosen
            for ear in self.ears:
                ear.view.observe_configuration(_configuration(node), self.site.now)

    def statuses(self) -> dict[str, StatusHeard]:
        """Every gateway's status, for a batch."""
        found = {}
        for ear in self.ears:
            told = Status(
                site=self.name, gateway=ear.name, time=self.now, online=True, address=ear.address, epoch=7
            )
            found[ear.name] = StatusHeard(ear.name, self.name, True, True, 7, 0, encode(told))
        return found

    def batch(self, sent: Iterable[Incoming]) -> Batch:
        """One transaction's worth of what was sent."""
        return Batch(self.now, list(sent), self.statuses())

    def pdr(self) -> Mapping[tuple[int, int], float]:
        """The true links of now."""
        return {(a, b): pdr for a, b, pdr in self.site.links}

    def _notice_deaths(self, ear: _Ear) -> None:
        for address, node in self.site.nodes.items():
            if node.alive:
                self._died.pop(address, None)
                continue
            since = self._died.setdefault(address, self.site.now)
            record = ear.view.nodes.get(address)
            if record is not None and record.dead_since is None and self.site.now - since >= DEAD_AFTER_S:
                ear.view.convict(address, self.site.now)

    def _ask(self, ear: _Ear) -> None:
        alive = [a for a, n in self.site.nodes.items() if n.alive and a != ear.address]
        for address in self._random.sample(alive, min(self._questions, len(alive))):
            trip = self.site.round_trip(ear.address, address)
            ear.view.flows.request((ear.address, address, SENSING), trip)

    def _tell(self, ear: _Ear) -> list[Incoming]:
        service, view, now = Service({}, {}), ear.view, self.now
        made = [
            (Kind.LINKS, tables.links_table(view.links, {}, now)),
            (Kind.NODES, tables.nodes_table(view.nodes, service, self.site.now, now)),
            (Kind.FLOWS, tables.flows_table(view.flows, PERIOD_S, now)),
        ]
        pieces = [(kind, piece) for kind, table in made for piece in tables.split(table)]
        told = [self._incoming(ear, kind, encode_measurement(kind, piece), None) for kind, piece in pieces]
        snapshot = tables.configuration(ear.view.nodes, service, {}, ear.view.changes)
        return [*told, self._incoming(ear, Kind.CONFIGURATION, encode(snapshot), snapshot)]

    def _incoming(self, ear: _Ear, kind: Kind, body: bytes, record: Configuration | None) -> Incoming:
        ear.sequence += 1
        return Incoming(ear.name, 7, ear.sequence, self.name, kind.value, self.now, self.now, body, record)


def _configuration(node: VirtualNode) -> NodeConfiguration:
    return NodeConfiguration(
        node.address, node.relay, node.relay_supported, node.default_ttl, node.network_transmit,
        node.relay_retransmit,
    )  # fmt: skip
