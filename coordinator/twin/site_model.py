"""A site as the twin believes it to be: nodes, links with their uncertainty, configuration, traffic.

Every question to the twin is asked of one of these, and every change is another of these: it is never
altered. Observing and updating is the mirror's; simulating is the event simulator's, from `scenario()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from common.mesh.configuration import Transmit
from common.mesh.graph import LinkKey

if TYPE_CHECKING:
    from common.radio import RadioParameters
    from common.scenario import Scenario
    from coordinator.twin.site_air import Air

PRIOR_HEARD: Final = 1.0
PRIOR_MISSED: Final = 1.0

Position = tuple[float, float]
"""x and y in metres."""


@dataclass(frozen=True, slots=True)
class LinkBelief:
    """What is known of one directed link: a beta posterior of its PDR (chance that one transmission is
    received), and where it is known, its attenuation.

    `alpha` and `beta` are what was heard and missed, the prior included, so that their sum says how much was
    seen. `attenuation_db` counts for interference also where the PDR is zero.
    """

    alpha: float
    beta: float
    attenuation_db: float | None = None

    @property
    def pdr(self) -> float:
        """The posterior's mean."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def deviation(self) -> float:
        """The posterior's standard deviation."""
        total = self.alpha + self.beta
        return float((self.alpha * self.beta / (total * total * (total + 1.0))) ** 0.5)

    @classmethod
    def counted(cls, heard: float, missed: float, attenuation_db: float | None = None) -> LinkBelief:
        """After so many transmissions heard and missed, from an even prior."""
        return cls(PRIOR_HEARD + heard, PRIOR_MISSED + missed, attenuation_db)

    @classmethod
    def certain(cls, pdr: float, attenuation_db: float | None = None) -> LinkBelief:
        """A link whose PDR is given and not estimated, as in a scenario file."""
        return cls(pdr * _CERTAIN, (1.0 - pdr) * _CERTAIN, attenuation_db)


_CERTAIN: Final = 1e9
"""Counts behind a PDR that is not in doubt."""

_SETTLED: Final = 10


@dataclass(frozen=True, slots=True)
class SiteConfiguration:
    """What a change may touch: relay set, TTL, network transmit and relay retransmit, alike on all nodes."""

    relays: frozenset[int]
    ttl: int = 7
    network_transmit: Transmit = Transmit(3, 20)
    relay_retransmit: Transmit = Transmit(3, 20)

    def with_counts(self, network: int, relay: int) -> SiteConfiguration:
        """With other retransmit counts at the same intervals."""
        return replace(
            self,
            network_transmit=Transmit(network, self.network_transmit.interval_ms),
            relay_retransmit=Transmit(relay, self.relay_retransmit.interval_ms),
        )


@dataclass(frozen=True, slots=True)
class Stack:
    """What nodes are built with, and nobody changes from afar."""

    relay_sets: int = 1
    scan_window_ms: float = 30.0
    scan_interval_ms: float = 30.0
    message_cache: int = 32
    noise_figure_db: float = 6.0


@dataclass(frozen=True, slots=True)
class SiteFlow:
    """Messages from `source` to `destination` (unicast or group) every `period_s`.

    `limit_ms` is the one-way latency that 95 % of the messages should keep; None where nobody minds.
    """

    source: int
    destination: int
    period_s: float
    payload_bytes: int = 8
    acknowledged: bool = False
    response_bytes: int = 3
    response_delay_ms: float = 0.0
    flow_class: str = "sensing"
    offset_s: float | None = None
    limit_ms: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """The share of a flow's messages that really arrived lately (there and back where acknowledged), and its
    standard error by chance. Beyond that, all flows that have it may be off alike, by about `systematic`."""

    share: float
    error: float
    systematic: float = 0.0

    @property
    def doubt(self) -> float:
        """Standard error of whatever kind."""
        return float((self.error**2 + self.systematic**2) ** 0.5)

    @property
    def trials(self) -> float:
        """Messages that leave so much doubt, where half a message more or less than counted is likely."""
        error = max(1e-4, self.error)
        found = 1.0 / error
        for _ in range(_SETTLED):
            likely = (self.share * found + 0.5) / (found + 1.0)
            found = (found * likely * (1.0 - likely)) ** 0.5 / error
        return max(1.0, found)


@dataclass(frozen=True)
class SiteModel:
    """One site at one moment. Addresses are unicast; `links` are directed and need not be symmetric.

    `capable` nodes can be relays at all (empty: nobody has said, so all of them); `battery` nodes pay for
    relaying; `gateways` are nodes that an agent is connected to. `positions` are known for some at most.
    `air` is what calibration made of the links, None before; `delivered` is what was counted of flows
    (source, destination, acknowledged) under this very configuration.
    """

    addresses: tuple[int, ...]
    gateways: tuple[int, ...]
    links: Mapping[LinkKey, LinkBelief]
    configuration: SiteConfiguration
    flows: tuple[SiteFlow, ...] = ()
    groups: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    capable: frozenset[int] = frozenset()
    battery: frozenset[int] = frozenset()
    positions: Mapping[int, Position] = field(default_factory=dict)
    tx_power_dbm: Mapping[int, float] = field(default_factory=dict)
    stack: Stack = Stack()
    air: Air | None = None
    delivered: Mapping[tuple[int, int, bool], Delivered] = field(default_factory=dict)

    @property
    def relays(self) -> frozenset[int]:
        """Nodes with the relay feature on."""
        return self.configuration.relays

    def scenario(self, duration_s: float = 60.0, seed: int = 1, state: int | None = None) -> Scenario:
        """The site as the event simulator takes it, in one of the states of its air, or in their mean."""
        from coordinator.twin.site_scenario import scenario_of  # It needs this module.

        return scenario_of(self, duration_s, seed, state)

    def parameters(self, base: RadioParameters) -> RadioParameters:
        """The air's parameters here, to simulate `scenario()` with."""
        return base if self.air is None else self.air.parameters(base)

    @classmethod
    def of(cls, scenario: Scenario) -> SiteModel:
        """A scenario file's site: links are certain, all nodes can relay."""
        from coordinator.twin.site_scenario import site_of  # It needs this module.

        return site_of(scenario)

    def under(self, configuration: SiteConfiguration, scenario: Scenario) -> Scenario:
        """A scenario of this site under another configuration. Links, flows and groups are the same objects,
        so that a simulator may keep what it made of them."""
        from coordinator.twin.site_scenario import configured  # It needs this module.

        return configured(self.with_configuration(configuration), scenario)

    def destinations(self, flow: SiteFlow) -> tuple[int, ...]:
        """The nodes that a flow's messages are for."""
        return tuple(self.groups.get(flow.destination, (flow.destination,)))

    def with_configuration(self, configuration: SiteConfiguration) -> SiteModel:
        """The site under another configuration, of which nothing was counted yet."""
        kept = self.delivered if configuration == self.configuration else {}
        return replace(self, configuration=configuration, delivered=kept)

    def with_relays(self, relays: Iterable[int]) -> SiteModel:
        """The site with another relay set, all else equal."""
        return self.with_configuration(replace(self.configuration, relays=frozenset(relays)))

    def without(self, *gone: int) -> SiteModel:
        """The site after some nodes died: with their links, and the flows that they send or alone receive."""
        dead = frozenset(gone)
        groups = {group: tuple(set(nodes) - dead) for group, nodes in self.groups.items()}
        kept = [f for f in self.flows if f.source not in dead and set(self.destinations(f)) - dead]
        return replace(
            self,
            addresses=tuple(a for a in self.addresses if a not in dead),
            gateways=tuple(a for a in self.gateways if a not in dead),
            links={key: belief for key, belief in self.links.items() if dead.isdisjoint(key)},
            configuration=replace(self.configuration, relays=self.relays - dead),
            flows=tuple(kept),
            groups={group: tuple(sorted(nodes)) for group, nodes in groups.items()},
            capable=self.capable - dead,
            battery=self.battery - dead,
        )
